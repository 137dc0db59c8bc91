/** What operators ask of the gateway. */

import { type Client, unwrap } from "./client";
import type {
  Adjustment,
  FlagPage,
  LettersAnswer,
  Operations,
  Resolution,
  ResolutionAnswer,
  TransactionKind,
  TransactionPage,
  UsageAnswer,
  UsageSummary,
  UserDetail,
  UserPage,
  WaitingList,
} from "./dashboard-types";
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
  /** Some letters of a queue, or all. With `isDryRun`, only says which ones it would be. */
  replay(queue: string, ids: string[] | "all", isDryRun?: boolean): Promise<LettersAnswer>;
  drop(queue: string, ids: string[], reason: string): Promise<LettersAnswer>;
  waiting(signal: AbortSignal): Promise<WaitingList>;
  resolve(resolution: Resolution): Promise<ResolutionAnswer>;
}

export const PAGE_ROWS = 50;

export function makeDashboardApi(client: Client): DashboardApi {
  return {
    usage: (query, signal) => unwrap(client.GET("/dashboard/overall/usage", { params: { query }, signal })),
    summarise: body => unwrap(client.POST("/dashboard/overall/resume", { body })),
    transactions: (filter, cursor, signal) => {
      const query = { ...known(filter), ...known({ cursor }), limit: PAGE_ROWS };
      return unwrap(client.GET("/dashboard/transactions", { params: { query }, signal }));
    },
    transactionsCsv: filter =>
      `/dashboard/transactions.csv?${new URLSearchParams(known(filter) as Record<string, string>)}`,
    users: ({ q, sort, start }, signal) => {
      const query = { ...known({ q }), sort, start, limit: PAGE_ROWS };
      return unwrap(client.GET("/dashboard/users", { params: { query }, signal }));
    },
    user: (userId, signal) => {
      const params = { path: { user_id: userId } };
      return unwrap(client.GET("/dashboard/users/{user_id}", { params, signal }));
    },
    adjust: (userId, body) => {
      const params = { path: { user_id: userId } };
      return unwrap(client.POST("/dashboard/users/{user_id}/tokens", { params, body }));
    },
    flags: (cursor, signal) => {
      const query = { ...known({ cursor }), limit: PAGE_ROWS };
      return unwrap(client.GET("/dashboard/flags", { params: { query }, signal }));
    },
    operations: signal => unwrap(client.GET("/dashboard/operations", { signal })),
    replay: (queue, ids, isDryRun = false) => {
      const which = ids === "all" ? { all: true } : { all: false, ids };
      const body = { queue, ...which, dry_run: isDryRun };
      return unwrap(client.POST("/dashboard/operations/replay", { body }));
    },
    drop: (queue, ids, reason) =>
      unwrap(client.POST("/dashboard/operations/drop", { body: { queue, ids, reason } })),
    waiting: signal => {
      const params = { query: { limit: PAGE_ROWS } };
      return unwrap(client.GET("/dashboard/integration/waiting", { params, signal }));
    },
    resolve: body => unwrap(client.POST("/dashboard/integration/waiting", { body })),
  };
}

type Known<T> = { [Name in keyof T]?: NonNullable<T[Name]> };

/** Leaves out what is undefined or empty. */
function known<T extends object>(values: T): Known<T> {
  return Object.fromEntries(
    Object.entries(values).filter(([, value]) => value !== undefined && value !== ""),
  ) as Known<T>;
}
