import { expect, test } from "vitest";
import type { UsageAnswer, UsageFigures } from "../api/dashboard-types";
import { shareOf, usageRows } from "./breakdown";

const figures = (total_tokens: number): UsageFigures => ({
  total_tokens,
  input_tokens: total_tokens,
  cached_tokens: 0,
  output_tokens: 0,
  reasoning_tokens: 0,
  runs: 1,
});

const USAGE: UsageAnswer = {
  date_from: "2026-11-20",
  date_to: "2026-11-22",
  tz: "UTC",
  totals: { ...figures(60), active_users: 2 },
  previous: { ...figures(0), active_users: 0 },
  by_day: [
    { ...figures(10), day: "2026-11-20" },
    { ...figures(50), day: "2026-11-22" },
  ],
  by_month: [{ ...figures(60), month: "2026-11" }],
  by_company: [
    { ...figures(20), company: { id: "acme", name: "Acme" } },
    { ...figures(40), company: null },
  ],
  by_user: [
    { ...figures(10), user_id: "u1", name: null },
    { ...figures(50), user_id: "u2", name: "Ada" },
  ],
};
const RANGE = { from: "2026-11-20", to: "2026-11-22" };

const short = (group: "day" | "month" | "company" | "user") =>
  usageRows(USAGE, group, RANGE).map(row => [row.key, row.name, row.total_tokens]);

test("a day without usage is there, with zero", () => {
  expect(short("day")).toEqual([
    ["2026-11-20", "2026-11-20", 10],
    ["2026-11-21", "2026-11-21", 0],
    ["2026-11-22", "2026-11-22", 50],
  ]);
});

test("companies and users come with the most tokens first, also those without a name", () => {
  expect(short("company")).toEqual([
    ["", undefined, 40],
    ["acme", "Acme", 20],
  ]);
  expect(short("user")).toEqual([
    ["u2", "Ada", 50],
    ["u1", "u1", 10],
  ]);
});

test("a share of nothing is nothing", () => {
  expect(shareOf(0, 0)).toBe(0);
  expect(shareOf(1, 4)).toBe(0.25);
});
