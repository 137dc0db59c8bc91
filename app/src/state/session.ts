/** Who is here, and how many tokens are left. */

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
  /** When the grant comes, should the balance be used up by then. */
  nextGrantAt: string | undefined;
  moreTokensUrl: string | undefined;
  /** It only decides what is offered: the server decides what is allowed. */
  isOperator: boolean;
}

/** What is left, as the server tells it the moment that it changes. */
export type Tokens = Pick<AccountTokens, "token_balance" | "token_grant">;

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
  setBalance(tokenBalance: number): void;
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
  nextGrantAt: undefined,
  moreTokensUrl: undefined,
  isOperator: false,
};

export function createSession(api: ChatApi): SessionStore {
  const [store, setStore] = createStore<State>({ state: { kind: "opening" }, account: { ...NOBODY } });

  function notice(failure: Failure): Failure {
    if (failure.kind === "signed_out" && store.state.kind !== "signed_out") {
      const wasOpen = store.state.kind === "open";
      setStore("state", { kind: "signed_out", loginUrl: failure.loginUrl, wasOpen });
    }
    return failure;
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
        setStore({ account: accountOf(latest), state: { kind: "open" } });
        return latest;
      } catch (error) {
        const failure = notice(failureOf(error));
        if (failure.kind !== "signed_out") setStore("state", { kind: "failed", failure });
        return undefined;
      }
    },
    async refresh() {
      try {
        setStore("account", tokensOf(await api.readAccount()));
      } catch (error) {
        notice(failureOf(error));
      }
    },
    setBalance: tokenBalance => setStore("account", { tokenBalance }),
    setTokens: tokens =>
      setStore("account", { tokenBalance: tokens.token_balance, tokenGrant: tokens.token_grant }),
    notice,
  };
}

function accountOf({ user }: LatestThread): Account {
  return {
    userId: user.id,
    name: user.name ?? undefined,
    company: companyName(user),
    moreTokensUrl: user.more_tokens_url ?? undefined,
    isOperator: user.role === "operator",
    ...tokensOf(user),
  };
}

function tokensOf(tokens: AccountTokens): Pick<Account, "tokenBalance" | "tokenGrant" | "nextGrantAt"> {
  return {
    tokenBalance: tokens.token_balance,
    tokenGrant: tokens.token_grant,
    nextGrantAt: tokens.next_grant_at ?? undefined,
  };
}

function companyName({ company }: User): string | undefined {
  return company?.name;
}
