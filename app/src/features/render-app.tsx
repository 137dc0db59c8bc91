/** Renders a part of the app in a test, with a made-up rest of the app around it. */

import { cleanup, render } from "@solidjs/testing-library";
import type { JSX } from "solid-js";
import { vi } from "vitest";
import { type Exchange, newExchange } from "../state/conversation";
import { makeDrafts } from "../state/drafts";
import { createPreferences } from "../state/preferences";
import { createToasts } from "../ui/toasts";
import { type App, AppContext } from "./app-context";

/** A page with nothing in it and what jsdom lacks. `hasKeyboard`: a computer; else a phone. */
export function fakeBrowser({ hasKeyboard = true } = {}): void {
  cleanup();
  sessionStorage.clear();
  localStorage.clear();
  HTMLElement.prototype.hidePopover = () => undefined;
  vi.stubGlobal("matchMedia", () => ({ matches: hasKeyboard }));
  vi.stubGlobal("CSS", { supports: () => true });
  HTMLDialogElement.prototype.showModal = function showModal() {
    this.open = true;
  };
  HTMLDialogElement.prototype.close = function close() {
    if (!this.open) return;
    this.open = false;
    this.dispatchEvent(new Event("close"));
  };
}

export interface RenderedApp {
  app: App;
  container: HTMLElement;
  unmount: () => void;
}

export function renderInApp(part: () => JSX.Element, changes: Record<string, unknown> = {}): RenderedApp {
  const app = {
    session: {
      account: { userId: "u1", name: "Ada", tokenBalance: 800, tokenGrant: 1_000, tokensWhenFull: 1_000 },
      refresh: vi.fn(() => Promise.resolve()),
    },
    conversations: {
      get: vi.fn(() => undefined),
      choose: vi.fn(),
      setFlag: vi.fn(() => Promise.resolve()),
    },
    threads: { rename: vi.fn(() => Promise.resolve()), remove: vi.fn(() => ({ undo: vi.fn() })) },
    navigation: { go: vi.fn() },
    drafts: makeDrafts(sessionStorage, () => "u1"),
    preferences: createPreferences(localStorage, ["en"]),
    toasts: createToasts(),
    ...changes,
  } as unknown as App;
  const { container, unmount } = render(() => (
    <AppContext.Provider value={app}>
      {part()}
      <app.toasts.View />
    </AppContext.Provider>
  ));
  return { app, container, unmount };
}

/** An exchange that has been answered, unless the changes say otherwise. */
export function answered(key: string, text = "An answer.", changes: Partial<Exchange["answer"]> = {}): Exchange {
  const exchange = newExchange(key, "A question", "2026-11-22T10:00:00Z");
  return {
    ...exchange,
    runId: `r_${key}`,
    question: { ...exchange.question, id: `m_${key}` },
    answer: { ...exchange.answer, id: `n_${key}`, text, length: text.length, status: "completed", ...changes },
  };
}
