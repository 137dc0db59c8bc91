import { createEffect, createMemo, createSignal, ErrorBoundary, lazy, Match, onCleanup, onMount, Show, Suspense, Switch } from "solid-js";
import type { ChatApi } from "./api/chat-api";
import { useApp, useTexts } from "./features/app-context";
import { ChatPage } from "./features/chat/chat-page";
import { Broken, OpenFailed, SignedOut, UnknownPage } from "./features/pages/pages";
import { createShortcuts, ShortcutList } from "./features/shortcuts";
import { Sidebar } from "./features/threads/sidebar";

const Dashboard = lazy(async () => ({ default: (await import("./dashboard/dashboard")).Dashboard }));

const PHONE = "(max-width: 760px)";

/** Decides between what stands in for the chat and the chat itself. */
export function AppFrame(props: { api: ChatApi; onOpen: () => void }) {
  const app = useApp();
  const texts = useTexts();
  const state = () => app.session.state;
  const signedOut = () => {
    const now = state();
    return now.kind === "signed_out" ? now : undefined;
  };
  const failed = () => {
    const now = state();
    return now.kind === "failed" ? now : undefined;
  };

  const broken = (error: unknown) => {
    console.error(error);
    return <Broken onRetry={() => void app.reload()} />;
  };

  return (
    <ErrorBoundary fallback={broken}>
      <Switch>
        <Match when={state().kind === "opening"}>
          <div class="opening" role="status" aria-label={texts().loading} />
        </Match>
        <Match when={signedOut()}>
          {now => <SignedOut loginUrl={now().loginUrl} wasOpen={now().wasOpen} />}
        </Match>
        <Match when={failed()}>{now => <OpenFailed failure={now().failure} onRetry={props.onOpen} />}</Match>
        <Match when={state().kind === "open"}>
          <Pages api={props.api} />
        </Match>
      </Switch>
      <app.toasts.View />
    </ErrorBoundary>
  );
}

function Pages(props: { api: ChatApi }) {
  const app = useApp();
  const texts = useTexts();
  const page = createMemo(() => app.navigation.route().page);
  createEffect(() => {
    if (page() === "operator") document.title = texts().dashboard;
  });

  return (
    <>
      <Show when={!app.isOnline()}>
        <p class="offline" role="status">
          {texts().offline}
        </p>
      </Show>
      <Switch fallback={<UnknownPage />}>
        <Match when={page() === "chat"}>
          <Chat api={props.api} />
        </Match>
        <Match when={page() === "operator"}>
          <ErrorBoundary fallback={<Broken onRetry={() => void app.reload()} />}>
            <Suspense fallback={<div class="opening" role="status" aria-label={texts().loading} />}>
              <Dashboard />
            </Suspense>
          </ErrorBoundary>
        </Match>
      </Switch>
    </>
  );
}

function Chat(props: { api: ChatApi }) {
  const app = useApp();
  const texts = useTexts();
  const [showsShortcuts, setShowsShortcuts] = createSignal(false);
  const { preferences, set } = app.preferences;
  const threadId = () => {
    const route = app.navigation.route();
    return route.page === "chat" ? route.threadId : undefined;
  };
  const closeOnPhone = () => matchMedia(PHONE).matches && set("isSidebarOpen", false);

  createShortcuts({ currentId: threadId, onShowList: () => setShowsShortcuts(true) });
  onMount(closeOnPhone);

  /** Other tabs and devices may have gone on meanwhile. */
  function onVisible() {
    if (document.visibilityState !== "visible") return;
    void app.threads.reload();
    const id = threadId();
    if (id !== undefined) void app.conversations.open(id);
  }
  document.addEventListener("visibilitychange", onVisible);
  onCleanup(() => document.removeEventListener("visibilitychange", onVisible));

  return (
    <div class="shell" classList={{ "with-sidebar": preferences.isSidebarOpen }}>
      <a class="skip" href="#chat">
        {texts().skipToChat}
      </a>
      <Show when={preferences.isSidebarOpen}>
        <Sidebar currentId={threadId()} onOpened={closeOnPhone} />
        <button
          type="button"
          class="scrim"
          aria-label={texts().close}
          onClick={() => set("isSidebarOpen", false)}
        />
      </Show>
      <ChatPage api={props.api} threadId={threadId()} />
      <Show when={showsShortcuts()}>
        <ShortcutList onClose={() => setShowsShortcuts(false)} />
      </Show>
    </div>
  );
}
