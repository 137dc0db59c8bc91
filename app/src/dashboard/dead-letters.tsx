import { createMemo, createSignal, For, Show } from "solid-js";
import type { DeadLetter, Queue } from "../api/dashboard-types";
import { useApp, useFormats } from "../features/app-context";
import { failureOf } from "../state/failure";
import { Dialog } from "../ui/dialog";
import { useDashboard, useDashboardTexts, useFailureText, useSaid } from "./context";
import { type Column, DataTable } from "./data-table";

type Deed = "replay" | "drop";

interface Choice {
  deed: Deed;
  queue: string;
  ids: string[] | "all";
  count: number;
}

interface DeadLettersProps {
  /** The first ones of each queue. */
  letters: DeadLetter[];
  queues: Queue[];
  onChanged: () => void;
}

/** Messages that were set aside: why, what they say, and the two things that can be done about them. */
export function DeadLetters(props: DeadLettersProps) {
  const { session, toasts } = useApp();
  const api = useDashboard();
  const texts = useDashboardTexts();
  const formats = useFormats();
  const failureText = useFailureText();
  const crowded = () => props.queues.filter(queue => queue.dead > 1);
  const [choice, setChoice] = createSignal<Choice>();

  function fail(error: unknown) {
    toasts.show({ text: failureText(session.notice(failureOf(error))) });
  }

  /** How many it would be is asked first: the list shows only some. */
  async function chooseAll(queue: string) {
    try {
      const { count } = await api.replay(queue, "all", true);
      setChoice({ deed: "replay", queue, ids: "all", count });
    } catch (error) {
      fail(error);
    }
  }

  async function carryOut({ deed, queue, ids }: Choice, reason: string) {
    setChoice(undefined);
    try {
      const { count, remaining } =
        deed === "drop" && ids !== "all" ? await api.drop(queue, ids, reason) : await api.replay(queue, ids);
      const said = (deed === "replay" ? texts().replayed : texts().dropped)(formats().number(count));
      const left = ids === "all" && remaining > 0 ? ` ${texts().remaining(formats().number(remaining))}` : "";
      toasts.show({ text: said + left });
    } catch (error) {
      fail(error);
    }
    props.onChanged();
  }

  return (
    <section class="panel">
      <div class="panel-head">
        <h2>{texts().deadLetters}</h2>
        <For each={crowded()}>
          {queue => (
            <button type="button" class="secondary" onClick={() => void chooseAll(queue.name)}>
              {texts().replayAll(formats().number(queue.dead), queue.name)}
            </button>
          )}
        </For>
      </div>
      <Show when={props.letters.length > 0} fallback={<p class="empty">{texts().noDeadLetters}</p>}>
        <p class="detail">{texts().deadLettersText}</p>
        <LetterTable
          letters={props.letters}
          onChoose={(deed, { queue, id }) => setChoice({ deed, queue, ids: [id], count: 1 })}
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
  const said = useSaid();
  const columns = createMemo((): Column<DeadLetter>[] => [
    {
      title: texts().time,
      cell: letter => (letter.at ? formats().stamp(new Date(letter.at)) : texts().none),
    },
    { title: texts().queue, cell: letter => <code>{letter.queue}</code> },
    { title: texts().type, cell: letter => letter.type },
    { title: texts().reason, cell: letter => said(letter.reason) },
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
  const count = () => formats().number(props.choice.count);

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
