import { describe, expect, test } from "vitest";
import type { RunEvent } from "../stream/run-event";
import { applyRunEvent } from "./apply-run-event";
import { type Exchange, newExchange } from "./conversation";

const START = newExchange("c-1", "Hi?", "2026-11-22T10:00:00Z");

const apply = (events: RunEvent[], from: Exchange = START) => events.reduce(applyRunEvent, from);
const delta = (text: string, at: number): RunEvent => ({ kind: "delta", text, at });

const USAGE = {
  inputTokens: 1,
  cachedTokens: 0,
  outputTokens: 2,
  reasoningTokens: 0,
  totalTokens: 3,
  isEstimate: false,
};
const RUN: RunEvent[] = [
  { kind: "run", runId: "r_1", threadId: "t_1", messageId: "m_1" },
  delta("Hello ", 0),
  delta("😀 wörld", 6),
  delta("!", 13),
  { kind: "file", id: "f_1", name: "a.csv" },
  { kind: "usage", usage: USAGE, forecast: undefined },
  { kind: "done", status: "completed" },
];

test("a run becomes an answer", () => {
  const { runId, key, question, answer } = apply(RUN);
  expect({ runId, key }).toEqual({ runId: "r_1", key: "c-1" });
  expect(question).toMatchObject({ id: "m_1", text: "Hi?" });
  expect(answer).toMatchObject({
    text: "Hello 😀 wörld!",
    length: 14,
    status: "completed",
    usage: USAGE,
    files: [{ id: "f_1", name: "a.csv" }],
  });
});

test("a replay from any place on, at any moment, ends in the same answer", () => {
  const whole = apply(RUN);
  for (let lost = 1; lost <= RUN.length; lost++) {
    for (let from = 0; from <= lost; from++) {
      expect(apply(RUN.slice(from), apply(RUN.slice(0, lost)))).toEqual(whole);
    }
  }
});

describe("text", () => {
  test("is put where it says it belongs", () => {
    expect(apply([delta("abcdef", 0), delta("X", 2)]).answer).toMatchObject({ text: "abX", length: 3 });
    expect(apply([delta("😀😀", 0), delta("b", 1)]).answer).toMatchObject({ text: "😀b", length: 2 });
  });

  test("that leaves a gap changes nothing", () => {
    expect(apply([delta("abc", 0), delta("x", 5)]).answer.text).toBe("abc");
  });
});

test("an answer that failed says why and keeps its text", () => {
  const { answer } = apply([
    delta("partial", 0),
    { kind: "error", code: "interrupted", message: "It was cut off.", isRetryable: true },
    { kind: "done", status: "interrupted" },
  ]);
  expect(answer).toMatchObject({
    text: "partial",
    status: "interrupted",
    error: { code: "interrupted", message: "It was cut off.", isRetryable: true },
  });
});
