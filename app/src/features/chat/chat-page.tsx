import { createEffect, createMemo, createSignal, on, onCleanup, Show, untrack } from "solid-js";
import type { ChatApi } from "../../api/chat-api";
import { branchOf, type Step } from "../../state/branch";
import { type Exchange, isActive, newExchange } from "../../state/conversation";
import type { Where } from "../../state/conversations";
import { againPlace, editPlace, NEW_THREAD } from "../../state/drafts";
import { type Failure, failureOf, isRefusal } from "../../state/failure";
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
  /** The thread whose message was refused, while it is found out whether it is to be sent after all. */
  const [asking, setAsking] = createSignal<string>();
  const place = () => props.threadId ?? NEW_THREAD;
  const [text, setText] = createSignal(app.drafts.read(place()));
  let isHandover = false;
  let isStopWanted = false;
  /** The address is another page's, or that of this one opened anew. What is being sent goes on. */
  let isGone = false;
  onCleanup(() => (isGone = true));
  const isShown = (here: string) => !isGone && place() === here;

  const conversation = createMemo(() => (props.threadId ? app.conversations.get(props.threadId) : undefined));
  const exchanges = (): readonly Exchange[] => {
    const first = starting();
    return conversation()?.exchanges ?? (first ? [first] : []);
  };
  const steps = createMemo((): Step[] => branchOf(exchanges(), conversation()?.chosen ?? {}));
  const isBusy = () => starting() !== undefined || asking() === place() || exchanges().some(isActive);
  const title = () =>
    (props.threadId && app.threads.find(props.threadId)?.title) ||
    steps()[0]?.exchange.question.text.slice(0, 80);

  createEffect(
    on(place, here => {
      if (!isHandover) setText(app.drafts.read(here));
      isHandover = false;
      if (props.threadId) void app.conversations.open(props.threadId).then(() => forgetArrived(here, here));
    }),
  );
  onCleanup(app.drafts.listen(from => isShown(from) && setText(app.drafts.read(from))));
  createEffect(() => {
    document.title = title() || texts().appName;
  });

  /** What was not known to have arrived: the thread shows that it has. */
  function forgetArrived(threadId: string, from: string) {
    const sent = app.drafts.sentId(from);
    const known = app.conversations.get(threadId)?.exchanges ?? [];
    const isArrived = ({ question, runId }: Exchange) => runId && question.clientMessageId === sent;
    if (sent !== undefined && known.some(isArrived)) app.drafts.forgetSent(from);
  }

  function type(value: string) {
    setText(value);
    app.drafts.write(place(), value);
  }

  async function send(message: string): Promise<Failure | undefined> {
    const here = place();
    const id = app.drafts.markSent(here, message);
    setText("");
    if (here === NEW_THREAD) return sendFirst(message, id);
    const behind = untrack(steps).at(-1)?.exchange;
    return settle(here, await ask(here, message, id, behind && { behind }));
  }

  /** A thread is made for the message. Whoever has gone elsewhere meanwhile is left there. */
  async function sendFirst(message: string, firstId: string): Promise<Failure | undefined> {
    setStarting(newExchange(firstId, message, new Date().toISOString()));
    isStopWanted = false;
    let threadId: string;
    try {
      threadId = (await props.api.newThread()).id;
    } catch (error) {
      setStarting(undefined);
      return settle(NEW_THREAD, app.session.notice(failureOf(error)));
    }
    if (isStopWanted) {
      setStarting(undefined);
      app.drafts.giveBack(NEW_THREAD);
      return undefined;
    }
    app.drafts.forgetSent(NEW_THREAD);
    const id = app.drafts.markSent(threadId, message);
    isHandover = isShown(NEW_THREAD);
    if (isHandover) {
      app.drafts.write(NEW_THREAD, "");
      app.drafts.write(threadId, text());
    }
    const asked = ask(threadId, message, id);
    if (isHandover) app.navigation.go(chatPath(threadId), { replace: true });
    setStarting(undefined);
    return settle(threadId, await asked);
  }

  /** Returns a failure that belongs to the field which is shown. */
  function settle(from: string, failure: Failure | undefined): Failure | undefined {
    if (failure) app.drafts.giveBack(from);
    else app.drafts.forgetSent(from);
    if (!failure || isShown(from)) return failure;
    app.toasts.show({ text: `${texts().draftBack} ${failureText(texts(), failure)}` });
    return undefined;
  }

  /** Asks a question anew, as it was or changed. The earlier version is kept. */
  async function askInstead(instead: Exchange, message: string): Promise<void> {
    const { threadId } = props;
    if (threadId === undefined) return;
    const isChanged = message !== instead.question.text;
    const from = isChanged ? editPlace(instead) : againPlace(instead);
    forgetArrived(threadId, from);
    const id = app.drafts.markSent(from, message);
    // Until the server has it, a change stays in its form, which is shown again should it be refused.
    if (isChanged) app.drafts.giveBack(from);
    const failure = await ask(threadId, message, id, { instead });
    // Without a clear answer it may have arrived: it keeps its id, so that it is not answered twice.
    if (!failure || (!isChanged && isRefusal(failure))) app.drafts.forgetSent(from);
    if (failure) app.toasts.show({ text: failureText(texts(), failure) });
  }

  /** Tokens may have been granted since the balance was used up: then the message goes out after all. */
  async function ask(
    threadId: string,
    message: string,
    id: string,
    where?: Where,
  ): Promise<Failure | undefined> {
    const { tokenBalance } = app.session.account;
    const failure = await app.conversations.ask(threadId, message, id, where);
    if (failure?.kind !== "out_of_tokens") return failure;
    setAsking(threadId);
    await app.session.refresh();
    const hasMore = app.session.account.tokenBalance > tokenBalance;
    const asked = hasMore ? app.conversations.ask(threadId, message, id, where) : failure;
    setAsking(undefined);
    return asked;
  }

  function stop() {
    isStopWanted = true;
    if (props.threadId) void app.conversations.stop(props.threadId);
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
          onStop={stop}
        />
      </Show>
    </main>
  );
}
