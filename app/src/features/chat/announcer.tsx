import { createEffect, createSignal, on } from "solid-js";
import type { AnswerStatus } from "../../state/conversation";
import { useTexts } from "../app-context";

/**
 * The one place that speaks to screen readers while an answer is written: when it begins and how it ends.
 * Reading out every piece of text would drown all else.
 */
export function Announcer(props: { threadId: string | undefined; status: AnswerStatus | undefined }) {
  const texts = useTexts();
  const [text, setText] = createSignal("");

  createEffect(
    on([() => props.threadId, () => props.status], ([thread, status], before) => {
      const isSameThread = before?.[0] === thread;
      if (isSameThread && status && status !== before?.[1]) setText(texts().statusAnnouncements[status]);
    }),
  );

  return (
    <div class="sr-only" role="status">
      {text()}
    </div>
  );
}
