// @vitest-environment jsdom
import { createRoot, createSignal } from "solid-js";
import { describe, expect, test, vi } from "vitest";
import { Problem } from "../api/problem";
import type { Failure } from "../state/failure";
import { createPages } from "./create-pages";

interface NumberPage {
  items: number[];
  next_cursor: string | null;
  total: number;
}

interface Asked extends PromiseWithResolvers<NumberPage> {
  filter: string;
  cursor: string | undefined;
  signal: AbortSignal;
}

const UNAVAILABLE = new Problem(503, { code: "unavailable" });
const FIRST: NumberPage = { items: [1, 2], next_cursor: "2", total: 5 };
const SECOND: NumberPage = { items: [3, 4], next_cursor: "4", total: 5 };
const LAST: NumberPage = { items: [5], next_cursor: null, total: 5 };

/** Everything that was answered has arrived. */
const settle = () => new Promise(resolve => setTimeout(resolve));

/** A list whose questions wait in `asked` until a test answers them. */
function setUp({ depth = 1 } = {}) {
  const asked: Asked[] = [];
  const notice = vi.fn((failure: Failure) => failure);
  const [filter, setFilter] = createSignal("all");
  const [pagesShown, setPagesShown] = createSignal(depth);
  const { pages, dispose } = createRoot(dispose => {
    const read = (cursor: string | undefined, signal: AbortSignal) => {
      const answer = { ...Promise.withResolvers<NumberPage>(), filter: filter(), cursor, signal };
      asked.push(answer);
      return answer.promise;
    };
    return { pages: createPages(read, notice, { get: pagesShown, set: setPagesShown }), dispose };
  });
  const answer = async (index: number, page: NumberPage) => {
    asked[index]?.resolve(page);
    await settle();
  };
  const refuse = async (index: number) => {
    asked[index]?.reject(UNAVAILABLE);
    await settle();
  };
  const questions = () => asked.map(({ filter, cursor }) => [filter, cursor]);
  const rows = () => pages.query.data()?.items;
  return { pages, dispose, asked, answer, refuse, questions, rows, setFilter, pagesShown, setPagesShown, notice };
}

/** A list of which two pages are shown. */
async function setUpTwoPages() {
  const list = setUp();
  await list.answer(0, FIRST);
  void list.pages.loadMore();
  await list.answer(1, SECOND);
  return list;
}

test("each page is asked for by the cursor of the one before, up to the end", async () => {
  const { pages, answer, questions, rows, pagesShown } = await setUpTwoPages();
  expect([rows(), pages.hasMore(), pagesShown()]).toEqual([[1, 2, 3, 4], true, 2]);
  void pages.loadMore();
  expect([rows(), pages.isLoadingMore()]).toEqual([[1, 2, 3, 4], true]);
  await answer(2, LAST);
  expect([rows(), pages.isLoadingMore(), pages.hasMore(), pagesShown()]).toEqual([[1, 2, 3, 4, 5], false, false, 3]);
  await pages.loadMore();
  expect(questions()).toEqual([
    ["all", undefined],
    ["all", "2"],
    ["all", "4"],
  ]);
});

test("what a page says of the whole list stays with its rows", async () => {
  const { pages } = await setUpTwoPages();
  expect(pages.query.data()).toEqual({ items: [1, 2, 3, 4], next_cursor: "4", total: 5 });
});

test("a double click asks for one page", async () => {
  const { pages, answer, asked, rows } = setUp();
  await answer(0, FIRST);
  void pages.loadMore();
  void pages.loadMore();
  expect(asked).toHaveLength(2);
  await answer(1, SECOND);
  expect(rows()).toEqual([1, 2, 3, 4]);
});

test("there is nothing behind a first page that has not come", async () => {
  const { pages, asked } = setUp();
  await pages.loadMore();
  expect([pages.hasMore(), asked.length]).toEqual([false, 1]);
});

describe("a later page that fails", () => {
  test("leaves the rows before it, says why, and can be asked for again", async () => {
    const { pages, answer, refuse, questions, rows, pagesShown, notice } = await setUpTwoPages();
    void pages.loadMore();
    await refuse(2);
    expect([rows(), pagesShown()]).toEqual([[1, 2, 3, 4], 2]);
    expect([pages.moreFailure()?.kind, pages.isLoadingMore(), pages.hasMore()]).toEqual(["unavailable", false, true]);
    expect(pages.query.failure()).toBeUndefined();
    expect(notice).toHaveBeenCalledOnce();

    void pages.loadMore();
    expect(pages.moreFailure()).toBeUndefined();
    await answer(3, LAST);
    expect(rows()).toEqual([1, 2, 3, 4, 5]);
    expect(questions().slice(2)).toEqual([
      ["all", "4"],
      ["all", "4"],
    ]);
  });

  test("is forgotten with another filter", async () => {
    const { pages, refuse, setFilter } = await setUpTwoPages();
    void pages.loadMore();
    await refuse(2);
    setFilter("grants");
    expect(pages.moreFailure()).toBeUndefined();
  });
});

