/** Reads server-sent events from text that arrives in pieces of any size (WHATWG HTML, 9.2.6). */

export interface SseMessage {
  /** The last id seen, also one that came without data. */
  id: string;
  event: string;
  data: string;
}

export class SseParser {
  lastEventId = "";
  /** What the server asked for with `retry:`, if it did. */
  retryMs: number | undefined;

  #rest = "";
  #event = "";
  #data: string[] = [];

  /** Returns the messages that the piece completes. */
  push(piece: string): SseMessage[] {
    const messages: SseMessage[] = [];
    const text = this.#rest + piece;
    let start = 0;
    for (;;) {
      const end = lineEnd(text, start);
      if (end === undefined) break;
      const message = this.#line(text.slice(start, end.at));
      if (message) messages.push(message);
      start = end.next;
    }
    this.#rest = text.slice(start);
    return messages;
  }

  #line(line: string): SseMessage | undefined {
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    if (colon === 0) return undefined;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (field === "data") this.#data.push(value);
    else if (field === "event") this.#event = value;
    else if (field === "id" && !value.includes("\0")) this.lastEventId = value;
    else if (field === "retry" && /^\d+$/.test(value)) this.retryMs = Number(value);
    return undefined;
  }

  #dispatch(): SseMessage | undefined {
    const message = { id: this.lastEventId, event: this.#event || "message", data: this.#data.join("\n") };
    const isEmpty = this.#data.length === 0;
    this.#event = "";
    this.#data = [];
    return isEmpty ? undefined : message;
  }
}

/** Finds the end of the line. A CR at the very end may be half of a CRLF, so it has to wait. */
function lineEnd(text: string, start: number): { at: number; next: number } | undefined {
  for (let at = start; at < text.length; at++) {
    const char = text.charCodeAt(at);
    if (char === 10) return { at, next: at + 1 };
    if (char !== 13) continue;
    if (at + 1 === text.length) return undefined;
    return { at, next: text.charCodeAt(at + 1) === 10 ? at + 2 : at + 1 };
  }
  return undefined;
}
