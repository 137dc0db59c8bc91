/** The list of threads: newest first, searched on the server, deleted with a moment to think again. */

import { createStore, reconcile } from "solid-js/store";
import type { ChatApi, Thread, ThreadPage } from "../api/chat-api";
import { type Failure, failureOf } from "./failure";

const UNDO_MS = 6_000;

interface State {
  threads: Thread[];
  nextCursor: string | undefined;
  words: string;
  isLoading: boolean;
  failure: Failure | undefined;
}

export interface ThreadList {
  readonly threads: readonly Thread[];
  readonly words: string;
  readonly hasMore: boolean;
  readonly isLoading: boolean;
  readonly failure: Failure | undefined;
  reload(): Promise<void>;
  loadMore(): Promise<void>;
  search(words: string): Promise<void>;
  /** Shows a thread as it is now: at the top if it is new or was used. */
  show(thread: Thread): void;
  rename(threadId: string, title: string): Promise<void>;
  /** Takes the thread off the list; it is deleted unless `undo` is called in time. */
  remove(thread: Thread): { undo: () => void };
  find(threadId: string): Thread | undefined;
}

export function createThreadList(
  api: ChatApi,
  notice: (failure: Failure) => Failure,
  onDeleted: (threadId: string) => void,
): ThreadList {
  const [state, setState] = createStore<State>({
    threads: [],
    nextCursor: undefined,
    words: "",
    isLoading: true,
    failure: undefined,
  });
  const leaving = new Map<string, () => void>();
  let latest = 0;

  addEventListener("pagehide", () => {
    for (const deleteNow of leaving.values()) deleteNow();
  });

  /**
   * Reads the page behind `cursor`; without one, the first. With `keepsMore`, what was read behind the first page
   * stays. A later request makes an earlier one's answer worthless.
   */
  async function load(cursor: string | undefined, { keepsMore = false } = {}): Promise<void> {
    const mine = ++latest;
    setState({ isLoading: true, failure: undefined });
    try {
      const words = state.words === "" ? {} : { words: state.words };
      const page = await api.listThreads({ ...words, ...(cursor === undefined ? {} : { cursor }) });
      if (mine !== latest) return;
      const before = cursor === undefined ? [] : state.threads;
      const beyond = keepsMore ? behind(page, state.threads) : [];
      const threads = withoutRepeats([...before, ...page.items, ...beyond]);
      setThreads(threads.filter(thread => !leaving.has(thread.id)));
      if (beyond.length === 0) setState({ nextCursor: page.next_cursor ?? undefined });
      setState({ isLoading: false });
    } catch (error) {
      if (mine === latest) setState({ isLoading: false, failure: notice(failureOf(error)) });
    }
  }

  const setThreads = (threads: Thread[]) => setState("threads", reconcile(threads, { key: "id" }));

  return {
    get threads() {
      return state.threads;
    },
    get words() {
      return state.words;
    },
    get hasMore() {
      return state.nextCursor !== undefined;
    },
    get isLoading() {
      return state.isLoading;
    },
    get failure() {
      return state.failure;
    },
    find: threadId => state.threads.find(thread => thread.id === threadId),
    reload: () => load(undefined, { keepsMore: true }),
    async loadMore() {
      if (state.nextCursor !== undefined && !state.isLoading) await load(state.nextCursor);
    },
    async search(words) {
      setState("words", words);
      await load(undefined);
    },
    show(thread) {
      if (state.words !== "" || leaving.has(thread.id)) return;
      setThreads(inOrder([thread, ...state.threads]));
    },
    async rename(threadId, title) {
      const before = state.threads.find(thread => thread.id === threadId)?.title ?? "";
      setState("threads", thread => thread.id === threadId, "title", title);
      try {
        await api.renameThread(threadId, title);
      } catch (error) {
        setState("threads", thread => thread.id === threadId, "title", before);
        notice(failureOf(error));
        throw error;
      }
    },
    remove(thread) {
      const deleteNow = () => {
        clearTimeout(timer);
        leaving.delete(thread.id);
        onDeleted(thread.id);
        // If this fails the thread is simply there again, the next time that the list is read.
        api.deleteThread(thread.id).catch(error => notice(failureOf(error)));
      };
      const timer = setTimeout(deleteNow, UNDO_MS);
      leaving.set(thread.id, deleteNow);
      setThreads(state.threads.filter(other => other.id !== thread.id));
      return {
        undo() {
          if (!leaving.delete(thread.id)) return;
          clearTimeout(timer);
          setThreads(inOrder([thread, ...state.threads]));
        },
      };
    },
  };
}

/** Those of the known threads that come after the page. */
function behind({ items, next_cursor: cursor }: ThreadPage, known: readonly Thread[]): Thread[] {
  const last = items.at(-1);
  if (!last || cursor === null) return [];
  return known.filter(thread => thread.updated_at < last.updated_at);
}

/** The first of a thread wins. */
function withoutRepeats(threads: readonly Thread[]): Thread[] {
  const seen = new Set<string>();
  return threads.filter(thread => !seen.has(thread.id) && seen.add(thread.id));
}

function inOrder(threads: readonly Thread[]): Thread[] {
  return withoutRepeats(threads).sort((a, b) => b.updated_at.localeCompare(a.updated_at));
}
