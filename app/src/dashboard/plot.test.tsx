// @vitest-environment jsdom
import { createSignal } from "solid-js";
import { beforeEach, expect, test } from "vitest";
import { fakeBrowser, renderInApp } from "../features/render-app";
import { type FakeCanvas, fakeCanvas, isDrawn } from "./fake-canvas";

let canvas: FakeCanvas = fakeCanvas();
const { Plot } = await import("./plot");

const OPTIONS = { legend: { show: false }, scales: { x: { time: false } }, series: [{}, { points: { show: false } }] };

beforeEach(() => {
  fakeBrowser();
  document.documentElement.removeAttribute("data-theme");
});

async function setUp({ width = 600 } = {}) {
  canvas = fakeCanvas({ width });
  const [data, setData] = createSignal<[number[], number[]]>([[0, 1], [10, 20]]);
  const { container, unmount } = renderInApp(() => (
    <Plot class="plot" label="A picture" height={110} options={OPTIONS} data={data()} />
  ));
  await isDrawn();
  const sizes = () => [...container.querySelectorAll("canvas")].map(({ width, height }) => [width, height]);
  return { container, unmount, setData, sizes };
}

test("it is one picture with a name for those who do not see it", async () => {
  const { container } = await setUp();
  const pictures = container.querySelectorAll("[role=img]");
  expect([...pictures].map(picture => picture.getAttribute("aria-label"))).toEqual(["A picture"]);
  expect(pictures[0]?.querySelector("canvas")).not.toBeNull();
});

test("it is as wide as its place, and goes with it", async () => {
  const { sizes } = await setUp({ width: 600.7 });
  expect(sizes()).toEqual([[600, 110]]);
  await canvas.resize(320);
  expect(sizes()).toEqual([[320, 110]]);
});

test("in a place without a width, as one that is folded, nothing is drawn until there is one", async () => {
  const { sizes } = await setUp({ width: 0 });
  expect(sizes()).toEqual([]);
  await canvas.resize(320);
  expect(sizes()).toEqual([[320, 110]]);
  await canvas.resize(0);
  expect(sizes()).toEqual([]);
});

test("other data takes the place of what was drawn", async () => {
  const { sizes, setData } = await setUp();
  const before = canvas.drawing.times;
  setData([[0], [10]]);
  await isDrawn();
  expect(canvas.drawing.times).toBe(before + 1);
  expect(sizes()).toHaveLength(1);
});

test.each([
  ["the system", () => canvas.changeScheme()],
  ["somebody", () => document.documentElement.setAttribute("data-theme", "dark")],
])("it is drawn again in the colours that %s has chosen", async (_, choose) => {
  const { sizes } = await setUp();
  const before = canvas.drawing.times;
  choose();
  await isDrawn();
  expect(canvas.drawing.times).toBe(before + 1);
  expect(sizes()).toHaveLength(1);
});

test("once it is gone it listens to nothing", async () => {
  const { unmount } = await setUp();
  expect(canvas.listeners()).toBe(2);
  const before = canvas.drawing.times;
  unmount();
  document.documentElement.setAttribute("data-theme", "dark");
  await isDrawn();
  expect([canvas.listeners(), canvas.drawing.times]).toEqual([0, before]);
});
