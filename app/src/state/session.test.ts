// @vitest-environment jsdom
import { beforeEach, expect, test, vi } from "vitest";
import type { ChatApi } from "../api/chat-api";
import { Problem } from "../api/problem";
import { createSession } from "./session";

const LATEST = {
  thread: { id: "t_1", title: "", created_at: "", updated_at: "", messages: [] },
  user: { id: "u1", name: "Ada", company: null, token_balance: 10, token_available: 10, token_grant: 50 },
  session: { sub: "u1", expires_at: "" },
};
const SIGNED_OUT = new Problem(401, { code: "unauthenticated", login_url: "https://login.test/" });

function setUp(changes: Partial<ChatApi> = {}) {
  const api = {
    openSession: vi.fn(() => Promise.resolve({ sub: "u1", name: "Ada", role: "operator", expires_at: "" })),
    openChat: vi.fn(() => Promise.resolve(LATEST)),
    ...changes,
  };
  return { api, session: createSession(api as unknown as ChatApi, localStorage) };
}

beforeEach(() => localStorage.clear());

test("a token is exchanged before anything else is asked", async () => {
  const { api, session } = setUp();
  await session.open("token");
  expect(api.openSession).toHaveBeenCalledExactlyOnceWith("token");
  expect(session.state).toEqual({ kind: "open" });
  expect(session.account).toMatchObject({ userId: "u1", name: "Ada", tokenBalance: 10, tokenGrant: 50 });
});

test("an operator is one after a reload, too, and nobody else is", async () => {
  await setUp().session.open("token");
  const reloaded = setUp().session;
  await reloaded.open(undefined);
  expect(reloaded.account.isOperator).toBe(true);

  const other = { ...LATEST, user: { ...LATEST.user, id: "u2" } };
  const another = setUp({ openChat: () => Promise.resolve(other) as never }).session;
  await another.open(undefined);
  expect(another.account.isOperator).toBe(false);
});

test("without a session one is told where to sign in, also when it ends later", async () => {
  const first = setUp({ openChat: () => Promise.reject(SIGNED_OUT) }).session;
  await first.open(undefined);
  expect(first.state).toEqual({ kind: "signed_out", loginUrl: "https://login.test/", wasOpen: false });

  const { session } = setUp();
  await session.open("token");
  session.notice({ kind: "signed_out", loginUrl: undefined });
  expect(session.state).toEqual({ kind: "signed_out", loginUrl: undefined, wasOpen: true });
});

test("a server that is away is not a session that has ended", async () => {
  const { session } = setUp({ openChat: () => Promise.reject(new TypeError("network")) });
  await session.open(undefined);
  expect(session.state).toMatchObject({ kind: "failed" });
});
