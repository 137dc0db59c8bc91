// @vitest-environment jsdom
import { fireEvent, screen } from "@solidjs/testing-library";
import { createSignal } from "solid-js";
import { beforeEach, expect, test, vi } from "vitest";
import { fakeBrowser, renderInApp } from "../features/render-app";
import type { Failure } from "../state/failure";
import type { Pages } from "./create-pages";
import { ShowMore, useDepth } from "./show-more";

beforeEach(() => fakeBrowser());

function setUp({ hasMore = true } = {}) {
  const [isLoading, setLoading] = createSignal(false);
  const [isLoadingMore, setLoadingMore] = createSignal(false);
  const [moreFailure, setMoreFailure] = createSignal<Failure>();
  const loadMore = vi.fn(() => Promise.resolve());
  const query = { isLoading };
  const pages = { query, hasMore: () => hasMore, isLoadingMore, moreFailure, loadMore };
  renderInApp(() => <ShowMore pages={pages as unknown as Pages<unknown>} />);
  return { setLoading, setLoadingMore, setMoreFailure, loadMore, button: screen.queryByRole<HTMLButtonElement>("button") };
}

test("more is asked for with a click", () => {
  const { button, loadMore } = setUp();
  fireEvent.click(screen.getByText("Show more"));
  expect([button?.disabled, loadMore.mock.calls.length]).toEqual([false, 1]);
});

test("while more is on its way, or the list is read anew, it cannot be asked for", () => {
  const { button, setLoading, setLoadingMore } = setUp();
  setLoadingMore(true);
  expect([button?.disabled, button?.textContent]).toEqual([true, "Loading"]);
  setLoadingMore(false);
  setLoading(true);
  expect([button?.disabled, button?.textContent]).toEqual([true, "Show more"]);
  setLoading(false);
  expect(button?.disabled).toBe(false);
});

test("what could not be loaded says why, and the button stays", () => {
  const { button, setMoreFailure } = setUp();
  setMoreFailure({ kind: "unavailable", retryAfterS: undefined });
  expect(screen.getByRole("alert").textContent).toMatch(/^No more could be loaded\. The server is not available/);
  expect(button?.disabled).toBe(false);
});

test("at the end there is no button", () => {
  expect(setUp({ hasMore: false }).button).toBeNull();
});

test.each([
  ["", 1],
  ["3", 3],
  ["2.9", 2],
  ["0", 1],
  ["-5", 1],
  ["many", 1],
  ["1000", 20],
])("an address with pages=%s asks for %i", (pages, depth) => {
  const setQuery = vi.fn();
  const navigation = { query: () => new URLSearchParams({ pages }), setQuery };
  let asked: number | undefined;
  renderInApp(
    () => {
      const { get, set } = useDepth();
      asked = get();
      set(4);
      return null;
    },
    { navigation },
  );
  expect(asked).toBe(depth);
  expect(setQuery).toHaveBeenCalledExactlyOnceWith({ pages: "4" }, { replace: true });
});
