/** A list that is read page by page, each behind the one before. */

import { type Accessor, createEffect, createMemo, createSignal, on } from "solid-js";
import { type Failure, failureOf } from "../state/failure";
import { createServerQuery, type ServerQuery } from "./create-query";

interface Page<Item> {
  items: Item[];
  next_cursor: string | null;
}

export interface Pages<Item, P> {
  /** The first page; a new one takes the place of all. */
  query: ServerQuery<P>;
  items: Accessor<Item[]>;
  hasMore: Accessor<boolean>;
  isLoadingMore: Accessor<boolean>;
  loadMore(): Promise<void>;
}

export function createPages<Item, P extends Page<Item>>(
  read: (cursor: string | undefined, signal: AbortSignal) => Promise<P & Page<Item>>,
  notice: (failure: Failure) => Failure,
): Pages<Item, P> {
  const query = createServerQuery(signal => read(undefined, signal), notice);
  const [more, setMore] = createSignal<Page<Item>[]>([]);
  const [isLoadingMore, setLoadingMore] = createSignal(false);

  createEffect(on(query.data, () => setMore([])));

  const items = createMemo(() => [query.data(), ...more()].flatMap(page => page?.items ?? []));
  const cursor = () => (more().at(-1) ?? query.data())?.next_cursor ?? undefined;

  return {
    query,
    items,
    hasMore: () => cursor() !== undefined,
    isLoadingMore,
    async loadMore() {
      const first = query.data();
      setLoadingMore(true);
      try {
        const page = await read(cursor(), new AbortController().signal);
        if (query.data() === first) setMore(pages => [...pages, page]);
      } catch (error) {
        notice(failureOf(error));
      } finally {
        setLoadingMore(false);
      }
    },
  };
}
