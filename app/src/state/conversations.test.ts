// @vitest-environment jsdom
import { describe, expect, test, vi } from "vitest";
import type { ChatApi, Message, MessagePage } from "../api/chat-api";
import { Problem } from "../api/problem";
import type { Forecast } from "../stream/run-event";
import { branchOf } from "./branch";
import { type Conversations, createConversations } from "./conversations";
import type { Failure } from "./failure";

const THREAD = "t_1";

function page(messages: Partial<Message>[], cursor: string | null = null): MessagePage {
  const base = { created_at: "2026-11-22T10:00:00Z", flagged: false, run_id: "r_1", text: "" };
  return {
    thread: {
      id: THREAD,
      title: "Title",
      created_at: "2026-11-22T10:00:00Z",
      updated_at: "2026-11-22T10:00:00Z",
      messages: messages.map(message => ({ ...base, ...message }) as Message),
    },
    next_cursor: cursor,
  };
}

const ANSWERED = page([
  { id: "m_1", role: "user", text: "Hi", status: "sent", client_message_id: "c-1" },
  { id: "n_1", role: "assistant", text: "Hello there", status: "completed", files: [] },
]);
const ACTIVE = page([
  { id: "m_1", role: "user", text: "Hi", status: "sent" },
  { id: "n_1", role: "assistant", text: "", status: "active", files: [] },
]);

