import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { launch, openPage, type Site, serveDist, type WatchedPage } from "./browser";
import { type FakeGateway, fakeGateway, THREAD_PATH } from "./fake-gateway";

let browser: Browser;
let site: Site;
let context: BrowserContext;
let gateway: FakeGateway;
let watched: WatchedPage;
let page: Page;

beforeAll(async () => {
  [site, browser] = await Promise.all([serveDist(), launch()]);
});

afterAll(async () => {
  await browser?.close();
  await site?.close();
});

beforeEach(async () => {
  context = await browser.newContext({ baseURL: site.origin, locale: "en-GB" });
  gateway = await fakeGateway(context);
  watched = await openPage(context, site.origin);
  page = watched.page;
});

afterEach(() => context.close());

const field = () => page.locator("#message");
const questions = () => page.locator(".question-text").allTextContents();
const hasPage = (selector: string) => page.waitForSelector(selector);

test("a sign-in link signs in, and its token leaves the address and the history", async () => {
  await page.goto("/?s=secret-token");
  await hasPage("#message");
  expect(gateway.requests[0]).toBe("POST /chat/session");
  expect(page.url()).toBe(`${site.origin}/`);
  expect(await page.evaluate(() => history.length)).toBe(2);
});

test("the first message starts a thread, names it in the address and is answered", async () => {
  await page.goto("/");
  await field().fill("Hello");
  await field().press("Enter");
  await hasPage(".markdown");
  expect(new URL(page.url()).pathname).toBe(THREAD_PATH);
  expect(await page.locator(".markdown").textContent()).toBe("An answer.");
  expect(await field().inputValue()).toBe("");
  expect(await page.locator(".sidebar .balance-text").textContent()).toContain("37,208");
});

describe("the message field", () => {
  beforeEach(async () => {
    await page.goto(THREAD_PATH);
    await hasPage("#message");
  });

  test("sends on Enter, and begins a line on Shift and Enter", async () => {
    await field().pressSequentially("one");
    await field().press("Shift+Enter");
    await field().pressSequentially("two");
    expect(gateway.sent).toEqual([]);
    await field().press("Enter");
    await hasPage(".markdown");
    expect(gateway.sent.map(message => message.text)).toEqual(["one\ntwo"]);
  });

  test("does not send on the Enter that ends a composition", async () => {
    const input = await context.newCDPSession(page);
    await field().focus();
    await input.send("Input.imeSetComposition", { text: "にほん", selectionStart: 3, selectionEnd: 3 });
    await input.send("Input.dispatchKeyEvent", {
      type: "rawKeyDown",
      key: "Enter",
      code: "Enter",
      windowsVirtualKeyCode: 229,
    });
    await input.send("Input.insertText", { text: "日本" });
    await page.waitForTimeout(200);
    expect(gateway.sent).toEqual([]);
    expect(await field().inputValue()).toBe("日本");
  });

  test("keeps its draft over a reload, one for each thread", async () => {
    await field().fill("half a thought");
    await page.goto("/");
    await hasPage(".greeting");
    expect(await field().inputValue()).toBe("");
    await page.goto(THREAD_PATH);
    await hasPage(".transcript");
    await expect.poll(() => field().inputValue()).toBe("half a thought");
  });

  test.each([
    ["insufficient_balance", 429, ".out-of-tokens"],
    ["rate_limited", 429, ".notice.problem"],
    ["too_large", 413, ".notice.problem"],
  ])("gets back a text that was refused: %s", async (code, status, notice) => {
    gateway.messageRefusal = { status, code };
    await field().fill("my text");
    await field().press("Enter");
    await hasPage(notice);
    expect(await field().inputValue()).toBe("my text");
    expect(await questions()).toEqual([]);
    gateway.messageRefusal = undefined;
    await field().press("Enter");
    await hasPage(".markdown");
    expect(await questions()).toEqual(["my text"]);
  });
});

