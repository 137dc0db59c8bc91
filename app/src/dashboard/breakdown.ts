/** Usage by day, month, company or user, as rows of one shape. Pure. */

import type { UsageAnswer, UsageFigures } from "../api/dashboard-types";
import { daysOf } from "./period";

export const GROUPS = ["day", "month", "company", "user"] as const;
export type Group = (typeof GROUPS)[number];

export interface UsageRow extends UsageFigures {
  key: string;
  /** A name for people; undefined for those without one. */
  name: string | undefined;
}

const NOTHING: UsageFigures = {
  total_tokens: 0,
  input_tokens: 0,
  cached_tokens: 0,
  output_tokens: 0,
  reasoning_tokens: 0,
  runs: 0,
};

export function groupOfQuery(query: URLSearchParams): Group {
  return GROUPS.find(group => group === query.get("group")) ?? "day";
}

export function usageRows(usage: UsageAnswer, group: Group, range: { from: string; to: string }): UsageRow[] {
  switch (group) {
    case "day": {
      const known = new Map(usage.by_day.map(row => [row.day, row]));
      return daysOf(range).map(day => ({ ...NOTHING, ...known.get(day), key: day, name: day }));
    }
    case "month":
      return usage.by_month.map(row => ({ ...row, key: row.month, name: row.month }));
    case "company":
      return byTokens(
        usage.by_company.map(row => ({ ...row, key: row.company?.id ?? "", name: row.company?.name })),
      );
    case "user":
      return byTokens(
        usage.by_user.map(row => ({ ...row, key: row.user_id, name: row.name ?? row.user_id })),
      );
  }
}

function byTokens(rows: UsageRow[]): UsageRow[] {
  return rows.sort((a, b) => b.total_tokens - a.total_tokens);
}

/** Between 0 and 1; nothing of nothing is nothing. */
export function shareOf(part: number, whole: number): number {
  return whole > 0 ? part / whole : 0;
}
