/** The threads that are open in this tab: what they say, and the runs that are followed. */

import { batch } from "solid-js";
import { createStore, reconcile, unwrap } from "solid-js/store";
import type { ChatApi, MessagePage, MessagePlace, Thread } from "../api/chat-api";
import { backoffMs, pause } from "../stream/backoff";
import { followRun } from "../stream/follow-run";
import type { Forecast, RunEvent } from "../stream/run-event";
import { applyRunEvent } from "./apply-run-event";
import { type ChosenVersions, placeOf } from "./branch";
import {
  type Exchange,
  exchangesOf,
  isActive,
  isConnected,
  mergeExchanges,
  newExchange,
  wasRead,
} from "./conversation";
import { type Failure, failureOf, isAbort } from "./failure";

/** After a run, only its own exchange is of interest, and one before for good measure. */
const LATEST = 2;

export interface Conversation {
  status: "loading" | "ready" | "failed";
  failure: Failure | undefined;
  /** All that is known of the thread, in the order in which it was asked, versions too. */
  exchanges: Exchange[];
  chosen: ChosenVersions;
  olderCursor: string | undefined;
  isLoadingOlder: boolean;
  /** The answer goes on, but there is no connection to read it by. */
  isLinkLost: boolean;
  isStopping: boolean;
}

export interface Conversations {
  get(threadId: string): Conversation | undefined;
  /** Reads a thread, or brings it up to date, and follows the answer that is being written. */
  open(threadId: string): Promise<void>;
  loadOlder(threadId: string): Promise<void>;
  /**
   * Sends a message. Resolves as soon as the server has taken it; the answer comes by itself.
   * Otherwise resolves with the reason, and nothing of the message is left on the screen. What the thread shows
   * already under this id was taken before, and is not sent again.
   */
  ask(threadId: string, text: string, clientMessageId: string, where?: Where): Promise<Failure | undefined>;
  /** Shows this version of a question, with what came after it. */
  choose(threadId: string, version: Exchange): void;
  /** Ends the answer as soon as its run has a name, or gives up sending while there is no connection. */
  stop(threadId: string): Promise<void>;
  setFlag(threadId: string, exchangeKey: string, flag: FlagChange): Promise<void>;
  /** Stops following what is going on in a thread; what the server does goes on. */
  leave(threadId: string): void;
}

/** An exchange that a new one takes the place of, or that it stands behind. */
export interface Where {
  instead?: Exchange;
  behind?: Exchange;
}

export interface FlagChange {
  part: "question" | "answer";
  flag: { reasons: string[]; note: string | null } | undefined;
}

export interface ConversationEvents {
  onThread(thread: Thread): void;
  onForecast(forecast: Forecast): void;
  /** An answer came to its end in this tab. */
  onAnswered(threadId: string): void;
  notice(failure: Failure): Failure;
  /** What somebody wanted did not happen, and nothing on the screen says so. */
  onFailed(failure: Failure): void;
}

const NOTHING_YET: Conversation = {
  status: "loading",
  failure: undefined,
  exchanges: [],
  chosen: {},
  olderCursor: undefined,
  isLoadingOlder: false,
  isLinkLost: false,
  isStopping: false,
};

