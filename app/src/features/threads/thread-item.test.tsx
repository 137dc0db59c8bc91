// @vitest-environment jsdom
import { fireEvent, screen } from "@solidjs/testing-library";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { Problem } from "../../api/problem";
import { fakeBrowser, renderInApp } from "../render-app";
import { ThreadItem } from "./thread-item";

beforeEach(() => fakeBrowser());

const THREAD = { id: "t_1", title: "A title", created_at: "", updated_at: "" };

function setUp(rename: () => Promise<void> = vi.fn(() => Promise.resolve()), isCurrent = true) {
  const undo = vi.fn();
  const threads = { rename, remove: vi.fn(() => ({ undo })) };
  const { app } = renderInApp(() => <ThreadItem thread={THREAD} isCurrent={isCurrent} onOpened={() => undefined} />, {
    threads,
  });
  return { app, threads, undo };
}

describe("renaming", () => {
  const begin = () => {
    fireEvent.click(screen.getByText("Rename"));
    return screen.getByLabelText<HTMLInputElement>("New name of the chat");
  };

  test("ends with Enter", () => {
    const { threads } = setUp();
    const field = begin();
    field.value = " Another ";
    fireEvent.keyDown(field, { key: "Enter" });
    expect(threads.rename).toHaveBeenCalledExactlyOnceWith("t_1", "Another");
    expect(screen.getByText("A title")).toBeTruthy();
  });

  test.each([{ isComposing: true }, { keyCode: 229 }])("waits for the end of a composition: %o", keys => {
    const { threads } = setUp();
    const field = begin();
    field.value = "Another";
    fireEvent.keyDown(field, { key: "Enter", ...keys });
    expect(threads.rename).not.toHaveBeenCalled();
  });

  test("is given up with Escape, which stops nothing else", () => {
    const { threads } = setUp();
    const field = begin();
    field.value = "Another";
    const isLeft = fireEvent.keyDown(field, { key: "Escape" });
    expect(isLeft).toBe(false);
    expect(threads.rename).not.toHaveBeenCalled();
  });

  test("that fails says why", async () => {
    setUp(() => Promise.reject(new Problem(404, { code: "not_found" })));
    const field = begin();
    field.value = "Another";
    fireEvent.keyDown(field, { key: "Enter" });
    expect(await screen.findByText("This does not exist, or it is not yours.")).toBeTruthy();
  });
});

test("deleting the thread that is shown goes to a new one, and can be undone", () => {
  const { app, threads, undo } = setUp();
  fireEvent.click(screen.getByText("Delete"));
  expect(threads.remove).toHaveBeenCalledExactlyOnceWith(THREAD);
  expect(app.navigation.go).toHaveBeenCalledExactlyOnceWith("/");
  fireEvent.click(screen.getByText("Undo"));
  expect(undo).toHaveBeenCalledOnce();
});

test("deleting another one leaves the place alone", () => {
  const { app } = setUp(undefined, false);
  fireEvent.click(screen.getByText("Delete"));
  expect(app.navigation.go).not.toHaveBeenCalled();
});
