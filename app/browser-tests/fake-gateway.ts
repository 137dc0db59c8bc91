/** Answers of the API for one signed-in user, given to the browser before anything leaves it. */

import type { BrowserContext, Route } from "playwright-core";
import type { Message } from "../src/api/chat-api";

const THREAD_ID = `t_${"0".repeat(32)}`;
const NOW = "2026-11-22T10:00:00Z";

const USAGE = {
  input_tokens: 812,
  cached_tokens: 512,
  output_tokens: 392,
  reasoning_tokens: 64,
  total_tokens: 1_204,
  estimated: false,
};

export const THREAD_PATH = `/c/${THREAD_ID}`;

export interface FakeGateway {
  /** The answers of the one thread that has some. */
  answers: string[];
  /** Who is signed in with the browser. */
  user: { id: string; name: string };
  tokenBalance: number;
  /** Set to refuse everything: status and code. */
  refusal: { status: number; code: string } | undefined;
  /** Set to refuse messages alone. */
  messageRefusal: { status: number; code: string } | undefined;
  /** What was asked before every answer that was not sent from here. */
  question: string;
  /** What the next message is answered with. */
  reply: string;
  /** What came in, as `METHOD path`, and the texts of messages. */
  requests: string[];
  sent: { text: string; client_message_id: string }[];
  dashboard: Record<string, unknown>;
}

export async function fakeGateway(context: BrowserContext): Promise<FakeGateway> {
  const gateway: FakeGateway = {
    answers: [],
    user: { id: "u1", name: "Ada Lovelace" },
    tokenBalance: 38_412,
    refusal: undefined,
    messageRefusal: undefined,
    question: "Question",
    reply: "An answer.",
    requests: [],
    sent: [],
    dashboard: {},
  };
  await context.route(/\/(chat|dashboard)\//, async route => {
    const { pathname } = new URL(route.request().url());
    gateway.requests.push(`${route.request().method()} ${pathname}`);
    if (gateway.refusal) await refuse(route, gateway.refusal);
    else if (pathname.startsWith("/dashboard/")) await answerDashboard(route, gateway, pathname);
    else await answerChat(route, gateway);
  });
  return gateway;
}

const THREAD = { id: THREAD_ID, title: "A thread", created_at: NOW, updated_at: NOW };

async function answerChat(route: Route, gateway: FakeGateway): Promise<void> {
  const request = route.request();
  const { pathname } = new URL(request.url());
  const messages = () =>
    gateway.answers.flatMap((text, index) => exchange(index, text, gateway.sent[index]?.text ?? gateway.question));
  const handlers: Record<string, () => Promise<void>> = {
    "POST /chat/session": () =>
      json(route, { session: { sub: gateway.user.id, name: gateway.user.name, role: "operator", expires_at: NOW } }),
    "GET /chat/thread": () => json(route, latestThread(gateway)),
    "GET /chat/account": () => json(route, { ...tokensOf(gateway), user_id: gateway.user.id }),
    "GET /chat/account/events": () =>
      route.fulfill({ contentType: "text/event-stream", body: "retry: 600000\n\n" }),
    "GET /chat/threads": () => json(route, { items: [THREAD], next_cursor: null }),
    "POST /chat/threads": () => json(route, { thread: { ...THREAD, title: "" } }, 201),
    "POST /chat/messages": () => answerMessage(route, gateway),
    [`GET /chat/threads/${THREAD_ID}`]: () =>
      json(route, { thread: { ...THREAD, messages: messages() }, next_cursor: null }),
    [`PATCH /chat/threads/${THREAD_ID}`]: () =>
      json(route, { thread: { ...THREAD, title: request.postDataJSON().title } }),
    [`DELETE /chat/threads/${THREAD_ID}`]: () => route.fulfill({ status: 204 }),
  };
  const isFlag = pathname.endsWith("/flag");
  const handler = isFlag
    ? () => json(route, { flagged: request.method() === "POST" })
    : handlers[`${request.method()} ${pathname}`];
  await (handler?.() ?? refuse(route, { status: 404, code: "not_found" }));
}

function latestThread(gateway: FakeGateway): Record<"thread" | "user" | "session", unknown> {
  return {
    thread: { ...THREAD, messages: [] },
    user: {
      ...gateway.user,
      ...tokensOf(gateway),
      company: { id: "acme", name: "Analytical Engines" },
      role: "operator",
      more_tokens_url: null,
    },
    session: { sub: gateway.user.id, expires_at: NOW },
  };
}

const tokensOf = ({ tokenBalance }: FakeGateway) => ({
  token_balance: tokenBalance,
  token_sequence: 1,
  token_available: tokenBalance,
  token_grant: 50_000,
  next_grant_at: null,
});

/** The whole stream at once; how it behaves over time is for the tests on real services. */
async function answerMessage(route: Route, gateway: FakeGateway): Promise<void> {
  if (gateway.messageRefusal) {
    await refuse(route, gateway.messageRefusal);
    return;
  }
  gateway.sent.push(route.request().postDataJSON());
  const id = idOf(gateway.answers.length);
  gateway.answers.push(gateway.reply);
  const events: [string, unknown][] = [
    ["run", { run_id: `r_${id}`, thread_id: THREAD_ID, message_id: `m_${id}` }],
    ["delta", { text: gateway.reply, at: 0 }],
    ["usage", { ...USAGE, token_balance: gateway.tokenBalance - USAGE.total_tokens, token_sequence: 2 }],
    ["done", { status: "completed" }],
  ];
  const body = events.map(
    ([kind, data], index) => `id: r_${id}:${index + 1}\nevent: ${kind}\ndata: ${JSON.stringify(data)}\n\n`,
  );
  await route.fulfill({ contentType: "text/event-stream", body: body.join("") });
}

/** By `METHOD path` or the path alone: an answer, what makes one of the request, or one that never comes. */
async function answerDashboard(route: Route, gateway: FakeGateway, pathname: string): Promise<void> {
  const request = route.request();
  const made = gateway.dashboard[`${request.method()} ${pathname}`] ?? gateway.dashboard[pathname];
  const answer = await (typeof made === "function" ? made(request) : made);
  if (answer === undefined) await refuse(route, { status: 404, code: "not_found" });
  else if (answer instanceof Refusal) await refuse(route, answer);
  else await json(route, answer);
}

export class Refusal {
  readonly status: number;
  readonly code: string;
  constructor(status: number, code: string) {
    this.status = status;
    this.code = code;
  }
}

const idOf = (index: number) => index.toString(16).padStart(32, "0");

function exchange(index: number, text: string, question: string): Message[] {
  const id = idOf(index);
  const follows = index === 0 ? null : `m_${idOf(index - 1)}`;
  const shared = { run_id: `r_${id}`, created_at: NOW, flagged: false, error: null, annotations: [] };
  return [
    { ...shared, id: `m_${id}`, role: "user", text: question, status: "sent", usage: null, files: [], follows },
    {
      ...shared,
      id: `n_${id}`,
      role: "assistant",
      text,
      status: "completed",
      usage: USAGE,
      files: [{ id: `f_${id}`, name: "a.csv" }],
    },
  ];
}

const json = (route: Route, body: unknown, status = 200) => route.fulfill({ status, json: body });

const refuse = (route: Route, { status, code }: { status: number; code: string }) =>
  json(route, { type: `/docs#${code}`, title: code, status, code, detail: code }, status);
