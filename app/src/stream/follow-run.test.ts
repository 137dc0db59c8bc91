// @vitest-environment jsdom
import { describe, expect, test, vi } from "vitest";
import { Problem } from "../api/problem";
import { type FollowRun, followRun } from "./follow-run";
import type { RunEvent } from "./run-event";

const RUN = "r_1";

type Step = string | "silence" | { status: number; code?: string } | Error;

const event = (sequence: number, kind: string, data: unknown) =>
  `id: ${RUN}:${sequence}\nevent: ${kind}\ndata: ${JSON.stringify(data)}\n\n`;
const HELLO = event(2, "delta", { text: "Hello", at: 0 });
const WORLD = event(3, "delta", { text: " world", at: 5 });
const DONE = event(4, "done", { status: "completed" });

/** A server whose connections behave one after the other as the steps say. */
function server(...steps: Step[]) {
  const asked: string[] = [];
  const answer = (request: string, signal: AbortSignal): Promise<Response> => {
    asked.push(request);
    const step = steps.shift() ?? new Error("nothing more was expected");
    if (step instanceof Error) return Promise.reject(step);
    if (typeof step === "object") return Promise.resolve(refusal(step.status, step.code));
    return Promise.resolve(new Response(stream(step, signal)));
  };
  return {
    asked,
    send: (signal: AbortSignal) => answer("send", signal),
    resume: (eventId: string, signal: AbortSignal) => answer(eventId, signal),
  };
}

function refusal(status: number, code = "x"): Response {
  return status === 204 ? new Response(null, { status }) : Response.json({ code, detail: code }, { status });
}

function stream(text: string, signal: AbortSignal): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      if (text !== "silence") {
        controller.enqueue(new TextEncoder().encode(text));
        controller.close();
      }
      signal.addEventListener("abort", () => controller.error(signal.reason), { once: true });
    },
  });
}

async function follow(steps: Step[], options: Partial<FollowRun> = {}) {
  const events: RunEvent[] = [];
  const links: boolean[] = [];
  const served = server(...steps);
  const end = await followRun({
    send: served.send,
    resume: served.resume,
    onEvents: more => events.push(...more),
    onLink: isOpen => links.push(isOpen),
    signal: new AbortController().signal,
    baseMs: 1,
    ...options,
  }).catch((error: unknown) => error);
  const text = events.map(each => (each.kind === "delta" ? each.text : "")).join("");
  return { end, text, links, asked: served.asked };
}

test("a run is followed from sending to done", async () => {
  expect(await follow([HELLO + WORLD + DONE])).toEqual({
    end: "done",
    text: "Hello world",
    links: [true],
    asked: ["send"],
  });
});

test("a connection that ends early is resumed behind the last event, not sent again", async () => {
  const { end, text, asked, links } = await follow([HELLO, new TypeError("network"), WORLD, DONE]);
  expect({ end, text }).toEqual({ end: "done", text: "Hello world" });
  expect(asked).toEqual(["send", "r_1:2", "r_1:2", "r_1:3"]);
  expect(links).toEqual([true, false, false, true, false, true]);
});

test("a run that was named before its first event is resumed, too", async () => {
  const names: string[] = [];
  const steps = [`retry: 1\nid: ${RUN}:0\n\n`, HELLO + DONE];
  const { asked } = await follow(steps, { onNamed: name => names.push(name) });
  expect(names).toEqual([RUN]);
  expect(asked).toEqual(["send", "r_1:0"]);
});

test("sending again is safe as long as the run has no name", async () => {
  const { end, asked } = await follow([new TypeError("network"), { status: 503 }, "", HELLO + DONE]);
  expect(end).toBe("done");
  expect(asked).toEqual(["send", "send", "send", "send"]);
});

test("a message that never gets through is given back after a few tries", async () => {
  const steps = Array.from({ length: 12 }, () => new TypeError("network"));
  const { end, asked } = await follow(steps);
  expect(end).toBeInstanceOf(TypeError);
  expect(asked).toHaveLength(9);
});

test("a message that the server cannot take for now is given back sooner", async () => {
  const { end, asked } = await follow(Array.from({ length: 12 }, () => ({ status: 503 })));
  expect(end).toMatchObject({ status: 503 });
  expect(asked).toHaveLength(6);
});

test("offline, a message is given back at once", async () => {
  vi.spyOn(navigator, "onLine", "get").mockReturnValue(false);
  const { end, asked } = await follow([new TypeError("network")]);
  expect(end).toBeInstanceOf(TypeError);
  expect(asked).toEqual(["send"]);
});

describe("what the server refuses", () => {
  test.each([401, 404, 409, 413, 429, 500])("is not tried again when sending: %d", async status => {
    const { end, asked } = await follow([{ status, code: "refused" }]);
    expect(end).toMatchObject({ status, code: "refused" });
    expect(end).toBeInstanceOf(Problem);
    expect(asked).toEqual(["send"]);
  });

  test.each([401, 404])("ends a run that is being followed: %d", async status => {
    const { end } = await follow([HELLO, { status }]);
    expect(end).toMatchObject({ status });
  });

  test.each([429, 500, 502, 503])("passes while a run is followed, without an error: %d", async status => {
    const { end, text } = await follow([HELLO, { status }, { status }, WORLD + DONE]);
    expect({ end, text }).toEqual({ end: "done", text: "Hello world" });
  });
});

test("a run that has ended with nothing more to say ends without an error", async () => {
  expect((await follow([HELLO, { status: 204 }])).end).toBe("ended");
});

test("a connection that goes silent is replaced", async () => {
  const { end, asked } = await follow(["silence", HELLO + DONE], { eventId: "r_1:1", silenceMs: 20 });
  expect(end).toBe("done");
  expect(asked).toEqual(["r_1:1", "r_1:1"]);
});

test("leaving ends it at once, without a further try", async () => {
  const controller = new AbortController();
  const left = follow(["silence"], { signal: controller.signal });
  controller.abort();
  expect((await left).end).toMatchObject({ name: "AbortError" });
});

test("characters that are cut in two by the network arrive whole", async () => {
  const bytes = new TextEncoder().encode(event(2, "delta", { text: "€😀", at: 0 }) + DONE);
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const byte of bytes) controller.enqueue(Uint8Array.of(byte));
      controller.close();
    },
  });
  const { text } = await follow([], { send: () => Promise.resolve(new Response(body)) });
  expect(text).toBe("€😀");
});
