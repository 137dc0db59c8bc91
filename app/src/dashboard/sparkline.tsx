import { createMemo, Show } from "solid-js";
import uPlot from "uplot";
import type { Transaction } from "../api/dashboard-types";
import { useFormats } from "../features/app-context";
import { useDashboardTexts } from "./context";
import { axisStyle, colorOf, Plot } from "./plot";

const HEIGHT = 110;
const TICK_ROOM = 32;
const PADDING: uPlot.Padding = [8, 0, 4, 0];

/** The balance after each transaction, in steps: between two of them it did not move. */
export function Sparkline(props: { transactions: readonly Transaction[] }) {
  const texts = useDashboardTexts();
  const formats = useFormats();
  let frame!: HTMLDivElement;
  const balances = createMemo(() => {
    const rows = [...props.transactions].reverse();
    const [oldest] = rows;
    return oldest ? [oldest.balance_before, ...rows.map(row => row.balance_after)] : [];
  });
  const data = createMemo((): uPlot.AlignedData => [balances().map((_, index) => index), balances()]);
  const options = createMemo(() => {
    const format = formats();
    const steps = uPlot.paths.stepped?.({ align: -1 });
    return {
      legend: { show: false },
      padding: PADDING,
      cursor: { show: false },
      scales: {
        x: { time: false },
        y: { range: (_plot: uPlot, low: number, high: number) => rangeAround(low, high) },
      },
      axes: [
        { show: false },
        {
          ...axisStyle(() => frame),
          size: 56,
          space: TICK_ROOM,
          values: (_plot: uPlot, ticks: number[]) => ticks.map(tick => format.compact(tick)),
        },
      ],
      series: [
        {},
        {
          stroke: () => colorOf(frame, "outlineColor"),
          fill: () => colorOf(frame, "backgroundColor"),
          width: 1.5,
          points: { show: false },
          ...(steps && { paths: steps }),
        },
      ],
    } satisfies Omit<uPlot.Options, "width" | "height">;
  });
  const label = () =>
    `${texts().balanceOverTime}: ${formats().number(balances()[0] ?? 0)} – ${formats().number(balances().at(-1) ?? 0)}`;

  return (
    <Show when={balances().length > 1} fallback={<p class="empty">{texts().noTransactions}</p>}>
      <div ref={frame} class="sparkline">
        <Plot class="plot" label={label()} height={HEIGHT} options={options()} data={data()} />
      </div>
    </Show>
  );
}

/** Zero is always in sight, and debt below it. */
function rangeAround(low: number, high: number): [number, number] {
  const top = Math.max(1, high);
  const bottom = Math.min(0, low);
  const room = (top - bottom) * 0.06;
  return [bottom < 0 ? bottom - room : 0, top + room];
}
