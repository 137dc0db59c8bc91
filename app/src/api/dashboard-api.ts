/** What operators ask of the gateway. */

import { type Client, unwrap } from "./client";
import type {
  Adjustment,
  FlagPage,
  Operations,
  TransactionKind,
  TransactionPage,
  UsageAnswer,
  UsageSummary,
  UserDetail,
  UserPage,
} from "./dashboard-types";
import { readProblem } from "./problem";
import type { operations } from "./schema";

type UsersQuery = NonNullable<operations["list_users_dashboard_users_get"]["parameters"]["query"]>;
export type UserSort = NonNullable<UsersQuery["sort"]>;

/** Whole days: the last one is part of it. */
export interface Period {
  date_from: string;
  date_to: string;
  tz: string;
}

export interface TransactionFilter extends Period {
  user?: string | undefined;
  company?: string | undefined;
  kind?: TransactionKind | undefined;
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
  users(page: { q: string; sort: UserSort; start: number }, signal: AbortSignal): Promise<UserPage>;
  user(userId: string, signal: AbortSignal): Promise<UserDetail>;
  adjust(userId: string, adjustment: Adjustment): Promise<UserDetail>;
  flags(cursor: string | undefined, signal: AbortSignal): Promise<FlagPage>;
  operations(signal: AbortSignal): Promise<Operations>;
  replay(queue: string, ids: string[]): Promise<void>;
}

export const PAGE_ROWS = 50;

export function makeDashboardApi(client: Client, fetch: typeof globalThis.fetch): DashboardApi {
  async function request<T>(path: string, init: RequestInit): Promise<T> {
    const response = await fetch(path, init);
    if (!response.ok) throw await readProblem(response);
    return (await response.json()) as T;
  }
  const post = <T>(path: string, body: unknown) =>
    request<T>(path, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });

  return {
    usage: (period, signal) =>
      unwrap(client.GET("/dashboard/overall/usage", { params: { query: period }, signal })),
    summarise: period => post("/dashboard/overall/resume", period),
    transactions: (filter, cursor, signal) =>
      unwrap(
        client.GET("/dashboard/transactions", {
          params: { query: { ...known(filter), ...known({ cursor }), limit: PAGE_ROWS } },
          signal,
        }),
      ),
    transactionsCsv: filter => address("/dashboard/transactions.csv", { ...filter }),
    users: ({ q, sort, start }, signal) =>
      unwrap(
        client.GET("/dashboard/users", {
          params: { query: { ...known({ q }), sort, start, limit: PAGE_ROWS } },
          signal,
        }),
      ),
    user: (userId, signal) =>
      unwrap(client.GET("/dashboard/users/{user_id}", { params: { path: { user_id: userId } }, signal })),
    adjust: (userId, adjustment) =>
      unwrap(
        client.POST("/dashboard/users/{user_id}/tokens", {
          params: { path: { user_id: userId } },
          body: adjustment,
        }),
      ),
    flags: (cursor, signal) =>
      request(address("/dashboard/flags", { cursor, limit: String(PAGE_ROWS) }), { signal }),
    operations: signal => request("/dashboard/operations", { signal }),
    replay: (queue, ids) => post("/dashboard/operations/replay", { queue, ids }),
  };
}

type Known<T> = { [Name in keyof T]?: NonNullable<T[Name]> };

/** Leaves out what is undefined or empty. */
function known<T extends object>(values: T): Known<T> {
  return Object.fromEntries(
    Object.entries(values).filter(([, value]) => value !== undefined && value !== ""),
  ) as Known<T>;
}

function address(path: string, query: Record<string, string | undefined>): string {
  const search = new URLSearchParams(known(query) as Record<string, string>);
  return search.size === 0 ? path : `${path}?${search}`;
}
