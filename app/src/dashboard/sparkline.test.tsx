// @vitest-environment jsdom
import { screen } from "@solidjs/testing-library";
import { beforeEach, describe, expect, test } from "vitest";
import type { Transaction } from "../api/dashboard-types";
import { fakeBrowser, renderInApp } from "../features/render-app";
import { type FakeCanvas, fakeCanvas, isDrawn } from "./fake-canvas";
import { TransactionTable } from "./transaction-table";

let canvas: FakeCanvas = fakeCanvas();
const { Sparkline } = await import("./sparkline");

const LINE = "rgb(1, 0, 0)";
const HEIGHT = 110;

beforeEach(() => {
  fakeBrowser();
  canvas = fakeCanvas({ grain: 50 });
  document.head.innerHTML = `<style>.sparkline { outline-color: ${LINE} }</style>`;
});

/** The rows by which a balance goes through these figures, the newest first as the server gives them. */
function transactionsOf(...balances: number[]): Transaction[] {
  const rows = balances.slice(1).map((balance_after, index): Transaction => {
    const balance_before = balances[index] ?? 0;
    return {
      id: `x${index}`,
      kind: "usage",
      at: "2026-11-22T10:00:00Z",
      tokens: balance_after - balance_before,
      balance_before,
      balance_after,
      actor: "ledger",
      reason: "a run",
      user_id: "u9",
      user_name: "Carl",
      company: null,
    };
  });
  return rows.reverse();
}

async function setUp(...balances: number[]) {
  const transactions = transactionsOf(...balances);
  const { container } = renderInApp(() => (
    <>
      <Sparkline transactions={transactions} />
      <TransactionTable rows={transactions} zone="UTC" />
    </>
  ));
  await isDrawn();
  const cells = [...container.querySelectorAll("tbody td:nth-child(4)")];
  return {
    drawn: () => canvas.drawing.stepsOf(LINE),
    isInSight: () => canvas.drawing.cornersOf(LINE).every(([, y]) => y >= 0 && y <= HEIGHT),
    ticks: () => canvas.drawing.labels.map(({ text }) => text),
    label: () => container.querySelector("[role=img]")?.getAttribute("aria-label"),
    /** Balances in the table, the oldest first. */
    told: cells.map(cell => Number(cell.textContent.replace(/,/g, ""))).reverse(),
  };
}

test("the line goes through the same balances as the table, from before the oldest row", async () => {
  const { drawn, told, label } = await setUp(1_000, 700, 500, 1_500, 100);
  expect(drawn()).toEqual([1_000, 700, 500, 1_500, 100]);
  expect(told).toEqual([700, 500, 1_500, 100]);
  expect(label()).toBe("Balance over the latest transactions: 1,000 – 100");
});

test("it goes in steps, the last of them to the newest balance, which then stays for a while", async () => {
  await setUp(1_000, 700, 500);
  const corners = canvas.drawing.cornersOf(LINE);
  const ways = corners.slice(1).map(([x, y], index) => [x !== corners[index]?.[0], y !== corners[index]?.[1]]);
  const [across, down] = [[true, false], [false, true]];
  expect(ways).toEqual([down, across, down, across]);
});

describe("a balance", () => {
  test("below zero is drawn and told as such", async () => {
    const { drawn, told, label, ticks, isInSight } = await setUp(500, -300, -400, 100);
    expect(drawn()).toEqual([500, -300, -400, 100]);
    expect(told).toEqual([-300, -400, 100]);
    expect(isInSight()).toBe(true);
    expect(label()).toBe("Balance over the latest transactions: 500 – 100");
    expect(ticks()).toContain("0");
  });

  test("that was never above zero has zero in sight", async () => {
    const { drawn, ticks, label, isInSight } = await setUp(-100, -500);
    expect([drawn(), isInSight()]).toEqual([[-100, -500], true]);
    expect(ticks()).toContain("0");
    expect(label()).toBe("Balance over the latest transactions: -100 – -500");
  });

  test("that hardly moved is not blown up: the axis begins at zero", async () => {
    const { drawn, ticks } = await setUp(1_000, 950);
    expect(drawn()).toEqual([1_000, 950]);
    expect(ticks()[0]).toBe("0");
  });
});

test("one row is drawn from before it to after it", async () => {
  const { drawn, told, label } = await setUp(0, 1_000);
  expect(drawn()).toEqual([0, 1_000]);
  expect(told).toEqual([1_000]);
  expect(label()).toBe("Balance over the latest transactions: 0 – 1,000");
});

test("one row that moved nothing is a level line", async () => {
  const { drawn, label } = await setUp(1_000, 1_000);
  expect(drawn()).toEqual([1_000]);
  expect(label()).toBe("Balance over the latest transactions: 1,000 – 1,000");
});

test("without a row there are words instead of a picture", async () => {
  const { label } = await setUp();
  expect(label()).toBeUndefined();
  expect(screen.getByText("No transactions match.")).toBeTruthy();
  expect(canvas.drawing.times).toBe(0);
});
