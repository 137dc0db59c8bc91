import { createMemo, For, Show } from "solid-js";
import type { OperatorAction, Queue } from "../api/dashboard-types";
import { useApp, useFormats } from "../features/app-context";
import { useDashboard, useDashboardTexts, useSaid } from "./context";
import { createServerQuery } from "./create-query";
import { type Column, DataTable } from "./data-table";
import { DeadLetters } from "./dead-letters";
import { QueryView } from "./query-view";
import { WaitingNotifications } from "./waiting-notifications";

export function OperationsPage() {
  const { session } = useApp();
  const api = useDashboard();
  const texts = useDashboardTexts();
  const said = useSaid();
  const query = createServerQuery(signal => api.operations(signal), session.notice);

  return (
    <>
      <header class="page-head">
        <h1>{texts().views.operations}</h1>
      </header>
      <QueryView query={query}>
        {operations => (
          <>
            <For each={operations().wrong}>{line => <p class="notice warning">{said(line)}</p>}</For>
            <section class="panel">
              <div class="panel-head">
                <h2>{texts().queues}</h2>
              </div>
              <QueueTable queues={operations().queues} />
            </section>
            <DeadLetters
              letters={operations().dead_letters}
              queues={operations().queues}
              onChanged={query.reload} />
            <Show when={operations().actions.length > 0}>
              <section class="panel">
                <div class="panel-head">
                  <h2>{texts().actions}</h2>
                </div>
                <ActionTable actions={operations().actions} />
              </section>
            </Show>
          </>
        )}
      </QueryView>
      <WaitingNotifications />
    </>
  );
}

function QueueTable(props: { queues: Queue[] }) {
  const texts = useDashboardTexts();
  const formats = useFormats();
  const figure = (value: number | null | undefined, show = formats().number) =>
    value === null || value === undefined ? texts().none : show(value);
  const rate = (value: number) => texts().perSecond(formats().number(value));
  const age = (seconds: number) => texts().seconds(formats().number(Math.round(seconds)));
  const retries = (queue: Queue) =>
    queue.retries ? Object.values(queue.retries).reduce((sum, count) => sum + count, 0) : null;

  const number = (
    title: string,
    value: (queue: Queue) => number | null,
    show?: (value: number) => string,
  ) => ({
    title,
    isNumber: true,
    cell: (queue: Queue) => figure(value(queue), show),
  });
  const columns = createMemo((): Column<Queue>[] => [
    { title: texts().queue, cell: queue => <code>{queue.name}</code> },
    number(texts().ready, queue => queue.ready),
    number(texts().unacked, queue => queue.unacked),
    {
      title: texts().oldest,
      isNumber: true,
      cell: queue => (queue.oldest_age_is_at_least ? texts().overAnHour : figure(queue.oldest_age_s, age)),
    },
    number(texts().consumers, queue => queue.consumers),
    number(texts().publishedRate, queue => queue.published_per_s, rate),
    number(texts().ackedRate, queue => queue.acked_per_s, rate),
    number(texts().retries, retries),
    number(texts().deadLetters, queue => queue.dead),
  ]);
  return <DataTable caption={texts().queues} columns={columns()} rows={props.queues} />;
}

function ActionTable(props: { actions: OperatorAction[] }) {
  const texts = useDashboardTexts();
  const formats = useFormats();
  const said = useSaid();
  const nameOf = (action: OperatorAction) =>
    said(action.action) + (action.dry_run ? ` (${texts().dryRun})` : "");
  const columns = createMemo((): Column<OperatorAction>[] => [
    { title: texts().time, cell: action => formats().stamp(new Date(action.at)) },
    { title: texts().actor, cell: action => action.actor },
    { title: texts().action, cell: nameOf },
    { title: texts().count, isNumber: true, cell: action => formats().number(action.count) },
    { title: texts().outcome, cell: action => said(action.outcome) },
    { title: texts().reason, cell: action => action.reason ?? texts().none },
  ]);
  return <DataTable caption={texts().actions} columns={columns()} rows={props.actions} />;
}
