import { expect, test } from "vitest";
import { Problem } from "../api/problem";
import { failureOf } from "./failure";

test.each([
  [429, { code: "insufficient_balance", next_grant_at: "2026-12-01T00:00:00Z" }, "out_of_tokens"],
  [401, { code: "unauthenticated", login_url: "https://login.test/" }, "signed_out"],
  [401, {}, "signed_out"],
  [409, { code: "thread_busy" }, "busy"],
  [429, { code: "rate_limited" }, "rate_limited"],
  [503, { code: "unavailable" }, "unavailable"],
  [502, {}, "unavailable"],
  [500, { code: "internal" }, "other"],
  [418, { code: "constructor" }, "other"],
])("%d %o", (status, members, kind) => {
  expect(failureOf(new Problem(status, members)).kind).toBe(kind);
});

test("a network that is gone is told from a server that cannot be reached", () => {
  expect(failureOf(new TypeError("Failed to fetch"), false)).toEqual({ kind: "offline" });
  expect(failureOf(new TypeError("Failed to fetch"), true)).toEqual({ kind: "unreachable" });
});

test("an empty balance says when it is filled again", () => {
  const problem = new Problem(429, { code: "insufficient_balance", next_grant_at: "2026-12-01T00:00:00Z" });
  expect(failureOf(problem)).toEqual({ kind: "out_of_tokens", nextGrantAt: "2026-12-01T00:00:00Z" });
});
