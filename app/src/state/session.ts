/** Who is here, and how many tokens are left. */

import { batch } from "solid-js";
import { createStore } from "solid-js/store";
import type { AccountTokens, ChatApi, LatestThread, User } from "../api/chat-api";
import { type Failure, failureOf } from "./failure";

export type SessionState =
  | { kind: "opening" }
  | { kind: "open" }
  | { kind: "signed_out"; loginUrl: string | undefined; wasOpen: boolean }
  | { kind: "failed"; failure: Failure };

export interface Account {
  userId: string;
  name: string | undefined;
  company: string | undefined;
  tokenBalance: number;
  tokenGrant: number;
  /** What a warning is measured by: the grant or, without one, what there was when tokens came last. */
  tokensWhenFull: number;
  /** When the grant comes, should the balance be used up by then. */
  nextGrantAt: string | undefined;
  moreTokensUrl: string | undefined;
  /** It only decides what is offered: the server decides what is allowed. */
  isOperator: boolean;
}

/** What is left, as the server tells it the moment that it changes. */
export type Tokens = Partial<Pick<AccountTokens, "token_balance" | "token_grant">>;

interface State {
  state: SessionState;
  account: Account;
}

export interface SessionStore {
  readonly state: SessionState;
  readonly account: Account;
  /** Signs in with a token, if there is one, and reads who is here. Returns what the chat begins with. */
  open(token: string | undefined): Promise<LatestThread | undefined>;
  /** Reads the balance anew. A balance that is used up may be granted again by it. */
  refresh(): Promise<void>;
  setTokens(tokens: Tokens): void;
  /** Takes note if a failure means that the session has ended. */
  notice(failure: Failure): Failure;
}

const NOBODY: Account = {
  userId: "",
  name: undefined,
  company: undefined,
  tokenBalance: 0,
  tokenGrant: 0,
  tokensWhenFull: 0,
  nextGrantAt: undefined,
  moreTokensUrl: undefined,
  isOperator: false,
};

/** `storage` remembers what a full balance was where there is no grant. */
export function createSession(api: ChatApi, storage: Storage): SessionStore {
  const [store, setStore] = createStore<State>({ state: { kind: "opening" }, account: { ...NOBODY } });

  function notice(failure: Failure): Failure {
    if (failure.kind === "signed_out" && store.state.kind !== "signed_out") {
      const wasOpen = store.state.kind === "open";
      setStore("state", { kind: "signed_out", loginUrl: failure.loginUrl, wasOpen });
    }
    return failure;
  }

  /** Whatever is told about the tokens goes through here. */
  function setTokens(tokens: Partial<AccountTokens>): void {
    const before = store.account;
    const tokenBalance = tokens.token_balance ?? before.tokenBalance;
    const tokenGrant = tokens.token_grant ?? before.tokenGrant;
    const nextGrantAt = "next_grant_at" in tokens ? (tokens.next_grant_at ?? undefined) : before.nextGrantAt;
    const full = rememberFull(storage, before.userId, tokenBalance);
    const tokensWhenFull = tokenGrant > 0 ? tokenGrant : full;
    setStore("account", { tokenBalance, tokenGrant, nextGrantAt, tokensWhenFull });
  }

  return {
    get state() {
      return store.state;
    },
    get account() {
      return store.account;
    },
    async open(token) {
      setStore("state", { kind: "opening" });
      try {
        if (token !== undefined) await api.openSession(token);
        const latest = await api.openChat();
        batch(() => {
          setStore("account", accountOf(latest));
          setTokens(latest.user);
          setStore("state", { kind: "open" });
        });
        return latest;
      } catch (error) {
        const failure = notice(failureOf(error));
        if (failure.kind !== "signed_out") setStore("state", { kind: "failed", failure });
        return undefined;
      }
    },
    async refresh() {
      try {
        setTokens(await api.readAccount());
      } catch (error) {
        notice(failureOf(error));
      }
    },
    setTokens,
    notice,
  };
}

function accountOf({ user }: LatestThread): Partial<Account> {
  return {
    userId: user.id,
    name: user.name ?? undefined,
    company: companyName(user),
    moreTokensUrl: user.more_tokens_url ?? undefined,
    isOperator: user.role === "operator",
  };
}

/** Returns the balance to which it rose last, in tokens; remembered over reloads, as far as storage allows. */
function rememberFull(storage: Storage, userId: string, tokenBalance: number): number {
  const key = `full-balance:${userId}`;
  try {
    const [last = 0, full = 0] = (storage.getItem(key) ?? "").split(" ").map(Number);
    const now = tokenBalance > last || !(full > 0) ? tokenBalance : full;
    storage.setItem(key, `${tokenBalance} ${now}`);
    return now;
  } catch {
    return tokenBalance;
  }
}

function companyName({ company }: User): string | undefined {
  return company?.name;
}