const line = (sequence: number, event: string, data: unknown) =>
  `id: r_1:${sequence}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
const RUN = line(1, "run", { run_id: "r_1", thread_id: THREAD, message_id: "m_1" });
const TEXT = line(2, "delta", { text: "Hello there", at: 0 });
const USAGE = line(3, "usage", { input_tokens: 5, output_tokens: 2, token_balance: 93, token_sequence: 4 });
const DONE = line(4, "done", { status: "completed" });

function setUp(changes: Partial<ChatApi> = {}) {
  const failures: Failure[] = [];
  const forecasts: Forecast[] = [];
  const complaints: Failure[] = [];
  const api = {
    readThread: vi.fn(() => Promise.resolve(ANSWERED)),
    sendMessage: vi.fn(() => Promise.resolve(new Response(RUN + TEXT + USAGE + DONE))),
    readRun: vi.fn(() => Promise.resolve(new Response(RUN + TEXT + USAGE + DONE))),
    cancelRun: vi.fn(() => Promise.resolve()),
    flagMessage: vi.fn(() => Promise.resolve()),
    unflagMessage: vi.fn(() => Promise.resolve()),
    ...changes,
  };
  const conversations = createConversations(api as unknown as ChatApi, {
    onThread: () => undefined,
    onAnswered: () => undefined,
    onForecast: forecast => forecasts.push(forecast),
    onFailed: failure => complaints.push(failure),
    notice: failure => {
      failures.push(failure);
      return failure;
    },
  });
  return { api, conversations, failures, forecasts, complaints };
}

const shown = (conversations: Conversations) =>
  conversations.get(THREAD)?.exchanges.map(({ question, answer }) => ({
    question: question.text,
    answer: answer.text,
    status: answer.status,
  }));

test("a message is on the screen before the server has it, and its answer follows", async () => {
  const { conversations, forecasts } = setUp();
  const asked = conversations.ask(THREAD, "Hi", "c-1");
  expect(shown(conversations)).toEqual([{ question: "Hi", answer: "", status: "active" }]);
  expect(await asked).toBeUndefined();
  await vi.waitFor(() =>
    expect(shown(conversations)).toEqual([{ question: "Hi", answer: "Hello there", status: "completed" }]),
  );
  await vi.waitFor(() => expect(conversations.get(THREAD)?.exchanges[0]?.answer.id).toBe("n_1"));
  expect(forecasts).toEqual([{ token_balance: 93, token_sequence: 4 }]);
});

test("a refused message leaves nothing on the screen and says why", async () => {
  const problem = new Problem(429, { code: "insufficient_balance" });
  const { conversations } = setUp({ sendMessage: () => Promise.reject(problem) });
  expect(await conversations.ask(THREAD, "Hi", "c-1")).toMatchObject({ kind: "out_of_tokens" });
  expect(shown(conversations)).toEqual([]);
});

test("a thread that is answering is read and followed to the end", async () => {
  const readThread = vi.fn<ChatApi["readThread"]>();
  readThread.mockResolvedValueOnce(ACTIVE).mockResolvedValue(ANSWERED);
  const { conversations, api } = setUp({ readThread });
  await conversations.open(THREAD);
  await vi.waitFor(() =>
    expect(shown(conversations)).toEqual([{ question: "Hi", answer: "Hello there", status: "completed" }]),
  );
  expect(api.readRun).toHaveBeenCalledWith("r_1:0", expect.anything());
  expect(api.sendMessage).not.toHaveBeenCalled();
});

test("a run that ended unseen shows what is stored", async () => {
  const readThread = vi.fn<ChatApi["readThread"]>();
  readThread.mockResolvedValueOnce(ACTIVE).mockResolvedValue(ANSWERED);
  const { conversations, failures } = setUp({
    readThread,
    readRun: () => Promise.resolve(new Response(null, { status: 204 })),
  });
  await conversations.open(THREAD);
  await vi.waitFor(() => expect(shown(conversations)?.[0]?.answer).toBe("Hello there"));
  expect(failures).toEqual([]);
});

test("when another tab is asking, its question and answer are shown", async () => {
  const busy = new Problem(409, { code: "thread_busy" });
  const { conversations } = setUp({ sendMessage: () => Promise.reject(busy) });
  expect(await conversations.ask(THREAD, "Me too", "c-2")).toEqual({ kind: "busy" });
  await vi.waitFor(() => expect(shown(conversations)?.map(({ question }) => question)).toEqual(["Hi"]));
});

test("a thread that is not there says so; one that cannot be read anew stays as it is", async () => {
  const gone = setUp({ readThread: () => Promise.reject(new Problem(404, { code: "not_found" })) });
  await gone.conversations.open(THREAD);
  expect(gone.conversations.get(THREAD)).toMatchObject({ status: "failed", failure: { kind: "not_found" } });

  const readThread = vi.fn<ChatApi["readThread"]>();
  readThread.mockResolvedValueOnce(ANSWERED).mockRejectedValueOnce(new Problem(503, { code: "unavailable" }));
  const away = setUp({ readThread });
  await away.conversations.open(THREAD);
  await away.conversations.open(THREAD);
  expect(away.conversations.get(THREAD)).toMatchObject({ status: "ready", exchanges: [{ runId: "r_1" }] });
});

describe("a flag", () => {
  const flag = { reasons: ["wrong"], note: null };

  test("is set and taken back by the id of the message", async () => {
    const { conversations, api } = setUp();
    await conversations.open(THREAD);
    await conversations.setFlag(THREAD, "r_1", { part: "answer", flag });
    expect(api.flagMessage).toHaveBeenCalledWith("n_1", flag);
    expect(conversations.get(THREAD)?.exchanges[0]?.answer.isFlagged).toBe(true);
    await conversations.setFlag(THREAD, "r_1", { part: "answer", flag: undefined });
    expect(api.unflagMessage).toHaveBeenCalledWith("n_1");
    expect(conversations.get(THREAD)?.exchanges[0]?.answer.isFlagged).toBe(false);
  });

  test("that could not be set is not shown", async () => {
    const { conversations } = setUp({ flagMessage: () => Promise.reject(new TypeError("network")) });
    await conversations.open(THREAD);
    await expect(conversations.setFlag(THREAD, "r_1", { part: "answer", flag })).rejects.toThrow();
    expect(conversations.get(THREAD)?.exchanges[0]?.answer.isFlagged).toBe(false);
  });
});

test("stopping asks once, and the answer keeps what it has", async () => {
  let finish: () => void = () => undefined;
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(new TextEncoder().encode(RUN + TEXT));
      finish = () => {
        controller.enqueue(new TextEncoder().encode(line(3, "done", { status: "cancelled" })));
        controller.close();
      };
    },
  });
  const { conversations, api } = setUp({ sendMessage: () => Promise.resolve(new Response(body)) });
  await conversations.ask(THREAD, "Hi", "c-1");
  await vi.waitFor(() => expect(shown(conversations)?.[0]?.answer).toBe("Hello there"));
  const stopped = conversations.stop(THREAD);
  void conversations.stop(THREAD);
  await stopped;
  expect(api.cancelRun).toHaveBeenCalledExactlyOnceWith("r_1");
  finish();
  await vi.waitFor(() => expect(shown(conversations)?.[0]?.status).not.toBe("active"));
});

test("a message that is being sent is not doubled by reading the thread meanwhile", async () => {
  const sent = Promise.withResolvers<Response>();
  const { conversations } = setUp({ sendMessage: () => sent.promise });
  const asked = conversations.ask(THREAD, "Hi", "c-1");
  const opened = conversations.open(THREAD);
  sent.resolve(new Response(RUN + TEXT + USAGE + DONE));
  await Promise.all([asked, opened]);
  await vi.waitFor(() => expect(conversations.get(THREAD)?.exchanges[0]?.answer.id).toBe("n_1"));
  expect(shown(conversations)).toHaveLength(1);
});

test("a message that is sent again after a reload joins its run on the screen, too", async () => {
  const { conversations } = setUp();
  await conversations.open(THREAD);
  await conversations.ask(THREAD, "Hi", "c-1");
  await vi.waitFor(() =>
    expect(shown(conversations)).toEqual([{ question: "Hi", answer: "Hello there", status: "completed" }]),
  );
});

test("a question that nobody took is there once, and its thread can be read again", async () => {
  const error = line(1, "error", { code: "not_started", message: "Nobody", retryable: true });
  const untaken = `retry: 1\nid: r_1:0\n\n${error}${line(2, "done", { status: "failed" })}`;
  const stored = page([{ id: "m_1", role: "user", text: "Hi", status: "sent", client_message_id: "c-1" }]);
  const failed = page([
    ...stored.thread.messages,
    { id: "n_1", role: "assistant", text: "", status: "failed", files: [] },
  ]);
  const { conversations } = setUp({
    sendMessage: () => Promise.resolve(new Response(untaken)),
    readThread: () => Promise.resolve(failed),
  });
  await conversations.ask(THREAD, "Hi", "c-1");
  await vi.waitFor(() => expect(conversations.get(THREAD)?.exchanges[0]?.answer.id).toBe("n_1"));
  await conversations.open(THREAD);
  expect(shown(conversations)).toEqual([{ question: "Hi", answer: "", status: "failed" }]);
  expect(conversations.get(THREAD)?.exchanges[0]?.runId).toBe("r_1");
});

/** A stream that is open and says what it is given. */
function openStream() {
  let controller!: ReadableStreamDefaultController<Uint8Array>;
  const body = new ReadableStream<Uint8Array>({ start: given => void (controller = given) });
  return { response: new Response(body), say: (text: string) => controller.enqueue(new TextEncoder().encode(text)) };
}

test("stopping before a worker has taken the question ends it, by the name that comes first", async () => {
  const { response, say } = openStream();
  const { conversations, api } = setUp({ sendMessage: () => Promise.resolve(response) });
  const asked = conversations.ask(THREAD, "Hi", "c-1");
  await conversations.stop(THREAD);
  await asked;
  expect(api.cancelRun).not.toHaveBeenCalled();
  expect(conversations.get(THREAD)?.isStopping).toBe(true);
  say("retry: 1\nid: r_1:0\n\n");
  await vi.waitFor(() => expect(api.cancelRun).toHaveBeenCalledExactlyOnceWith("r_1"));
  conversations.leave(THREAD);
});

test("stopping what cannot be sent gives it back", async () => {
  const { conversations, api } = setUp({ sendMessage: () => Promise.reject(new TypeError("network")) });
  const asked = conversations.ask(THREAD, "Hi", "c-1");
  await vi.waitFor(() => expect(conversations.get(THREAD)?.isLinkLost).toBe(true));
  await conversations.stop(THREAD);
  expect(await asked).toEqual({ kind: "unreachable" });
  expect(shown(conversations)).toEqual([]);
  expect(api.cancelRun).not.toHaveBeenCalled();
});

test("a stop that failed says so and can be tried again", async () => {
  const { response, say } = openStream();
  const cancelRun = vi.fn<ChatApi["cancelRun"]>();
  cancelRun.mockRejectedValueOnce(new Problem(503, { code: "unavailable" })).mockResolvedValue();
  const { conversations, complaints } = setUp({ cancelRun, sendMessage: () => Promise.resolve(response) });
  await conversations.ask(THREAD, "Hi", "c-1");
  say(RUN + TEXT);
  await vi.waitFor(() => expect(shown(conversations)?.[0]?.answer).toBe("Hello there"));
  await conversations.stop(THREAD);
  expect(complaints).toMatchObject([{ kind: "unavailable" }]);
  expect(conversations.get(THREAD)?.isStopping).toBe(false);
  await conversations.stop(THREAD);
  expect(cancelRun).toHaveBeenCalledTimes(2);
  conversations.leave(THREAD);
});

test("older messages that cannot be read are missed aloud", async () => {
  const readThread = vi.fn<ChatApi["readThread"]>();
  readThread
    .mockResolvedValueOnce({ ...ANSWERED, next_cursor: "c" })
    .mockRejectedValueOnce(new Problem(503, { code: "unavailable" }));
  const { conversations, complaints } = setUp({ readThread });
  await conversations.open(THREAD);
  await conversations.loadOlder(THREAD);
  expect(complaints).toMatchObject([{ kind: "unavailable" }]);
  expect(conversations.get(THREAD)).toMatchObject({ olderCursor: "c", isLoadingOlder: false });
});

test("a flag that could not be set is taken off the right message, though older ones have come before it", async () => {
  const refused = Promise.withResolvers<void>();
  const older = page([
    { id: "m_0", run_id: "r_0", role: "user", text: "First", status: "sent", created_at: "2026-11-21T10:00:00Z" },
    { id: "n_0", run_id: "r_0", role: "assistant", text: "1", status: "completed", files: [], flagged: true },
  ]);
  const readThread = vi.fn<ChatApi["readThread"]>();
  readThread.mockResolvedValueOnce({ ...ANSWERED, next_cursor: "c" }).mockResolvedValue(older);
  const { conversations } = setUp({ readThread, flagMessage: () => refused.promise });
  await conversations.open(THREAD);
  const flagged = conversations.setFlag(THREAD, "r_1", { part: "answer", flag: { reasons: [], note: null } });
  await conversations.loadOlder(THREAD);
  refused.reject(new TypeError("network"));
  await expect(flagged).rejects.toThrow();
  expect(conversations.get(THREAD)?.exchanges.map(({ key, answer }) => [key, answer.isFlagged])).toEqual([
    ["r_0", true],
    ["r_1", false],
  ]);
});

describe("a thread that went on elsewhere", () => {
  const PAGE_ROWS = 50;

  /** Has the questions up to `asked`; `ask` is asked from here, as the newest one. */
  function longThread(asked: number) {
    const thread = { asked, readThread: vi.fn<ChatApi["readThread"]>() };
    const messages = (number: number): Partial<Message>[] => {
      const created_at = new Date(Date.UTC(2026, 10, 22) + number * 60_000).toISOString();
      const both = { run_id: `r_${number}`, created_at };
      const follows = number > 1 ? `m_${number - 1}` : null;
      return [
        { ...both, id: `m_${number}`, role: "user", text: `q${number}`, status: "sent", follows },
        { ...both, id: `n_${number}`, role: "assistant", text: `a${number}`, status: "completed", files: [] },
      ];
    };
    thread.readThread.mockImplementation((_, { cursor, limit = PAGE_ROWS } = {}) => {
      const last = cursor === undefined ? thread.asked : Number(cursor) - 1;
      const first = Math.max(1, last - limit + 1);
      const numbers = Array.from({ length: last - first + 1 }, (_each, index) => first + index);
      return Promise.resolve(page(numbers.flatMap(messages), first > 1 ? String(first) : null));
    });
    const sendMessage = () => {
      const number = ++thread.asked;
      const run = { run_id: `r_${number}`, thread_id: THREAD, message_id: `m_${number}` };
      return Promise.resolve(new Response(line(1, "run", run) + TEXT + USAGE + DONE));
    };
    const { conversations } = setUp({ readThread: thread.readThread, sendMessage });
    const askNext = async (key: string) => {
      await conversations.ask(THREAD, `q${thread.asked + 1}`, key);
      await vi.waitFor(() => expect(conversations.get(THREAD)?.exchanges.at(-1)?.answer.id).toBeDefined());
    };
    const onScreen = () => {
      const { exchanges = [], chosen = {} } = conversations.get(THREAD) ?? {};
      return branchOf(exchanges, chosen).map(({ exchange }) => exchange.question.text);
    };
    return { thread, conversations, askNext, onScreen };
  }

  const from = (first: number, last: number) =>
    Array.from({ length: last - first + 1 }, (_, index) => `q${first + index}`);

  test("is whole again after the next answer", async () => {
    const { thread, conversations, askNext, onScreen } = longThread(2);
    await conversations.open(THREAD);
    thread.asked += 2;
    await askNext("c-5");
    expect(onScreen()).toEqual(from(1, 5));
    expect(conversations.get(THREAD)?.exchanges.map(({ question }) => question.text)).toEqual(from(1, 5));
  });

  test("is read in two messages where nothing is missing", async () => {
    const { thread, conversations, askNext, onScreen } = longThread(4);
    await conversations.open(THREAD);
    await askNext("c-5");
    await askNext("c-6");
    expect(onScreen()).toEqual(from(1, 6));
    expect(thread.readThread.mock.calls.map(([, read]) => read?.limit)).toEqual([undefined, 2, 2]);
  });

  test("for longer than a page shows the newest one, and the older ones can be asked for", async () => {
    const { thread, conversations, onScreen } = longThread(60);
    await conversations.open(THREAD);
    await conversations.loadOlder(THREAD);
    thread.asked = 140;
    await conversations.open(THREAD);
    expect(onScreen()).toEqual(from(91, 140));
    await conversations.loadOlder(THREAD);
    await conversations.loadOlder(THREAD);
    expect(onScreen()).toEqual(from(1, 140));
    expect(conversations.get(THREAD)?.olderCursor).toBeUndefined();
  });

  test("for longer than a page keeps the answer that has just come", async () => {
    const { thread, conversations, askNext, onScreen } = longThread(2);
    await conversations.open(THREAD);
    thread.asked = 80;
    await askNext("c-81");
    expect(onScreen()).toEqual(from(32, 81));
    await conversations.loadOlder(THREAD);
    expect(onScreen()).toEqual(from(1, 81));
  });

  test("takes no older page that belongs behind what is not shown any more", async () => {
    const { thread, conversations, onScreen } = longThread(60);
    await conversations.open(THREAD);
    const late = Promise.withResolvers<MessagePage>();
    const older = await thread.readThread(THREAD, { cursor: "11" });
    thread.readThread.mockReturnValueOnce(late.promise);
    const loaded = conversations.loadOlder(THREAD);
    thread.asked = 140;
    await conversations.open(THREAD);
    late.resolve(older);
    await loaded;
    expect(onScreen()).toEqual(from(91, 140));
    await conversations.loadOlder(THREAD);
    expect(onScreen()).toEqual(from(41, 140));
  });
});
