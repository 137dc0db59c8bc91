import { createEffect, createSignal, onCleanup, onMount } from "solid-js";
import uPlot from "uplot";

interface PlotProps {
  label: string;
  class: string;
  height: number;
  /** What to draw, without its size. A plot is made anew whenever it changes. */
  options: Omit<uPlot.Options, "width" | "height">;
  data: uPlot.AlignedData;
}

/** A canvas that is as wide as its place. It is a picture for screen readers: its table says the same. */
export function Plot(props: PlotProps) {
  let frame!: HTMLDivElement;
  const [width, setWidth] = createSignal(0);
  let plot: uPlot | undefined;

  onMount(() => {
    const observer = new ResizeObserver(([entry]) => setWidth(Math.floor(entry?.contentRect.width ?? 0)));
    observer.observe(frame);
    onCleanup(() => observer.disconnect());
    watchTheme(() => plot?.redraw(false));
  });

  createEffect(() => {
    if (width() === 0) return;
    const size = { width: width(), height: props.height };
    const made = new uPlot({ ...props.options, ...size }, props.data, frame);
    plot = made;
    onCleanup(() => made.destroy());
  });

  return <div ref={frame} class={props.class} role="img" aria-label={props.label} />;
}

/** Calls when colours have become others. A canvas keeps what was drawn, so it is drawn again. */
function watchTheme(changed: () => void): void {
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  scheme.addEventListener("change", changed);
  const observer = new MutationObserver(changed);
  observer.observe(document.documentElement, { attributeFilter: ["data-theme"] });
  onCleanup(() => {
    scheme.removeEventListener("change", changed);
    observer.disconnect();
  });
}

/** The colour that the style sheet gives, as it is now: a canvas knows no variables. */
export function colorOf(element: Element, name: "color" | "borderTopColor" | "outlineColor" | "backgroundColor"): string {
  return getComputedStyle(element)[name];
}

/** Colours and type of an axis, taken from the element that the plot stands in. */
export function axisStyle(plot: () => Element): uPlot.Axis {
  const line = () => colorOf(plot(), "borderTopColor");
  return {
    stroke: () => colorOf(plot(), "color"),
    font: `11px ${getComputedStyle(document.body).fontFamily}`,
    ticks: { show: false },
    grid: { stroke: line, width: 1 },
  };
}