export function createConversations(api: ChatApi, events: ConversationEvents): Conversations {
  const [store, setStore] = createStore<Record<string, Conversation>>({});
  const followed = new Map<string, AbortController>();

  const exchangesIn = (threadId: string): Exchange[] => unwrap(store[threadId]?.exchanges) ?? [];
  const activeIn = (threadId: string) => exchangesIn(threadId).findLast(isActive);

  function ensure(threadId: string): void {
    if (!store[threadId]) setStore(threadId, { ...NOTHING_YET, exchanges: [] });
  }

  function setExchanges(threadId: string, exchanges: Exchange[]): void {
    setStore(threadId, "exchanges", reconcile(exchanges, { key: "key" }));
  }

  /** Whether something may be missing between what is shown and the newest page of its thread. */
  function leavesGap({ thread, next_cursor: cursor }: MessagePage): boolean {
    return cursor !== null && !isConnected(exchangesIn(thread.id), exchangesOf(thread.messages));
  }

  /** Shows a page: the newest one of its thread, or the one that goes before what is shown. */
  function take(page: MessagePage, { isOlder = false } = {}): void {
    const { messages, ...thread } = page.thread;
    batch(() => {
      ensure(thread.id);
      const isNewBeginning = !isOlder && leavesGap(page);
      const shown = exchangesIn(thread.id);
      // What stands before a gap is read again as an older page.
      const kept = isNewBeginning ? shown.filter(exchange => !wasRead(exchange)) : shown;
      setExchanges(thread.id, mergeExchanges(kept, exchangesOf(messages)));
      setStore(thread.id, { status: "ready", failure: undefined });
      if (isOlder || isNewBeginning) setStore(thread.id, { olderCursor: page.next_cursor ?? undefined });
    });
    if (messages.length > 0) events.onThread(thread);
  }

  function apply(threadId: string, key: string, received: RunEvent[]): void {
    const index = exchangesIn(threadId).findIndex(exchange => exchange.key === key);
    const before = exchangesIn(threadId)[index];
    if (!before) return;
    const after = received.reduce(applyRunEvent, before);
    batch(() => {
      setStore(threadId, "exchanges", index, "runId", after.runId);
      setStore(threadId, "exchanges", index, "question", { ...after.question });
      setStore(threadId, "exchanges", index, "answer", { ...after.answer });
    });
    for (const event of received) {
      if (event.kind === "usage" && event.forecast) events.onForecast(event.forecast);
      if (event.kind === "done") events.onAnswered(threadId);
    }
  }

  function nameRun(threadId: string, key: string, runId: string): void {
    const isNew = (exchange: Exchange) => exchange.key === key && exchange.runId === undefined;
    if (!exchangesIn(threadId).some(isNew)) return;
    setStore(threadId, "exchanges", isNew, "runId", runId);
    if (store[threadId]?.isStopping) void cancel(threadId, runId);
  }

  async function cancel(threadId: string, runId: string): Promise<void> {
    try {
      await api.cancelRun(runId);
    } catch (error) {
      setStore(threadId, "isStopping", false);
      events.onFailed(events.notice(failureOf(error)));
    }
  }

  /** Follows one exchange until its answer has an end and is as the server has stored it. */
  async function follow(
    threadId: string,
    key: string,
    sending?: { text: string; place: MessagePlace | undefined; onAccepted: () => void },
  ): Promise<void> {
    const controller = new AbortController();
    followed.get(threadId)?.abort();
    followed.set(threadId, controller);
    const { signal } = controller;
    const find = () => exchangesIn(threadId).find(exchange => exchange.key === key);
    try {
      for (let round = 0; find() && isActiveNow(find()); round++) {
        if (round > 0) await pause(backoffMs(round), signal);
        const runId = find()?.runId;
        await followRun({
          ...(sending && {
            send: (each: AbortSignal) =>
              api.sendMessage(
                {
                  threadId,
                  text: sending.text,
                  clientMessageId: key,
                  ...(sending.place && { place: sending.place }),
                },
                each,
              ),
            onAccepted: sending.onAccepted,
          }),
          ...(runId && { eventId: `${runId}:0` }),
          resume: (eventId, each) => api.readRun(eventId, each),
          onNamed: id => nameRun(threadId, key, id),
          onEvents: received => apply(threadId, key, received),
          onLink: isOpen => setStore(threadId, "isLinkLost", !isOpen),
          signal,
        });
        await readLatest(threadId);
      }
    } finally {
      if (followed.get(threadId) === controller) {
        followed.delete(threadId);
        if (store[threadId]) setStore(threadId, { isLinkLost: false, isStopping: false });
      }
    }
  }

  async function readLatest(threadId: string): Promise<void> {
    try {
      const latest = await api.readThread(threadId, { limit: LATEST });
      take(leavesGap(latest) ? await api.readThread(threadId) : latest);
    } catch (error) {
      const { kind } = events.notice(failureOf(error));
      // All else passes: an answer that still has no end is followed further.
      if (kind === "not_found" || kind === "signed_out") throw error;
    }
  }

  function followActive(threadId: string): void {
    const active = activeIn(threadId);
    if (!active?.runId || followed.has(threadId)) return;
    follow(threadId, active.key).catch(error => noticeEnd(threadId, error));
  }

  /** A run that cannot be followed any more: the thread itself knows what has become of it. */
  function noticeEnd(threadId: string, error: unknown): void {
    if (isAbort(error)) return;
    const failure = events.notice(failureOf(error));
    if (failure.kind === "not_found") void read(threadId);
  }

  async function read(threadId: string): Promise<void> {
    try {
      take(await api.readThread(threadId));
    } catch (error) {
      const failure = events.notice(failureOf(error));
      const isShown = store[threadId]?.status === "ready" && failure.kind !== "not_found";
      if (!isShown) setStore(threadId, { status: "failed", failure });
    }
  }

  return {
    get: threadId => store[threadId],
    async open(threadId) {
      ensure(threadId);
      if (store[threadId]?.status === "failed") setStore(threadId, { status: "loading", failure: undefined });
      await read(threadId);
      followActive(threadId);
    },
    async loadOlder(threadId) {
      const { olderCursor, isLoadingOlder } = store[threadId] ?? NOTHING_YET;
      if (olderCursor === undefined || isLoadingOlder) return;
      setStore(threadId, "isLoadingOlder", true);
      try {
        const page = await api.readThread(threadId, { cursor: olderCursor });
        // Meanwhile another one may have become the oldest that is shown.
        if (store[threadId]?.olderCursor === olderCursor) take(page, { isOlder: true });
      } catch (error) {
        events.onFailed(events.notice(failureOf(error)));
      } finally {
        setStore(threadId, "isLoadingOlder", false);
      }
    },
    ask(threadId, text, clientMessageId, where = {}) {
      ensure(threadId);
      if (exchangesIn(threadId).some(({ question }) => question.clientMessageId === clientMessageId)) {
        followActive(threadId);
        return Promise.resolve(undefined);
      }
      const place = messagePlace(where, exchangesIn(threadId).at(-1));
      const follows = where.instead ? where.instead.question.follows : where.behind?.question.id;
      const exchange = newExchange(clientMessageId, text, new Date().toISOString(), follows);
      batch(() => {
        setExchanges(threadId, [...exchangesIn(threadId), exchange]);
        setStore(threadId, { status: "ready", failure: undefined, isStopping: false });
        setStore(threadId, "chosen", placeOf(exchange), exchange.key);
      });
      return new Promise(resolve => {
        let isAccepted = false;
        const onAccepted = () => {
          isAccepted = true;
          resolve(undefined);
        };
        follow(threadId, clientMessageId, { text, place, onAccepted }).catch(error => {
          if (isAccepted) return noticeEnd(threadId, error);
          setExchanges(
            threadId,
            exchangesIn(threadId).filter(({ key }) => key !== clientMessageId),
          );
          const failure = events.notice(failureOf(error));
          // Another tab is asking in this thread: show what it asks.
          if (failure.kind === "busy") void read(threadId).then(() => followActive(threadId));
          resolve(failure);
        });
      });
    },
    choose(threadId, version) {
      setStore(threadId, "chosen", placeOf(version), version.key);
    },
    async stop(threadId) {
      const active = activeIn(threadId);
      const { isStopping, isLinkLost } = store[threadId] ?? NOTHING_YET;
      if (!active || isStopping) return;
      if (active.runId === undefined && isLinkLost) {
        followed.get(threadId)?.abort();
        return;
      }
      setStore(threadId, "isStopping", true);
      // Without a name yet, it is ended when it gets one.
      if (active.runId !== undefined) await cancel(threadId, active.runId);
    },
    async setFlag(threadId, exchangeKey, { part, flag }) {
      const isMeant = ({ key }: Exchange) => key === exchangeKey;
      const id = exchangesIn(threadId).find(isMeant)?.[part].id;
      if (id === undefined) return;
      const show = (isFlagged: boolean) =>
        setStore(threadId, "exchanges", isMeant, part, { isFlagged } as Partial<Exchange["answer"]>);
      show(flag !== undefined);
      try {
        await (flag ? api.flagMessage(id, flag) : api.unflagMessage(id));
      } catch (error) {
        show(flag === undefined);
        events.notice(failureOf(error));
        throw error;
      }
    },
    leave: threadId => followed.get(threadId)?.abort(),
  };
}

/** Behind the newest, the server finds the place by itself. */
function messagePlace({ instead, behind }: Where, newest: Exchange | undefined): MessagePlace | undefined {
  if (instead?.question.id) return { replaces: instead.question.id };
  if (behind?.question.id && behind.key !== newest?.key) return { follows: behind.question.id };
  return undefined;
}

function isActiveNow(exchange: Exchange | undefined): boolean {
  return exchange !== undefined && isActive(exchange);
}
