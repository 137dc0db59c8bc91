import { onMount } from "solid-js";
import { isComposing, isSendKey } from "../../ui/keys";
import { useTexts } from "../app-context";

interface QuestionFormProps {
  text: string;
  isBusy: boolean;
  onInput: (text: string) => void;
  onSend: (text: string) => void;
  onCancel: () => void;
}

/** A question that is being changed, to be asked again. */
export function QuestionForm(props: QuestionFormProps) {
  const texts = useTexts();
  let field!: HTMLTextAreaElement;

  onMount(() => {
    field.focus();
    field.setSelectionRange(field.value.length, field.value.length);
  });

  function send(event: Event) {
    event.preventDefault();
    const text = field.value.trim();
    if (text !== "" && !props.isBusy) props.onSend(text);
  }

  return (
    <form class="question-form" onSubmit={send}>
      <textarea
        ref={field}
        dir="auto"
        rows="2"
        aria-label={texts().edit}
        value={props.text}
        onInput={event => props.onInput(event.currentTarget.value)}
        onKeyDown={event => {
          if (isSendKey(event)) send(event);
          if (event.key !== "Escape" || isComposing(event)) return;
          event.preventDefault();
          props.onCancel();
        }}
      />
      <div class="form-actions">
        <button type="button" class="secondary" onClick={() => props.onCancel()}>
          {texts().cancel}
        </button>
        <button type="submit" class="primary" disabled={props.isBusy}>
          {texts().send}
        </button>
      </div>
    </form>
  );
}
