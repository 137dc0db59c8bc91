import type { Browser, BrowserContext, Page, Request } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { launch, openPage, type Site, serveDist } from "./browser";
import { DASHBOARD, TRANSACTION, USER } from "./fake-dashboard";
import { type FakeGateway, fakeGateway, Refusal } from "./fake-gateway";

let browser: Browser;
let site: Site;
let context: BrowserContext;
let gateway: FakeGateway;
let page: Page;

beforeAll(async () => {
  [site, browser] = await Promise.all([serveDist(), launch()]);
});

afterAll(async () => {
  await browser?.close();
  await site?.close();
});

beforeEach(async () => {
  context = await browser.newContext({
    baseURL: site.origin,
    locale: "en-GB",
    timezoneId: "Europe/Berlin",
    viewport: { width: 1280, height: 900 },
  });
  gateway = await fakeGateway(context);
  gateway.dashboard = { ...DASHBOARD };
  page = (await openPage(context, site.origin)).page;
});

afterEach(() => context?.close());

const inAddress = (name: string) => new URL(page.url()).searchParams.get(name);
const queryOf = (request: Request) => new URL(request.url()).searchParams;
const rows = () => page.locator("tbody tr").count();

/** A list of 150 rows in pages of 50; its cursor is where the next page begins. */
function listOf150(request: Request): unknown {
  const start = Number(queryOf(request).get("cursor") ?? 0);
  const items = Array.from({ length: 50 }, (_, index) => ({ ...TRANSACTION, id: `x${start + index}` }));
  const next_cursor = start < 100 ? String(start + 50) : null;
  return { items, total: 150, next_cursor, aggregate: { tokens: 0 } };
}

describe("the address", () => {
  test("names the reader's time zone, and links between the pages keep it with the range", async () => {
    await page.goto("/operator/usage?range=7d");
    await expect.poll(() => inAddress("tz")).toBe("Europe/Berlin");
    await page.click(".dashboard-nav a:has-text('Transactions')");
    await page.waitForSelector("tbody tr");
    expect([inAddress("range"), inAddress("tz")]).toEqual(["7d", "Europe/Berlin"]);
  });

  test("tells how many pages of a list are shown, and who opens it sees as many rows", async () => {
    gateway.dashboard["/dashboard/transactions"] = listOf150;
    await page.goto("/operator/transactions");
    await expect.poll(rows).toBe(50);
    await page.click("text=Show more");
    await expect.poll(rows).toBe(100);
    expect(inAddress("pages")).toBe("2");
    await page.reload();
    await expect.poll(rows).toBe(100);
    await page.selectOption("select >> nth=1", "usage");
    await expect.poll(rows).toBe(50);
    expect(inAddress("pages")).toBeNull();
  });

  test("gets both of two fields that are filled quickly, and a field keeps its spaces", async () => {
    await page.goto("/operator/transactions");
    await page.locator("input[type=search]").nth(0).fill("u 1 ");
    await page.locator("input[type=search]").nth(1).fill("acme");
    await expect.poll(() => [inAddress("user"), inAddress("company")]).toEqual(["u 1", "acme"]);
    expect(await page.locator("input[type=search]").nth(0).inputValue()).toBe("u 1 ");
  });
});

