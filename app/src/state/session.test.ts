// @vitest-environment jsdom
import { beforeEach, describe, expect, test, vi } from "vitest";
import type { ChatApi } from "../api/chat-api";
import { Problem } from "../api/problem";
import { createSession, type SessionStore, type Tokens } from "./session";

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
const ACCOUNT = { ...LATEST.user, user_id: "u1" };
beforeEach(() => localStorage.clear());

const SIGNED_OUT = new Problem(401, { code: "unauthenticated", login_url: "https://login.test/" });

function setUp(changes: Partial<ChatApi> = {}) {
  const api = {
    openSession: vi.fn(() => Promise.resolve({ sub: "u1", name: "Ada", role: "operator", expires_at: "" })),
    openChat: vi.fn(() => Promise.resolve(LATEST)),
    readAccount: vi.fn(() => Promise.resolve({ ...ACCOUNT, token_balance: 70 })),
    ...changes,
  };
  const onOtherUser = vi.fn();
  return { api, onOtherUser, session: createSession(api as unknown as ChatApi, localStorage, onOtherUser) };
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
  first.onBooked({ token_balance: 15, token_sequence: 4 });
  expect(first.account).toMatchObject({ tokenBalance: 15, tokensWhenFull: 100 });

  Object.assign(user, { token_balance: 12, token_sequence: 5 });
  const { session } = setUp({ openChat });
  await session.open(undefined);
  expect(session.account).toMatchObject({ tokenBalance: 12, tokensWhenFull: 100 });
  session.onBooked({ token_balance: 60, token_sequence: 6 });
  expect(session.account.tokensWhenFull).toBe(60);
});

test("with a grant, tokens are measured by it", async () => {
  const { session } = setUp();
  await session.open(undefined);
  expect(session.account.tokensWhenFull).toBe(50);
  session.onBooked({ token_balance: 80, token_sequence: 4, token_grant: 40 });
  expect(session.account).toMatchObject({ tokenBalance: 80, tokenGrant: 40, tokensWhenFull: 40 });
});

test("whatever order the tokens are told in, the newest stay", async () => {
  const told: [keyof Pick<SessionStore, "onBooked" | "onForecast">, Tokens][] = [
    ["onBooked", { token_balance: 900, token_sequence: 4, token_grant: 0 }],
    // Two runs have ended of which none is booked, then an operator takes tokens away before the last is.
    ["onForecast", { token_balance: 600, token_sequence: 6 }],
    ["onBooked", { token_balance: 800, token_sequence: 5, token_grant: 0 }],
    ["onBooked", { token_balance: 500, token_sequence: 6, token_grant: 0 }],
    ["onBooked", { token_balance: 500, token_sequence: 6, token_grant: 0 }],
  ];
  for (const order of permutations(told)) {
    localStorage.clear();
    const user = { ...LATEST.user, token_balance: 1_000, token_grant: 0 };
    const { session } = setUp({ openChat: () => Promise.resolve({ ...LATEST, user }) as never });
    await session.open(undefined);
    for (const [way, tokens] of order) session[way](tokens);
    expect(session.account).toMatchObject({ tokenBalance: 500, tokenSequence: 6, tokensWhenFull: 1_000 });
  }
});

test("a page that is opened before an answer is booked has not been given tokens", async () => {
  const user = { ...LATEST.user, token_balance: 1_000, token_grant: 0 };
  const openChat = () => Promise.resolve({ ...LATEST, user }) as never;
  const first = setUp({ openChat }).session;
  await first.open(undefined);
  first.onBooked({ token_balance: 400, token_sequence: 4 });
  first.onForecast({ token_balance: 300, token_sequence: 5 });

  Object.assign(user, { token_balance: 400, token_sequence: 4 });
  const { session } = setUp({ openChat });
  await session.open(undefined);
  expect(session.account).toMatchObject({ tokenBalance: 400, tokensWhenFull: 1_000 });
});

test("an answer that was read before an event, and comes after it, takes nothing back", async () => {
  const { session } = setUp({ readAccount: () => Promise.resolve({ ...ACCOUNT, token_balance: 1_000 }) });
  await session.open(undefined);
  session.onBooked({ token_balance: 900, token_sequence: 4, token_grant: 0 });
  await session.refresh();
  expect(session.account).toMatchObject({ tokenBalance: 900, tokensWhenFull: 900 });
});

test("what is used up is read anew once for each row: a grant that is due comes by that", async () => {
  const { api, session } = setUp({
    readAccount: vi.fn(() => Promise.resolve({ ...ACCOUNT, token_balance: 0, token_sequence: 4 })),
  });
  await session.open(undefined);
  session.onForecast({ token_balance: -2, token_sequence: 5 });
  session.onBooked({ token_balance: 4, token_sequence: 4 });
  expect(session.account.tokenBalance).toBe(-2);
  expect(api.readAccount).not.toHaveBeenCalled();
  session.onBooked({ token_balance: -2, token_sequence: 5 });
  session.onBooked({ token_balance: -2, token_sequence: 5 });
  expect(api.readAccount).toHaveBeenCalledOnce();
  session.onBooked({ token_balance: 50, token_sequence: 6 });
  session.onBooked({ token_balance: -1, token_sequence: 7 });
  expect(api.readAccount).toHaveBeenCalledTimes(2);
});

describe.each([2, 90])("when another tab has signed in somebody else, whose sequence is %i", token_sequence => {
  const theirs = { user_id: "u2", token_balance: 0, token_sequence, token_grant: 0 };

  async function meets(tell: (session: SessionStore) => void | Promise<void>) {
    const readAccount = vi.fn(() => Promise.resolve({ ...ACCOUNT, ...theirs }));
    const { session, onOtherUser } = setUp({ readAccount });
    await session.open(undefined);
    const before = { ...session.account };
    const stored = localStorage.getItem("full-balance:u1");
    await tell(session);
    expect(onOtherUser).toHaveBeenCalledOnce();
    expect(session.state).toEqual({ kind: "signed_out", loginUrl: undefined, wasOpen: true });
    expect(session.account).toEqual(before);
    expect([localStorage.length, localStorage.getItem("full-balance:u1")]).toEqual([1, stored]);
    return readAccount;
  }

  test("the answer about the account ends this page's session and changes nothing on it", async () => {
    await meets(session => session.refresh());
  });

  test("so does an event about the balance, and no grant is asked for", async () => {
    const readAccount = await meets(session => session.onBooked(theirs));
    expect(readAccount).not.toHaveBeenCalled();
  });

  test("two answers that come after it are one change of the user", async () => {
    await meets(async session => {
      const underWay = [session.refresh(), session.refresh()];
      session.onBooked(theirs);
      await Promise.all(underWay);
    });
  });
});

test("a page that is not open yet belongs to nobody, and is nobody else's", async () => {
  const opening = Promise.withResolvers<typeof LATEST>();
  const { session, onOtherUser } = setUp({ openChat: () => opening.promise as never });
  const isOpen = session.open(undefined);
  await session.refresh();
  expect([session.state.kind, session.account.tokenBalance]).toEqual(["opening", 0]);
  opening.resolve(LATEST);
  await isOpen;
  expect(session.account).toMatchObject({ userId: "u1", tokenBalance: 10 });
  expect(onOtherUser).not.toHaveBeenCalled();
});

function permutations<T>(items: T[]): T[][] {
  if (items.length < 2) return [items];
  return items.flatMap((item, index) => permutations(items.toSpliced(index, 1)).map(rest => [item, ...rest]));
}
