import { expect, test } from "vitest";
import type { UsageAnswer, UsageFigures } from "../api/dashboard-types";
import { type Group, shareOf, usageRows } from "./breakdown";

const figures = (total_tokens: number): UsageFigures => ({
  total_tokens,
  input_tokens: total_tokens,
  cached_tokens: 0,
  output_tokens: 0,
  reasoning_tokens: 0,
  runs: 1,
  estimated_runs: 0,
});
const totals = (tokens: number) => ({ ...figures(tokens), active_users: 1 });
const NOBODY = { email: null, company: null };
const AVERAGES = { tokens_per_run: null, tokens_per_active_user: null, runs_per_active_user: null };

const USAGE: UsageAnswer = {
  date_from: "2026-11-20T00:00:00Z",
  date_to: "2026-11-23T00:00:00Z",
  tz: "UTC",
  totals: totals(60),
  averages: AVERAGES,
  previous: { date_from: "2026-11-17", date_to: "2026-11-19", totals: totals(0), averages: AVERAGES },
  by_day: [
    { ...totals(10), day: "2026-11-20" },
    { ...totals(50), day: "2026-11-22" },
  ],
  by_month: [{ ...totals(60), month: "2026-11" }],
  by_company: [
    { ...totals(20), company: { id: "acme", name: "Acme" }, rest: 0 },
    { ...totals(40), company: null, rest: 0 },
  ],
  by_user: [
    { ...figures(300), user_id: null, name: null, ...NOBODY, rest: 3 },
    { ...figures(10), user_id: "u1", name: null, ...NOBODY, rest: 0 },
    { ...figures(50), user_id: "u2", name: "Ada", ...NOBODY, rest: 0 },
  ],
  by_model: [{ ...figures(60), model: "a-model" }],
};

const short = (group: Group) =>
  usageRows(USAGE, group).map(row => [row.key, row.name, row.total_tokens]);

test("a day without usage is there, with zero", () => {
  expect(short("day")).toEqual([
    ["2026-11-20", "2026-11-20", 10],
    ["2026-11-21", "2026-11-21", 0],
    ["2026-11-22", "2026-11-22", 50],
  ]);
});

test("the most tokens come first, also those of nobody, and the rest of a long list last", () => {
  expect(short("company")).toEqual([
    ["", undefined, 40],
    ["acme", "Acme", 20],
  ]);
  expect(short("user")).toEqual([
    ["u2", "Ada", 50],
    ["u1", "u1", 10],
    ["", undefined, 300],
  ]);
});

test("a share of nothing is nothing", () => {
  expect(shareOf(0, 0)).toBe(0);
  expect(shareOf(1, 4)).toBe(0.25);
});
