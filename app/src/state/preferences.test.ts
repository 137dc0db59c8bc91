// @vitest-environment jsdom
import { beforeEach, expect, test } from "vitest";
import { createPreferences, preferredLanguage } from "./preferences";

beforeEach(() => localStorage.clear());

test("what was chosen is kept, and the page shows it", () => {
  const { set } = createPreferences(localStorage, ["en"]);
  set({ theme: "dark", language: "de", isSidebarOpen: false });
  expect(document.documentElement.lang).toBe("de");
  expect(document.documentElement.dataset.theme).toBe("dark");
  expect({ ...createPreferences(localStorage, ["en"]).preferences }).toEqual({
    theme: "dark",
    language: "de",
    isSidebarOpen: false,
  });
});

test("what is stored and makes no sense is not taken over", () => {
  const defaults = { theme: "system", language: "en", isSidebarOpen: true };
  for (const stored of ["{nonsense", "null", '{"theme":"pink","language":"tlh","isSidebarOpen":1}']) {
    localStorage.setItem("preferences", stored);
    expect({ ...createPreferences(localStorage, []).preferences }).toEqual(defaults);
  }
});

test.each([
  [["de-AT", "en"], "de"],
  [["fr", "de"], "de"],
  [["en-GB", "de"], "en"],
  [["fr"], "en"],
  [[], "en"],
] as const)("a browser that speaks %j gets %s", (languages, expected) => {
  expect(preferredLanguage(languages)).toBe(expected);
});
