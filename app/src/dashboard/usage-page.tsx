import { createMemo, For, Show } from "solid-js";
import type { UsageAnswer, UsageTotals } from "../api/dashboard-types";
import { useApp, useFormats } from "../features/app-context";
import { GROUPS, groupOfQuery, shareOf } from "./breakdown";
import { useDashboard, useDashboardTexts } from "./context";
import { createPeriod } from "./create-period";
import { createServerQuery } from "./create-query";
import { daysOfSpan } from "./period";
import { PeriodPicker, ZonePicker } from "./period-picker";
import { QueryView } from "./query-view";
import { Summary } from "./summary";
import { UsageBreakdown } from "./usage-breakdown";

export function UsagePage() {
  const { navigation, session } = useApp();
  const api = useDashboard();
  const texts = useDashboardTexts();
  const formats = useFormats();
  const choice = createPeriod();
  const query = choice.renewing(
    createServerQuery(signal => api.usage(choice.period(), signal), session.notice),
  );
  const group = createMemo(() => groupOfQuery(navigation.query()));

  return (
    <>
      <header class="page-head">
        <h1>{texts().views.usage}</h1>
        <ZonePicker choice={choice} />
      </header>
      <PeriodPicker choice={choice} />
      <QueryView query={query}>
        {usage => (
          <>
            <p class="detail range">
              {formats().span(daysOfSpan(usage()))} · {usage().tz} ·{" "}
              {texts().comparedWith(formats().span(daysOfSpan({ ...usage().previous, tz: usage().tz })))}
            </p>
            <Totals usage={usage()} />
            <section class="panel">
              <div class="panel-head">
                <h2>{texts().totalTokens}</h2>
                <fieldset class="segments" aria-label={texts().groupBy}>
                  <For each={GROUPS}>
                    {name => (
                      <button
                        type="button"
                        aria-pressed={group() === name}
                        onClick={() => navigation.setQuery({ group: name })}
                      >
                        {texts().groups[name]}
                      </button>
                    )}
                  </For>
                </fieldset>
              </div>
              <UsageBreakdown usage={usage()} group={group()} />
            </section>
          </>
        )}
      </QueryView>
      <Summary period={choice.period()} />
    </>
  );
}

function Totals(props: { usage: UsageAnswer }) {
  const texts = useDashboardTexts();
  const formats = useFormats();
  const now = () => props.usage.totals;
  const before = () => props.usage.previous.totals;
  const average = (value: number | null) =>
    value === null ? texts().none : formats().number(Math.round(value));

  return (
    <dl class="totals">
      <Total name={texts().totalTokens} figure="total_tokens" now={now()} before={before()}>
        {texts().perRun(average(props.usage.averages.tokens_per_run))}
      </Total>
      <Total name={texts().inputTokens} figure="input_tokens" now={now()} before={before()}>
        {texts().cachedShare(formats().percent(shareOf(now().cached_tokens, now().input_tokens)))}
      </Total>
      <Total name={texts().outputTokens} figure="output_tokens" now={now()} before={before()}>
        {texts().reasoningShare(formats().percent(shareOf(now().reasoning_tokens, now().output_tokens)))}
      </Total>
      <Total name={texts().runs} figure="runs" now={now()} before={before()} />
      <Total name={texts().activeUsers} figure="active_users" now={now()} before={before()}>
        {texts().perUser(average(props.usage.averages.tokens_per_active_user))}
      </Total>
    </dl>
  );
}

interface TotalProps {
  name: string;
  figure: keyof UsageTotals;
  now: UsageTotals;
  before: UsageTotals;
  children?: string;
}

function Total(props: TotalProps) {
  const texts = useDashboardTexts();
  const formats = useFormats();
  const value = () => props.now[props.figure];
  const previous = () => props.before[props.figure];
  const change = () => shareOf(value() - previous(), previous());

  return (
    <div>
      <dt>{props.name}</dt>
      <dd>
        <span class="figure">{formats().number(value())}</span>
        <Show when={props.children && value() > 0}>
          <span class="detail">{props.children}</span>
        </Show>
        <span class="detail">
          <Show when={previous() > 0} fallback={texts().noPrevious}>
            <b>{formats().changePercent(change())}</b> {texts().previous(formats().number(previous()))}
          </Show>
        </span>
      </dd>
    </div>
  );
}
