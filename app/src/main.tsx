import "./styles/index.css";
import { createEffect, createRoot, createSignal, untrack } from "solid-js";
import { render } from "solid-js/web";
import { makeChatApi } from "./api/chat-api";
import { makeClient } from "./api/client";
import { AppFrame } from "./app";
import { type App, AppContext } from "./features/app-context";
import { createConversations } from "./state/conversations";
import { makeDrafts } from "./state/drafts";
import { createPreferences } from "./state/preferences";
import { createNavigation } from "./state/route";
import { createSession, type SessionStore, type Tokens } from "./state/session";
import { makeTabs } from "./state/tabs";
import { createThreadList } from "./state/threads";
import { createToasts } from "./ui/toasts";

/** Takes the session's token out of the address bar before anything else can read it from there. */
function takeToken(): string | undefined {
  const url = new URL(location.href);
  const token = url.searchParams.get("s") ?? undefined;
  if (token === undefined) return undefined;
  url.searchParams.delete("s");
  history.replaceState(null, "", url.pathname + url.search);
  return token;
}

/** After a deployment the parts of an open page may be gone: the new page is loaded, once. */
function reloadWhenOutdated(): void {
  const KEY = "reloaded-at";
  const PAUSE_MS = 60_000;
  addEventListener("vite:preloadError", event => {
    if (Date.now() - Number(sessionStorage.getItem(KEY)) < PAUSE_MS) return;
    event.preventDefault();
    sessionStorage.setItem(KEY, String(Date.now()));
    location.reload();
  });
}

/** Only if that is elsewhere, and never with a token that was just refused: both would go round in circles. */
function goToSignIn({ state }: SessionStore): void {
  const url = state.kind === "signed_out" ? state.loginUrl : undefined;
  if (url && URL.canParse(url) && new URL(url).origin !== location.origin) location.replace(url);
}

function createOnline(): () => boolean {
  const [isOnline, setOnline] = createSignal(navigator.onLine);
  addEventListener("online", () => setOnline(true));
  addEventListener("offline", () => setOnline(false));
  return isOnline;
}

/**
 * Tokens also come and go elsewhere: an operator, the CRM, another device. One stream tells at once while the
 * page is seen; a hidden one holds none. Where none can be had, a question now and then does.
 */
function keepCurrent(session: SessionStore, isOnline: () => boolean): void {
  const EVERY_MS = 30_000;
  let stream: EventSource | undefined;
  const look = () => {
    const isOpen = session.state.kind === "open" && isOnline();
    const isWanted = isOpen && document.visibilityState === "visible";
    if (!isWanted || stream?.readyState === EventSource.CLOSED) {
      stream?.close();
      stream = undefined;
    }
    if (!isWanted || stream) return;
    void session.refresh();
    stream = new EventSource("/chat/account/events");
    stream.addEventListener("balance", event => session.setTokens(JSON.parse(event.data) as Tokens));
  };
  createRoot(() => createEffect(look));
  setInterval(() => untrack(look), EVERY_MS);
  document.addEventListener("visibilitychange", look);
}

function start(root: HTMLElement): void {
  const token = takeToken();
  reloadWhenOutdated();
  const request: typeof fetch = (...args) => fetch(...args);
  const client = makeClient(request);
  const api = makeChatApi(client, request);
  const session = createSession(api);
  const tabs = makeTabs();
  const conversations = createConversations(api, {
    onThread: thread => threads.show(thread),
    onBalance(tokenBalance) {
      session.setBalance(tokenBalance);
      tabs.tell({ kind: "balance", tokenBalance });
      // What is used up may be granted anew, which happens when the chat is opened.
      if (tokenBalance <= 0) void session.refresh();
    },
    onAnswered: () => tabs.tell({ kind: "threads" }),
    notice: session.notice,
  });
  const threads = createThreadList(api, session.notice, conversations.leave);
  tabs.listen(note => {
    if (note.kind === "balance") session.setBalance(note.tokenBalance);
    else void threads.reload();
  });
  const app: App = {
    client,
    session,
    threads,
    conversations,
    drafts: makeDrafts(sessionStorage),
    navigation: createNavigation(),
    preferences: createPreferences(localStorage, navigator.languages),
    toasts: createToasts(),
    isOnline: createOnline(),
  };

  keepCurrent(session, app.isOnline);

  const open = async (given?: string) => {
    if (await session.open(given)) await threads.reload();
    else if (given === undefined) goToSignIn(session);
  };
  render(
    () => (
      <AppContext.Provider value={app}>
        <AppFrame api={api} onOpen={() => void open()} />
      </AppContext.Provider>
    ),
    root,
  );
  void open(token);
}

const root = document.getElementById("app");
if (root) start(root);
