/**
 * What an event of the stream does to an exchange. Pure, and harmless when repeated: text says where it
 * belongs, and the rest replaces what is there. So resuming a stream is plain replay.
 */

import type { RunEvent } from "../stream/run-event";
import { type Answer, codePoints, type Exchange, indexOfCodePoint } from "./conversation";

export function applyRunEvent(exchange: Exchange, event: RunEvent): Exchange {
  if (event.kind === "run") {
    const question = { ...exchange.question, id: event.messageId };
    return { ...exchange, runId: event.runId, question };
  }
  const answer = applyToAnswer(exchange.answer, event);
  return answer === exchange.answer ? exchange : { ...exchange, answer };
}

function applyToAnswer(answer: Answer, event: Exclude<RunEvent, { kind: "run" }>): Answer {
  switch (event.kind) {
    case "delta":
      return withText(answer, event.text, event.at);
    case "annotation":
      return answer;
    case "file": {
      const isKnown = answer.files.some(file => file.id === event.id);
      return isKnown ? answer : { ...answer, files: [...answer.files, { id: event.id, name: event.name }] };
    }
    case "usage":
      return { ...answer, usage: event.usage };
    case "error": {
      const { code, message, isRetryable } = event;
      return { ...answer, error: { code, message, isRetryable } };
    }
    case "done":
      return { ...answer, status: event.status };
  }
}

/** Keeps the answer up to `at` and puts the text behind it. A gap cannot be filled and is not papered over. */
function withText(answer: Answer, text: string, at: number): Answer {
  if (at > answer.length) return answer;
  const kept = at === answer.length ? answer.text : answer.text.slice(0, indexOfCodePoint(answer.text, at));
  return { ...answer, text: kept + text, length: at + codePoints(text) };
}
