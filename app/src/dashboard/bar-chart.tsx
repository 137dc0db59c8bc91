import { createMemo, createSignal, For, Show } from "solid-js";
import uPlot from "uplot";
import { useFormats } from "../features/app-context";
import { labelledIndexes, makeScale } from "./chart-scale";
import { axisStyle, colorOf, Plot } from "./plot";

export interface Series {
  name: string;
  /** Names its colour in the style sheet. */
  kind: "cached" | "fresh" | "output";
}

export interface Bar {
  label: string;
  /** For the tip, in full. */
  title: string;
  /** One for each series, stacked from below. */
  values: number[];
}

interface BarChartProps {
  label: string;
  series: Series[];
  bars: Bar[];
}

interface Hovered {
  bar: Bar;
  leftPx: number;
  isRight: boolean;
}

const HEIGHT = 250;
const LABEL_ROOM = 64;
const BAR_SHARE = 0.72;
const BAR_WIDTH_MAX = 44;
const TIP_GAP_PX = 14;
/** Half of the last label stands at the right of its bar. */
const PADDING: uPlot.Padding = [10, 14, 0, 0];

/** Stacked bars from zero. What it shows stands in a table beside it, too. */
export function BarChart(props: BarChartProps) {
  const formats = useFormats();
  let frame!: HTMLDivElement;
  let legend!: HTMLUListElement;
  const [hovered, setHovered] = createSignal<Hovered>();

  const sums = createMemo(() => props.bars.map(bar => stack(bar.values)));
  const scale = createMemo(() => makeScale(Math.max(0, ...sums().flat())));

  /** Sums are drawn over each other, the greatest first, so that each shows only its own part. */
  const data = createMemo((): uPlot.AlignedData => {
    const drawn = props.series.map((_, part) => sums().map(bar => bar[part] ?? 0)).reverse();
    return [props.bars.map((_, index) => index), ...drawn];
  });

  const options = createMemo(() => {
    const { bars } = props;
    const top = scale();
    const format = formats();
    const style = axisStyle(() => frame);
    const swatch = (part: number) => colorOf(legend.children[part]?.firstElementChild ?? legend, "backgroundColor");
    const draw = uPlot.paths.bars?.({ size: [BAR_SHARE, BAR_WIDTH_MAX], radius: 0 });
    const drawn = props.series.map((_, part): uPlot.Series => {
      return { fill: () => swatch(part), width: 0, points: { show: false }, ...(draw && { paths: draw }) };
    });
    const labelled = (plot: uPlot) => [...labelledIndexes(bars.length, plot.width / LABEL_ROOM)].reverse();
    return {
      legend: { show: false },
      padding: PADDING,
      cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
      scales: { x: { time: false, range: [-0.5, bars.length - 0.5] }, y: { range: [0, top.max] } },
      axes: [
        {
          ...style,
          grid: { show: false },
          size: 26,
          splits: labelled,
          values: (_plot, indexes) => indexes.map(index => bars[index]?.label ?? ""),
        },
        {
          ...style,
          size: 56,
          splits: () => top.ticks,
          values: (_plot, ticks) => ticks.map(tick => format.compact(tick)),
        },
      ],
      series: [{}, ...drawn.reverse()],
      hooks: { setCursor: [plot => setHovered(hoveredOf(plot, bars))] },
    } satisfies Omit<uPlot.Options, "width" | "height">;
  });

  return (
    <div ref={frame} class="chart">
      <Plot class="plot" label={props.label} height={HEIGHT} options={options()} data={data()} />
      <Show when={hovered()}>
        {now => (
          <div
            class="tip"
            style={{
              left: now().isRight ? "auto" : `${now().leftPx}px`,
              right: now().isRight ? `${now().leftPx}px` : "auto",
            }}
          >
            <b>{now().bar.title}</b>
            <For each={props.series}>
              {(series, index) => (
                <span>
                  <i class={series.kind} /> {series.name}{" "}
                  <em>{formats().number(now().bar.values[index()] ?? 0)}</em>
                </span>
              )}
            </For>
          </div>
        )}
      </Show>
      <ul ref={legend} class="legend">
        <For each={props.series}>
          {series => (
            <li>
              <i class={series.kind} /> {series.name}
            </li>
          )}
        </For>
      </ul>
    </div>
  );
}

/** From the values of a bar to where each of its parts ends. */
function stack(values: readonly number[]): number[] {
  let sum = 0;
  return values.map(value => {
    sum += Math.max(0, value);
    return sum;
  });
}

/** The bar under the pointer, and how far from the nearer edge its tip begins. */
function hoveredOf(plot: uPlot, bars: readonly Bar[]): Hovered | undefined {
  const index = plot.cursor.idx;
  const bar = index === null || index === undefined ? undefined : bars[index];
  if (!bar || index === null || index === undefined || (plot.cursor.left ?? -1) < 0) return undefined;
  const center = plot.bbox.left / devicePixelRatio + plot.valToPos(index, "x");
  const isRight = center > plot.width / 2;
  return { bar, isRight, leftPx: (isRight ? plot.width - center : center) + TIP_GAP_PX };
}
