import { createMemo, createSignal, For, onCleanup, onMount, Show } from "solid-js";
import { useFormats } from "../features/app-context";
import { labelledIndexes, makeScale } from "./chart-scale";

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

const HEIGHT = 240;
const TOP = 10;
const BOTTOM = 24;
const LEFT = 56;
const LABEL_ROOM = 64;
const BAR_WIDTH_MAX = 44;

/** Stacked bars from zero. What it shows stands in a table beside it, too. */
export function BarChart(props: BarChartProps) {
  const formats = useFormats();
  let frame!: HTMLDivElement;
  const [width, setWidth] = createSignal(0);
  const [hovered, setHovered] = createSignal<number>();

  onMount(() => {
    const observer = new ResizeObserver(([entry]) => setWidth(entry?.contentRect.width ?? 0));
    observer.observe(frame);
    onCleanup(() => observer.disconnect());
  });

  const sum = (bar: Bar) => bar.values.reduce((total, value) => total + Math.max(0, value), 0);
  const scale = createMemo(() => makeScale(Math.max(0, ...props.bars.map(sum))));
  const y = (value: number) => HEIGHT - BOTTOM - (value / scale().max) * (HEIGHT - TOP - BOTTOM);
  const slot = () => (width() - LEFT) / Math.max(1, props.bars.length);
  const barWidth = () => Math.max(1, Math.min(BAR_WIDTH_MAX, slot() * 0.72));
  const center = (index: number) => LEFT + slot() * (index + 0.5);
  const labelled = createMemo(() => labelledIndexes(props.bars.length, (width() - LEFT) / LABEL_ROOM));
  const stack = (bar: Bar) => {
    let below = 0;
    return bar.values.map((value, index) => {
      const from = below;
      below += Math.max(0, value);
      return { kind: props.series[index]?.kind, top: y(below), height: Math.max(0, y(from) - y(below)) };
    });
  };
  const tip = () => {
    const index = hovered();
    const bar = index === undefined ? undefined : props.bars[index];
    return bar && index !== undefined
      ? { bar, left: center(index), isRight: center(index) > width() / 2 }
      : undefined;
  };

  return (
    <div ref={frame} class="chart">
      <svg width={width()} height={HEIGHT} role="img" aria-label={props.label}>
        <For each={scale().ticks}>
          {tick => (
            <>
              <line class="grid" x1={LEFT} x2={width()} y1={y(tick)} y2={y(tick)} />
              <text class="tick" x={LEFT - 10} y={y(tick)} text-anchor="end" dominant-baseline="middle">
                {formats().compact(tick)}
              </text>
            </>
          )}
        </For>
        <For each={props.bars}>
          {(bar, index) => (
            <g
              class="bar"
              classList={{ faded: hovered() !== undefined && hovered() !== index() }}
              onPointerEnter={() => setHovered(index())}
              onPointerLeave={() => setHovered(undefined)}
            >
              <rect
                class="hit"
                x={LEFT + slot() * index()}
                y={TOP}
                width={slot()}
                height={HEIGHT - TOP - BOTTOM}
              />
              <For each={stack(bar)}>
                {part => (
                  <rect
                    class={part.kind}
                    x={center(index()) - barWidth() / 2}
                    y={part.top}
                    width={barWidth()}
                    height={part.height}
                  />
                )}
              </For>
              <Show when={labelled().has(index())}>
                <text class="tick" x={center(index())} y={HEIGHT - 6} text-anchor="middle">
                  {bar.label}
                </text>
              </Show>
            </g>
          )}
        </For>
      </svg>
      <Show when={tip()}>
        {now => (
          <div
            class="tip"
            classList={{ right: now().isRight }}
            style={{
              left: now().isRight ? "auto" : `${now().left + 12}px`,
              right: now().isRight ? `${width() - now().left + 12}px` : "auto",
            }}
          >
            <b>{now().bar.title}</b>
            <For each={props.series}>
              {(series, index) => (
                <span class={series.kind}>
                  {series.name} <em>{formats().number(now().bar.values[index()] ?? 0)}</em>
                </span>
              )}
            </For>
          </div>
        )}
      </Show>
      <ul class="legend">
        <For each={props.series}>{series => <li class={series.kind}>{series.name}</li>}</For>
      </ul>
    </div>
  );
}
