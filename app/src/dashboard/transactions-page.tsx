import { createMemo, For } from "solid-js";
import type { TransactionFilter } from "../api/dashboard-api";
import { TRANSACTION_KINDS } from "../api/dashboard-types";
import { useApp, useFormats } from "../features/app-context";
import { useDashboard, useDashboardTexts } from "./context";
import { createPages } from "./create-pages";
import { createPeriod } from "./create-period";
import { createSearchField } from "./create-search-field";
import { PeriodPicker, ZonePicker } from "./period-picker";
import { QueryView } from "./query-view";
import { ShowMore, useDepth } from "./show-more";
import { TransactionTable } from "./transaction-table";

export function TransactionsPage() {
  const { navigation, session } = useApp();
  const api = useDashboard();
  const texts = useDashboardTexts();
  const formats = useFormats();
  const choice = createPeriod();
  const asked = (name: string) => navigation.query().get(name) ?? undefined;
  // Another depth in the address is the same filter.
  const filter = createMemo(
    (): TransactionFilter => ({
      ...choice.period(),
      user: asked("user"),
      company: asked("company"),
      kind: TRANSACTION_KINDS.find(kind => kind === asked("kind")),
    }),
    undefined,
    { equals: (a, b) => JSON.stringify(a) === JSON.stringify(b) },
  );
  const pages = createPages(
    (cursor, signal) => api.transactions(filter(), cursor, signal),
    session.notice,
    useDepth(),
  );
  const query = choice.renewing(pages.query);

  const fields = {
    user: createSearchField(navigation, "user"),
    company: createSearchField(navigation, "company"),
  };

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
                value={fields[name].text()}
                onInput={event => fields[name].type(event.currentTarget.value)}
              />
            </label>
          )}
        </For>
        <label class="field">
          <span>{texts().kind}</span>
          <select
            value={filter().kind ?? ""}
            onChange={event => navigation.setQuery({ kind: event.currentTarget.value, pages: undefined })}
          >
            <option value="">{texts().anyKind}</option>
            <For each={TRANSACTION_KINDS}>{kind => <option value={kind}>{texts().kinds[kind]}</option>}</For>
          </select>
        </label>
      </div>
      <QueryView query={query} isEmpty={page => page.items.length === 0} empty={texts().noTransactions}>
        {page => (
          <>
            <p class="detail spread">
              <span>
                {texts().rows(formats().number(page().items.length), formats().number(page().total))} ·{" "}
                {texts().netTokens} <b>{formats().change(page().aggregate.tokens)}</b>
              </span>
              <a
                class="secondary"
                href={api.transactionsCsv(filter())}
                download="transactions.csv"
                onClick={choice.renew}
              >
                {texts().exportCsv}
              </a>
            </p>
            <TransactionTable rows={page().items} zone={choice.zone()} withUser />
            <ShowMore pages={pages} />
          </>
        )}
      </QueryView>
    </>
  );
}
