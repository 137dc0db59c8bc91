// @vitest-environment jsdom
import { fireEvent, screen } from "@solidjs/testing-library";
import { beforeEach, describe, expect, test } from "vitest";
import type { UsageAnswer, UsageFigures } from "../api/dashboard-types";
import { fakeBrowser, renderInApp } from "../features/render-app";
import type { Group } from "./breakdown";
import { type FakeCanvas, fakeCanvas, isDrawn } from "./fake-canvas";

let canvas: FakeCanvas = fakeCanvas();
const { UsageBreakdown } = await import("./usage-breakdown");

beforeEach(() => {
  fakeBrowser();
  canvas = fakeCanvas();
});

const figures = (cached: number, fresh: number, output: number, runs = 1): UsageFigures => ({
  total_tokens: cached + fresh + output,
  input_tokens: cached + fresh,
  cached_tokens: cached,
  output_tokens: output,
  reasoning_tokens: 0,
  runs,
  estimated_runs: 0,
});
const AVERAGES = { tokens_per_run: null, tokens_per_active_user: null, runs_per_active_user: null };
const many = (of: UsageFigures) => ({ ...of, active_users: 1 });

const DAYS: Record<string, UsageFigures> = {
  "2026-11-20": figures(1_000, 234, 66),
  "2026-11-22": figures(0, 7_654_321, 9),
};

function usageOf(days: Record<string, UsageFigures>, last = "2026-11-23"): UsageAnswer {
  const sum = (name: keyof UsageFigures) => Object.values(days).reduce((all, day) => all + day[name], 0);
  const of = figures(sum("cached_tokens"), sum("input_tokens") - sum("cached_tokens"), sum("output_tokens"), sum("runs"));
  return {
    date_from: "2026-11-20T00:00:00Z",
    date_to: `${last}T00:00:00Z`,
    tz: "UTC",
    totals: many(of),
    averages: AVERAGES,
    previous: { date_from: "", date_to: "", totals: many(figures(0, 0, 0, 0)), averages: AVERAGES },
    by_day: Object.entries(days).map(([day, row]) => ({ ...many(row), day })),
    by_month: [{ ...many(of), month: "2026-11" }],
    by_company: [],
    by_user: [],
    by_model: [],
  };
}

async function setUp(usage: UsageAnswer, group: Group = "day") {
  const navigation = { query: () => new URLSearchParams() };
  const { container } = renderInApp(() => <UsageBreakdown usage={usage} group={group} />, { navigation });
  await isDrawn();
  const cells = (row: Element) => [...row.children].map(cell => cell.textContent.trim());
  const rows = [...container.querySelectorAll("tbody tr")].map(cells);
  const number = (text: string | undefined) => Number(text?.replace(/,/g, ""));
  return {
    container,
    rows,
    sums: [...container.querySelectorAll("tfoot tr")].flatMap(cells),
    /** What the table says, part by part as the chart has it. */
    told: rows.map(([name, input, cached, output]) => [
      name,
      number(cached),
      number(input) - number(cached),
      number(output),
    ]),
    /** What the chart says of each bar, once the pointer is on it. */
    async pointed() {
      const over = container.querySelector(".u-over") as HTMLElement;
      const width = Number.parseFloat(over.style.width);
      const tips: unknown[] = [];
      fireEvent(over, new MouseEvent("mouseenter"));
      for (let index = 0; index < rows.length; index++) {
        const clientX = ((index + 0.5) / rows.length) * width;
        fireEvent(over, new MouseEvent("mousemove", { clientX, clientY: 20 }));
        await isDrawn();
        const figures = [...container.querySelectorAll(".tip em")].map(figure => number(figure.textContent));
        tips.push([container.querySelector(".tip b")?.textContent, ...figures]);
      }
      return tips;
    },
  };
}

describe("the chart and its table say the same", () => {
  test("of each day, also of one without use", async () => {
    const { told, pointed } = await setUp(usageOf(DAYS));
    expect(told).toEqual([
      ["20 November 2026", 1_000, 234, 66],
      ["21 November 2026", 0, 0, 0],
      ["22 November 2026", 0, 7_654_321, 9],
    ]);
    expect(await pointed()).toEqual(told);
  });

  test("of a month", async () => {
    const { told, pointed } = await setUp(usageOf(DAYS), "month");
    expect(told).toEqual([["November 2026", 1_000, 7_654_555, 75]]);
    expect(await pointed()).toEqual(told);
  });

  test("of a single day", async () => {
    const { told, pointed } = await setUp(usageOf({ "2026-11-20": figures(3, 2, 1) }, "2026-11-21"));
    expect(told).toEqual([["20 November 2026", 3, 2, 1]]);
    expect(await pointed()).toEqual(told);
  });

  test("of figures below zero, which a correction may leave", async () => {
    const days = { "2026-11-20": figures(0, -120, -30), "2026-11-22": figures(10, 400, 50) };
    const { told, pointed, rows } = await setUp(usageOf(days));
    expect(told[0]).toEqual(["20 November 2026", 0, -120, -30]);
    expect(rows[0]?.[5]).toBe("-150");
    expect(await pointed()).toEqual(told);
  });
});

test("the table ends with the sums of the server", async () => {
  const { sums } = await setUp(usageOf(DAYS));
  expect(sums).toEqual(["Sum", "7,655,555", "1,000", "75", "2", "7,655,630", ""]);
});

test("the picture has a name, and its table is one step away", async () => {
  const { container } = await setUp(usageOf(DAYS));
  expect(container.querySelector("[role=img]")?.getAttribute("aria-label")).toBe("Tokens used over time");
  expect(screen.getByText("As a table").closest("details")?.querySelector("table")).not.toBeNull();
});

test("a period without use has words instead of a picture", async () => {
  const { container } = await setUp(usageOf({}));
  expect(screen.getByText("Nothing was used in this period.")).toBeTruthy();
  expect(container.querySelector("[role=img], table")).toBeNull();
  expect(canvas.drawing.times).toBe(0);
});