describe("after midnight", () => {
  const asked: string[] = [];

  beforeEach(() => {
    asked.length = 0;
    for (const path of ["/dashboard/overall/usage", "/dashboard/transactions"]) {
      gateway.dashboard[path] = (request: Request) => {
        asked.push(`${queryOf(request).get("date_from")} to ${queryOf(request).get("date_to")}`);
        return DASHBOARD[path];
      };
    }
  });

  test.each(["usage", "transactions"])("what is read anew is today's: %s", async view => {
    await page.clock.setFixedTime("2026-11-22T23:59:00Z");
    await page.goto(`/operator/${view}?tz=UTC&range=today`);
    await page.waitForSelector(".freshness");
    await page.clock.setFixedTime("2026-11-23T00:01:00Z");
    await page.click("text=Refresh");
    await expect.poll(() => asked).toEqual(["2026-11-22 to 2026-11-22", "2026-11-23 to 2026-11-23"]);
    expect(await page.locator("input[type=date]").first().inputValue()).toBe("2026-11-23");
  });

  test("what is exported is today's, and so is what the page shows then", async () => {
    await page.clock.setFixedTime("2026-11-22T23:59:00Z");
    await page.goto("/operator/transactions?tz=UTC&range=7d");
    await page.waitForSelector("tbody tr");
    await page.clock.setFixedTime("2026-11-23T00:01:00Z");
    const download = page.waitForEvent("download");
    await page.click("text=Export");
    const { searchParams } = new URL((await download).url());
    expect([searchParams.get("date_from"), searchParams.get("date_to")]).toEqual(["2026-11-17", "2026-11-23"]);
    await expect.poll(() => asked).toEqual(["2026-11-16 to 2026-11-22", "2026-11-17 to 2026-11-23"]);
  });
});

describe("what is not known is not shown as zero", () => {
  test("a period that cannot be loaded leaves the old one on the page, under its own dates", async () => {
    await page.goto("/operator/usage?tz=UTC");
    await page.waitForSelector(".chart canvas");
    await page.click("text=As a table");
    expect(await rows()).toBe(30);
    gateway.dashboard["/dashboard/overall/usage"] = new Refusal(503, "unavailable");
    await page.click("button:text('90 days')");
    await page.waitForSelector(".notice.problem");
    expect(await rows()).toBe(30);
    expect(await page.locator(".detail.range").textContent()).toMatch(/24 Oct\D+22 Nov 2026 · UTC.*24 Sep/s);
  });

  test("more rows that cannot be loaded are missed, and asked for again", async () => {
    gateway.dashboard["/dashboard/transactions"] = (request: Request) =>
      queryOf(request).has("cursor") ? new Refusal(503, "unavailable") : listOf150(request);
    await page.goto("/operator/transactions");
    await page.click("text=Show more");
    expect(await page.locator(".notice.problem").textContent()).toContain("No more could be loaded.");
    gateway.dashboard["/dashboard/transactions"] = listOf150;
    await page.click("text=Show more");
    await expect.poll(rows).toBe(100);
    expect(await page.locator(".notice.problem").count()).toBe(0);
  });
});

describe("setting a balance", () => {
  const TOKENS = "POST /dashboard/users/u1/tokens";

  beforeEach(async () => {
    await page.goto("/operator/users/u1");
    await page.click(".page-head .primary");
    await page.fill("dialog input >> nth=2", "Goodwill");
  });

  test("a debt can be typed, and only what was changed is sent", async () => {
    const sent: unknown[] = [];
    gateway.dashboard[TOKENS] = (request: Request) => {
      sent.push(request.postDataJSON());
      return USER;
    };
    const balance = page.locator("dialog input").first();
    await balance.press("ControlOrMeta+a");
    await balance.pressSequentially("-500");
    expect(await page.locator("dialog output").first().textContent()).toContain("→ -500");
    await page.click("dialog [type=submit]");
    await page.waitForSelector(".toast");
    expect(sent).toEqual([{ reason: "Goodwill", token_balance: -500, expected_balance: USER.token_balance }]);
  });

  test("without an answer it says that nothing is known, and reads the user again", async () => {
    gateway.dashboard[TOKENS] = new Refusal(503, "unavailable");
    await page.fill("dialog input >> nth=0", "70000");
    gateway.requests.length = 0;
    await page.click("dialog [type=submit]");
    const notice = page.locator("dialog .notice");
    expect(await notice.textContent()).toContain("Whether it was applied is not known");
    expect(await notice.textContent()).not.toContain("Nothing was changed");
    await expect.poll(() => gateway.requests).toContain("GET /dashboard/users/u1");
  });
});