test("a message that was on its way when the page was reloaded is sent again as the same one", async () => {
  await page.goto(THREAD_PATH);
  await hasPage("#message");
  gateway.messageRefusal = { status: 503, code: "unavailable" };
  await field().fill("important");
  await field().press("Enter");
  await hasPage(".question-text");
  const draft = await page.evaluate(() => JSON.stringify({ ...sessionStorage }));
  gateway.messageRefusal = undefined;
  await page.reload();
  await hasPage("#message");
  await expect.poll(() => field().inputValue()).toBe("important");
  await field().press("Enter");
  await hasPage(".markdown");
  expect(draft).toContain(gateway.sent[0]?.client_message_id);
});

describe("when another tab signs in somebody else", () => {
  const name = () => page.locator(".account-button").textContent();
  const requested = (line: string) => gateway.requests.filter(each => each === line).length;

  beforeEach(async () => {
    await page.goto("/");
    await hasPage("#message");
    await field().fill("only Ada may say this");
    gateway.user = { id: "u2", name: "Grace Hopper" };
    gateway.tokenBalance = 7_000;
    const other = await context.newPage();
    await other.goto("/?s=another-token");
    await other.waitForSelector("#message");
  });

  test("the page is loaded anew once, as theirs, and without what was typed before", async () => {
    await expect.poll(name).toContain("Grace Hopper");
    expect(await page.locator(".sidebar .balance-text").textContent()).toContain("7,000");
    expect(await field().inputValue()).toBe("");
    await page.waitForLoadState("networkidle");
    // Both pages at their beginning, and the first of them once more.
    expect(requested("GET /chat/thread")).toBe(3);
    expect(gateway.sent).toEqual([]);
  });

  test("what was typed before is there again for the one who typed it", async () => {
    await expect.poll(name).toContain("Grace Hopper");
    gateway.user = { id: "u1", name: "Ada Lovelace" };
    await page.reload();
    await expect.poll(name).toContain("Ada Lovelace");
    expect(await field().inputValue()).toBe("only Ada may say this");
  });
});

describe("a thread in the list", () => {
  beforeEach(async () => {
    gateway.answers = ["An answer."];
    await page.goto("/");
    await hasPage(".thread");
    await page.hover(".thread");
    await page.click(".thread .icon-button");
  });

  test("is renamed", async () => {
    await page.click(".menu:popover-open button >> nth=0");
    await page.locator(".rename").fill("Another name");
    await page.keyboard.press("Enter");
    await expect.poll(() => page.locator(".thread-title").textContent()).toBe("Another name");
    expect(gateway.requests).toContain(`PATCH /chat/threads/${THREAD_PATH.slice(3)}`);
  });

  test("is deleted only when the moment to undo it has passed", async () => {
    await page.click(".menu:popover-open .danger");
    await expect.poll(() => page.locator(".thread").count()).toBe(0);
    await page.click(".toast button");
    await expect.poll(() => page.locator(".thread").count()).toBe(1);
    expect(gateway.requests.filter(request => request.startsWith("DELETE"))).toEqual([]);
  });

  test("is deleted at once when the page is left", async () => {
    await page.click(".menu:popover-open .danger");
    await expect.poll(() => page.locator(".thread").count()).toBe(0);
    await context.unrouteAll();
    await page.goto("about:blank");
    await expect.poll(() => site.requests).toContain(`DELETE /chat/threads/${THREAD_PATH.slice(3)}`);
  });
});

test("an answer is reported with one click, explained if one likes, and taken back", async () => {
  gateway.answers = ["An answer."];
  await page.goto(THREAD_PATH);
  await page.click(".flag");
  await page.check('dialog input[value="wrong"]');
  const explained = page.waitForRequest(request => request.postData()?.includes("wrong") === true);
  await page.click("dialog [type=submit]");
  await explained;
  expect(await page.getAttribute(".flag", "aria-pressed")).toBe("true");
  await page.click(".flag");
  await expect.poll(() => page.getAttribute(".flag", "aria-pressed")).toBe("false");
  expect(
    gateway.requests.filter(request => request.includes("/flag")).map(request => request.split(" ")[0]),
  ).toEqual(["POST", "POST", "DELETE"]);
});

