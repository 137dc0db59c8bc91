/** A list that is read page by page, each behind the one before. */

import { type Accessor, createEffect, createSignal, on, onCleanup, untrack } from "solid-js";
import { type Failure, failureOf, isAbort } from "../state/failure";
import { createServerQuery, type ServerQuery } from "./create-query";

interface Page<Item> {
  items: Item[];
  next_cursor: string | null;
}

/** How many pages are shown. */
export interface Depth {
  get: Accessor<number>;
  set(pages: number): void;
}

export interface Pages<P> {
  /** All pages as one. */
  query: ServerQuery<P>;
  hasMore: Accessor<boolean>;
  isLoadingMore: Accessor<boolean>;
  /** Why there are not more, if they were asked for in vain. */
  moreFailure: Accessor<Failure | undefined>;
  loadMore(): Promise<void>;
}

/** `read` is called with what it looks at tracked; another depth alone reads nothing anew. */
export function createPages<Item, P extends Page<Item>>(
  read: (cursor: string | undefined, signal: AbortSignal) => Promise<P & Page<Item>>,
  notice: (failure: Failure) => Failure,
  depth: Depth,
): Pages<P & Page<Item>> {
  type Whole = P & Page<Item>;
  const append = (whole: Whole, page: Whole): Whole => ({
    ...whole,
    items: [...whole.items, ...page.items],
    next_cursor: page.next_cursor,
  });
  const first = createServerQuery(async signal => {
    let whole = await read(undefined, signal);
    const pages = untrack(depth.get);
    for (let count = 1; count < pages && whole.next_cursor !== null; count++) {
      whole = append(whole, await read(whole.next_cursor, signal));
    }
    return whole;
  }, notice);

  const [whole, setWhole] = createSignal<Whole>();
  const [isLoadingMore, setLoadingMore] = createSignal(false);
  const [moreFailure, setMoreFailure] = createSignal<Failure>();
  let controller = new AbortController();
  onCleanup(() => controller.abort());
  createEffect(on(first.data, answer => setWhole(() => answer)));
  createEffect(
    on(first.isLoading, () => {
      controller.abort();
      setLoadingMore(false);
      setMoreFailure(undefined);
    }),
  );

  /** What is shown answers what is asked now: a cursor leads on in its own list only. */
  const isCurrent = () => !first.isLoading() && !first.failure();

  async function loadMore(): Promise<void> {
    const shown = whole();
    if (!shown || shown.next_cursor === null || isLoadingMore() || !isCurrent()) return;
    controller = new AbortController();
    const { signal } = controller;
    setLoadingMore(true);
    setMoreFailure(undefined);
    try {
      const page = await read(shown.next_cursor, signal);
      if (signal.aborted) return;
      setWhole(() => append(shown, page));
      depth.set(depth.get() + 1);
      setLoadingMore(false);
    } catch (error) {
      if (signal.aborted || isAbort(error)) return;
      setMoreFailure(notice(failureOf(error)));
      setLoadingMore(false);
    }
  }

  return {
    query: { ...first, data: () => whole() ?? first.data() },
    hasMore: () => !first.failure() && (whole()?.next_cursor ?? null) !== null,
    isLoadingMore,
    moreFailure,
    loadMore,
  };
}
