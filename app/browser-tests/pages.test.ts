import AxeBuilder from "@axe-core/playwright";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { launch, openPage, type Site, serveDist, type WatchedPage } from "./browser";
import { type FakeGateway, fakeGateway, THREAD_PATH } from "./fake-gateway";

const ANSWER = `# A heading

Text with **bold**, \`code\`, a [link](https://example.com) and a list:

- [x] done
- open

| Name | Tokens |
|:--|--:|
| in | 1,204 |

\`\`\`python
def available(rows): return sum(rows)
\`\`\`

> A quote.`;

const FIGURES = {
  total_tokens: 1_204,
  input_tokens: 812,
  cached_tokens: 512,
  output_tokens: 392,
  reasoning_tokens: 64,
  runs: 3,
  estimated_runs: 0,
};
const TOTALS = { ...FIGURES, active_users: 1 };
const AVERAGES = { tokens_per_run: 401.3, tokens_per_active_user: 1_204, runs_per_active_user: 3 };
const COMPANY = { id: "acme", name: "Acme" };
const TRANSACTION = {
  id: "x1",
  user_id: "u1",
  user_name: "Ada Lovelace",
  company: COMPANY,
  kind: "usage",
  tokens: -1_204,
  balance_before: 50_000,
  balance_after: 48_796,
  model: "a-model",
  actor: "usage-ledger",
  reason: "run",
  at: "2026-11-22T10:00:00Z",
};
const USER = {
  id: "u1",
  name: "Ada Lovelace",
  email: "ada@example.com",
  company: COMPANY,
  token_balance: 48_796,
  token_held: 0,
  token_available: 48_796,
  token_grant: 50_000,
  quota: null,
  created_at: "2026-03-01T10:00:00Z",
  last_active_at: "2026-11-22T10:00:00Z",
};
const DASHBOARD = {
  "/dashboard/overall/usage": {
    date_from: "2026-10-24",
    date_to: "2026-11-22",
    tz: "UTC",
    totals: TOTALS,
    averages: AVERAGES,
    previous: { totals: TOTALS, averages: AVERAGES },
    by_day: [{ ...TOTALS, day: "2026-11-20" }],
    by_month: [{ ...TOTALS, month: "2026-11" }],
    by_company: [{ ...TOTALS, company: COMPANY, rest: 0 }],
    by_user: [{ ...FIGURES, user_id: "u1", name: "Ada Lovelace", rest: 0 }],
    by_model: [{ ...FIGURES, model: "a-model" }],
  },
  "/dashboard/transactions": {
    items: [TRANSACTION],
    total: 1,
    next_cursor: null,
    aggregate: { tokens: -1_204 },
  },
  "/dashboard/users": { items: [USER], total: 1 },
  "/dashboard/users/u1": { ...USER, transactions: [TRANSACTION] },
  "/dashboard/flags": {
    items: [
      {
        message_id: "n_1",
        thread_id: "t_1",
        user_id: "u1",
        user_name: "Ada Lovelace",
        reasons: ["wrong"],
        note: "A note",
        question: "A question",
        answer: ANSWER,
        at: "2026-11-22T10:00:00Z",
      },
    ],
    next_cursor: null,
  },
  "/dashboard/operations": {
    checked_at: "2026-11-22T10:00:00Z",
    wrong: ["RabbitMQ's management API does not answer."],
    queues: [
      {
        name: "worker.run.v1",
        ready: 1,
        unacked: null,
        consumers: 1,
        oldest_age_s: 0.4,
        published_per_s: 1.5,
        acked_per_s: 1.5,
        redelivered_per_s: 0,
        retries: { "5s": 1 },
        dead: 1,
      },
    ],
    dead_letters: [
      {
        id: "e1",
        queue: "worker.run.v1",
        type: "run.requested.v1",
        reason: "malformed",
        attempts: 1,
        at: "2026-11-22T10:00:00Z",
        body: { run_id: "r_1" },
      },
    ],
    actions: [
      {
        id: "a1",
        at: "2026-11-22T10:00:00Z",
        actor: "op",
        action: "replay",
        dry_run: false,
        reason: null,
        target: {},
        outcome: "done",
        count: 1,
      },
    ],
  },
  "/dashboard/integration/waiting": {
    items: [
      {
        id: "w1",
        why: "Two users have this e-mail address.",
        person_id: 7,
        user_id: null,
        emails: ["ada@example.com"],
        name: "Ada Lovelace",
        value: "50000",
        actor: "pipedrive",
        reason: "quota",
        at: "2026-11-22T10:00:00Z",
        since: "2026-11-22T10:00:00Z",
      },
    ],
    total: 1,
  },
};

interface Case {
  name: string;
  path: string;
  /** What the page shows once it is there. */
  ready: string;
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
  { name: "usage", path: "/operator/usage", ready: ".chart .bar" },
  { name: "usage by company", path: "/operator/usage?group=company", ready: "tbody tr" },
  { name: "transactions", path: "/operator/transactions", ready: "tbody tr" },
  { name: "users", path: "/operator/users", ready: "tbody tr" },
  { name: "a user", path: "/operator/users/u1", ready: ".sparkline" },
  {
    name: "setting a balance",
    path: "/operator/users/u1",
    ready: ".sparkline",
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
    name: "a dashboard that is away",
    path: "/operator/usage",
    ready: ".notice.problem",
    prepare: gateway => (gateway.dashboard = {}),
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
    schemes: ["light"],
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

async function open(screen: keyof typeof SCREENS, { path, ready, prepare, act }: Case): Promise<WatchedPage> {
  context = await browser.newContext({ baseURL: site.origin, locale: "en-GB", ...SCREENS[screen].options });
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
      await page.emulateMedia({ colorScheme });
      const { violations } = await new AxeBuilder({ page }).setLegacyMode().analyze();
      expect(violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`))).toEqual([]);
    }
    // Chromium notes every refused request by itself.
    expect(complaints.filter(text => !text.startsWith("Failed to load resource"))).toEqual([]);
    expect(foreignRequests).toEqual([]);
    const excessPx = await page.evaluate(() => {
      const { scrollWidth, clientWidth } = document.documentElement;
      return scrollWidth - clientWidth;
    });
    expect(excessPx).toBeLessThanOrEqual(0);
  });
});
