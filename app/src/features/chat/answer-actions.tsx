import { createSignal, Show } from "solid-js";
import type { Exchange } from "../../state/conversation";
import type { FlagChange } from "../../state/conversations";
import { failureOf } from "../../state/failure";
import { failureText } from "../../texts/chat";
import { Icon } from "../../ui/icon";
import { useApp, useFormats, useTexts } from "../app-context";
import { CopyButton } from "./copy-button";
import { FlagDialog } from "./flag-dialog";
import { VersionPicker } from "./version-picker";

interface AnswerActionsProps {
  threadId: string | undefined;
  exchange: Exchange;
  versions: readonly Exchange[];
  canRegenerate: boolean;
  onRegenerate: () => void;
}

export function AnswerActions(props: AnswerActionsProps) {
  const app = useApp();
  const texts = useTexts();
  const [asksReasons, setAsksReasons] = createSignal(false);
  const answer = () => props.exchange.answer;

  async function setFlag(flag: FlagChange["flag"]): Promise<boolean> {
    if (!props.threadId) return false;
    try {
      await app.conversations.setFlag(props.threadId, props.exchange.key, { part: "answer", flag });
      return true;
    } catch (error) {
      app.toasts.show({ text: failureText(texts(), failureOf(error)) });
      return false;
    }
  }

  /** One click reports; why is asked afterwards and need not be answered. */
  async function toggleFlag() {
    const wasFlagged = answer().isFlagged;
    if (!wasFlagged) setAsksReasons(true);
    const isDone = await setFlag(wasFlagged ? undefined : { reasons: [], note: null });
    if (!isDone) setAsksReasons(false);
    else if (wasFlagged) app.toasts.show({ text: texts().flagRemoved });
  }

  async function explainFlag(reasons: string[], note: string | null) {
    setAsksReasons(false);
    if (!(await setFlag({ reasons, note }))) return;
    const undo = () => void setFlag(undefined);
    app.toasts.show({ text: texts().flagSaved, action: { label: texts().undo, run: undo } });
  }

  const flagLabel = () => (answer().isFlagged ? texts().flagged : texts().flag);

  return (
    <div class="actions" classList={{ kept: answer().isFlagged || props.versions.length > 1 }}>
      <VersionPicker threadId={props.threadId} exchange={props.exchange} versions={props.versions} />
      <Show when={answer().text !== ""}>
        <CopyButton text={answer().text} />
      </Show>
      <Show when={props.canRegenerate}>
        <button
          type="button"
          class="icon-button small"
          aria-label={texts().regenerate}
          title={texts().regenerate}
          onClick={() => props.onRegenerate()}
        >
          <Icon name="retry" />
        </button>
      </Show>
      <Show when={answer().id}>
        <button
          type="button"
          class="icon-button small flag"
          aria-label={flagLabel()}
          title={flagLabel()}
          aria-pressed={answer().isFlagged}
          onClick={() => void toggleFlag()}
        >
          <Icon name="flag" />
        </button>
      </Show>
      <UsageNote exchange={props.exchange} />
      <Show when={asksReasons()}>
        <FlagDialog onClose={() => setAsksReasons(false)} onSend={explainFlag} />
      </Show>
    </div>
  );
}

function UsageNote(props: { exchange: Exchange }) {
  const texts = useTexts();
  const formats = useFormats();
  return (
    <Show when={props.exchange.answer.usage}>
      {usage => (
        <span
          class="usage"
          title={texts().usageDetail(
            formats().number(usage().inputTokens),
            formats().number(usage().cachedTokens),
            formats().number(usage().outputTokens),
            formats().number(usage().reasoningTokens),
          )}
        >
          {texts().tokensUsed(formats().number(usage().totalTokens))}
          <Show when={usage().isEstimate}> ({texts().estimated})</Show>
        </span>
      )}
    </Show>
  );
}
