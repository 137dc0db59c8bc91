// @vitest-environment jsdom
import { fireEvent } from "@solidjs/testing-library";
import { createSignal } from "solid-js";
import { beforeEach, describe, expect, test } from "vitest";
import { fakeBrowser, renderInApp } from "../features/render-app";
import type { Bar, Series } from "./bar-chart";
import { type FakeCanvas, fakeCanvas, isDrawn } from "./fake-canvas";

let canvas: FakeCanvas = fakeCanvas();
const { BarChart } = await import("./bar-chart");

beforeEach(() => {
  fakeBrowser();
  canvas = fakeCanvas();
  document.head.innerHTML = `<style>
    .cached { background-color: rgb(1, 0, 0) } .fresh { background-color: rgb(2, 0, 0) }
    .output { background-color: rgb(3, 0, 0) }
  </style>`;
});

const SERIES: Series[] = [
  { name: "Cached", kind: "cached" },
  { name: "Fresh", kind: "fresh" },
  { name: "Out", kind: "output" },
];
const COLORS = ["rgb(1, 0, 0)", "rgb(2, 0, 0)", "rgb(3, 0, 0)"];

const bar = (day: number, ...values: number[]): Bar => ({ label: `${day} Nov`, title: `${day} November`, values });

async function setUp(bars: Bar[]) {
  const [shown, show] = createSignal(bars);
  const { container } = renderInApp(() => <BarChart label="Tokens" series={SERIES} bars={shown()} />);
  await isDrawn();
  const over = () => container.querySelector(".u-over") as HTMLElement;
  return {
    container,
    show: (next: Bar[]) => {
      show(next);
      return isDrawn();
    },
    /** Puts the pointer on the bar, of so many. */
    async pointAt(index: number, count: number) {
      const width = Number.parseFloat(over().style.width);
      fireEvent(over(), new MouseEvent("mouseenter"));
      fireEvent(over(), new MouseEvent("mousemove", { clientX: ((index + 0.5) / count) * width, clientY: 20 }));
      await isDrawn();
    },
    leave: async () => {
      fireEvent(over(), new MouseEvent("mouseleave"));
      await isDrawn();
    },
    /** What the tip says, line by line. */
    tip: () => [...(container.querySelector(".tip")?.children ?? [])].map(line => line.textContent.trim()),
    drawn: () => COLORS.map(color => canvas.drawing.barsOf(color)),
    labels: () => canvas.drawing.labels.map(({ text }) => text),
  };
}

test("each part stands in its own colour, from zero to where it ends in the stack", async () => {
  const { drawn, labels } = await setUp([bar(1, 100, 50, 30), bar(2, 0, 400, 0)]);
  expect(labels()).toEqual(["1 Nov", "2 Nov", "0", "100", "200", "300", "400"]);
  expect(drawn()).toEqual([
    [[0, 100], [0, 0]],
    [[0, 150], [0, 400]],
    [[0, 180], [0, 400]],
  ]);
});

test("the first bar and the last one stand whole between the axis and the edge", async () => {
  const { container } = await setUp([bar(1, 10, 0, 0), bar(2, 10, 0, 0), bar(3, 10, 0, 0)]);
  const { left, width } = (container.querySelector(".u-over") as HTMLElement).style;
  const [from, to] = [Number.parseFloat(left), Number.parseFloat(left) + Number.parseFloat(width)];
  const bars = canvas.drawing.filled.flatMap(({ path }) => path.bars);
  expect(bars).toHaveLength(9);
  expect(bars.filter(bar => bar.left < from || bar.right > to)).toEqual([]);
});

test("the greatest sum is drawn first, so that none hides another", async () => {
  await setUp([bar(1, 100, 50, 30)]);
  expect(canvas.drawing.filled.map(({ color }) => color)).toEqual([...COLORS].reverse());
});

test("the legend names the parts in their colours", async () => {
  const { container } = await setUp([bar(1, 100, 50, 30)]);
  const lines = [...container.querySelectorAll(".legend li")];
  expect(lines.map(line => [line.textContent.trim(), line.querySelector("i")?.className])).toEqual([
    ["Cached", "cached"],
    ["Fresh", "fresh"],
    ["Out", "output"],
  ]);
});

test("the tip says the figures of the bar under the pointer, to the token", async () => {
  const { pointAt, leave, tip } = await setUp([bar(1, 100, 50, 30), bar(2, 1_234_567, 1, 0)]);
  expect(tip()).toEqual([]);
  await pointAt(0, 2);
  expect(tip()).toEqual(["1 November", "Cached 100", "Fresh 50", "Out 30"]);
  await pointAt(1, 2);
  expect(tip()).toEqual(["2 November", "Cached 1,234,567", "Fresh 1", "Out 0"]);
  await leave();
  expect(tip()).toEqual([]);
});

describe("a chart of", () => {
  test("nothing has an axis and no bar", async () => {
    const { container, drawn, labels } = await setUp([]);
    expect(container.querySelector("[role=img]")?.getAttribute("aria-label")).toBe("Tokens");
    expect(drawn()).toEqual([[], [], []]);
    expect(labels().filter(text => text.includes("Nov"))).toEqual([]);
  });

  test("one day has one bar", async () => {
    const { drawn, labels, pointAt, tip } = await setUp([bar(7, 100, 50, 50)]);
    expect(labels()).toContain("7 Nov");
    expect(drawn()).toEqual([[[0, 100]], [[0, 150]], [[0, 200]]]);
    await pointAt(0, 1);
    expect(tip()[0]).toBe("7 November");
  });

  test("zeros has no height", async () => {
    const { drawn, pointAt, tip } = await setUp([bar(1, 0, 0, 0), bar(2, 0, 0, 0)]);
    expect(canvas.drawing.filled.flatMap(({ path }) => path.bars).every(({ top, bottom }) => top === bottom)).toBe(true);
    expect(() => drawn()).toThrow("no axis to read from");
    await pointAt(1, 2);
    expect(tip()).toEqual(["2 November", "Cached 0", "Fresh 0", "Out 0"]);
  });

  test("a figure below zero takes nothing off the others, and the tip says it as it is", async () => {
    const { drawn, pointAt, tip } = await setUp([bar(1, 100, -50, 30), bar(2, 0, 0, 200)]);
    expect(drawn()).toEqual([
      [[0, 100], [0, 0]],
      [[0, 100], [0, 0]],
      [[0, 130], [0, 200]],
    ]);
    await pointAt(0, 2);
    expect(tip()).toEqual(["1 November", "Cached 100", "Fresh -50", "Out 30"]);
  });

  test("many days names those for which there is room, the last one always", async () => {
    const days = Array.from({ length: 30 }, (_, index) => bar(index + 1, 10, 0, 0));
    const { labels } = await setUp(days);
    const named = labels().filter(text => text.includes("Nov"));
    expect(named.at(-1)).toBe("30 Nov");
    expect(named.length).toBeLessThan(10);
  });
});

test("other bars are drawn instead", async () => {
  const { show, drawn, container } = await setUp([bar(1, 100, 50, 50)]);
  await show([bar(2, 300, 50, 50), bar(3, 100, 0, 0)]);
  expect(drawn()[0]).toEqual([[0, 300], [0, 100]]);
  expect(container.querySelectorAll("canvas")).toHaveLength(1);
});
