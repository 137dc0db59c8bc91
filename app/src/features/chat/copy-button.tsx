import { createSignal, onCleanup } from "solid-js";
import { Icon } from "../../ui/icon";
import { useTexts } from "../app-context";

const COPIED_MS = 1_500;

/** Copies the text as it is stored: an answer as Markdown, with all its line breaks. */
export function CopyButton(props: { text: string }) {
  const texts = useTexts();
  const [isCopied, setCopied] = createSignal(false);
  let timer: ReturnType<typeof setTimeout> | undefined;
  onCleanup(() => clearTimeout(timer));

  async function copy() {
    await navigator.clipboard.writeText(props.text);
    setCopied(true);
    clearTimeout(timer);
    timer = setTimeout(() => setCopied(false), COPIED_MS);
  }

  const label = () => (isCopied() ? texts().copied : texts().copy);
  return (
    <button
      type="button"
      class="icon-button small"
      aria-label={label()}
      title={label()}
      onClick={() => void copy()}
    >
      <Icon name={isCopied() ? "check" : "copy"} />
    </button>
  );
}
