/** Who is here, and how many tokens are left. */

import { batch } from "solid-js";
import { createStore } from "solid-js/store";
import type { AccountTokens, ChatApi, LatestThread, User } from "../api/chat-api";
import type { Forecast } from "../stream/run-event";
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
  /** The row of the ledger that the balance is as of, or will be once what has ended is booked. */
  tokenSequence: number;
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
export type Tokens = Pick<AccountTokens, "token_balance" | "token_sequence"> & {
  token_grant?: number;
  /** Whose they are, where the server says so. */
  user_id?: string;
};

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
  /** Takes what the ledger has booked. A balance that is used up is read anew once, since a due grant comes by that. */
  onBooked(tokens: Tokens): void;
  /** Takes what will be left; a grant that this makes due comes once it is booked. */
  onForecast(forecast: Forecast): void;
  /** Takes note if a failure means that the session has ended. */
  notice(failure: Failure): Failure;
}

const NOBODY: Account = {
  userId: "",
  name: undefined,
  company: undefined,
  tokenBalance: 0,
  tokenSequence: 0,
  tokenGrant: 0,
  tokensWhenFull: 0,
  nextGrantAt: undefined,
  moreTokensUrl: undefined,
  isOperator: false,
};

/**
 * `storage` remembers what a full balance was where there is no grant. `onOtherUser`: another tab of this browser
 * has signed in somebody else, so that the session of this page has ended.
 */
export function createSession(api: ChatApi, storage: Storage, onOtherUser: () => void): SessionStore {
  const [store, setStore] = createStore<State>({ state: { kind: "opening" }, account: { ...NOBODY } });

  function notice(failure: Failure): Failure {
    if (failure.kind === "signed_out" && store.state.kind !== "signed_out") {
      const wasOpen = store.state.kind === "open";
      setStore("state", { kind: "signed_out", loginUrl: failure.loginUrl, wasOpen });
    }
    return failure;
  }

  /** Whether the tokens belong on this page. Those of somebody else end its session: all that it shows is not theirs. */
  function isOurs({ user_id: userId }: Tokens): boolean {
    if (store.state.kind !== "open") return false;
    if (userId === undefined || userId === store.account.userId) return true;
    notice({ kind: "signed_out", loginUrl: undefined });
    onOtherUser();
    return false;
  }

  /**
   * Whatever is told about the tokens goes through here: the highest sequence is shown, and of two with the same
   * what is booked rather than a forecast, and what came last.
   */
  function take(tokens: Tokens & Partial<AccountTokens>): void {
    const before = store.account;
    const { token_balance: tokenBalance, token_sequence: tokenSequence } = tokens;
    if (tokenSequence < before.tokenSequence) return;
    const tokenGrant = tokens.token_grant ?? before.tokenGrant;
    const nextGrantAt = "next_grant_at" in tokens ? (tokens.next_grant_at ?? undefined) : before.nextGrantAt;
    const full = rememberFull(storage, before.userId, tokenBalance, tokenSequence);
    const tokensWhenFull = tokenGrant > 0 ? tokenGrant : full;
    setStore("account", { tokenBalance, tokenSequence, tokenGrant, nextGrantAt, tokensWhenFull });
  }

  async function refresh(): Promise<void> {
    try {
      const tokens = await api.readAccount();
      if (isOurs(tokens)) take(tokens);
    } catch (error) {
      notice(failureOf(error));
    }
  }

  /** The newest row for which a grant was asked for. */
  let usedUpAt = 0;

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
          usedUpAt = 0;
          take(latest.user);
          setStore("state", { kind: "open" });
        });
        return latest;
      } catch (error) {
        const failure = notice(failureOf(error));
        if (failure.kind !== "signed_out") setStore("state", { kind: "failed", failure });
        return undefined;
      }
    },
    refresh,
    onBooked(tokens) {
      if (!isOurs(tokens)) return;
      take(tokens);
      // What is shown may be a forecast, for which the ledger grants nothing yet.
      if (tokens.token_balance > 0 || tokens.token_sequence <= usedUpAt) return;
      usedUpAt = tokens.token_sequence;
      void refresh();
    },
    onForecast(forecast) {
      if (forecast.token_sequence > store.account.tokenSequence) take(forecast);
    },
    notice,
  };
}

function accountOf({ user }: LatestThread): Partial<Account> {
  return {
    userId: user.id,
    // Whoever was here before had rows of their own.
    tokenSequence: 0,
    name: user.name ?? undefined,
    company: companyName(user),
    moreTokensUrl: user.more_tokens_url ?? undefined,
    isOperator: user.role === "operator",
  };
}

/**
 * Returns the balance to which it rose last, in tokens; remembered over reloads, as far as storage allows.
 * Another tab, or this page before a reload, may have been told more already: then nothing rose.
 */
function rememberFull(storage: Storage, userId: string, tokenBalance: number, tokenSequence: number): number {
  const key = `full-balance:${userId}`;
  try {
    const [last = 0, full = 0, lastSequence = 0] = (storage.getItem(key) ?? "").split(" ").map(Number);
    if (full > 0 && tokenSequence <= lastSequence) return full;
    const now = tokenBalance > last || !(full > 0) ? tokenBalance : full;
    storage.setItem(key, `${tokenBalance} ${now} ${tokenSequence}`);
    return now;
  } catch {
    return tokenBalance;
  }
}

function companyName({ company }: User): string | undefined {
  return company?.name;
}