describe("another filter", () => {
  test("begins a new list, as deep as the address says", async () => {
    const { answer, questions, rows, setFilter, setPagesShown } = await setUpTwoPages();
    setPagesShown(1);
    setFilter("grants");
    await answer(2, { items: [7], next_cursor: "7", total: 2 });
    expect(rows()).toEqual([7]);
    expect(questions().slice(2)).toEqual([["grants", undefined]]);
  });

  test("leaves the rows of the one before until its own are there", async () => {
    const { pages, rows, setFilter } = await setUpTwoPages();
    setFilter("grants");
    expect([rows(), pages.query.isLoading()]).toEqual([[1, 2, 3, 4], true]);
  });

  test("gives up a page on its way, which is dropped", async () => {
    const { pages, asked, answer, rows, setFilter, pagesShown } = await setUpTwoPages();
    void pages.loadMore();
    setFilter("grants");
    expect([asked[2]?.signal.aborted, pages.isLoadingMore()]).toEqual([true, false]);
    await answer(3, { items: [7], next_cursor: null, total: 1 });
    await answer(2, LAST);
    expect([rows(), pagesShown()]).toEqual([[7], 2]);
  });

  test("is not bothered by a page of the one before that fails", async () => {
    const { pages, answer, refuse, setFilter, notice } = await setUpTwoPages();
    void pages.loadMore();
    setFilter("grants");
    await answer(3, { items: [7], next_cursor: null, total: 1 });
    await refuse(2);
    expect(pages.moreFailure()).toBeUndefined();
    expect(notice).not.toHaveBeenCalled();
  });

  test("mixes no rows of its own behind those of the one before", async () => {
    const { pages, questions, refuse, rows, setFilter } = await setUpTwoPages();
    setFilter("grants");
    await pages.loadMore();
    await refuse(2);
    expect([rows(), pages.query.failure()?.kind, pages.hasMore()]).toEqual([[1, 2, 3, 4], "unavailable", false]);
    await pages.loadMore();
    expect(questions().slice(2)).toEqual([["grants", undefined]]);
  });
});

describe("read anew", () => {
  test("the list is as long as it was", async () => {
    const { pages, answer, rows } = await setUpTwoPages();
    pages.query.reload();
    expect(rows()).toEqual([1, 2, 3, 4]);
    await answer(2, { items: [0, 1], next_cursor: "1", total: 6 });
    expect(rows()).toEqual([1, 2, 3, 4]);
    await answer(3, { items: [2, 3], next_cursor: "3", total: 6 });
    expect([rows(), pages.hasMore()]).toEqual([[0, 1, 2, 3], true]);
  });

  test("in vain, it is as it was, and may be read anew again", async () => {
    const { pages, answer, refuse, rows } = await setUpTwoPages();
    pages.query.reload();
    await answer(2, { items: [0, 1], next_cursor: "1", total: 6 });
    await refuse(3);
    expect([rows(), pages.query.failure()?.kind]).toEqual([[1, 2, 3, 4], "unavailable"]);
    pages.query.reload();
    await answer(4, LAST);
    expect([rows(), pages.query.failure(), pages.hasMore()]).toEqual([[5], undefined, false]);
  });
});

test("the address says how many pages are read, and another number reads nothing", async () => {
  const { answer, asked, rows, questions, setPagesShown } = setUp({ depth: 3 });
  await answer(0, FIRST);
  expect(rows()).toBeUndefined();
  await answer(1, LAST);
  expect(rows()).toEqual([1, 2, 5]);
  setPagesShown(1);
  await settle();
  expect(asked).toHaveLength(2);
  expect(questions()[1]).toEqual(["all", "2"]);
});

test("a page that is left gives up what is on its way, and counts it nowhere", async () => {
  const { pages, dispose, asked, answer, pagesShown } = await setUpTwoPages();
  void pages.loadMore();
  dispose();
  expect(asked[2]?.signal.aborted).toBe(true);
  await answer(2, LAST);
  expect(pagesShown()).toBe(2);
});
