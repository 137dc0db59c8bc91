import { createEffect, createMemo, createSignal, on, Show, untrack } from "solid-js";
import type { ChatApi } from "../../api/chat-api";
import { branchOf, type Step } from "../../state/branch";
import { type Exchange, isActive, newExchange } from "../../state/conversation";
import type { Where } from "../../state/conversations";
import { editPlace, NEW_THREAD } from "../../state/drafts";
import { type Failure, failureOf } from "../../state/failure";
import { chatPath } from "../../state/route";
import { failureText } from "../../texts/chat";
import { useApp, useTexts } from "../app-context";
import { Composer } from "../composer/composer";
import { ThreadFailure } from "../pages/pages";
import { ChatHeader } from "./chat-header";
import { Transcript } from "./transcript";

/** One thread, or the beginning of one: its messages and the field for the next. */
export function ChatPage(props: { api: ChatApi; threadId: string | undefined }) {
  const app = useApp();
  const texts = useTexts();
  /** A first message whose thread is being made. */
  const [starting, setStarting] = createSignal<Exchange>();
  const place = () => props.threadId ?? NEW_THREAD;
  const [text, setText] = createSignal(app.drafts.read(place()));
  let isHandover = false;

  const conversation = createMemo(() => (props.threadId ? app.conversations.get(props.threadId) : undefined));
  const exchanges = (): readonly Exchange[] => {
    const first = starting();
    return conversation()?.exchanges ?? (first ? [first] : []);
  };
  const steps = createMemo((): Step[] => branchOf(exchanges(), conversation()?.chosen ?? {}));
  const isBusy = () => starting() !== undefined || exchanges().some(isActive);
  const title = () =>
    (props.threadId && app.threads.find(props.threadId)?.title) ||
    steps()[0]?.exchange.question.text.slice(0, 80);

  createEffect(
    on(place, here => {
      if (!isHandover) setText(app.drafts.read(here));
      isHandover = false;
      if (props.threadId) void app.conversations.open(props.threadId).then(() => forgetArrived(here));
    }),
  );
  createEffect(() => {
    document.title = title() || texts().appName;
  });

  /** After a reload in the middle of sending: the thread shows that the message has arrived. */
  function forgetArrived(here: string) {
    const sent = app.drafts.sentId(here);
    const known = app.conversations.get(here)?.exchanges ?? [];
    if (sent === undefined || !known.some(({ question }) => question.clientMessageId === sent)) return;
    app.drafts.forgetSent(here);
    if (place() === here) setText(app.drafts.read(here));
  }

  function type(value: string) {
    setText(value);
    app.drafts.write(place(), value);
  }

  async function send(message: string): Promise<Failure | undefined> {
    let here = place();
    setText("");
    let id = app.drafts.markSent(here, message);
    if (here === NEW_THREAD) {
      setStarting(newExchange(id, message, new Date().toISOString()));
      try {
        const thread = await props.api.newThread();
        app.drafts.forgetSent(here);
        app.drafts.write(here, "");
        here = thread.id;
        id = app.drafts.markSent(here, message);
        app.drafts.write(here, text());
        isHandover = true;
      } catch (error) {
        setStarting(undefined);
        setText(app.drafts.giveBack(here));
        return app.session.notice(failureOf(error));
      }
    }
    const behind = isHandover ? undefined : untrack(steps).at(-1)?.exchange;
    const asked = ask(here, message, id, behind && { behind });
    if (isHandover) app.navigation.go(chatPath(here), { replace: true });
    setStarting(undefined);
    const failure = await asked;
    if (!failure) app.drafts.forgetSent(here);
    else if (place() === here) setText(app.drafts.giveBack(here));
    else app.drafts.giveBack(here);
    return failure;
  }

  /** Asks a question anew, as it was or changed. The earlier version is kept. */
  async function askInstead(instead: Exchange, message: string): Promise<void> {
    const { threadId } = props;
    if (threadId === undefined) return;
    const draft = editPlace(instead);
    const id = app.drafts.markSent(draft, message);
    const failure = await ask(threadId, message, id, { instead });
    if (failure && message !== instead.question.text) app.drafts.giveBack(draft);
    else app.drafts.forgetSent(draft);
    if (failure) app.toasts.show({ text: failureText(texts(), failure) });
  }

  /** Tokens may have been granted since the balance was used up: then the message goes out after all. */
  async function ask(
    threadId: string,
    message: string,
    id: string,
    where?: Where,
  ): Promise<Failure | undefined> {
    const failure = await app.conversations.ask(threadId, message, id, where);
    if (failure?.kind !== "out_of_tokens") return failure;
    await app.session.refresh();
    return isDue(failure.nextGrantAt) ? app.conversations.ask(threadId, message, id, where) : failure;
  }

  return (
    <main class="chat" id="chat" tabindex="-1">
      <ChatHeader title={title()} />
      <Show
        when={conversation()?.status !== "failed"}
        fallback={
          <ThreadFailure
            failure={conversation()?.failure}
            onRetry={() => props.threadId && void app.conversations.open(props.threadId)}
          />
        }
      >
        <Transcript
          threadId={props.threadId}
          conversation={conversation()}
          steps={steps()}
          onAskInstead={askInstead}
          isBusy={isBusy()}
        />
        <Composer
          text={text()}
          place={place()}
          isBusy={isBusy()}
          isStopping={conversation()?.isStopping ?? false}
          onInput={type}
          onSend={send}
          onStop={() => props.threadId && void app.conversations.stop(props.threadId)}
        />
      </Show>
    </main>
  );
}

function isDue(grantAt: string | undefined): boolean {
  return grantAt !== undefined && new Date(grantAt) <= new Date();
}
