/** What a page reads from the server, with everything that a page has to say about it. */

import { type Accessor, createEffect, createSignal, onCleanup } from "solid-js";
import { type Failure, failureOf, isAbort } from "../state/failure";

export interface ServerQuery<T> {
  /** The last good answer. It stays while another one is on its way, so that a page does not blink. */
  data: Accessor<T | undefined>;
  isLoading: Accessor<boolean>;
  failure: Accessor<Failure | undefined>;
  /** When `data` came. */
  updatedAt: Accessor<Date | undefined>;
  reload(): void;
}

/**
 * Reads whenever what `read` looks at changes. An answer that comes after a later question was asked is
 * dropped, and its request is aborted.
 */
export function createServerQuery<T>(
  read: (signal: AbortSignal) => Promise<T>,
  notice: (failure: Failure) => Failure,
): ServerQuery<T> {
  const [data, setData] = createSignal<T>();
  const [isLoading, setLoading] = createSignal(true);
  const [failure, setFailure] = createSignal<Failure>();
  const [updatedAt, setUpdatedAt] = createSignal<Date>();
  const [round, setRound] = createSignal(0);

  createEffect(() => {
    round();
    const controller = new AbortController();
    onCleanup(() => controller.abort());
    setLoading(true);
    setFailure(undefined);
    read(controller.signal).then(
      answer => {
        if (controller.signal.aborted) return;
        setData(() => answer);
        setUpdatedAt(new Date());
        setLoading(false);
      },
      error => {
        if (controller.signal.aborted || isAbort(error)) return;
        setFailure(notice(failureOf(error)));
        setLoading(false);
      },
    );
  });

  return { data, isLoading, failure, updatedAt, reload: () => setRound(number => number + 1) };
}
