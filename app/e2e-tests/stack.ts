/** The running product that the tests drive: `tests/e2e/test_app.py` starts it and says where it is. */

import { createHmac } from "node:crypto";

interface Stack {
  origin: string;
  /** Any request to it kills the gateway, and is answered when it is back. */
  restartGatewayUrl: string;
  sharedSecret: string;
  /** User and password of the CRM. */
  integration: string;
  managementUrl: string;
  vhost: string;
  loginUrl: string;
  moreTokensUrl: string;
}

export interface Claims {
  name?: string;
  email?: string;
  company?: { id: string; name: string };
  role?: "operator";
}

export const STACK = readStack();

function readStack(): Stack {
  const described = process.env.E2E_STACK;
  if (described === undefined) throw new Error("run these by `make test ARGS=tests/e2e/test_app.py`");
  return JSON.parse(described);
}

const encode = (part: object) => Buffer.from(JSON.stringify(part)).toString("base64url");

/** Signs a session as the customer's main application would. */
export function sessionOf(userId: string, claims: Claims = {}, ttlS = 3_600): string {
  const exp = Math.floor(Date.now() / 1_000) + ttlS;
  const signed = `${encode({ alg: "HS256", typ: "JWT" })}.${encode({ sub: userId, exp, ...claims })}`;
  return `${signed}.${createHmac("sha256", STACK.sharedSecret).update(signed).digest("base64url")}`;
}

/** An id that nobody had before. */
export const newUserId = () => `u-${crypto.randomUUID().slice(0, 8)}`;

/** Writes a message that the provider's simulator answers as told; see `tests/simulators/openai/behaviour.py`. */
export const sim = (text: string, behaviour: object = {}) => `${text} [[sim: ${JSON.stringify(behaviour)}]]`;

/** What the simulator writes for `reply_tokens`: a piece that is missing or doubled shows. */
export const counted = (tokens: number) => Array.from({ length: tokens }, (_, n) => `t${n + 1}`).join(" ");

async function call(path: string, token: string, init: RequestInit = {}): Promise<Response> {
  const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
  const response = await fetch(STACK.origin + path, { ...init, headers });
  if (!response.ok) throw new Error(`${init.method ?? "GET"} ${path}: ${response.status} ${await response.text()}`);
  return response;
}

/** Opens the chat as a user, without a browser: makes the account and its first thread. */
export async function openAccount(userId: string, claims: Claims = {}): Promise<void> {
  await call("/chat/thread", sessionOf(userId, claims));
}

interface StoredThread {
  thread: { messages: { role: string; text: string; status: string; run_id: string }[] };
}

export async function storedThread(userId: string, threadId: string): Promise<StoredThread["thread"]> {
  const response = await call(`/chat/threads/${threadId}`, sessionOf(userId));
  return ((await response.json()) as StoredThread).thread;
}

/** Asks without a browser, and waits for the whole answer. */
export async function ask(userId: string, text: string, claims: Claims = {}): Promise<void> {
  const token = sessionOf(userId, claims);
  const made = await call("/chat/threads", token, { method: "POST", body: "{}" });
  const { thread } = (await made.json()) as { thread: { id: string } };
  const body = JSON.stringify({ thread_id: thread.id, text });
  await (await call("/chat/messages", token, { method: "POST", body })).text();
}

const OPERATOR = sessionOf("operator", { role: "operator" });

export async function balanceOf(userId: string): Promise<number> {
  const response = await call(`/dashboard/users/${userId}`, OPERATOR);
  return ((await response.json()) as { token_balance: number }).token_balance;
}

export async function setTokens(userId: string, tokenBalance: number, tokenGrant: number): Promise<void> {
  const body = { token_balance: tokenBalance, token_grant: tokenGrant, reason: "a test" };
  await call(`/dashboard/users/${userId}/tokens`, OPERATOR, { method: "POST", body: JSON.stringify(body) });
}

/** Sets a quota as the CRM does. */
export async function setQuota(userId: string, quota: number | string): Promise<Response> {
  const query = new URLSearchParams({ id: userId, quota: String(quota) });
  return fetch(`${STACK.origin}/int/tokens?${query}`, {
    method: "POST",
    headers: { Authorization: `Basic ${btoa(STACK.integration)}`, "Content-Type": "application/json" },
    body: JSON.stringify({ int: {} }),
  });
}

/** What waits for an operator, as it was written. */
export async function waitingQuotas(): Promise<string[]> {
  const response = await call("/dashboard/integration/waiting", OPERATOR);
  return ((await response.json()) as { items: { value: string }[] }).items.map(({ value }) => value);
}

/** Puts something into a queue that nobody can read. */
export async function publishGarbage(queue: string): Promise<void> {
  const url = new URL(STACK.managementUrl);
  const credentials = btoa(`${url.username}:${url.password}`);
  const response = await fetch(`${url.origin}/api/exchanges/${STACK.vhost}/amq.default/publish`, {
    method: "POST",
    headers: { Authorization: `Basic ${credentials}`, "Content-Type": "application/json" },
    body: JSON.stringify({
      properties: { message_id: crypto.randomUUID() },
      routing_key: queue,
      payload: '{"garbage": true}',
      payload_encoding: "string",
    }),
  });
  if (!response.ok) throw new Error(`not published: ${response.status}`);
}

/** Kills the gateway and waits until it is back. */
export async function restartGateway(): Promise<void> {
  await fetch(STACK.restartGatewayUrl);
}
