/** What the chat asks of the gateway. */

import { runIdOf } from "../stream/follow-run";
import { type Client, unwrap } from "./client";
import type { components } from "./schema";

type Schemas = components["schemas"];

export type Message = Schemas["MessageShape"];
export type Thread = Schemas["ThreadShape"];
export type ThreadPage = Schemas["ThreadPage"];
export type MessagePage = Schemas["MessagePage"];
export type LatestThread = Schemas["LatestThread"];
export type OpenSession = Schemas["OpenSession"];
export type User = LatestThread["user"];
export type AccountTokens = Schemas["AccountShape"];

export interface NewMessage {
  threadId: string;
  text: string;
  /** Our own id: sending the same one again joins the run that it started. */
  clientMessageId: string;
  place?: MessagePlace;
}

/** Where in the thread: as a new version of a message, or behind one that is not the last. Else at the end. */
export type MessagePlace = { replaces: string } | { follows: string };

export interface ChatApi {
  openSession(token: string): Promise<OpenSession>;
  openChat(): Promise<LatestThread>;
  readAccount(): Promise<AccountTokens>;
  listThreads(page: { words?: string; cursor?: string }): Promise<ThreadPage>;
  newThread(): Promise<Thread>;
  readThread(threadId: string, page?: { cursor?: string; limit?: number }): Promise<MessagePage>;
  renameThread(threadId: string, title: string): Promise<Thread>;
  /** Goes out even while the page is being closed. */
  deleteThread(threadId: string): Promise<void>;
  sendMessage(message: NewMessage, signal: AbortSignal): Promise<Response>;
  /** Reads a run behind `<run id>:<sequence>`. */
  readRun(eventId: string, signal: AbortSignal): Promise<Response>;
  cancelRun(runId: string): Promise<void>;
  flagMessage(messageId: string, flag: { reasons: string[]; note: string | null }): Promise<void>;
  unflagMessage(messageId: string): Promise<void>;
}

export function makeChatApi(client: Client, fetch: typeof globalThis.fetch): ChatApi {
  return {
    openSession: async token => (await unwrap(client.POST("/chat/session", { body: { s: token } }))).session,
    openChat: () => unwrap(client.GET("/chat/thread")),
    readAccount: () => unwrap(client.GET("/chat/account")),
    listThreads: ({ words, cursor }) =>
      unwrap(
        client.GET("/chat/threads", { params: { query: { q: words ?? null, cursor: cursor ?? null } } }),
      ),
    newThread: async () => (await unwrap(client.POST("/chat/threads", { body: {} }))).thread,
    readThread: (threadId, { cursor, limit } = {}) =>
      unwrap(
        client.GET("/chat/threads/{thread_id}", {
          params: {
            path: { thread_id: threadId },
            query: { cursor: cursor ?? null, ...(limit === undefined ? {} : { limit }) },
          },
        }),
      ),
    renameThread: async (threadId, title) =>
      (
        await unwrap(
          client.PATCH("/chat/threads/{thread_id}", {
            params: { path: { thread_id: threadId } },
            body: { title },
            keepalive: true,
          }),
        )
      ).thread,
    deleteThread: async threadId => {
      const params = { path: { thread_id: threadId } };
      await unwrap(client.DELETE("/chat/threads/{thread_id}", { params, keepalive: true }));
    },
    sendMessage: ({ threadId, text, clientMessageId, place }, signal) =>
      fetch("/chat/messages", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ thread_id: threadId, text, client_message_id: clientMessageId, ...place }),
        signal,
      }),
    readRun: (eventId, signal) => {
      const headers = { "Last-Event-ID": eventId };
      return fetch(`/chat/runs/${encodeURIComponent(runIdOf(eventId))}/events`, { headers, signal });
    },
    cancelRun: async runId => {
      await unwrap(client.POST("/chat/runs/{run_id}/cancel", { params: { path: { run_id: runId } } }));
    },
    flagMessage: async (messageId, flag) => {
      const params = { path: { message_id: messageId } };
      await unwrap(client.POST("/chat/messages/{message_id}/flag", { params, body: flag }));
    },
    unflagMessage: async messageId => {
      const params = { path: { message_id: messageId } };
      await unwrap(client.DELETE("/chat/messages/{message_id}/flag", { params }));
    },
  };
}
