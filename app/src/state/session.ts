/** Who is here, and how many tokens are left. */

import { createStore } from "solid-js/store";
import type { ChatApi, LatestThread, User } from "../api/chat-api";
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
  isOperator: boolean;
}

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
  /** Takes note if a failure means that the session has ended. */
  notice(failure: Failure): Failure;
}

const NOBODY: Account = {
  userId: "",
  name: undefined,
  company: undefined,
  tokenBalance: 0,
  tokenGrant: 0,
  isOperator: false,
};

/** The role is told when one signs in, and not again. It only decides what is offered: the server decides what is allowed. */
const OPERATOR_KEY = "operator";

export function createSession(api: ChatApi, storage: Storage): SessionStore {
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
        const opened = token === undefined ? undefined : await api.openSession(token);
        const latest = await api.openChat();
        if (opened) storage.setItem(OPERATOR_KEY, opened.role === "operator" ? opened.sub : "");
        const isOperator = storage.getItem(OPERATOR_KEY) === latest.user.id;
        setStore({ account: { ...accountOf(latest), isOperator }, state: { kind: "open" } });
        return latest;
      } catch (error) {
        const failure = notice(failureOf(error));
        if (failure.kind !== "signed_out") setStore("state", { kind: "failed", failure });
        return undefined;
      }
    },
    async refresh() {
      try {
        setStore("account", accountOf(await api.openChat()));
      } catch (error) {
        notice(failureOf(error));
      }
    },
    setBalance: tokenBalance => setStore("account", { tokenBalance }),
    notice,
  };
}

function accountOf({ user }: LatestThread): Omit<Account, "isOperator"> {
  return {
    userId: user.id,
    name: user.name ?? undefined,
    company: companyName(user),
    tokenBalance: user.token_balance,
    tokenGrant: user.token_grant,
  };
}

function companyName({ company }: User): string | undefined {
  return company?.name;
}
