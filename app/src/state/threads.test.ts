// @vitest-environment jsdom
import { beforeEach, describe, expect, test, vi } from "vitest";
import type { ChatApi, Thread, ThreadPage } from "../api/chat-api";
import { Problem } from "../api/problem";
import { createThreadList } from "./threads";

const thread = (id: string, day: number): Thread => ({
  id,
  title: id,
  created_at: "2026-11-01T10:00:00Z",
  updated_at: `2026-11-${String(day).padStart(2, "0")}T10:00:00Z`,
});

const FIRST: ThreadPage = { items: [thread("d", 22), thread("c", 21)], next_cursor: "2" };
const SECOND: ThreadPage = { items: [thread("b", 20), thread("a", 19)], next_cursor: null };

function setUp(changes: Partial<ChatApi> = {}) {
  const api = {
    listThreads: vi.fn<ChatApi["listThreads"]>(({ cursor }) => Promise.resolve(cursor ? SECOND : FIRST)),
    renameThread: vi.fn(() => Promise.resolve(thread("c", 22))),
    deleteThread: vi.fn(() => Promise.resolve()),
  };
  Object.assign(api, changes);
  const deleted: string[] = [];
  const list = createThreadList(
    api as unknown as ChatApi,
    failure => failure,
    id => deleted.push(id),
  );
  return { api, list, deleted, ids: () => list.threads.map(({ id }) => id) };
}

beforeEach(() => vi.useFakeTimers());

test("the list is read page by page, without repeats", async () => {
  const { list, ids } = setUp();
  await list.reload();
  expect([ids(), list.hasMore]).toEqual([["d", "c"], true]);
  await list.loadMore();
  expect([ids(), list.hasMore]).toEqual([["d", "c", "b", "a"], false]);
});

test("reading it anew keeps the pages behind the first one", async () => {
  const { list, ids, api } = setUp();
  await list.reload();
  await list.loadMore();
  const items = [thread("e", 23), thread("d", 22)];
  api.listThreads.mockResolvedValueOnce({ items, next_cursor: "2" });
  await list.reload();
  expect(ids()).toEqual(["e", "d", "c", "b", "a"]);
  expect(list.hasMore).toBe(false);
});

test("a thread that is gone from the first page is gone from the list", async () => {
  const { list, ids, api } = setUp();
  await list.reload();
  await list.loadMore();
  api.listThreads.mockResolvedValueOnce({ items: [thread("d", 22), thread("b", 20)], next_cursor: "2" });
  await list.reload();
  expect(ids()).toEqual(["d", "b", "a"]);
});

test("a search shows what the server finds and nothing else", async () => {
  const { list, ids, api } = setUp();
  await list.reload();
  api.listThreads.mockResolvedValueOnce({ items: [thread("x", 1)], next_cursor: null });
  await list.search("word");
  expect(api.listThreads).toHaveBeenLastCalledWith({ words: "word" });
  expect(ids()).toEqual(["x"]);
});

test("the answer to an earlier search does not replace a later one's", async () => {
  const slow = Promise.withResolvers<ThreadPage>();
  const { list, ids, api } = setUp();
  api.listThreads.mockReturnValueOnce(slow.promise);
  const first = list.search("w");
  await list.search("wo");
  slow.resolve({ items: [thread("x", 1)], next_cursor: null });
  await first;
  expect(ids()).toEqual(["d", "c"]);
});

test("a thread that is used moves to the top", async () => {
  const { list, ids } = setUp();
  await list.reload();
  list.show(thread("c", 25));
  expect(ids()).toEqual(["c", "d"]);
});

test("a name that the server refuses is taken back", async () => {
  const problem = new Problem(503, { code: "unavailable" });
  const { list } = setUp({ renameThread: () => Promise.reject(problem) });
  await list.reload();
  await expect(list.rename("c", "Another")).rejects.toBe(problem);
  expect(list.find("c")?.title).toBe("c");
});

describe("deleting", () => {
  test("waits for second thoughts", async () => {
    const { list, ids, api, deleted } = setUp();
    await list.reload();
    list.remove(thread("c", 21)).undo();
    vi.runAllTimers();
    expect(ids()).toEqual(["d", "c"]);
    expect(api.deleteThread).not.toHaveBeenCalled();
    list.remove(thread("c", 21));
    expect(ids()).toEqual(["d"]);
    await list.reload();
    expect(ids()).toEqual(["d"]);
    vi.runAllTimers();
    expect(api.deleteThread).toHaveBeenCalledExactlyOnceWith("c");
    expect(deleted).toEqual(["c"]);
  });

  test("does not wait when the page is left", async () => {
    const { list, api } = setUp();
    await list.reload();
    list.remove(thread("c", 21));
    dispatchEvent(new Event("pagehide"));
    expect(api.deleteThread).toHaveBeenCalledExactlyOnceWith("c");
  });
});
