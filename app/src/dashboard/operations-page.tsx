import { createMemo, createSignal, Show } from "solid-js";
import type { DeadLetter, Queue } from "../api/dashboard-types";
import { useApp, useFormats } from "../features/app-context";
import { failureOf } from "../state/failure";
import { CHAT_TEXTS, failureText } from "../texts/chat";
import { Dialog } from "../ui/dialog";
import { useDashboard, useDashboardTexts } from "./context";
import { createServerQuery } from "./create-query";
import { type Column, DataTable } from "./data-table";
import { QueryView } from "./query-view";

export function OperationsPage() {
  const { session, toasts, preferences } = useApp();
  const api = useDashboard();
  const texts = useDashboardTexts();
  const formats = useFormats();
  const query = createServerQuery(signal => api.operations(signal), session.notice);
  const [chosen, setChosen] = createSignal<DeadLetter[]>([]);

  async function replay(letters: DeadLetter[]) {
    setChosen([]);
    try {
      for (const [queue, group] of Map.groupBy(letters, letter => letter.queue)) {
        await api.replay(
          queue,
          group.map(letter => letter.id),
        );
      }
      toasts.show({ text: texts().replayed(formats().number(letters.length)) });
    } catch (error) {
      const failure = session.notice(failureOf(error));
      toasts.show({ text: failureText(CHAT_TEXTS[preferences.preferences.language], failure) });
    }
    query.reload();
  }

  return (
    <>
      <header class="page-head">
        <h1>{texts().views.operations}</h1>
      </header>
      <QueryView query={query}>
        {operations => (
          <>
            <section class="panel">
              <div class="panel-head">
                <h2>{texts().queues}</h2>
              </div>
              <QueueTable queues={operations().queues} />
            </section>
            <section class="panel">
              <div class="panel-head">
                <h2>{texts().deadLetters}</h2>
                <Show when={operations().dead_letters.length > 1}>
                  <button
                    type="button"
                    class="secondary"
                    onClick={() => setChosen(operations().dead_letters)}
                  >
                    {texts().replayAll(formats().number(operations().dead_letters.length))}
                  </button>
                </Show>
              </div>
              <Show
                when={operations().dead_letters.length > 0}
                fallback={<p class="empty">{texts().noDeadLetters}</p>}
              >
                <p class="detail">{texts().deadLettersText}</p>
                <DeadLetterTable
                  letters={operations().dead_letters}
                  onReplay={letter => setChosen([letter])}
                />
              </Show>
            </section>
          </>
        )}
      </QueryView>
      <Show when={chosen().length > 0}>
        <Dialog
          title={texts().replayTitle(formats().number(chosen().length))}
          closeLabel={texts().close}
          onClose={() => setChosen([])}
        >
          <div class="form">
            <p>{texts().replayText}</p>
            <div class="form-actions">
              <button type="button" class="secondary" onClick={() => setChosen([])}>
                {texts().cancel}
              </button>
              <button type="button" class="primary" onClick={() => void replay(chosen())}>
                {texts().replay}
              </button>
            </div>
          </div>
        </Dialog>
      </Show>
    </>
  );
}

function QueueTable(props: { queues: Queue[] }) {
  const texts = useDashboardTexts();
  const formats = useFormats();
  const columns = createMemo((): Column<Queue>[] => [
    { title: texts().queue, cell: queue => <code>{queue.name}</code> },
    { title: texts().ready, isNumber: true, cell: queue => formats().number(queue.ready) },
    { title: texts().unacked, isNumber: true, cell: queue => formats().number(queue.unacked) },
    { title: texts().consumers, isNumber: true, cell: queue => formats().number(queue.consumers) },
    {
      title: texts().oldest,
      isNumber: true,
      cell: queue =>
        queue.oldest_age_s === null
          ? texts().none
          : texts().seconds(formats().number(Math.round(queue.oldest_age_s))),
    },
  ]);
  return <DataTable caption={texts().queues} columns={columns()} rows={props.queues} />;
}

function DeadLetterTable(props: { letters: DeadLetter[]; onReplay: (letter: DeadLetter) => void }) {
  const texts = useDashboardTexts();
  const formats = useFormats();
  const columns = createMemo((): Column<DeadLetter>[] => [
    { title: texts().time, cell: letter => formats().stamp(new Date(letter.at)) },
    { title: texts().queue, cell: letter => <code>{letter.queue}</code> },
    { title: texts().type, cell: letter => letter.type },
    { title: texts().reason, cell: letter => letter.reason },
    { title: texts().attempts, isNumber: true, cell: letter => formats().number(letter.attempts) },
    {
      title: texts().replay,
      cell: letter => (
        <button type="button" class="link" onClick={() => props.onReplay(letter)}>
          {texts().replay}
        </button>
      ),
    },
  ]);
  return <DataTable caption={texts().deadLetters} columns={columns()} rows={props.letters} />;
}
