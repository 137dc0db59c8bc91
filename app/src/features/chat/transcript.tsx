import { createEffect, createMemo, createSignal, For, on, onMount, Show } from "solid-js";
import type { Step } from "../../state/branch";
import type { Exchange } from "../../state/conversation";
import type { Conversation } from "../../state/conversations";
import { Icon } from "../../ui/icon";
import { createStickToBottom, type StickToBottom } from "../../ui/stick-to-bottom";
import { useApp, useTexts } from "../app-context";
import { Announcer } from "./announcer";
import { ExchangeView } from "./exchange-view";

interface TranscriptProps {
  threadId: string | undefined;
  conversation: Conversation | undefined;
  steps: readonly Step[];
  isBusy: boolean;
  onAskInstead: (instead: Exchange, text: string) => Promise<void>;
}

export function Transcript(props: TranscriptProps) {
  const app = useApp();
  const texts = useTexts();
  const [stick, setStick] = createSignal<StickToBottom>();
  let scroller!: HTMLDivElement;
  let content!: HTMLDivElement;

  const exchanges = createMemo(() => props.steps.map(({ exchange }) => exchange));
  const last = () => exchanges().at(-1);

  onMount(() => setStick(createStickToBottom(scroller, content)));
  createEffect(on([() => props.threadId, stick], () => stick()?.jump()));
  // Whoever asks wants to see the answer.
  createEffect(
    on(
      () => last()?.key,
      () => last()?.answer.status === "active" && stick()?.jump(),
      { defer: true },
    ),
  );

  async function loadOlder() {
    if (!props.threadId) return;
    const { scrollHeight, scrollTop } = scroller;
    await app.conversations.loadOlder(props.threadId);
    scroller.scrollTop = scrollTop + scroller.scrollHeight - scrollHeight;
  }

  const isLoading = () => props.conversation?.status === "loading";
  const isEmpty = () => !isLoading() && props.steps.length === 0;

  return (
    <div class="transcript-frame">
      <div
        ref={scroller}
        class="transcript"
        tabindex="0"
        role="log"
        aria-live="off"
        aria-label={texts().threads}
      >
        <div ref={content} class="transcript-content">
          <Show when={isLoading()}>
            <div class="skeleton wide" role="status" aria-label={texts().loading}>
              <i />
              <i />
              <i />
            </div>
          </Show>
          <Show when={isEmpty()}>
            <div class="greeting">
              <p class="greeting-name">{texts().greeting(app.session.account.name?.split(" ")[0])}</p>
              <p>{texts().greetingText}</p>
            </div>
          </Show>
          <Show when={props.conversation?.olderCursor}>
            <button
              type="button"
              class="quiet older"
              disabled={props.conversation?.isLoadingOlder}
              onClick={() => void loadOlder()}
            >
              {texts().older}
            </button>
          </Show>
          <For each={exchanges()}>
            {(exchange, index) => (
              <ExchangeView
                threadId={props.threadId}
                exchange={exchange}
                versions={props.steps[index()]?.versions ?? []}
                isLast={index() === exchanges().length - 1}
                isBusy={props.isBusy}
                isStopping={props.conversation?.isStopping ?? false}
                onAskInstead={props.onAskInstead}
              />
            )}
          </For>
          <Show when={props.conversation?.isLinkLost}>
            <p class="notice" role="status">
              {texts().reconnecting}
            </p>
          </Show>
        </div>
      </div>
      <Show when={stick() && !stick()?.isStuck()}>
        <button type="button" class="jump" onClick={() => stick()?.jump()}>
          <Icon name="down" />
          {texts().jumpToLatest}
        </button>
      </Show>
      <Announcer threadId={props.threadId} status={last()?.answer.status} />
    </div>
  );
}
