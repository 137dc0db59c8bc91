import { createSignal, Show } from "solid-js";
import type { UserDetail } from "../api/dashboard-types";
import { useApp, useFormats } from "../features/app-context";
import { AdjustDialog } from "./adjust-dialog";
import { useDashboard, useDashboardTexts, useOperatorLink } from "./context";
import { createZone } from "./create-period";
import { createServerQuery } from "./create-query";
import { QueryView } from "./query-view";
import { Sparkline } from "./sparkline";
import { TransactionTable } from "./transaction-table";

export function UserPage(props: { userId: string }) {
  const { session, toasts } = useApp();
  const api = useDashboard();
  const texts = useDashboardTexts();
  const query = createServerQuery(signal => api.user(props.userId, signal), session.notice);
  const linkTo = useOperatorLink();
  const zone = createZone();
  const [isAdjusting, setAdjusting] = createSignal(false);

  return (
    <Show
      when={query.failure()?.kind !== "not_found"}
      fallback={
        <header class="page-head">
          <h1>{texts().userMissing}</h1>
        </header>
      }
    >
      <QueryView query={query}>
        {user => (
          <>
            <header class="page-head">
              <div>
                <h1>{user().name ?? user().id}</h1>
                <p>{[user().email, user().company?.name, user().id].filter(Boolean).join(" · ")}</p>
              </div>
              <button type="button" class="primary" onClick={() => setAdjusting(true)}>
                {texts().adjust}
              </button>
            </header>
            <UserFigures user={user()} />
            <section class="panel">
              <div class="panel-head">
                <h2>{texts().balanceOverTime}</h2>
              </div>
              <Sparkline transactions={user().transactions} />
            </section>
            <section class="panel">
              <div class="panel-head">
                <h2>{texts().latestTransactions}</h2>
                <a
                  class="link"
                  href={linkTo("transactions", undefined, { range: "year", user: user().id })}
                >
                  {texts().allTransactions}
                </a>
              </div>
              <Show
                when={user().transactions.length > 0}
                fallback={<p class="empty">{texts().noTransactions}</p>}
              >
                <TransactionTable rows={user().transactions} zone={zone()} />
              </Show>
            </section>
            <Show when={isAdjusting()}>
              <AdjustDialog
                user={user()}
                onReload={query.reload}
                onClose={() => setAdjusting(false)}
                onDone={() => {
                  setAdjusting(false);
                  toasts.show({ text: texts().applied });
                  query.reload();
                }}
              />
            </Show>
          </>
        )}
      </QueryView>
    </Show>
  );
}

function UserFigures(props: { user: UserDetail }) {
  const texts = useDashboardTexts();
  const formats = useFormats();
  const figures = (): [name: string, value: number | null][] => [
    [texts().balance, props.user.token_balance],
    [texts().held, props.user.token_held],
    [texts().available, props.user.token_available],
    [texts().grant, props.user.token_grant],
    [texts().quota, props.user.quota],
  ];
  return (
    <dl class="totals">
      {figures().map(([name, value]) => (
        <div>
          <dt>{name}</dt>
          <dd>
            <span class="figure" classList={{ debt: (value ?? 0) < 0 }}>
              {value === null ? texts().none : formats().number(value)}
            </span>
          </dd>
        </div>
      ))}
      <div>
        <dt>{texts().lastActive}</dt>
        <dd>
          <span class="detail">{formats().stamp(new Date(props.user.last_active_at))}</span>
          <span class="detail">
            {texts().created} {formats().stamp(new Date(props.user.created_at))}
          </span>
        </dd>
      </div>
    </dl>
  );
}
