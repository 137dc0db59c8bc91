/** Usage by day, month, company, user or model, as rows of one shape. Pure. */

import type { UsageAnswer, UsageFigures } from "../api/dashboard-types";
import { daysOf, daysOfSpan } from "./period";

export const GROUPS = ["day", "month", "company", "user", "model"] as const;
export type Group = (typeof GROUPS)[number];

export interface UsageRow extends UsageFigures {
  key: string;
  /** A name for people; undefined for those without one. */
  name: string | undefined;
  /** How many companies or users the row stands for, if it is the rest of them. */
  rest: number;
}

const NOTHING: UsageFigures = {
  total_tokens: 0,
  input_tokens: 0,
  cached_tokens: 0,
  output_tokens: 0,
  reasoning_tokens: 0,
  runs: 0,
  estimated_runs: 0,
};

export function groupOfQuery(query: URLSearchParams): Group {
  return GROUPS.find(group => group === query.get("group")) ?? "day";
}

export function usageRows(usage: UsageAnswer, group: Group): UsageRow[] {
  switch (group) {
    case "day": {
      const known = new Map(usage.by_day.map(row => [row.day, row]));
      return daysOf(daysOfSpan(usage)).map(day => ({ ...NOTHING, ...known.get(day), key: day, name: day, rest: 0 }));
    }
    case "month":
      return usage.by_month.map(row => ({ ...row, key: row.month, name: row.month, rest: 0 }));
    case "company":
      return byTokens(usage.by_company, row => ({
        key: row.company?.id,
        name: row.company?.name,
        rest: row.rest,
      }));
    case "user":
      return byTokens(usage.by_user, row => ({
        key: row.user_id,
        name: row.name ?? row.user_id,
        rest: row.rest,
      }));
    case "model":
      return byTokens(usage.by_model, row => ({ key: undefined, name: row.model, rest: 0 }));
  }
}

interface RowName {
  key: string | null | undefined;
  name: string | null | undefined;
  rest: number;
}

/** The most tokens first, and what is left of a long list last. */
function byTokens<Row extends UsageFigures>(rows: readonly Row[], nameOf: (row: Row) => RowName): UsageRow[] {
  return rows
    .map(row => {
      const { key, name, rest } = nameOf(row);
      return { ...row, key: key ?? "", name: name ?? undefined, rest };
    })
    .sort((a, b) => Math.sign(a.rest) - Math.sign(b.rest) || b.total_tokens - a.total_tokens);
}

/** Between 0 and 1; nothing of nothing is nothing. */
export function shareOf(part: number, whole: number): number {
  return whole > 0 ? part / whole : 0;
}
