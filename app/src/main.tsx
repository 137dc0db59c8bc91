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
import { makeReloads } from "./state/reloads";
import { createNavigation } from "./state/route";
import { createSession, type SessionStore, type Tokens } from "./state/session";
import { makeTabs } from "./state/tabs";
import { createThreadList } from "./state/threads";
import { CHAT_TEXTS, failureText } from "./texts/chat";
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
    stream.addEventListener("balance", event => session.onBooked(JSON.parse(event.data) as Tokens));
  };
  createRoot(() => createEffect(look));
  setInterval(() => untrack(look), EVERY_MS);
  document.addEventListener("visibilitychange", look);
}

function start(root: HTMLElement): void {
  let token = takeToken();
  const request: typeof fetch = (...args) => fetch(...args);
  const reloads = makeReloads({ fetch: request, storage: sessionStorage, reload: () => location.reload() });
  addEventListener("vite:preloadError", () => void reloads.reloadUnasked());
  const client = makeClient(request);
  const api = makeChatApi(client, request);
  const session = createSession(api, localStorage, () => void reloads.reloadUnasked());
  const tabs = makeTabs();
  const conversations = createConversations(api, {
    onThread: thread => threads.show(thread),
    onForecast: session.onForecast,
    onAnswered: () => tabs.tell(),
    notice: session.notice,
    onFailed: failure =>
      app.toasts.show({ text: failureText(CHAT_TEXTS[app.preferences.preferences.language], failure) }),
  });
  const threads = createThreadList(api, session.notice, conversations.leave);
  // Whose session it is by now is known before anything of it is shown.
  tabs.listen(() => void session.refresh().then(threads.reload));
  const app: App = {
    client,
    session,
    threads,
    conversations,
    drafts: makeDrafts(sessionStorage, () => session.account.userId),
    navigation: createNavigation(),
    preferences: createPreferences(localStorage, navigator.languages),
    toasts: createToasts(),
    isOnline: createOnline(),
    reload: reloads.reload,
  };

  keepCurrent(session, app.isOnline);

  const open = async () => {
    const isSignIn = token !== undefined;
    const isOpen = await session.open(token);
    // While the server cannot be reached, the token has not been spent.
    if (session.state.kind !== "failed") token = undefined;
    // The session is the browser's: what the other tabs show may be somebody else's now.
    if (isOpen && isSignIn) tabs.tell();
    if (isOpen) await threads.reload();
    else if (!isSignIn) goToSignIn(session);
  };
  render(
    () => (
      <AppContext.Provider value={app}>
        <AppFrame api={api} onOpen={() => void open()} />
      </AppContext.Provider>
    ),
    root,
  );
  void open();
}

const root = document.getElementById("app");
if (root) start(root);
