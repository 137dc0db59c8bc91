// @vitest-environment jsdom
import { fireEvent, screen, waitFor } from "@solidjs/testing-library";
import { createSignal, Show } from "solid-js";
import { beforeEach, describe, expect, test, vi } from "vitest";
import type { ChatApi, Thread } from "../../api/chat-api";
import { Problem } from "../../api/problem";
import { createConversations } from "../../state/conversations";
import type { Failure } from "../../state/failure";
import { fakeBrowser, renderInApp } from "../render-app";
import { ChatPage } from "./chat-page";

const THREAD: Thread = {
  id: "t_1",
  title: "A thread",
  created_at: "2026-11-22T10:00:00Z",
  updated_at: "2026-11-22T10:00:00Z",
};
const REFUSED = new Problem(413, { code: "too_large" });
const NOT_SENT = /^Not sent\./;

beforeEach(() => {
  fakeBrowser();
  vi.stubGlobal(
    "ResizeObserver",
    class {
      observe() {}
      disconnect() {}
    },
  );
});

/** A message is on its way, or its thread is being made first. The server's word is the test's. */
function sendHello(threadId: string | undefined) {
  const server = Promise.withResolvers<Thread>();
  const api = {
    newThread: () => server.promise,
    sendMessage: vi.fn(() => (threadId ? server.promise : new Promise(() => undefined))),
    readThread: () => Promise.resolve({ thread: { ...THREAD, messages: [] }, next_cursor: null }),
  } as unknown as ChatApi;
  const notice = (failure: Failure) => failure;
  const conversations = createConversations(api, {
    onThread: () => undefined,
    onForecast: () => undefined,
    onAnswered: () => undefined,
    onFailed: () => undefined,
    notice,
  });
  const refreshed = Promise.withResolvers<void>();
  const account = { userId: "u1", tokenBalance: 800, tokenGrant: 1_000, tokensWhenFull: 1_000 };
  const [isThere, setThere] = createSignal(true);
  /** As in the app: without a page there is no thread in the address either. */
  const inAddress = () => (isThere() ? threadId : undefined);
  const { app, container } = renderInApp(
    () => (
      <Show when={isThere()}>
        <ChatPage api={api} threadId={inAddress()} />
      </Show>
    ),
    { conversations, session: { account, notice, refresh: () => refreshed.promise }, threads: { find: () => THREAD } },
  );
  const field = () => screen.getByLabelText<HTMLTextAreaElement>("Write a message");
  const send = (text: string) => {
    fireEvent.input(field(), { target: { value: text } });
    fireEvent.keyDown(field(), { key: "Enter" });
  };
  send("Hello");
  const [leave, comeBack] = [() => setThere(false), () => setThere(true)];
  return { app, container, api, server, refreshed, field, send, leave, comeBack };
}

function sendAndLeave(threadId: string | undefined) {
  const sent = sendHello(threadId);
  sent.leave();
  return sent;
}

describe("a message whose page was left before the server refused it", () => {
  test.each(["t_1", undefined])("is told of, and there again when the page is (%s)", async threadId => {
    const { server, field, comeBack } = sendAndLeave(threadId);
    server.reject(REFUSED);
    await screen.findByText(NOT_SENT);
    comeBack();
    expect(field().value).toBe("Hello");
  });

  test.each(["t_1", undefined])("comes back before what was typed since on the page (%s)", async threadId => {
    const { server, field, comeBack } = sendAndLeave(threadId);
    comeBack();
    expect(field().value).toBe("");
    fireEvent.input(field(), { target: { value: "More" } });
    server.reject(REFUSED);
    await screen.findByText(NOT_SENT);
    expect(field().value).toBe("Hello\n\nMore");
  });
});

test("whoever has left a first message stays where they are while it is sent", async () => {
  const { app, api, server } = sendAndLeave(undefined);
  server.resolve(THREAD);
  await waitFor(() => expect(api.sendMessage).toHaveBeenCalledOnce());
  expect(app.navigation.go).not.toHaveBeenCalled();
});

test("while it is found out whether tokens have come, nothing else is sent in the place of the message", async () => {
  const { container, api, server, refreshed, field, send } = sendHello("t_1");
  server.reject(new Problem(429, { code: "insufficient_balance" }));
  await waitFor(() => expect(container.querySelector(".question-text")).toBeNull());
  send("Another");
  refreshed.resolve();
  await waitFor(() => expect(field().value).toBe("Hello\n\nAnother"));
  expect(api.sendMessage).toHaveBeenCalledOnce();
  expect(screen.getByLabelText("Send")).toBeTruthy();
});
