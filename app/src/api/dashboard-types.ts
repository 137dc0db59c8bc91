/** Answers of the dashboard's routes. Tokens are integers, times RFC 3339. */

import type { components } from "./schema";

type Schemas = components["schemas"];

export type UsageAnswer = Schemas["UsageAnswer"];
export type UsageFigures = Schemas["Usage"];
export type UsageTotals = Schemas["UsageOfMany"];
export type UsageSummary = Schemas["SummaryAnswer"];
export type TransactionPage = Schemas["TransactionPage"];
export type Transaction = TransactionPage["items"][number];
export type TransactionKind = Transaction["kind"];
export type UserPage = Schemas["UserPage"];
export type DashboardUser = UserPage["items"][number];
export type UserDetail = Schemas["UserDetail"];
export type Adjustment = Schemas["TokensBody"];
export type FlagPage = Schemas["FlagPage"];
export type Flag = Schemas["FlagShape"];
export type Operations = Schemas["OperationsAnswer"];
export type Queue = Schemas["QueueShape"];
export type DeadLetter = Schemas["LetterShape"];
export type OperatorAction = Schemas["ActionShape"];
export type LettersAnswer = Schemas["LettersAnswer"];
export type WaitingList = Schemas["WaitingList"];
export type WaitingItem = Schemas["WaitingItem"];
export type ResolutionAnswer = Schemas["ResolutionAnswer"];
export type Resolution = Schemas["Resolution"];

export const TRANSACTION_KINDS = [
  "opening",
  "usage",
  "grant",
  "adjustment",
  "quota",
  "correction",
] as const satisfies TransactionKind[];
