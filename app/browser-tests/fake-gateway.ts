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
  tokenBalance: number;
  /** Set to refuse everything: status and code. */
  refusal: { status: number; code: string } | undefined;
  dashboard: Record<string, unknown>;
}

export async function fakeGateway(context: BrowserContext): Promise<FakeGateway> {
  const gateway: FakeGateway = { answers: [], tokenBalance: 38_412, refusal: undefined, dashboard: {} };
  await context.route(/\/(chat|dashboard)\//, async route => {
    const { pathname } = new URL(route.request().url());
    if (gateway.refusal) await refuse(route, gateway.refusal);
    else if (pathname.startsWith("/dashboard/")) await answerDashboard(route, gateway, pathname);
    else await answerChat(route, gateway, pathname);
  });
  return gateway;
}

async function answerChat(route: Route, gateway: FakeGateway, pathname: string): Promise<void> {
  const thread = { id: THREAD_ID, title: "A thread", created_at: NOW, updated_at: NOW };
  const messages = gateway.answers.flatMap((text, index) => exchange(index, text));
  switch (pathname) {
    case "/chat/session":
      await json(route, { session: { sub: "u1", name: "Ada Lovelace", role: "operator", expires_at: NOW } });
      break;
    case "/chat/thread":
      await json(route, {
        thread: { ...thread, messages: [] },
        user: {
          id: "u1",
          name: "Ada Lovelace",
          company: { id: "acme", name: "Analytical Engines" },
          token_balance: gateway.tokenBalance,
          token_available: gateway.tokenBalance,
          token_grant: 50_000,
        },
        session: { sub: "u1", expires_at: NOW },
      });
      break;
    case "/chat/threads":
      await json(route, { items: [thread], next_cursor: null });
      break;
    case `/chat/threads/${THREAD_ID}`:
      await json(route, { thread: { ...thread, messages }, next_cursor: null });
      break;
    default:
      await refuse(route, { status: 404, code: "not_found" });
  }
}

async function answerDashboard(route: Route, gateway: FakeGateway, pathname: string): Promise<void> {
  const answer = gateway.dashboard[pathname];
  if (answer === undefined) await refuse(route, { status: 404, code: "not_found" });
  else await json(route, answer);
}

function exchange(index: number, text: string): Message[] {
  const id = index.toString(16).padStart(32, "0");
  const shared = { run_id: `r_${id}`, created_at: NOW, flagged: false, error: null, annotations: [] };
  return [
    { ...shared, id: `m_${id}`, role: "user", text: "Question", status: "sent", usage: null, files: [] },
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
