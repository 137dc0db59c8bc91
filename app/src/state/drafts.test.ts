// @vitest-environment jsdom
import { beforeEach, expect, test } from "vitest";
import { makeDrafts } from "./drafts";

let ids = 0;
let user = "u1";
/** Each one stands for the page after a reload. */
const drafts = () => makeDrafts(sessionStorage, () => user, () => `c-${++ids}`);

beforeEach(() => {
  sessionStorage.clear();
  ids = 0;
  user = "u1";
});

test("a draft survives a reload, one for each thread", () => {
  drafts().write("t_1", "half a thought");
  drafts().write("t_2", "another");
  expect(drafts().read("t_1")).toBe("half a thought");
  expect(drafts().read("t_3")).toBe("");
});

test("what was sent is there again after a reload, until the server has it", () => {
  drafts().markSent("t_1", "hello");
  drafts().write("t_1", "and another thing");
  expect(drafts().read("t_1")).toBe("hello\n\nand another thing");
  drafts().forgetSent("t_1");
  expect(drafts().read("t_1")).toBe("and another thing");
  expect(drafts().sentId("t_1")).toBeUndefined();
});

test("what the server did not take comes back before what was typed since", () => {
  drafts().markSent("t_1", "hello");
  drafts().write("t_1", "more");
  expect(drafts().giveBack("t_1")).toBe("hello\n\nmore");
  expect(drafts().read("t_1")).toBe("hello\n\nmore");
});

test("the same text is sent again under the same id, also after a reload", () => {
  const first = drafts().markSent("t_1", "hello");
  expect(drafts().giveBack("t_1")).toBe("hello");
  drafts().write("t_1", "hello");
  expect(drafts().markSent("t_1", "hello")).toBe(first);
});

test("another text is another message", () => {
  const first = drafts().markSent("t_1", "hello");
  drafts().giveBack("t_1");
  expect(drafts().markSent("t_1", "hello you")).not.toBe(first);
  drafts().forgetSent("t_1");
  expect(drafts().markSent("t_1", "hello")).not.toBe(first);
});

test("what the server has taken, and what was wiped out, is forgotten", () => {
  drafts().markSent("t_1", "hello");
  drafts().forgetSent("t_1");
  drafts().markSent("t_2", "hello");
  drafts().giveBack("t_2");
  drafts().write("t_2", "");
  expect(drafts().read("t_1") + drafts().read("t_2")).toBe("");
  expect(sessionStorage.length).toBe(0);
});

test("storage that holds nonsense does no harm", () => {
  sessionStorage.setItem("draft:u1:t_1", "{nonsense");
  expect(drafts().read("t_1")).toBe("");
});

test("what storage has no room for is lost with the page, but not before", () => {
  const full = {
    getItem: () => null,
    removeItem: () => undefined,
    setItem: () => {
      throw new Error("full");
    },
  };
  const open = makeDrafts(full as unknown as Storage, () => user);
  const id = open.markSent("t_1", "hello");
  open.write("t_1", "more");
  expect(open.sentId("t_1")).toBe(id);
  expect(open.giveBack("t_1")).toBe("hello\n\nmore");
  open.forgetSent("t_1");
  expect(open.read("t_1")).toBe("more");
  open.write("t_1", "");
  expect(open.read("t_1")).toBe("");
});

test("while a text is being sent, the field holds only what was typed since", () => {
  const open = drafts();
  open.markSent("t_1", "hello");
  open.write("t_1", "more");
  expect(open.read("t_1")).toBe("more");
  open.forgetSent("t_1");
  expect(open.read("t_1")).toBe("more");
});

test("what came back after a reload can be deleted", () => {
  drafts().markSent("t_1", "hello");
  const reloaded = drafts();
  expect(reloaded.read("t_1")).toBe("hello");
  reloaded.write("t_1", "");
  expect(drafts().read("t_1")).toBe("");
});

test("a text that was given back although it had arrived leaves the field again", () => {
  drafts().markSent("t_1", "hello");
  drafts().giveBack("t_1");
  drafts().forgetSent("t_1");
  expect(drafts().read("t_1")).toBe("");
});

test("another person in the same browser does not see them", () => {
  drafts().write("new", "for my eyes");
  user = "u2";
  expect(drafts().read("new")).toBe("");
});
