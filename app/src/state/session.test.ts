// @vitest-environment jsdom
import { beforeEach, expect, test, vi } from "vitest";
import type { ChatApi } from "../api/chat-api";
import { Problem } from "../api/problem";
import { createSession, type Tokens } from "./session";

const LATEST = {
  thread: { id: "t_1", title: "", created_at: "", updated_at: "", messages: [] },
  user: {
    id: "u1",
    name: "Ada", company: null, token_balance: 10, token_sequence: 3, token_available: 10, token_grant: 50,
    next_grant_at: "2026-11-23T10:00:00Z",
    role: "operator",
    more_tokens_url: null,
  },
  next_cursor: null,
  session: { sub: "u1", expires_at: "" },
};
beforeEach(() => localStorage.clear());

const SIGNED_OUT = new Problem(401, { code: "unauthenticated", login_url: "https://login.test/" });

function setUp(changes: Partial<ChatApi> = {}) {
  const api = {
    openSession: vi.fn(() => Promise.resolve({ sub: "u1", name: "Ada", role: "operator", expires_at: "" })),
    openChat: vi.fn(() => Promise.resolve(LATEST)),
    readAccount: vi.fn(() => Promise.resolve({ ...LATEST.user, token_balance: 70 })),
    ...changes,
  };
  return { api, session: createSession(api as unknown as ChatApi, localStorage) };
}

test("a token is exchanged before anything else is asked", async () => {
  const { api, session } = setUp();
  await session.open("token");
  expect(api.openSession).toHaveBeenCalledExactlyOnceWith("token");
  expect(session.state).toEqual({ kind: "open" });
  expect(session.account).toMatchObject({ userId: "u1", name: "Ada", tokenBalance: 10, tokenGrant: 50 });
});

test("the server says who is an operator", async () => {
  const { session } = setUp();
  await session.open(undefined);
  expect(session.account.isOperator).toBe(true);

  const user = { ...LATEST.user, role: "user" };
  const other = setUp({ openChat: () => Promise.resolve({ ...LATEST, user }) as never }).session;
  await other.open(undefined);
  expect(other.account.isOperator).toBe(false);
});

test("the tokens are brought up to date without asking for anything else", async () => {
  const { api, session } = setUp();
  await session.open(undefined);
  await session.refresh();
  expect(session.account).toMatchObject({ name: "Ada", tokenBalance: 70, nextGrantAt: "2026-11-23T10:00:00Z" });
  expect(api.openChat).toHaveBeenCalledOnce();
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

test("without a grant, tokens are measured by what there was when they came last, also after a reload", async () => {
  const user = { ...LATEST.user, token_grant: 0, token_balance: 100 };
  const openChat = () => Promise.resolve({ ...LATEST, user }) as never;
  const first = setUp({ openChat }).session;
  await first.open(undefined);
  first.setTokens({ token_balance: 15 });
  expect(first.account).toMatchObject({ tokenBalance: 15, tokensWhenFull: 100 });

  user.token_balance = 12;
  const { session } = setUp({ openChat });
  await session.open(undefined);
  expect(session.account).toMatchObject({ tokenBalance: 12, tokensWhenFull: 100 });
  session.setTokens({ token_balance: 60 });
  expect(session.account.tokensWhenFull).toBe(60);
});

test("with a grant, tokens are measured by it", async () => {
  const { session } = setUp();
  await session.open(undefined);
  expect(session.account.tokensWhenFull).toBe(50);
  session.setTokens({ token_balance: 80, token_grant: 40 });
  expect(session.account).toMatchObject({ tokenBalance: 80, tokenGrant: 40, tokensWhenFull: 40 });
});

test("whatever order the tokens are told in, the newest stay", async () => {
  const told: Tokens[] = [
    { token_balance: 1_000, token_sequence: 4, token_grant: 0 },
    { token_balance: 900, token_sequence: 5, token_grant: 0 },
    // What a run used is told before it is booked, and then once more.
    { token_balance: 700, token_sequence: 6 },
    { token_balance: 700, token_sequence: 6, token_grant: 0 },
  ];
  for (const order of permutations(told)) {
    localStorage.clear();
    const { session } = setUp();
    await session.open(undefined);
    for (const tokens of order) session.setTokens(tokens);
    expect(session.account).toMatchObject({ tokenBalance: 700, tokenSequence: 6 });
  }
});

test("an answer that was read before an event, and comes after it, takes nothing back", async () => {
  const { session } = setUp({ readAccount: () => Promise.resolve({ ...LATEST.user, token_balance: 1_000 }) });
  await session.open(undefined);
  session.onBooked({ token_balance: 900, token_sequence: 4, token_grant: 0 });
  await session.refresh();
  expect(session.account).toMatchObject({ tokenBalance: 900, tokensWhenFull: 900 });
});

test("what is used up is read anew once for each row: a grant that is due comes by that", async () => {
  const { api, session } = setUp({
    readAccount: vi.fn(() => Promise.resolve({ ...LATEST.user, token_balance: 0, token_sequence: 4 })),
  });
  await session.open(undefined);
  session.setTokens({ token_balance: -2, token_sequence: 4 });
  expect(api.readAccount).not.toHaveBeenCalled();
  session.onBooked({ token_balance: -2, token_sequence: 4 });
  session.onBooked({ token_balance: -2, token_sequence: 4 });
  expect(api.readAccount).toHaveBeenCalledOnce();
  session.onBooked({ token_balance: 50, token_sequence: 5 });
  session.onBooked({ token_balance: -1, token_sequence: 6 });
  expect(api.readAccount).toHaveBeenCalledTimes(2);
});

function permutations<T>(items: T[]): T[][] {
  if (items.length < 2) return [items];
  return items.flatMap((item, index) => permutations(items.toSpliced(index, 1)).map(rest => [item, ...rest]));
}
