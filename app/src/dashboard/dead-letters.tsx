import { createMemo, createSignal, Show } from "solid-js";
import type { DeadLetter } from "../api/dashboard-types";
import { useApp, useFormats } from "../features/app-context";
import { failureOf } from "../state/failure";
import { CHAT_TEXTS, failureText } from "../texts/chat";
import { Dialog } from "../ui/dialog";
import { useDashboard, useDashboardTexts } from "./context";
import { type Column, DataTable } from "./data-table";

type Deed = "replay" | "drop";

interface Choice {
  deed: Deed;
  letters: DeadLetter[];
}

interface DeadLettersProps {
  letters: DeadLetter[];
  onChanged: () => void;
}

/** Messages that were set aside: why, what they say, and the two things that can be done about them. */
export function DeadLetters(props: DeadLettersProps) {
  const { session, toasts, preferences } = useApp();
  const api = useDashboard();
  const texts = useDashboardTexts();
  const formats = useFormats();
  const [choice, setChoice] = createSignal<Choice>();

  async function carryOut({ deed, letters }: Choice, reason: string) {
    setChoice(undefined);
    try {
      let count = 0;
      for (const [queue, group] of Map.groupBy(letters, letter => letter.queue)) {
        const ids = group.map(letter => letter.id);
        const done = deed === "replay" ? api.replay(queue, ids) : api.drop(queue, ids, reason);
        count += (await done).count;
      }
      const said = deed === "replay" ? texts().replayed : texts().dropped;
      toasts.show({ text: said(formats().number(count)) });
    } catch (error) {
      const failure = session.notice(failureOf(error));
      toasts.show({ text: failureText(CHAT_TEXTS[preferences.preferences.language], failure) });
    }
    props.onChanged();
  }

  return (
    <section class="panel">
      <div class="panel-head">
        <h2>{texts().deadLetters}</h2>
        <Show when={props.letters.length > 1}>
          <button
            type="button"
            class="secondary"
            onClick={() => setChoice({ deed: "replay", letters: props.letters })}
          >
            {texts().replayAll(formats().number(props.letters.length))}
          </button>
        </Show>
      </div>
      <Show when={props.letters.length > 0} fallback={<p class="empty">{texts().noDeadLetters}</p>}>
        <p class="detail">{texts().deadLettersText}</p>
        <LetterTable
          letters={props.letters}
          onChoose={(deed, letter) => setChoice({ deed, letters: [letter] })}
        />
      </Show>
      <Show when={choice()} keyed>
        {chosen => (
          <LetterDialog
            choice={chosen}
            onClose={() => setChoice(undefined)}
            onConfirm={reason => void carryOut(chosen, reason)}
          />
        )}
      </Show>
    </section>
  );
}

function LetterTable(props: { letters: DeadLetter[]; onChoose: (deed: Deed, letter: DeadLetter) => void }) {
  const texts = useDashboardTexts();
  const formats = useFormats();
  const columns = createMemo((): Column<DeadLetter>[] => [
    {
      title: texts().time,
      cell: letter => (letter.at ? formats().stamp(new Date(letter.at)) : texts().none),
    },
    { title: texts().queue, cell: letter => <code>{letter.queue}</code> },
    { title: texts().type, cell: letter => letter.type },
    { title: texts().reason, cell: letter => letter.reason },
    { title: texts().attempts, isNumber: true, cell: letter => formats().number(letter.attempts) },
    {
      title: texts().content,
      cell: letter => (
        <details class="letter">
          <summary>{texts().show}</summary>
          <pre>{JSON.stringify(letter.body, null, 2)}</pre>
        </details>
      ),
    },
    {
      title: texts().action,
      cell: letter => (
        <span class="deeds">
          <button type="button" class="link" onClick={() => props.onChoose("replay", letter)}>
            {texts().replay}
          </button>
          <button type="button" class="link" onClick={() => props.onChoose("drop", letter)}>
            {texts().drop}
          </button>
        </span>
      ),
    },
  ]);
  return <DataTable caption={texts().deadLetters} columns={columns()} rows={props.letters} />;
}

interface LetterDialogProps {
  choice: Choice;
  onClose: () => void;
  onConfirm: (reason: string) => void;
}

function LetterDialog(props: LetterDialogProps) {
  const texts = useDashboardTexts();
  const formats = useFormats();
  const [reason, setReason] = createSignal("");
  const isDrop = () => props.choice.deed === "drop";
  const count = () => formats().number(props.choice.letters.length);

  return (
    <Dialog
      title={isDrop() ? texts().dropTitle(count()) : texts().replayTitle(count())}
      closeLabel={texts().close}
      onClose={props.onClose}
    >
      <form
        class="form"
        onSubmit={event => {
          event.preventDefault();
          props.onConfirm(reason().trim());
        }}
      >
        <p>{isDrop() ? texts().dropText : texts().replayText}</p>
        <Show when={isDrop()}>
          <label>
            {texts().reason}
            <input
              required
              maxLength={500}
              value={reason()}
              onInput={event => setReason(event.currentTarget.value)}
            />
          </label>
        </Show>
        <div class="form-actions">
          <button type="button" class="secondary" onClick={() => props.onClose()}>
            {texts().cancel}
          </button>
          <button type="submit" class="primary" disabled={isDrop() && reason().trim() === ""}>
            {isDrop() ? texts().drop : texts().replay}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
