import { createMemo, createSignal, Show } from "solid-js";
import type { ResolutionAnswer, WaitingItem } from "../api/dashboard-types";
import { useApp, useFormats } from "../features/app-context";
import { type Failure, failureOf } from "../state/failure";
import { Dialog } from "../ui/dialog";
import { useDashboard, useDashboardTexts, useFailureText, useSaid } from "./context";
import { createServerQuery } from "./create-query";
import { type Column, DataTable } from "./data-table";
import { QueryView } from "./query-view";

/**
 * What the server says of a decision when it stores one about what has changed meanwhile: another notification has
 * taken the place of the one decided about, or none waits there any more.
 */
const CHANGED: Partial<Record<Failure["kind"], ResolutionAnswer>> = {
  conflict: { status: "stale", why: "something newer waits" },
  not_found: { status: "ignored", why: "nothing waits any more" },
};

/** What the CRM said and nobody could apply: an operator says whom it means, or that it means nobody. */
export function WaitingNotifications() {
  const { session, toasts } = useApp();
  const api = useDashboard();
  const texts = useDashboardTexts();
  const said = useSaid();
  const query = createServerQuery(signal => api.waiting(signal), session.notice);
  const [chosen, setChosen] = createSignal<WaitingItem>();

  return (
    <section class="panel">
      <div class="panel-head">
        <h2>{texts().waiting}</h2>
      </div>
      <QueryView query={query} isEmpty={list => list.items.length === 0} empty={texts().nothingWaits}>
        {list => (
          <>
            <p class="detail">{texts().waitingText}</p>
            <WaitingTable items={list().items} onChoose={setChosen} />
          </>
        )}
      </QueryView>
      <Show when={chosen()} keyed>
        {item => (
          <ResolveDialog
            item={item}
            onClose={() => setChosen(undefined)}
            onDone={({ status, why }) => {
              setChosen(undefined);
              const outcome = Object.hasOwn(texts().decisions, status) ? texts().decisions[status] : status;
              toasts.show({ text: why ? `${outcome}: ${said(why)}` : `${outcome}.` });
              query.reload();
            }}
          />
        )}
      </Show>
    </section>
  );
}

function WaitingTable(props: { items: WaitingItem[]; onChoose: (item: WaitingItem) => void }) {
  const texts = useDashboardTexts();
  const formats = useFormats();
  const said = useSaid();
  const columns = createMemo((): Column<WaitingItem>[] => [
    { title: texts().time, cell: item => formats().stamp(new Date(item.at)) },
    {
      title: texts().person,
      cell: item =>
        [item.name, ...item.emails, item.person_id === null ? "" : texts().personId(String(item.person_id))]
          .filter(Boolean)
          .join(", ") || texts().none,
    },
    { title: texts().user, cell: item => item.user_id ?? texts().none },
    { title: texts().quota, isNumber: true, cell: item => item.value },
    { title: texts().reason, cell: item => said(item.why) },
    {
      title: texts().action,
      cell: item => (
        <button type="button" class="link" onClick={() => props.onChoose(item)}>
          {texts().decide}
        </button>
      ),
    },
  ]);
  return <DataTable caption={texts().waiting} columns={columns()} rows={props.items} />;
}

function ResolveDialog(props: { item: WaitingItem; onClose: () => void; onDone: (answer: ResolutionAnswer) => void }) {
  const { session } = useApp();
  const said = useSaid();
  const failureText = useFailureText();
  const api = useDashboard();
  const texts = useDashboardTexts();
  const [userId, setUserId] = createSignal(props.item.user_id ?? "");
  const [quota, setQuota] = createSignal(props.item.value);
  const [failure, setFailure] = createSignal<Failure>();
  const [isSending, setSending] = createSignal(false);
  const tokens = () => Number(quota());
  const canApply = () =>
    userId().trim() !== "" && quota() !== "" && Number.isSafeInteger(tokens()) && tokens() >= 0;

  async function decide(action: "apply" | "dismiss") {
    if (isSending()) return;
    setSending(true);
    setFailure(undefined);
    const details = action === "apply" ? { user_id: userId().trim(), quota: tokens() } : {};
    try {
      const { id, version } = props.item;
      props.onDone(await api.resolve({ id, version, action, ...details }));
    } catch (error) {
      const why = session.notice(failureOf(error));
      const changed = CHANGED[why.kind];
      if (changed) props.onDone(changed);
      else setFailure(why);
    } finally {
      setSending(false);
    }
  }

  return (
    <Dialog title={texts().decideTitle} closeLabel={texts().close} onClose={props.onClose}>
      <form
        class="form"
        onSubmit={event => {
          event.preventDefault();
          void decide("apply");
        }}
      >
        <p>{said(props.item.why)}</p>
        <label>
          {texts().filters.user}
          <input
            required
            maxLength={200}
            value={userId()}
            onInput={event => setUserId(event.currentTarget.value)}
          />
        </label>
        <label>
          {texts().quota}
          <input
            required
            inputmode="numeric"
            value={quota()}
            onInput={event => setQuota(event.currentTarget.value)}
          />
        </label>
        <Show when={failure()}>
          {why => (
            <p class="notice problem" role="alert">
              {failureText(why())}
            </p>
          )}
        </Show>
        <div class="form-actions">
          <button type="button" class="secondary" disabled={isSending()} onClick={() => void decide("dismiss")}>
            {texts().dismiss}
          </button>
          <button type="submit" class="primary" disabled={!canApply() || isSending()}>
            {texts().apply}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
