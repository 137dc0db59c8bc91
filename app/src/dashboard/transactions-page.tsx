import { createMemo, For, Show } from "solid-js";
import type { TransactionFilter } from "../api/dashboard-api";
import { TRANSACTION_KINDS } from "../api/dashboard-types";
import { useApp, useFormats } from "../features/app-context";
import { useDashboard, useDashboardTexts } from "./context";
import { createPages } from "./create-pages";
import { createPeriod } from "./create-period";
import { PeriodPicker, ZonePicker } from "./period-picker";
import { QueryView } from "./query-view";
import { TransactionTable } from "./transaction-table";

const TYPING_MS = 300;

export function TransactionsPage() {
  const { navigation, session } = useApp();
  const api = useDashboard();
  const texts = useDashboardTexts();
  const formats = useFormats();
  const choice = createPeriod();
  const asked = (name: string) => navigation.query().get(name) ?? undefined;
  const filter = createMemo(
    (): TransactionFilter => ({
      ...choice.period(),
      user: asked("user"),
      company: asked("company"),
      kind: TRANSACTION_KINDS.find(kind => kind === asked("kind")),
    }),
  );
  const pages = createPages((cursor, signal) => api.transactions(filter(), cursor, signal), session.notice);

  let timer: ReturnType<typeof setTimeout> | undefined;
  function typed(name: "user" | "company", value: string) {
    clearTimeout(timer);
    timer = setTimeout(() => navigation.setQuery({ [name]: value.trim() }, { replace: true }), TYPING_MS);
  }

  return (
    <>
      <header class="page-head">
        <h1>{texts().views.transactions}</h1>
        <ZonePicker choice={choice} />
      </header>
      <PeriodPicker choice={choice} />
      <div class="filters">
        <For each={["user", "company"] as const}>
          {name => (
            <label class="field">
              <span>{texts().filters[name]}</span>
              <input
                type="search"
                maxLength={200}
                value={asked(name) ?? ""}
                onInput={event => typed(name, event.currentTarget.value)}
              />
            </label>
          )}
        </For>
        <label class="field">
          <span>{texts().kind}</span>
          <select
            value={filter().kind ?? ""}
            onChange={event => navigation.setQuery({ kind: event.currentTarget.value })}
          >
            <option value="">{texts().anyKind}</option>
            <For each={TRANSACTION_KINDS}>{kind => <option value={kind}>{texts().kinds[kind]}</option>}</For>
          </select>
        </label>
      </div>
      <QueryView query={pages.query} isEmpty={page => page.items.length === 0} empty={texts().noTransactions}>
        {first => (
          <>
            <p class="detail spread">
              <span>
                {texts().rows(formats().number(pages.items().length), formats().number(first().total))} ·{" "}
                {texts().netTokens} <b>{formats().change(first().aggregate.tokens)}</b>
              </span>
              <a class="secondary" href={api.transactionsCsv(filter())} download="transactions.csv">
                {texts().exportCsv}
              </a>
            </p>
            <TransactionTable rows={pages.items()} zone={choice.zone()} withUser />
            <Show when={pages.hasMore()}>
              <button
                type="button"
                class="secondary"
                disabled={pages.isLoadingMore()}
                onClick={() => void pages.loadMore()}
              >
                {texts().showMore}
              </button>
            </Show>
          </>
        )}
      </QueryView>
    </>
  );
}
