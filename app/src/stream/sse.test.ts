import { expect, test } from "vitest";
import { type SseMessage, SseParser } from "./sse";

const STREAM =
  'retry: 1000\nid: r_1:0\n\nid: r_1:1\nevent: run\ndata: {"a":1}\n\n: awake\n\nevent: delta\ndata: x\n\n';

function parse(...pieces: string[]): SseMessage[] {
  const parser = new SseParser();
  return pieces.flatMap(piece => parser.push(piece));
}

test("every way to cut a stream in two gives the same messages", () => {
  const whole = parse(STREAM);
  expect(whole).toEqual([
    { id: "r_1:1", event: "run", data: '{"a":1}' },
    { id: "r_1:1", event: "delta", data: "x" },
  ]);
  for (const text of [STREAM, STREAM.replaceAll("\n", "\r\n")]) {
    for (let cut = 0; cut <= text.length; cut++) {
      expect(parse(text.slice(0, cut), text.slice(cut))).toEqual(whole);
    }
  }
});

test("an id without data is remembered, and so is the pause that the server asks for", () => {
  const parser = new SseParser();
  expect(parser.push("retry: 1500\nid: r_1:0\n\n")).toEqual([]);
  expect(parser.lastEventId).toBe("r_1:0");
  expect(parser.retryMs).toBe(1500);
});

test("data of several lines is joined, and one space after the colon is not part of the value", () => {
  expect(parse("data:a\ndata:  b\ndata\n\n")).toEqual([{ id: "", event: "message", data: "a\n b\n" }]);
});

test("an unfinished message is not a message", () => {
  expect(parse("data: half\n")).toEqual([]);
});