describe("scrolling", () => {
  const top = () => page.evaluate(() => document.querySelector(".transcript")?.scrollTop ?? 0);
  const toEnd = () =>
    page.evaluate(() => {
      const scroller = document.querySelector(".transcript");
      return scroller ? scroller.scrollHeight - scroller.clientHeight - scroller.scrollTop : 0;
    });

  beforeEach(async () => {
    gateway.answers = Array.from({ length: 12 }, () => "A paragraph of an answer.\n\n".repeat(12));
    await page.goto(THREAD_PATH);
    await hasPage(".markdown");
  });

  test("a thread opens at its end, and one's own message goes there", async () => {
    await expect.poll(toEnd).toBeLessThan(10);
    await page.mouse.move(600, 300);
    await page.mouse.wheel(0, -2_000);
    await hasPage(".jump");
    gateway.reply = "More.\n\n".repeat(60);
    await field().fill("go on");
    await field().press("Enter");
    await expect.poll(() => page.locator(".exchange").count()).toBe(13);
    await expect.poll(toEnd).toBeLessThan(10);
  });

  test("who has turned the wheel up stays there until they ask for the end", async () => {
    await expect.poll(toEnd).toBeLessThan(10);
    await page.mouse.move(600, 300);
    await page.mouse.wheel(0, -600);
    await hasPage(".jump");
    // The page scrolls a moment after it was told of the wheel.
    await expect.poll(toEnd).toBeGreaterThan(590);
    const before = await top();
    await page.setViewportSize({ width: 1280, height: 700 });
    expect(Math.abs((await top()) - before)).toBeLessThan(5);
    await page.click(".jump");
    await expect.poll(toEnd).toBeLessThan(10);
    await expect.poll(() => page.locator(".jump").count()).toBe(0);
  });
});

test("appearance and language are chosen, and kept", async () => {
  await page.goto("/");
  await page.click(".account-button");
  await page.selectOption(".settings select >> nth=0", "dark");
  await page.selectOption(".settings select >> nth=1", "de");
  await page.reload();
  await hasPage(".greeting");
  expect(await page.locator(".greeting").textContent()).toContain("Was möchten Sie wissen?");
  const shown = await page.evaluate(() => ({
    lang: document.documentElement.lang,
    scheme: getComputedStyle(document.documentElement).colorScheme,
  }));
  expect(shown).toEqual({ lang: "de", scheme: "dark" });
});

test("going offline is told, and nothing typed is lost", async () => {
  await page.goto(THREAD_PATH);
  await hasPage("#message");
  await context.setOffline(true);
  await context.route("**/chat/messages", route => route.abort());
  await hasPage(".offline");
  await field().fill("written offline");
  await field().press("Enter");
  await hasPage(".notice.problem");
  expect(await field().inputValue()).toBe("written offline");
  await context.setOffline(false);
  await context.unroute("**/chat/messages");
  await expect.poll(() => page.locator(".offline").count()).toBe(0);
  await field().press("Enter");
  await hasPage(".markdown");
});

test("shortcuts work and are listed", async () => {
  gateway.answers = ["An **answer**."];
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await page.goto(THREAD_PATH);
  await hasPage(".markdown");
  await page.keyboard.press("Control+Shift+KeyC");
  await expect.poll(() => page.evaluate(() => navigator.clipboard.readText())).toBe("An **answer**.");
  await page.keyboard.press("Control+/");
  await hasPage("dialog .shortcuts");
  await page.keyboard.press("Escape");
  await page.keyboard.press("Control+Shift+KeyO");
  await hasPage(".greeting");
});
