import { describe, expect, test } from "vitest";
import type { Message } from "../api/chat-api";
import { applyRunEvent } from "./apply-run-event";
import {
  codePoints,
  type Exchange,
  exchangesOf,
  indexOfCodePoint,
  mergeExchanges,
  newExchange,
} from "./conversation";

const at = (minute: number) => `2026-11-22T10:${String(minute).padStart(2, "0")}:00Z`;

function message(run: number, role: "user" | "assistant", changes: Partial<Message> = {}): Message {
  return {
    id: `${role === "user" ? "m" : "n"}_${run}`,
    role,
    text: `${role} ${run}`,
    run_id: `r_${run}`,
    created_at: at(run),
    flagged: false,
    status: role === "user" ? "sent" : "completed",
    usage: null,
    error: null,
    files: [],
    annotations: [],
    ...changes,
  };
}

const pair = (run: number, changes: Partial<Message> = {}) => [
  message(run, "user"),
  message(run, "assistant", changes),
];
const texts = (exchanges: Exchange[]) => exchanges.map(exchange => exchange.question.text);

test("messages become questions with their answers", () => {
  const [first, second] = exchangesOf([...pair(1), ...pair(2, { status: "active", text: "" })]);
  expect(first).toMatchObject({
    key: "r_1",
    runId: "r_1",
    question: { id: "m_1", text: "user 1" },
    answer: { id: "n_1", text: "assistant 1", length: 11, status: "completed" },
  });
  expect(second?.answer).toMatchObject({ text: "", status: "active" });
});

describe("what was read is merged into what is shown", () => {
  const sent = applyRunEvent(newExchange("c-1", "user 2", at(2)), {
    kind: "run",
    runId: "r_2",
    threadId: "t_1",
    messageId: "m_2",
  });
  const streaming = applyRunEvent(sent, { kind: "delta", text: "assist", at: 0 });

  test("an exchange keeps its key and takes the stored answer", () => {
    const merged = mergeExchanges([...exchangesOf(pair(1)), streaming], exchangesOf(pair(2)));
    expect(merged.map(exchange => exchange.key)).toEqual(["r_1", "c-1"]);
    expect(merged[1]?.answer).toMatchObject({ id: "n_2", text: "assistant 2", status: "completed" });
  });

  test("an answer that is being written keeps the text of the stream", () => {
    const merged = mergeExchanges([streaming], exchangesOf(pair(2, { status: "active", text: "" })));
    expect(merged[0]?.answer).toMatchObject({ text: "assist", status: "active" });
  });

  test("older pages go to the top, what other tabs sent to the end, and what waits stays last", () => {
    const waiting = newExchange("c-9", "waiting", at(0));
    const shown = [...exchangesOf(pair(3)), waiting];
    const merged = mergeExchanges(shown, exchangesOf([...pair(1), ...pair(2), ...pair(3), ...pair(4)]));
    expect(texts(merged)).toEqual(["user 1", "user 2", "user 3", "user 4", "waiting"]);
  });

  test("a question that was sent from here stands before what was asked long after it", () => {
    const merged = mergeExchanges([streaming], exchangesOf([...pair(8), ...pair(9)]));
    expect(texts(merged)).toEqual(["user 2", "user 8", "user 9"]);
  });
});

test("code points are counted as the server counts them", () => {
  expect(codePoints("a😀é\ud800")).toBe(4);
  expect(indexOfCodePoint("a😀b", 2)).toBe(3);
  expect(indexOfCodePoint("abc", 9)).toBe(3);
});
