import { createEffect, createSignal, on, onMount, Show } from "solid-js";
import { balanceLevel } from "../../state/balance";
import type { Failure } from "../../state/failure";
import { failureText } from "../../texts/chat";
import { Icon } from "../../ui/icon";
import { hasKeyboard, isSendKey } from "../../ui/keys";
import { useApp, useFormats, useTexts } from "../app-context";
import { OutOfTokens } from "./out-of-tokens";

interface ComposerProps {
  text: string;
  /** The thread that the text is for. */
  place: string;
  isBusy: boolean;
  isStopping: boolean;
  onInput: (text: string) => void;
  /** Resolves with why the message was not taken, if its text is in this field again. */
  onSend: (text: string) => Promise<Failure | undefined>;
  onStop: () => void;
}

export function Composer(props: ComposerProps) {
  const app = useApp();
  const texts = useTexts();
  const [failure, setFailure] = createSignal<Failure>();
  let field!: HTMLTextAreaElement;

  const level = () => balanceLevel(app.session.account.tokenBalance, app.session.account.tokensWhenFull);
  const isOut = () => failure()?.kind === "out_of_tokens";

  onMount(() => hasKeyboard() && field.focus());
  createEffect(
    on(
      () => props.place,
      () => setFailure(undefined),
      { defer: true },
    ),
  );
  // More tokens have come, from wherever: what was said about too few is over.
  createEffect(
    on(
      () => app.session.account.tokenBalance,
      (now, before) => before !== undefined && now > before && setFailure(undefined),
      { defer: true },
    ),
  );
  // Where CSS cannot size a field by its content, this does.
  createEffect(() => {
    if (CSS.supports("field-sizing", "content")) return;
    void props.text;
    field.style.height = "auto";
    field.style.height = `${field.scrollHeight}px`;
  });

  async function send() {
    const message = props.text.trim();
    if (message === "" || props.isBusy) return;
    setFailure(undefined);
    const why = await props.onSend(message);
    if (!why) return;
    setFailure(why);
    field.focus();
  }

  function onKeyDown(event: KeyboardEvent) {
    if (!isSendKey(event)) return;
    event.preventDefault();
    void send();
  }

  return (
    <div class="composer-frame">
      <Show
        when={isOut() || level() === "empty"}
        fallback={
          <Notices failure={failure()} onRetry={() => void send()} canRetry={props.text.trim() !== ""} />
        }
      >
        <OutOfTokens failure={failure()} onRefreshed={() => setFailure(undefined)} />
      </Show>
      <form
        class="composer"
        onSubmit={event => {
          event.preventDefault();
          void send();
        }}
      >
        <textarea
          ref={field}
          id="message"
          rows="1"
          dir="auto"
          aria-label={texts().messagePlaceholder}
          placeholder={texts().messagePlaceholder}
          enterkeyhint="enter"
          value={props.text}
          onInput={event => props.onInput(event.currentTarget.value)}
          onKeyDown={onKeyDown}
        />
        <Show
          when={props.isBusy}
          fallback={
            <button
              type="submit"
              class="send"
              aria-label={texts().send}
              title={texts().send}
              disabled={props.text.trim() === ""}
            >
              <Icon name="send" />
            </button>
          }
        >
          <button
            type="button"
            class="send stop"
            aria-label={props.isStopping ? texts().stopping : texts().stop}
            title={props.isStopping ? texts().stopping : texts().stop}
            disabled={props.isStopping}
            onClick={() => props.onStop()}
          >
            <Icon name="stop" />
          </button>
        </Show>
      </form>
    </div>
  );
}

function Notices(props: { failure: Failure | undefined; canRetry: boolean; onRetry: () => void }) {
  const app = useApp();
  const texts = useTexts();
  const formats = useFormats();
  const level = () => balanceLevel(app.session.account.tokenBalance, app.session.account.tokensWhenFull);
  const tokens = () => formats().number(app.session.account.tokenBalance);

  return (
    <>
      <Show when={level() === "low" || level() === "very_low"}>
        <p class="notice warning" role="status">
          {level() === "low" ? texts().lowTokens(tokens()) : texts().veryLowTokens(tokens())}
        </p>
      </Show>
      <Show when={props.failure}>
        {failure => (
          <p class="notice problem" role="alert">
            <span>
              {texts().draftBack} {failureText(texts(), failure())}
            </span>
            <Show when={props.canRetry}>
              <button type="button" class="link" onClick={() => props.onRetry()}>
                {texts().retry}
              </button>
            </Show>
          </p>
        )}
      </Show>
    </>
  );
}
