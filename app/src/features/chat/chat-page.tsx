import { createEffect, createMemo, createSignal, on, Show } from "solid-js";
import type { ChatApi } from "../../api/chat-api";
import { type Exchange, isActive, newExchange } from "../../state/conversation";
import { NEW_THREAD } from "../../state/drafts";
import { type Failure, failureOf } from "../../state/failure";
import { chatPath } from "../../state/route";
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
  const isBusy = () => starting() !== undefined || exchanges().some(isActive);
  const title = () =>
    (props.threadId && app.threads.find(props.threadId)?.title) || exchanges()[0]?.question.text.slice(0, 80);

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
    const sent = app.drafts.sentText(here);
    const questions = app.conversations.get(here)?.exchanges ?? [];
    if (sent === undefined || questions.at(-1)?.question.text !== sent || text() !== sent) return;
    app.drafts.forgetSent(here);
    app.drafts.write(here, "");
    if (place() === here) setText("");
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
    const asked = ask(here, message, id);
    if (isHandover) app.navigation.go(chatPath(here), { replace: true });
    setStarting(undefined);
    const failure = await asked;
    if (!failure) app.drafts.forgetSent(here);
    else if (place() === here) setText(app.drafts.giveBack(here));
    else app.drafts.giveBack(here);
    return failure;
  }

  /** Tokens may have been granted since the balance was used up: then the message goes out after all. */
  async function ask(threadId: string, message: string, id: string): Promise<Failure | undefined> {
    const failure = await app.conversations.ask(threadId, message, id);
    if (failure?.kind !== "out_of_tokens" || !isDue(failure.nextGrantAt)) return failure;
    await app.session.refresh();
    return app.conversations.ask(threadId, message, id);
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
          exchanges={exchanges()}
          onAsk={message => void send(message)}
          onEdit={message => {
            type(message);
            document.getElementById("message")?.focus();
          }}
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
