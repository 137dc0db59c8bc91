import { createMemo, For, Show } from "solid-js";
import { PAGE_ROWS, type UserSort } from "../api/dashboard-api";
import type { DashboardUser } from "../api/dashboard-types";
import { useApp, useFormats } from "../features/app-context";
import { useDashboard, useDashboardTexts, useOperatorLink } from "./context";
import { createServerQuery } from "./create-query";
import { createSearchField } from "./create-search-field";
import { type Column, DataTable } from "./data-table";
import { QueryView } from "./query-view";

const SORTS = [
  "-last_active_at",
  "-token_balance",
  "token_balance",
  "name",
  "-created_at",
] as const satisfies UserSort[];

export function UsersPage() {
  const { navigation, session } = useApp();
  const api = useDashboard();
  const texts = useDashboardTexts();
  const field = createSearchField(navigation, "q");
  const words = () => navigation.query().get("q") ?? "";
  const sort = () => SORTS.find(name => name === navigation.query().get("sort")) ?? "-last_active_at";
  const start = () => Math.max(0, Math.trunc(Number(navigation.query().get("start")) || 0));
  const query = createServerQuery(
    signal => api.users({ q: words(), sort: sort(), start: start() }, signal),
    session.notice,
  );

  return (
    <>
      <header class="page-head">
        <h1>{texts().views.users}</h1>
      </header>
      <div class="filters">
        <label class="field grow">
          <span>{texts().searchUsers}</span>
          <input
            type="search"
            maxLength={200}
            value={field.text()}
            onInput={event => field.type(event.currentTarget.value)}
          />
        </label>
        <label class="field">
          <span>{texts().sortBy}</span>
          <select
            value={sort()}
            onChange={event => navigation.setQuery({ sort: event.currentTarget.value, start: undefined })}
          >
            <For each={SORTS}>{name => <option value={name}>{texts().sorts[name]}</option>}</For>
          </select>
        </label>
      </div>
      <QueryView query={query} isEmpty={page => page.items.length === 0} empty={texts().noUsers}>
        {page => (
          <>
            <UserTable users={page().items} />
            <Pager
              start={start()}
              total={page().total}
              onGo={to => navigation.setQuery({ start: to > 0 ? String(to) : undefined })}
            />
          </>
        )}
      </QueryView>
    </>
  );
}

function UserTable(props: { users: DashboardUser[] }) {
  const texts = useDashboardTexts();
  const linkTo = useOperatorLink();
  const formats = useFormats();
  const columns = createMemo((): Column<DashboardUser>[] => [
    {
      title: texts().user,
      cell: user => (
        <a class="person" href={linkTo("users", user.id)}>
          <b>{user.name ?? user.id}</b>
          <small>{user.email ?? user.id}</small>
        </a>
      ),
    },
    { title: texts().company, cell: user => user.company?.name ?? texts().none },
    { title: texts().balance, isNumber: true, cell: user => formats().number(user.token_balance) },
    { title: texts().held, isNumber: true, cell: user => formats().number(user.token_held) },
    { title: texts().grant, isNumber: true, cell: user => formats().number(user.token_grant) },
    {
      title: texts().quota,
      isNumber: true,
      cell: user => (user.quota === null ? texts().none : formats().number(user.quota)),
    },
    { title: texts().lastActive, cell: user => formats().stamp(new Date(user.last_active_at)) },
  ]);
  return <DataTable caption={texts().views.users} columns={columns()} rows={props.users} />;
}

function Pager(props: { start: number; total: number; onGo: (start: number) => void }) {
  const texts = useDashboardTexts();
  const formats = useFormats();
  const page = () => Math.floor(props.start / PAGE_ROWS) + 1;
  const pages = () => Math.max(1, Math.ceil(props.total / PAGE_ROWS));
  return (
    <Show when={pages() > 1}>
      <div class="pager">
        <button
          type="button"
          class="secondary"
          disabled={page() <= 1}
          onClick={() => props.onGo(props.start - PAGE_ROWS)}
        >
          {texts().previousPage}
        </button>
        <span>{texts().page(formats().number(page()), formats().number(pages()))}</span>
        <button
          type="button"
          class="secondary"
          disabled={page() >= pages()}
          onClick={() => props.onGo(props.start + PAGE_ROWS)}
        >
          {texts().nextPage}
        </button>
      </div>
    </Show>
  );
}
