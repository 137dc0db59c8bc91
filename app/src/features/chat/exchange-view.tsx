import { createMemo, createSignal, For, Show } from "solid-js";
import { type Answer, type Exchange, isActive } from "../../state/conversation";
import { editPlace } from "../../state/drafts";
import { Icon } from "../../ui/icon";
import { fileAddress } from "../../ui/markdown/addresses";
import { Markdown } from "../../ui/markdown/markdown";
import { useApp, useTexts } from "../app-context";
import { AnswerActions } from "./answer-actions";
import { CopyButton } from "./copy-button";
import { QuestionForm } from "./question-form";
import { VersionPicker } from "./version-picker";

interface ExchangeProps {
  threadId: string | undefined;
  exchange: Exchange;
  /** All versions of the exchange, oldest first. */
  versions: readonly Exchange[];
  isLast: boolean;
  isBusy: boolean;
  isStopping: boolean;
  onAskInstead: (instead: Exchange, text: string) => Promise<void>;
}

/** A question and its answer. */
export function ExchangeView(props: ExchangeProps) {
  const texts = useTexts();
  const answer = () => props.exchange.answer;
  const isThinking = () => isActive(props.exchange) && answer().text === "";
  // What was on the screen when Stop was pressed stays; what came later follows when the answer has ended.
  const text = createMemo<string>(
    shown => (props.isStopping && isActive(props.exchange) ? shown : answer().text),
    "",
  );

  return (
    <article class="exchange" classList={{ last: props.isLast }}>
      <Question {...props} />
      <section class="answer" classList={{ active: isActive(props.exchange) }} data-status={answer().status}>
        <h2 class="sr-only">{texts().answer}</h2>
        <Show when={isThinking()}>
          <p class="thinking">{texts().thinking}</p>
        </Show>
        <Show when={answer().text !== ""}>
          <Markdown
            text={text()}
            isComplete={!isActive(props.exchange)}
            files={answer().files}
            labels={texts()}
          />
        </Show>
        <Files answer={answer()} />
        <Ending {...props} />
        <Show
          when={!isActive(props.exchange)}
          fallback={
            <Show when={props.versions.length > 1}>
              <div class="actions kept">
                <VersionPicker threadId={props.threadId} exchange={props.exchange} versions={props.versions} />
              </div>
            </Show>
          }
        >
          <AnswerActions
            threadId={props.threadId}
            exchange={props.exchange}
            versions={props.versions}
            canRegenerate={props.isLast && !props.isBusy}
            onRegenerate={() => askAgain(props)}
          />
        </Show>
      </section>
    </article>
  );
}

/** The same question once more. */
function askAgain({ exchange, onAskInstead }: ExchangeProps): void {
  void onAskInstead(exchange, exchange.question.text);
}

function Question(props: ExchangeProps) {
  const app = useApp();
  const texts = useTexts();
  const question = () => props.exchange.question;
  const draft = () => editPlace(props.exchange);
  // A change that was not sent is there again, also after a reload.
  const [isEditing, setEditing] = createSignal(app.drafts.read(draft()) !== "");

  function send(text: string) {
    setEditing(false);
    void props.onAskInstead(props.exchange, text);
  }

  return (
    <section class="question">
      <h2 class="sr-only">{texts().you}</h2>
      <Show
        when={!isEditing()}
        fallback={
          <QuestionForm
            text={app.drafts.read(draft()) || question().text}
            isBusy={props.isBusy}
            onInput={text => app.drafts.write(draft(), text)}
            onSend={send}
            onCancel={() => {
              app.drafts.write(draft(), "");
              setEditing(false);
            }}
          />
        }
      >
        <div class="question-text" dir="auto">
          {question().text}
        </div>
        <div class="actions">
          <CopyButton text={question().text} />
          <Show when={question().id}>
            <button
              type="button"
              class="icon-button small"
              aria-label={texts().edit}
              title={texts().edit}
              onClick={() => setEditing(true)}
            >
              <Icon name="pencil" />
            </button>
          </Show>
        </div>
      </Show>
    </section>
  );
}

function Files(props: { answer: Answer }) {
  const texts = useTexts();
  return (
    <Show when={props.answer.files.length > 0}>
      <ul class="files" aria-label={texts().files}>
        <For each={props.answer.files}>
          {file => (
            <li>
              <a href={fileAddress(file.id)} download={file.name} aria-label={texts().download(file.name)}>
                <Icon name="file" />
                {file.name}
              </a>
            </li>
          )}
        </For>
      </ul>
    </Show>
  );
}

/** Why the answer is not as long or as good as it should be. */
function Ending(props: ExchangeProps) {
  const texts = useTexts();
  const answer = () => props.exchange.answer;
  const reason = () => {
    const { status, error } = answer();
    if (status === "cancelled") return texts().endings.cancelled;
    const known =
      error && Object.hasOwn(texts().answerErrors, error.code) && texts().answerErrors[error.code];
    return known || texts().endings[status];
  };
  const canAskAgain = () =>
    props.isLast && !props.isBusy && ["failed", "interrupted"].includes(answer().status);

  return (
    <Show when={reason()}>
      <p class="ending" data-status={answer().status}>
        {reason()}{" "}
        <Show when={canAskAgain() && answer().error?.isRetryable !== false}>
          <button type="button" class="link" onClick={() => askAgain(props)}>
            {texts().askAgain}
          </button>
        </Show>
      </p>
    </Show>
  );
}
