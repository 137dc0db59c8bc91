/** Answers of the dashboard's routes. Tokens are integers, times RFC 3339. */

export interface UsageFigures {
  total_tokens: number;
  input_tokens: number;
  cached_tokens: number;
  output_tokens: number;
  reasoning_tokens: number;
  runs: number;
}

export interface UsageTotals extends UsageFigures {
  active_users: number;
}

export interface Company {
  id: string;
  name: string;
}

export interface UsageAnswer {
  date_from: string;
  date_to: string;
  tz: string;
  totals: UsageTotals;
  /** The period of the same length before this one. */
  previous: UsageTotals;
  by_day: (UsageFigures & { day: string })[];
  by_month: (UsageFigures & { month: string })[];
  by_company: (UsageFigures & { company: Company | null })[];
  by_user: (UsageFigures & { user_id: string; name?: string | null })[];
}

export interface UsageSummary {
  summary: string;
  figures: unknown;
  model: string;
  generated_at: string;
}

export const TRANSACTION_KINDS = ["opening", "usage", "grant", "adjustment", "quota", "correction"] as const;
export type TransactionKind = (typeof TRANSACTION_KINDS)[number];

export interface Transaction {
  id: string;
  user_id: string;
  company: Company | null;
  kind: TransactionKind;
  /** Signed. */
  tokens: number;
  balance_before: number;
  balance_after: number;
  run_id?: string | null;
  model?: string | null;
  estimated?: boolean | null;
  actor: string;
  reason: string | null;
  at: string;
}

export interface TransactionPage {
  items: Transaction[];
  total: number;
  next_cursor: string | null;
  /** Over all rows that the filters let through, not over the page. */
  aggregate: { tokens: number };
}

export interface DashboardUser {
  id: string;
  name: string | null;
  email: string | null;
  company: Company | null;
  token_balance: number;
  token_held: number;
  token_available: number;
  token_grant: number;
  quota: number | null;
  created_at: string;
  last_active_at: string;
}

export interface UserPage {
  items: DashboardUser[];
  total: number;
}

export interface UserDetail extends DashboardUser {
  transactions: Transaction[];
}

export interface Adjustment {
  token_balance: number;
  token_grant: number;
  reason: string;
  /** What the balance was when the operator decided; another one by now is a conflict. */
  expected_balance: number;
}

export interface Flag {
  message_id: string;
  thread_id: string;
  user_id: string;
  reasons: string[];
  note: string | null;
  question: string;
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
