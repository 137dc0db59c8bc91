/** The events of a run as they come over the wire, parsed once into a union. What is unknown is dropped. */

import type { SseMessage } from "./sse";

export type RunStatus = "completed" | "incomplete" | "cancelled" | "interrupted" | "failed";

export interface Usage {
  inputTokens: number;
  cachedTokens: number;
  outputTokens: number;
  reasoningTokens: number;
  totalTokens: number;
  /** Counted by us, because the provider gave no figure. */
  isEstimate: boolean;
}

/** What will be left once all that has ended is booked, as the server writes it. */
export interface Forecast {
  token_balance: number;
  token_sequence: number;
}

export type RunEvent =
  | { kind: "run"; runId: string; threadId: string; messageId: string }
  /** `at` is where the text begins in the answer, in Unicode code points. */
  | { kind: "delta"; text: string; at: number }
  | { kind: "annotation"; data: Record<string, unknown> }
  | { kind: "file"; id: string; name: string }
  | { kind: "usage"; usage: Usage; forecast: Forecast | undefined }
  | { kind: "error"; code: string; message: string; isRetryable: boolean }
  | { kind: "done"; status: RunStatus };

const STATUSES: ReadonlySet<string> = new Set([
  "completed",
  "incomplete",
  "cancelled",
  "interrupted",
  "failed",
] satisfies RunStatus[]);

type Fields = Record<string, unknown>;

const READERS: Record<string, (fields: Fields) => RunEvent | undefined> = {
  run: ({ run_id, thread_id, message_id }) =>
    isText(run_id) && isText(thread_id) && isText(message_id)
      ? { kind: "run", runId: run_id, threadId: thread_id, messageId: message_id }
      : undefined,
  delta: ({ text, at }) => (isText(text) && isCount(at) ? { kind: "delta", text, at } : undefined),
  annotation: data => ({ kind: "annotation", data }),
  file: ({ id, name }) => (isText(id) && isText(name) ? { kind: "file", id, name } : undefined),
  usage: readUsage,
  error: ({ code, message, retryable }) =>
    isText(code) && isText(message)
      ? { kind: "error", code, message, isRetryable: retryable === true }
      : undefined,
  done: ({ status }) => (isStatus(status) ? { kind: "done", status } : undefined),
};

/** Returns undefined for a kind or a shape that this version of the app does not know. */
export function parseRunEvent(message: SseMessage): RunEvent | undefined {
  const read = Object.hasOwn(READERS, message.event) ? READERS[message.event] : undefined;
  const fields = read && readObject(message.data);
  return fields && read(fields);
}

function readUsage(fields: Fields): RunEvent | undefined {
  const { input_tokens, output_tokens, cached_tokens, reasoning_tokens, token_balance, token_sequence } = fields;
  if (!isCount(input_tokens) || !isCount(output_tokens)) return undefined;
  const usage: Usage = {
    inputTokens: input_tokens,
    cachedTokens: isCount(cached_tokens) ? cached_tokens : 0,
    outputTokens: output_tokens,
    reasoningTokens: isCount(reasoning_tokens) ? reasoning_tokens : 0,
    totalTokens: input_tokens + output_tokens,
    isEstimate: fields.estimated === true,
  };
  const isForecast = typeof token_balance === "number" && isCount(token_sequence);
  return { kind: "usage", usage, forecast: isForecast ? { token_balance, token_sequence } : undefined };
}

function readObject(json: string): Fields | undefined {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === "object" && value !== null ? (value as Fields) : undefined;
  } catch {
    return undefined;
  }
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isStatus(value: unknown): value is RunStatus {
  return isText(value) && STATUSES.has(value);
}
