import { expect, test } from "vitest";
import { parseRunEvent } from "./run-event";

const parse = (event: string, data: unknown) =>
  parseRunEvent({ id: "r_1:1", event, data: typeof data === "string" ? data : JSON.stringify(data) });

test("events are read into our own words", () => {
  expect(parse("run", { run_id: "r_1", thread_id: "t_1", message_id: "m_1" })).toEqual({
    kind: "run",
    runId: "r_1",
    threadId: "t_1",
    messageId: "m_1",
  });
  expect(parse("delta", { text: "hé", at: 3 })).toEqual({ kind: "delta", text: "hé", at: 3 });
  expect(parse("error", { code: "interrupted", message: "cut", retryable: true })).toEqual({
    kind: "error",
    code: "interrupted",
    message: "cut",
    isRetryable: true,
  });
  expect(parse("done", { status: "cancelled" })).toEqual({ kind: "done", status: "cancelled" });
});

test("usage without a balance says so", () => {
  const data = { input_tokens: 7, output_tokens: 3, estimated: true, token_balance: null };
  expect(parse("usage", data)).toEqual({
    kind: "usage",
    usage: {
      inputTokens: 7,
      cachedTokens: 0,
      outputTokens: 3,
      reasoningTokens: 0,
      totalTokens: 10,
      isEstimate: true,
    },
    forecast: undefined,
  });
  const told = { token_balance: -3, token_sequence: 4 };
  expect(parse("usage", { ...data, ...told })).toMatchObject({ forecast: told });
  expect(parse("usage", { ...data, token_balance: 5 })).toMatchObject({ forecast: undefined });
});

test.each([
  ["delta", { text: "x" }],
  ["delta", { text: "x", at: -1 }],
  ["delta", "no json"],
  ["delta", "null"],
  ["done", { status: "exploded" }],
  ["usage", { input_tokens: "7", output_tokens: 1 }],
  ["tool_call", { name: "new" }],
  ["constructor", {}],
])("what is not known or not well formed is dropped: %s %o", (event, data) => {
  expect(parse(event, data)).toBeUndefined();
});
