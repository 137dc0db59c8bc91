/** Why something did not work, in the few kinds that people are told apart. Pure. */

import { Problem } from "../api/problem";

export type Failure =
  | { kind: "signed_out"; loginUrl: string | undefined }
  | { kind: "out_of_tokens"; nextGrantAt: string | undefined }
  | { kind: "rate_limited"; retryAfterS: number }
  | { kind: "unavailable"; retryAfterS: number | undefined }
  | { kind: "offline" | "unreachable" | "busy" | "too_many_runs" | "too_large" | "forbidden" | "not_found" }
  | { kind: "conflict" }
  | { kind: "other"; code: string; detail: string };

const DEFAULT_RETRY_AFTER_S = 60;

const BY_CODE: Record<string, (problem: Problem) => Failure> = {
  unauthenticated: problem => ({ kind: "signed_out", loginUrl: problem.text("login_url") }),
  insufficient_balance: problem => ({ kind: "out_of_tokens", nextGrantAt: problem.text("next_grant_at") }),
  rate_limited: ({ retryAfterS }) => ({
    kind: "rate_limited",
    retryAfterS: retryAfterS ?? DEFAULT_RETRY_AFTER_S,
  }),
  unavailable: ({ retryAfterS }) => ({ kind: "unavailable", retryAfterS }),
  thread_busy: () => ({ kind: "busy" }),
  too_many_runs: () => ({ kind: "too_many_runs" }),
  too_many_streams: () => ({ kind: "too_many_runs" }),
  too_large: () => ({ kind: "too_large" }),
  conflict: () => ({ kind: "conflict" }),
  forbidden: () => ({ kind: "forbidden" }),
  not_found: () => ({ kind: "not_found" }),
};

export function failureOf(error: unknown, isOnline = navigator.onLine): Failure {
  if (!(error instanceof Problem)) return { kind: isOnline ? "unreachable" : "offline" };
  const known = Object.hasOwn(BY_CODE, error.code) ? BY_CODE[error.code] : undefined;
  if (known) return known(error);
  // A proxy in between has no code of ours.
  if (error.status === 401) return { kind: "signed_out", loginUrl: undefined };
  if (error.status > 500) return { kind: "unavailable", retryAfterS: error.retryAfterS };
  return { kind: "other", code: error.code, detail: error.message };
}

/** The server has said no. Everything else leaves open whether it has done what was asked. */
export function isRefusal({ kind }: Failure): boolean {
  return !["offline", "unreachable", "unavailable", "other"].includes(kind);
}

export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}
