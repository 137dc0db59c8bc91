/** What a person chose for this browser: appearance, language, the sidebar. */

import { createEffect, createRoot } from "solid-js";
import { createStore } from "solid-js/store";

export const THEMES = ["system", "light", "dark"] as const;
export const LANGUAGES = ["en", "de"] as const;

export type Theme = (typeof THEMES)[number];
export type Language = (typeof LANGUAGES)[number];

export interface Preferences {
  theme: Theme;
  language: Language;
  isSidebarOpen: boolean;
}

const KEY = "preferences";

export type PreferencesStore = ReturnType<typeof createPreferences>;

export function createPreferences(storage: Storage, browserLanguages: readonly string[]) {
  const [preferences, set] = createStore<Preferences>({
    theme: "system",
    language: preferredLanguage(browserLanguages),
    isSidebarOpen: true,
    ...stored(storage),
  });
  createRoot(() => {
    createEffect(() => {
      storage.setItem(KEY, JSON.stringify({ ...preferences }));
    });
    createEffect(() => {
      document.documentElement.lang = preferences.language;
      document.documentElement.dataset.theme = preferences.theme;
    });
  });
  return { preferences, set };
}

export function preferredLanguage(browserLanguages: readonly string[]): Language {
  const known = browserLanguages.map(tag =>
    LANGUAGES.find(language => tag.toLowerCase().startsWith(language)),
  );
  return known.find(language => language !== undefined) ?? "en";
}

function stored(storage: Storage): Partial<Preferences> {
  try {
    const value = JSON.parse(storage.getItem(KEY) ?? "{}") as Partial<Preferences>;
    return {
      ...(value.theme && THEMES.includes(value.theme) && { theme: value.theme }),
      ...(value.language && LANGUAGES.includes(value.language) && { language: value.language }),
      ...(typeof value.isSidebarOpen === "boolean" && { isSidebarOpen: value.isSidebarOpen }),
    };
  } catch {
    return {};
  }
}
