// @vitest-environment jsdom
import { createRoot, createSignal } from "solid-js";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { Problem } from "../api/problem";
import type { Failure } from "../state/failure";
import { createServerQuery } from "./create-query";

interface Asked extends PromiseWithResolvers<string> {
  what: string;
  signal: AbortSignal;
}

const NOON = new Date("2026-11-22T12:00:00Z");
const UNAVAILABLE = new Problem(503, { code: "unavailable" });

beforeEach(() => vi.useFakeTimers({ now: NOON }));

/** A query of whatever `ask` names. Every question waits in `asked` until a test answers it. */
function setUp() {
  const asked: Asked[] = [];
  const notice = vi.fn((failure: Failure) => failure);
  const [what, ask] = createSignal("first");
  const { query, dispose } = createRoot(dispose => {
    const read = (signal: AbortSignal) => {
      const answer = { ...Promise.withResolvers<string>(), what: what(), signal };
      asked.push(answer);
      return answer.promise;
    };
    return { query: createServerQuery(read, notice), dispose };
  });
  const at = (index: number) => asked[index] as Asked;
  const shown = () => [query.data(), query.isLoading(), query.failure()?.kind];
  return { query, dispose, ask, asked, at, shown, notice };
}

/** Everything that was answered has arrived. */
const settle = () => vi.advanceTimersByTimeAsync(0);

test("an answer comes with its time", async () => {
  const { query, at, shown } = setUp();
  expect([...shown(), query.updatedAt()]).toEqual([undefined, true, undefined, undefined]);
  at(0).resolve("answer");
  await settle();
  expect([...shown(), query.updatedAt()]).toEqual(["answer", false, undefined, NOON]);
});

describe("another question", () => {
  test("is asked when what it looks at has changed, and not otherwise", () => {
    const { ask, asked } = setUp();
    ask("second");
    ask("second");
    expect(asked.map(({ what }) => what)).toEqual(["first", "second"]);
  });

  test("gives up the one before, whose answer is dropped whenever it comes", async () => {
    const { at, ask, shown } = setUp();
    ask("second");
    expect([at(0).signal.aborted, at(1).signal.aborted]).toEqual([true, false]);
    at(0).resolve("early");
    await settle();
    expect(shown()).toEqual([undefined, true, undefined]);
    at(1).resolve("second answer");
    await settle();
    ask("third");
    ask("fourth");
    at(3).resolve("fourth answer");
    await settle();
    at(2).resolve("late");
    await settle();
    expect(shown()).toEqual(["fourth answer", false, undefined]);
  });

  test("is not bothered by a failure of the one before", async () => {
    const { at, ask, shown, notice } = setUp();
    ask("second");
    at(0).reject(UNAVAILABLE);
    await settle();
    expect(shown()).toEqual([undefined, true, undefined]);
    expect(notice).not.toHaveBeenCalled();
  });

  test("leaves the last good answer and its time until it is answered", async () => {
    const { query, at, ask, shown } = setUp();
    at(0).resolve("answer");
    await settle();
    await vi.advanceTimersByTimeAsync(60_000);
    ask("second");
    expect([...shown(), query.updatedAt()]).toEqual(["answer", true, undefined, NOON]);
    at(1).resolve("second answer");
    await settle();
    expect([...shown(), query.updatedAt()?.toISOString()]).toEqual([
      "second answer",
      false,
      undefined,
      "2026-11-22T12:01:00.000Z",
    ]);
  });
});

describe("a failure", () => {
  test("is told, and noticed once", async () => {
    const { at, shown, notice } = setUp();
    at(0).reject(UNAVAILABLE);
    await settle();
    expect(shown()).toEqual([undefined, false, "unavailable"]);
    expect(notice).toHaveBeenCalledOnce();
  });

  test("keeps the last good answer and its time", async () => {
    const { query, at, shown } = setUp();
    at(0).resolve("answer");
    await settle();
    await vi.advanceTimersByTimeAsync(60_000);
    query.reload();
    at(1).reject(UNAVAILABLE);
    await settle();
    expect([...shown(), query.updatedAt()]).toEqual(["answer", false, "unavailable", NOON]);
  });

  test("is forgotten as soon as the same is asked again", async () => {
    const { query, asked, at, shown } = setUp();
    at(0).reject(UNAVAILABLE);
    await settle();
    query.reload();
    expect(shown()).toEqual([undefined, true, undefined]);
    at(1).resolve("answer");
    await settle();
    expect(asked.map(({ what }) => what)).toEqual(["first", "first"]);
    expect(shown()).toEqual(["answer", false, undefined]);
  });

  test("is not what a browser calls it when it gives up a request", async () => {
    const { at, shown, notice } = setUp();
    at(0).reject(new DOMException("The page is left", "AbortError"));
    await settle();
    expect(shown()[2]).toBeUndefined();
    expect(notice).not.toHaveBeenCalled();
  });
});

test("asked twice in a row, only the last request goes on", async () => {
  const { query, asked, at, shown } = setUp();
  query.reload();
  query.reload();
  expect(asked.map(({ signal }) => signal.aborted)).toEqual([true, true, false]);
  at(2).resolve("answer");
  await settle();
  expect(shown()).toEqual(["answer", false, undefined]);
});

test("a page that is left gives up its request, and hears of no answer or failure", async () => {
  const answered = setUp();
  answered.dispose();
  expect(answered.at(0).signal.aborted).toBe(true);
  answered.at(0).resolve("answer");
  const failed = setUp();
  failed.dispose();
  failed.at(0).reject(UNAVAILABLE);
  await settle();
  expect(answered.query.data()).toBeUndefined();
  expect(failed.query.failure()).toBeUndefined();
  expect(failed.notice).not.toHaveBeenCalled();
});

test("a page that is hidden or clicked on asks nothing by itself", async () => {
  const { asked, at } = setUp();
  at(0).resolve("answer");
  await settle();
  document.dispatchEvent(new Event("visibilitychange"));
  document.body.click();
  await vi.advanceTimersByTimeAsync(3_600_000);
  expect(asked).toHaveLength(1);
});
