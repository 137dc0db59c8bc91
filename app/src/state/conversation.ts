/** A thread as the chat shows it: questions with their answers. Pure: nothing here knows the network. */

import type { Message } from "../api/chat-api";
import type { RunStatus, Usage } from "../stream/run-event";
import type { AnswerFile } from "../ui/markdown/addresses";

export type AnswerStatus = "active" | RunStatus;

export interface AnswerError {
  code: string;
  message: string;
  isRetryable: boolean;
}

export interface Question {
  /** Undefined until the server has taken it. */
  id: string | undefined;
  /** The id under which we sent it. */
  clientMessageId: string | undefined;
  /** The question behind which it was asked; undefined at the beginning. Those behind the same one are versions. */
  follows: string | undefined;
  text: string;
  createdAt: string;
  isFlagged: boolean;
}

export interface Answer {
  /** Undefined until it has been read from the thread. */
  id: string | undefined;
  text: string;
  /** Unicode code points of the text: the stream counts in them. */
  length: number;
  status: AnswerStatus;
  usage: Usage | undefined;
  error: AnswerError | undefined;
  files: AnswerFile[];
  isFlagged: boolean;
}

export interface Exchange {
  /** Stays the same from sending to the end, so that what is on the screen stays in place. */
  key: string;
  runId: string | undefined;
  question: Question;
  answer: Answer;
}

const NO_ANSWER: Answer = {
  id: undefined,
  text: "",
  length: 0,
  status: "active",
  usage: undefined,
  error: undefined,
  files: [],
  isFlagged: false,
};

/** `key`: the id under which its question is sent. */
export function newExchange(key: string, text: string, createdAt: string, follows?: string): Exchange {
  const question = { id: undefined, clientMessageId: key, follows, text, createdAt, isFlagged: false };
  return { key, runId: undefined, question, answer: { ...NO_ANSWER } };
}

/** Pairs the messages of a page by their run. */
export function exchangesOf(messages: readonly Message[]): Exchange[] {
  const exchanges = new Map<string, Exchange>();
  for (const message of messages) {
    const known = exchanges.get(message.run_id) ?? {
      ...newExchange(message.run_id, "", message.created_at),
      runId: message.run_id,
    };
    const part = message.role === "user" ? { question: questionOf(message) } : { answer: answerOf(message) };
    exchanges.set(message.run_id, { ...known, ...part });
  }
  return [...exchanges.values()];
}

function questionOf(message: Message): Question {
  return {
    id: message.id,
    clientMessageId: message.client_message_id ?? undefined,
    follows: message.follows ?? undefined,
    text: message.text,
    createdAt: message.created_at,
    isFlagged: message.flagged,
  };
}

function answerOf(message: Message): Answer {
  const { usage, error } = message;
  return {
    id: message.id,
    text: message.text,
    length: codePoints(message.text),
    status: message.status === "sent" ? "active" : message.status,
    usage: usage
      ? {
          inputTokens: usage.input_tokens,
          cachedTokens: usage.cached_tokens,
          outputTokens: usage.output_tokens,
          reasoningTokens: usage.reasoning_tokens,
          totalTokens: usage.total_tokens,
          isEstimate: usage.estimated,
        }
      : undefined,
    error: error ? { code: error.code, message: error.message, isRetryable: error.retryable } : undefined,
    files: message.files ?? [],
    isFlagged: message.flagged,
  };
}

/**
 * Brings what is on the screen up to date with a page that was read, in whose order it is shown. A question that has
 * no run yet is known by the id under which it was sent. The screen keeps its keys, and an answer that is still being
 * written keeps its text: the stream has it, the thread does not.
 */
export function mergeExchanges(shown: readonly Exchange[], read: readonly Exchange[]): Exchange[] {
  const others = new Set(shown);
  const page = read.map(newer => {
    const known = shown.find(exchange => isSame(exchange, newer));
    if (!known) return newer;
    others.delete(known);
    const isBehind = newer.answer.status === "active";
    const answer = isBehind ? { ...known.answer, id: newer.answer.id } : newer.answer;
    return { ...known, runId: newer.runId, question: newer.question, answer };
  });
  const first = read[0]?.question.createdAt ?? "";
  // What has no run yet is new, whatever this browser's clock says.
  const isOlder = ({ runId, question }: Exchange) => runId !== undefined && question.createdAt < first;
  const rest = [...others];
  return [...rest.filter(isOlder), ...page, ...rest.filter(exchange => !isOlder(exchange))];
}

/**
 * Whether a page goes on where what is shown ends. Both are without gaps, so it is enough that they share what was
 * read before: what was only sent from here may have anything before it.
 */
export function isConnected(shown: readonly Exchange[], newest: readonly Exchange[]): boolean {
  return shown.some(exchange => wasRead(exchange) && newest.some(newer => isSame(exchange, newer)));
}

/** Has been read from its thread, rather than only sent and followed. */
export function wasRead(exchange: Exchange): boolean {
  return exchange.answer.id !== undefined;
}

function isSame(shown: Exchange, read: Exchange): boolean {
  return shown.runId === undefined ? read.question.clientMessageId === shown.key : read.runId === shown.runId;
}

export function isActive(exchange: Exchange): boolean {
  return exchange.answer.status === "active";
}

export function codePoints(text: string): number {
  let count = text.length;
  for (let index = 0; index < text.length - 1; index++) {
    if (isPair(text, index)) count -= 1;
  }
  return count;
}

/** Where the code point number `count` begins in the text, in the units of a string. */
export function indexOfCodePoint(text: string, count: number): number {
  let index = 0;
  for (let seen = 0; seen < count && index < text.length; seen++) index += isPair(text, index) ? 2 : 1;
  return index;
}

function isPair(text: string, index: number): boolean {
  const high = text.charCodeAt(index);
  const low = text.charCodeAt(index + 1);
  return high >= 0xd800 && high <= 0xdbff && low >= 0xdc00 && low <= 0xdfff;
}
