import { createMemo, Show } from "solid-js";
import type { Transaction } from "../api/dashboard-types";
import { useFormats } from "../features/app-context";
import { useDashboardTexts } from "./context";

const WIDTH = 600;
const HEIGHT = 72;
const EDGE = 4;

/** The balance after each transaction, in steps: between two of them it did not move. */
export function Sparkline(props: { transactions: readonly Transaction[] }) {
  const texts = useDashboardTexts();
  const formats = useFormats();
  const points = createMemo(() => {
    const rows = [...props.transactions].reverse();
    const [oldest] = rows;
    return oldest ? [oldest.balance_before, ...rows.map(row => row.balance_after)] : [];
  });
  const bounds = () => ({ low: Math.min(0, ...points()), high: Math.max(1, ...points()) });
  const y = (value: number) => {
    const { low, high } = bounds();
    return HEIGHT - EDGE - ((value - low) / (high - low)) * (HEIGHT - 2 * EDGE);
  };
  const path = createMemo(() => {
    const step = WIDTH / Math.max(1, points().length - 1);
    return points()
      .map((value, index) => (index === 0 ? `M0 ${y(value)}` : `H${index * step}V${y(value)}`))
      .join("");
  });
  const label = () =>
    `${texts().balanceOverTime}: ${formats().number(points()[0] ?? 0)} – ${formats().number(points().at(-1) ?? 0)}`;

  return (
    <Show when={points().length > 1} fallback={<p class="empty">{texts().noTransactions}</p>}>
      <svg
        class="sparkline"
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={label()}
      >
        <line class="zero" x1="0" x2={WIDTH} y1={y(0)} y2={y(0)} />
        <path d={path()} />
      </svg>
    </Show>
  );
}
