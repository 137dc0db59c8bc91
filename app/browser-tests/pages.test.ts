import AxeBuilder from "@axe-core/playwright";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { launch, openPage, type Site, serveDist, type WatchedPage } from "./browser";
import { ANSWER, DASHBOARD } from "./fake-dashboard";
import { type FakeGateway, fakeGateway, Refusal, THREAD_PATH } from "./fake-gateway";

interface Case {
  name: string;
  path: string;
  /** What the page shows once it is there. */
  ready: string;
  locale?: string;
  prepare?: (gateway: FakeGateway) => void;
  act?: (page: Page) => Promise<void>;
}

const CASES: Case[] = [
  { name: "an empty chat", path: "/", ready: ".greeting" },
  { name: "a chat", path: THREAD_PATH, ready: ".markdown" },
  {
    name: "a chat with few tokens",
    path: THREAD_PATH,
    ready: ".notice.warning",
    prepare: gateway => (gateway.tokenBalance = 2_000),
  },
  {
    name: "a chat without tokens",
    path: THREAD_PATH,
    ready: ".out-of-tokens",
    prepare: gateway => (gateway.tokenBalance = 0),
  },
  { name: "a report", path: THREAD_PATH, ready: ".flag", act: page => page.click(".flag") },
  { name: "the menu", path: "/", ready: "#message", act: showMenu },
  { name: "a thread that is missing", path: "/c/t_1", ready: ".page" },
  { name: "no such page", path: "/nowhere", ready: ".page" },
  {
    name: "signed out",
    path: "/",
    ready: ".page",
    prepare: gateway => (gateway.refusal = { status: 401, code: "unauthenticated" }),
  },
  {
    name: "a server that is away",
    path: "/",
    ready: ".page",
    prepare: gateway => (gateway.refusal = { status: 503, code: "unavailable" }),
  },
  { name: "usage", path: "/operator/usage", ready: ".chart canvas" },
  { name: "usage by company", path: "/operator/usage?group=company", ready: "tbody tr" },
  { name: "transactions", path: "/operator/transactions", ready: "tbody tr" },
  { name: "users", path: "/operator/users", ready: "tbody tr" },
  { name: "a user", path: "/operator/users/u1", ready: ".sparkline canvas" },
  {
    name: "setting a balance",
    path: "/operator/users/u1",
    ready: ".sparkline canvas",
    act: page => page.click(".page-head .primary"),
  },
  { name: "reports", path: "/operator/flags", ready: ".flags li" },
  { name: "operations", path: "/operator/operations", ready: "tbody tr" },
  {
    name: "throwing a message away",
    path: "/operator/operations",
    ready: ".deeds",
    act: page => page.click(".deeds .link >> nth=1"),
  },
  {
    name: "setting aside replayed",
    path: "/operator/operations",
    ready: ".deeds",
    act: page => page.click(".deeds .link >> nth=0"),
  },
  {
    name: "deciding about a notification",
    path: "/operator/operations",
    ready: "td button:text('Decide')",
    act: page => page.click("td button:text('Decide')"),
  },
  { name: "usage by month", path: "/operator/usage?group=month", ready: ".chart canvas" },
  { name: "usage by user", path: "/operator/usage?group=user", ready: "tbody tr" },
  { name: "usage by model", path: "/operator/usage?group=model", ready: "tbody tr" },
  { name: "usage in German", path: "/operator/usage", ready: ".chart canvas", locale: "de-DE" },
  { name: "operations in German", path: "/operator/operations", ready: ".deeds", locale: "de-DE" },
  {
    name: "a summary",
    path: "/operator/usage",
    ready: ".summary button",
    act: async page => {
      await page.click(".summary button");
      await page.waitForSelector(".written-from");
    },
  },
  { name: "a user who is missing", path: "/operator/users/u2", ready: "h1:text('no such user')" },
  {
    name: "a dashboard that loads",
    path: "/operator/usage",
    ready: ".skeleton",
    prepare: gateway => (gateway.dashboard = { "/dashboard/overall/usage": new Promise(() => undefined) }),
  },
  {
    name: "a dashboard without users",
    path: "/operator/users",
    ready: ".empty",
    prepare: gateway => (gateway.dashboard = { "/dashboard/users": { items: [], total: 0 } }),
  },
  {
    name: "a dashboard that is away",
    path: "/operator/usage",
    ready: ".notice.problem",
    prepare: gateway =>
      (gateway.dashboard = { "/dashboard/overall/usage": new Refusal(503, "unavailable") }),
  },
];

async function showMenu(page: Page): Promise<void> {
  const button = page.locator(".account-button");
  if (!(await button.isVisible())) await page.click(".chat-header .icon-button");
  await button.click();
}

const SCREENS = {
  desk: { schemes: ["light", "dark"], options: { viewport: { width: 1280, height: 800 } } },
  phone: {
    schemes: ["light", "dark"],
    options: { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true },
  },
} as const;

let browser: Browser;
let site: Site;
let context: BrowserContext;

beforeAll(async () => {
  [site, browser] = await Promise.all([serveDist(), launch()]);
});

afterAll(async () => {
  await browser?.close();
  await site?.close();
});

afterEach(() => context?.close());

async function open(screen: keyof typeof SCREENS, { path, ready, prepare, act, locale }: Case): Promise<WatchedPage> {
  context = await browser.newContext({ baseURL: site.origin, locale: locale ?? "en-GB", ...SCREENS[screen].options });
  const gateway = await fakeGateway(context);
  gateway.answers = [ANSWER];
  gateway.dashboard = DASHBOARD;
  prepare?.(gateway);
  const watched = await openPage(context, site.origin);
  await watched.page.goto(path);
  await watched.page.waitForSelector(ready);
  await act?.(watched.page);
  return watched;
}

describe.each(Object.keys(SCREENS) as (keyof typeof SCREENS)[])("on the screen %s", screen => {
  test.each(CASES)("$name: nothing for axe or the console to complain of, nothing sticks out", async each => {
    const { page, complaints, foreignRequests } = await open(screen, each);
    for (const colorScheme of SCREENS[screen].schemes) {
      // Without motion, or colours would be measured on their way from one scheme to the other.
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      const { violations } = await new AxeBuilder({ page }).setLegacyMode().analyze();
      expect(violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`))).toEqual([]);
    }
    // Chromium notes every refused request by itself.
    expect(complaints).toEqual([]);
    expect(foreignRequests).toEqual([]);
    const excessPx = await page.evaluate(() => {
      const { scrollWidth, clientWidth } = document.documentElement;
      return scrollWidth - clientWidth;
    });
    expect(excessPx).toBeLessThanOrEqual(0);
  });
});
