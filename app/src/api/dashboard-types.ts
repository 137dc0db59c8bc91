/** Answers of the dashboard's routes. Tokens are integers, times RFC 3339. */

import type { components } from "./schema";

type Schemas = components["schemas"];

export type UsageAnswer = Schemas["UsageAnswer"];
export type UsageFigures = Schemas["Usage"];
export type UsageTotals = Schemas["UsageOfMany"];
export type TransactionPage = Schemas["TransactionPage"];
export type Transaction = TransactionPage["items"][number];
export type TransactionKind = Transaction["kind"];
export type UserPage = Schemas["UserPage"];
export type DashboardUser = UserPage["items"][number];
export type UserDetail = Schemas["UserDetail"];
export type Adjustment = Schemas["TokensBody"];

export const TRANSACTION_KINDS = [
  "opening",
  "usage",
  "grant",
  "adjustment",
  "quota",
  "correction",
] as const satisfies TransactionKind[];

export interface UsageSummary {
  summary: string;
  figures: unknown;
  model: string;
  generated_at: string;
}

export interface Flag {
  message_id: string;
  thread_id: string;
  user_id: string;
  user_name: string | null;
  reasons: string[];
  note: string | null;
  /** Null once the thread is deleted. */
  question: string | null;
  answer: string | null;
  at: string;
}

export interface FlagPage {
  items: Flag[];
  next_cursor: string | null;
}

export interface Queue {
  name: string;
  ready: number;
  unacked: number;
  consumers: number;
  /** How long the oldest message has been waiting, in seconds; null if none is or nobody knows. */
  oldest_age_s: number | null;
}

export interface DeadLetter {
  id: string;
  queue: string;
  type: string;
  reason: string;
  attempts: number;
  at: string;
}

export interface Operations {
  queues: Queue[];
  dead_letters: DeadLetter[];
  checked_at: string;
}