test("all letters of a queue are counted first, and then handed back", async () => {
  const operations = DASHBOARD["/dashboard/operations"] as { queues: object[] };
  const queues = operations.queues.map(queue => ({ ...queue, dead: 250 }));
  const asked: { all: boolean; dry_run: boolean }[] = [];
  gateway.dashboard["/dashboard/operations"] = { ...operations, queues };
  gateway.dashboard["/dashboard/operations/replay"] = (request: Request) => {
    asked.push(request.postDataJSON());
    return { dry_run: asked.length === 1, count: 240, items: [], remaining: asked.length === 1 ? 250 : 10 };
  };
  await page.goto("/operator/operations");
  await page.click("text=Replay all 250 of worker.run.v1");
  expect(await page.locator("dialog h2").textContent()).toBe("Replay 240?");
  await page.click("dialog [type=submit]");
  expect(await page.locator(".toast").textContent()).toContain("240 handed back. 10 are left.");
  expect(asked.map(({ all, dry_run }) => [all, dry_run])).toEqual([
    [true, true],
    [true, false],
  ]);
});

describe("the button that opened a dialog has the focus again", () => {
  const focused = () => page.evaluate(() => document.querySelector("button:focus")?.textContent);

  async function open(path: string, button: string): Promise<void> {
    await page.goto(path);
    await page.focus(button);
    await page.keyboard.press("Enter");
    await page.waitForSelector("dialog[open]");
  }

  test.each([
    ["/operator/users/u1", ".page-head .primary", "Set balance and grant"],
    ["/operator/operations", ".deeds button >> nth=0", "Replay"],
    ["/operator/operations", ".deeds button >> nth=1", "Throw away"],
  ])("after Cancel: %s, %s", async (path, button, text) => {
    await open(path, button);
    await page.click("dialog button:text('Cancel')");
    await expect.poll(() => page.locator("dialog").count()).toBe(0);
    expect(await focused()).toBe(text);
  });

  test("after Apply, and the page goes on as it was", async () => {
    gateway.dashboard["POST /dashboard/users/u1/tokens"] = USER;
    await open("/operator/users/u1", ".page-head .primary");
    await page.fill("dialog input >> nth=0", "70000");
    await page.fill("dialog input >> nth=2", "Goodwill");
    gateway.requests.length = 0;
    await page.click("dialog [type=submit]");
    await page.waitForSelector(".toast");
    await expect.poll(() => gateway.requests).toContain("GET /dashboard/users/u1");
    await expect.poll(() => page.locator(".dimmed").count()).toBe(0);
    expect([await page.locator("dialog").count(), await focused()]).toEqual([0, "Set balance and grant"]);
    await page.keyboard.press("Enter");
    await page.waitForSelector("dialog[open]");
  });
});

test("a decision is sent once, and the page says what became of it", async () => {
  gateway.dashboard["POST /dashboard/integration/waiting"] = { status: "stale", why: "something newer waits" };
  await page.goto("/operator/operations");
  await page.click("td button:text('Decide')");
  await page.fill("dialog input >> nth=0", "u1");
  await page.locator("dialog form").evaluate((form: HTMLFormElement) => {
    form.requestSubmit();
    form.requestSubmit();
  });
  expect(await page.locator(".toast").textContent()).toContain("Not applied: something newer came meanwhile");
  const sent = gateway.requests.filter(line => line === "POST /dashboard/integration/waiting");
  expect(sent).toHaveLength(1);
});

test("a chart is drawn anew in the colours of another theme", async () => {
  await page.emulateMedia({ colorScheme: "light" });
  await page.goto("/operator/usage?tz=UTC");
  const drawn = () => page.locator(".chart canvas").evaluate((canvas: HTMLCanvasElement) => canvas.toDataURL());
  await page.waitForSelector(".chart canvas");
  const light = await drawn();
  await page.emulateMedia({ colorScheme: "dark" });
  await expect.poll(drawn).not.toBe(light);
});
