import { For } from "solid-js";
import { Dialog } from "../../ui/dialog";
import { useTexts } from "../app-context";

const NOTE_CHARACTERS_MAX = 1_000;

interface FlagDialogProps {
  onClose: () => void;
  onSend: (reasons: string[], note: string | null) => void;
}

export function FlagDialog(props: FlagDialogProps) {
  const texts = useTexts();

  function send(event: SubmitEvent & { currentTarget: HTMLFormElement }) {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const note = String(form.get("note")).trim();
    props.onSend(form.getAll("reason").map(String), note === "" ? null : note);
  }

  return (
    <Dialog title={texts().flagTitle} closeLabel={texts().close} onClose={props.onClose}>
      <form class="form" onSubmit={send}>
        <p>{texts().flagText}</p>
        <fieldset>
          <legend class="sr-only">{texts().flagTitle}</legend>
          <For each={Object.entries(texts().flagReasons)}>
            {([code, text]) => (
              <label class="check">
                <input type="checkbox" name="reason" value={code} />
                {text}
              </label>
            )}
          </For>
        </fieldset>
        <label>
          {texts().flagNote}
          <textarea name="note" rows="3" maxLength={NOTE_CHARACTERS_MAX} />
        </label>
        <div class="form-actions">
          <button type="submit" class="primary">
            {texts().flagSend}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
