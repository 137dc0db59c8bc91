import { createEffect, onCleanup, onMount } from "solid-js";
import { type AnswerFile, addressesOf } from "./addresses";
import { MarkdownView } from "./markdown-view";
import type { Labels } from "./tree";

interface MarkdownProps {
  text: string;
  /** False while more is to come. */
  isComplete: boolean;
  files: readonly AnswerFile[];
  labels: Labels & { copied: string };
}

const COPIED_MS = 1_500;
const FRAME_MS = 16;

/**
 * Text of a model, shown safely. However often it changes, it is drawn once a frame; not within the frame,
 * where laying it out would be part of the same task, and whoever clicks or types would wait for both.
 */
export function Markdown(props: MarkdownProps) {
  let root!: HTMLDivElement;
  let timer: ReturnType<typeof setTimeout> | undefined;

  onMount(() => {
    const view = new MarkdownView(root);
    root.addEventListener("click", event => void copyCode(event));
    const draw = () => {
      timer = undefined;
      const { isComplete, labels } = props;
      view.update(
        props.text,
        { addresses: addressesOf(props.files, location.origin), labels },
        { isComplete, onCode },
      );
    };
    let isFirst = true;
    createEffect(() => {
      void [props.text, props.isComplete, props.files.length, props.labels];
      if (isFirst || props.isComplete) {
        clearTimeout(timer);
        draw();
      } else {
        timer ??= setTimeout(draw, FRAME_MS);
      }
      isFirst = false;
    });
  });
  onCleanup(() => clearTimeout(timer));

  async function copyCode(event: MouseEvent) {
    const button = event.target instanceof Element ? event.target.closest(".copy-code") : null;
    const code = button?.closest("figure")?.querySelector("code");
    if (!button || !code) return;
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = props.labels.copied;
    setTimeout(() => {
      button.textContent = props.labels.copyCode;
    }, COPIED_MS);
  }

  return <div ref={root} class="markdown" dir="auto" />;
}

/** When the browser has a moment: colours are not worth a late frame. */
function onCode(code: HTMLElement, language: string): void {
  const colour = () => {
    import("./highlight").then(
      module => module.highlight(code, language),
      // Without colours, code is still code.
      () => undefined,
    );
  };
  if ("requestIdleCallback" in window) requestIdleCallback(colour, { timeout: 1_000 });
  else setTimeout(colour, 50);
}
