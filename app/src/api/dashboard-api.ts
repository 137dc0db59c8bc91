/** What operators ask of the gateway. */

import type {
  Adjustment,
  FlagPage,
  Operations,
  TransactionPage,
  UsageAnswer,
  UsageSummary,
  UserDetail,
  UserPage,
} from "./dashboard-types";
import { readProblem } from "./problem";

export interface Period {
  date_from: string;
  date_to: string;
  tz: string;
}

/** Undefined and empty values are left out. */
export type Query = Record<string, string | number | undefined>;

export interface TransactionFilter extends Partial<Period> {
  user?: string | undefined;
  company?: string | undefined;
  kind?: string | undefined;
}

export interface DashboardApi {
  usage(period: Period, signal: AbortSignal): Promise<UsageAnswer>;
  summarise(period: Period): Promise<UsageSummary>;
  transactions(
    filter: TransactionFilter,
    cursor: string | undefined,
    signal: AbortSignal,
  ): Promise<TransactionPage>;
  /** Where the same rows are to be had as CSV. */
  transactionsCsv(filter: TransactionFilter): string;
  users(
    page: { q?: string; sort?: string; limit: number; start: number },
    signal: AbortSignal,
  ): Promise<UserPage>;
  user(userId: string, signal: AbortSignal): Promise<UserDetail>;
  adjust(userId: string, adjustment: Adjustment): Promise<void>;
  flags(cursor: string | undefined, signal: AbortSignal): Promise<FlagPage>;
  operations(signal: AbortSignal): Promise<Operations>;
  replay(queue: string, ids: string[]): Promise<void>;
}

export const PAGE_ROWS = 50;

export function makeDashboardApi(fetch: typeof globalThis.fetch): DashboardApi {
  async function request<T>(path: string, init: RequestInit): Promise<T> {
    const response = await fetch(path, init);
    if (!response.ok) throw await readProblem(response);
    return (await response.json()) as T;
  }
  const get = <T>(path: string, query: Query, signal: AbortSignal) =>
    request<T>(address(path, query), { signal });
  const post = <T>(path: string, body: unknown) =>
    request<T>(path, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });

  return {
    usage: (period, signal) => get("/dashboard/overall/usage", { ...period }, signal),
    summarise: period => post("/dashboard/overall/resume", period),
    transactions: (filter, cursor, signal) =>
      get("/dashboard/transactions", { ...filter, cursor, limit: PAGE_ROWS }, signal),
    transactionsCsv: filter => address("/dashboard/transactions.csv", { ...filter }),
    users: (page, signal) => get("/dashboard/users", page, signal),
    user: (userId, signal) => get(`/dashboard/users/${encodeURIComponent(userId)}`, {}, signal),
    adjust: (userId, adjustment) => post(`/dashboard/users/${encodeURIComponent(userId)}/tokens`, adjustment),
    flags: (cursor, signal) => get("/dashboard/flags", { cursor, limit: PAGE_ROWS }, signal),
    operations: signal => get("/dashboard/operations", {}, signal),
    replay: (queue, ids) => post("/dashboard/operations/replay", { queue, ids }),
  };
}

function address(path: string, query: Query): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== "") search.set(name, String(value));
  }
  return search.size === 0 ? path : `${path}?${search}`;
}
