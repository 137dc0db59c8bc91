/** What every part of the app may use, joined once in `main.tsx`. */

import { type Accessor, createContext, createMemo, useContext } from "solid-js";
import type { Client } from "../api/client";
import type { Conversations } from "../state/conversations";
import type { Drafts } from "../state/drafts";
import type { PreferencesStore } from "../state/preferences";
import type { Navigation } from "../state/route";
import type { SessionStore } from "../state/session";
import type { ThreadList } from "../state/threads";
import { CHAT_TEXTS, type ChatTexts } from "../texts/chat";
import { type Formats, makeFormats } from "../texts/formats";
import type { Toasts } from "../ui/toasts";

export interface App {
  client: Client;
  session: SessionStore;
  threads: ThreadList;
  conversations: Conversations;
  drafts: Drafts;
  navigation: Navigation;
  preferences: PreferencesStore;
  toasts: Toasts;
  isOnline: Accessor<boolean>;
  /** Loads the page anew, unless there is none to be had. */
  reload: () => Promise<void>;
}

export const AppContext = createContext<App>();

export function useApp(): App {
  const app = useContext(AppContext);
  if (!app) throw new Error("outside of AppContext");
  return app;
}

export function useTexts(): Accessor<ChatTexts> {
  const { preferences } = useApp().preferences;
  return () => CHAT_TEXTS[preferences.language];
}

export function useFormats(): Accessor<Formats> {
  const { preferences } = useApp().preferences;
  return createMemo(() => makeFormats(preferences.language));
}
