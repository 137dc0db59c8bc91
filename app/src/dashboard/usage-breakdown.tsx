import { createMemo, Match, Show, Switch } from "solid-js";
import type { UsageAnswer } from "../api/dashboard-types";
import { useApp, useFormats } from "../features/app-context";
import { operatorPath } from "../state/route";
import { type Bar, BarChart, type Series } from "./bar-chart";
import { type Group, shareOf, type UsageRow, usageRows } from "./breakdown";
import { useDashboardTexts } from "./context";
import { type Column, DataTable } from "./data-table";
import { dateOfDay } from "./period";

interface BreakdownProps {
  usage: UsageAnswer;
  group: Group;
}

/** Over time as a chart with its table, by company and user as a table with bars in it. */
export function UsageBreakdown(props: BreakdownProps) {
  const texts = useDashboardTexts();
  const rows = createMemo(() => usageRows(props.usage, props.group));
  const isOverTime = () => props.group === "day" || props.group === "month";

  return (
    <Show when={props.usage.totals.runs > 0} fallback={<p class="empty">{texts().noUsage}</p>}>
      <Switch>
        <Match when={isOverTime()}>
          <TimeChart rows={rows()} group={props.group} />
          <details open={props.group === "month"}>
            <summary>{texts().asTable}</summary>
            <UsageTable rows={rows()} group={props.group} usage={props.usage} />
          </details>
        </Match>
        <Match when={true}>
          <UsageTable rows={rows()} group={props.group} usage={props.usage} />
        </Match>
      </Switch>
    </Show>
  );
}

function TimeChart(props: { rows: UsageRow[]; group: Group }) {
  const texts = useDashboardTexts();
  const formats = useFormats();
  const series = (): Series[] => [
    { name: texts().cachedTokens, kind: "cached" },
    { name: texts().freshTokens, kind: "fresh" },
    { name: texts().outputTokens, kind: "output" },
  ];
  const bars = createMemo(() =>
    props.rows.map((row): Bar => {
      const date = dateOfDay(row.key);
      const isMonth = props.group === "month";
      return {
        label: isMonth ? formats().calendarMonth(date) : formats().calendarDayShort(date),
        title: isMonth ? formats().calendarMonth(date) : formats().calendarDay(date),
        values: [row.cached_tokens, row.input_tokens - row.cached_tokens, row.output_tokens],
      };
    }),
  );
  return <BarChart label={texts().chartLabel} series={series()} bars={bars()} />;
}

function UsageTable(props: { rows: UsageRow[]; group: Group; usage: UsageAnswer }) {
  const { navigation } = useApp();
  const texts = useDashboardTexts();
  const formats = useFormats();
  const highest = createMemo(() => Math.max(1, ...props.rows.map(row => row.total_tokens)));

  const nameOf = (row: UsageRow) => {
    if (props.group === "day") return formats().calendarDay(dateOfDay(row.key));
    if (props.group === "month") return formats().calendarMonth(dateOfDay(row.key));
    if (row.rest > 0) return texts().others(formats().number(row.rest));
    return row.name ?? texts().noCompany;
  };
  /** The rows behind a figure: the same period, only this company or user. */
  const linkOf = (row: UsageRow) => {
    const query = new URLSearchParams(navigation.query());
    query.delete("group");
    query.set(props.group, row.key);
    return `${operatorPath("transactions")}?${query}`;
  };
  const number = (title: string, value: (row: UsageRow) => number): Column<UsageRow> => ({
    title,
    isNumber: true,
    cell: row => formats().number(value(row)),
  });

  const columns = createMemo((): Column<UsageRow>[] => [
    {
      title: texts().groups[props.group],
      cell: row => (
        <Show
          when={(props.group === "company" || props.group === "user") && row.key !== ""}
          fallback={nameOf(row)}
        >
          <a class="link" href={linkOf(row)}>
            {nameOf(row)}
          </a>
        </Show>
      ),
    },
    number(texts().inputTokens, row => row.input_tokens),
    number(texts().cachedTokens, row => row.cached_tokens),
    number(texts().outputTokens, row => row.output_tokens),
    number(texts().runs, row => row.runs),
    number(texts().totalTokens, row => row.total_tokens),
    {
      title: texts().share,
      isNumber: true,
      cell: row => (
        <span class="share">
          <meter min="0" max={highest()} value={Math.max(0, row.total_tokens)} aria-hidden="true" />
          <span>{formats().percent(shareOf(row.total_tokens, props.usage.totals.total_tokens))}</span>
        </span>
      ),
    },
  ]);

  const footer = () => {
    const { totals } = props.usage;
    const figures = [
      totals.input_tokens,
      totals.cached_tokens,
      totals.output_tokens,
      totals.runs,
      totals.total_tokens,
    ];
    return [texts().sum, ...figures.map(value => formats().number(value)), ""];
  };

  return <DataTable caption={texts().totalTokens} columns={columns()} rows={props.rows} footer={footer()} />;
}
