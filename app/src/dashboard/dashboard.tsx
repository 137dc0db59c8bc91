import "uplot/dist/uPlot.min.css";
import "../styles/dashboard.css";
import "../styles/figures.css";
import { For, Match, Show, Switch } from "solid-js";
import { makeDashboardApi } from "../api/dashboard-api";
import { useApp } from "../features/app-context";
import { chatPath, OPERATOR_VIEWS, type OperatorView } from "../state/route";
import { Icon, type IconName } from "../ui/icon";
import { DashboardContext, useDashboardTexts, useOperatorLink } from "./context";
import { FlagsPage } from "./flags-page";
import { OperationsPage } from "./operations-page";
import { TransactionsPage } from "./transactions-page";
import { UsagePage } from "./usage-page";
import { UserPage } from "./user-page";
import { UsersPage } from "./users-page";

const ICONS: Record<OperatorView, IconName> = {
  usage: "chart",
  transactions: "list",
  users: "people",
  flags: "flag",
  operations: "pulse",
};

/** The pages for operators. The server decides who may see them; this only shows what it says. */
export function Dashboard() {
  const { client, navigation } = useApp();
  const texts = useDashboardTexts();
  const linkTo = useOperatorLink();
  const view = () => {
    const route = navigation.route();
    return route.page === "operator" ? route : undefined;
  };

  return (
    <DashboardContext.Provider value={makeDashboardApi(client)}>
      <div class="dashboard">
        <nav class="dashboard-nav" aria-label={texts().dashboard}>
          <a class="back" href={chatPath()} aria-label={texts().backToChat}>
            <Icon name="chat" />
            <span>{texts().backToChat}</span>
          </a>
          <For each={OPERATOR_VIEWS}>
            {name => (
              <a href={linkTo(name)} aria-current={view()?.view === name ? "page" : undefined}>
                <Icon name={ICONS[name]} />
                <span>{texts().views[name]}</span>
              </a>
            )}
          </For>
        </nav>
        <main class="dashboard-main">
          <Switch>
            <Match when={view()?.view === "usage"}>
              <UsagePage />
            </Match>
            <Match when={view()?.view === "transactions"}>
              <TransactionsPage />
            </Match>
            <Match when={view()?.view === "users"}>
              <Show when={view()?.id} fallback={<UsersPage />} keyed>
                {id => <UserPage userId={id} />}
              </Show>
            </Match>
            <Match when={view()?.view === "flags"}>
              <FlagsPage />
            </Match>
            <Match when={view()?.view === "operations"}>
              <OperationsPage />
            </Match>
          </Switch>
        </main>
      </div>
    </DashboardContext.Provider>
  );
}
