/**
 * Follows one run to its end, over as many connections as that takes.
 *
 * A message is sent by POST under an id of our own, so sending it again joins the run it started. As soon as
 * the server has named the run, a lost connection is replaced by the read-only stream of that run, behind the
 * last event seen. A browser that is offline, a gateway that restarts or a connection that goes silent is
 * therefore a pause, not an error. Errors are what the server refuses.
 */

import { Problem, readProblem } from "../api/problem";
import { backoffMs, pause } from "./backoff";
import { parseRunEvent, type RunEvent } from "./run-event";
import { SseParser } from "./sse";

/** While nobody answers: with their pauses half a minute, in which a gateway is back on a busy machine, too. */
const SENDS_MAX = 9;
/** While somebody answers, who cannot take it. */
const REFUSED_SENDS_MAX = 6;
/** The server writes a comment every 15 s. */
const SILENCE_MS = 40_000;
const TOO_MANY = 429;

export interface FollowRun {
  /** Sends the message; needed unless `eventId` names the run already. */
  send?: (signal: AbortSignal) => Promise<Response>;
  /** Reads the run behind an event. */
  resume: (eventId: string, signal: AbortSignal) => Promise<Response>;
  /** Where to begin: `<run id>:<sequence>`. */
  eventId?: string;
  /** All events that came in one piece, in order. They may repeat after a reconnect; applying them is harmless. */
  onEvents: (events: RunEvent[]) => void;
  /** The server has taken the message: it is stored, and the run will be answered. */
  onAccepted?: () => void;
  /** The run has a name, which comes before its first event, and also if there will be none. */
  onNamed?: (runId: string) => void;
  /** False while there is no connection and another one is being tried. */
  onLink?: (isOpen: boolean) => void;
  signal: AbortSignal;
  silenceMs?: number;
  baseMs?: number;
}

/** `done`: its last event has come. `ended`: the server has nothing more, so the stored answer counts. */
export type FollowEnd = "done" | "ended";

/** Rejects with a Problem that will not pass, with the network's error if sending never got through, or by the signal. */
export async function followRun(options: FollowRun): Promise<FollowEnd> {
  const { signal, onLink } = options;
  const state: FollowState = { eventId: options.eventId ?? "", failures: 0, retryMs: options.baseMs };
  for (;;) {
    try {
      const end = await followConnection(options, state);
      if (end) return end;
    } catch (error) {
      signal.throwIfAborted();
      if (!isWorthAnotherTry(error, state)) throw error;
    }
    onLink?.(false);
    const base = state.retryMs === undefined ? {} : { baseMs: state.retryMs };
    await pause(backoffMs(state.failures, base), signal);
    state.failures += 1;
  }
}

interface FollowState {
  eventId: string;
  /** Tries in a row that brought no event. */
  failures: number;
  retryMs: number | undefined;
}

async function followConnection(options: FollowRun, state: FollowState): Promise<FollowEnd | undefined> {
  const watchdog = new Watchdog(options.silenceMs ?? SILENCE_MS);
  const signal = AbortSignal.any([options.signal, watchdog.signal]);
  try {
    const response = await open(options, state.eventId, signal);
    if (response.status === 204) return "ended";
    if (!response.ok || !response.body) throw await readProblem(response);
    options.onAccepted?.();
    options.onLink?.(true);
    return await readEvents(response.body, options, state, watchdog);
  } finally {
    watchdog.stop();
  }
}

function open(options: FollowRun, eventId: string, signal: AbortSignal): Promise<Response> {
  if (eventId !== "") return options.resume(eventId, signal);
  if (!options.send) throw new Error("neither a run to follow nor a message to send");
  return options.send(signal);
}

async function readEvents(
  body: ReadableStream<Uint8Array>,
  options: FollowRun,
  state: FollowState,
  watchdog: Watchdog,
): Promise<FollowEnd | undefined> {
  const parser = new SseParser();
  const reader = body.pipeThrough(new TextDecoderStream() as TransformStream<Uint8Array, string>).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return undefined;
      watchdog.reset();
      const events = parser.push(value).flatMap(message => parseRunEvent(message) ?? []);
      if (state.eventId === "" && parser.lastEventId !== "") options.onNamed?.(runIdOf(parser.lastEventId));
      state.eventId = parser.lastEventId || state.eventId;
      state.retryMs = parser.retryMs ?? state.retryMs;
      if (events.length === 0) continue;
      state.failures = 0;
      options.onEvents(events);
      if (events.some(event => event.kind === "done")) return "done";
    }
  } finally {
    // Not awaited: a connection that hangs would hold us.
    reader.cancel().catch(() => undefined);
  }
}

/** `<run id>:<sequence>` */
export function runIdOf(eventId: string): string {
  return eventId.slice(0, eventId.lastIndexOf(":"));
}

/** Before the run has a name, only what may pass soon is tried again; the message waits for the user else. */
function isWorthAnotherTry(error: unknown, state: FollowState): boolean {
  const isRunKnown = state.eventId !== "";
  if (error instanceof Problem) {
    if (isRunKnown) return error.isPassing || error.status === TOO_MANY;
    return error.isPassing && error.status !== 500 && state.failures + 1 < REFUSED_SENDS_MAX;
  }
  return isRunKnown || (navigator.onLine && state.failures + 1 < SENDS_MAX);
}

/** Ends a connection on which nothing comes any more: a network that is gone often says nothing. */
class Watchdog {
  readonly #controller = new AbortController();
  readonly #silenceMs: number;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(silenceMs: number) {
    this.#silenceMs = silenceMs;
    this.reset();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  reset(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#controller.abort(), this.#silenceMs);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}
