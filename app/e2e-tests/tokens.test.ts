import { afterAll, afterEach, beforeEach, expect, test } from "vitest";
import { balanceOf, STACK, setQuota, setTokens, sim } from "./stack";
import { closeBrowser, type Visit, visit } from "./visit";

let me: Visit;

beforeEach(async () => {
  me = await visit();
  await me.page.waitForSelector("#message");
});

afterEach(() => me.end());
afterAll(closeBrowser);

const balance = () => me.page.locator(".sidebar .balance-text").textContent();

test.each([
  [9_000, "9,000 tokens are left"],
  [2_000, "Only 2,000 tokens are left"],
])("with %i of 50,000 tokens left one is told", async (tokens, said) => {
  await setTokens(me.userId, tokens, 50_000);
  await me.page.reload();
  await expect.poll(() => me.page.locator(".notice.warning").textContent()).toContain(said);
  await me.isAccessible();
});

test("out of tokens: plain words, the next grant, where to get more, and nothing is lost", async () => {
  await me.ask(sim("Hello", { reply: "An answer to read again." }));
  await setTokens(me.userId, 0, 50_000);
  me.allowFailure(/^\/chat\/messages$/, 429);
  await me.send("One more question");
  const notice = me.page.locator(".out-of-tokens");
  await notice.waitFor();
  await expect.poll(() => notice.locator("h2").textContent()).toBe("You have used up your tokens");
  expect(await notice.textContent()).toMatch(/The next ones come on \w+/);
  expect(await notice.textContent()).not.toMatch(/429|insufficient/);
  expect(await notice.locator("a").getAttribute("href")).toBe(STACK.moreTokensUrl);
  await expect.poll(() => me.field.inputValue()).toBe("One more question");
  expect(await me.page.locator(".markdown").textContent()).toBe("An answer to read again.");
  await me.isAccessible();

  await me.page.reload();
  await notice.waitFor();
  expect(await notice.textContent()).toMatch(/The next ones come on \w+/);
  expect(await me.field.inputValue()).toBe("One more question");

  await setTokens(me.userId, 30_000, 50_000);
  // As when one comes back from where there are more.
  await me.page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
  await expect.poll(balance).toBe("30,000 tokens left");
  await expect.poll(() => notice.count()).toBe(0);
  await me.field.press("Enter");
  await expect.poll(() => me.page.locator(".exchange").count()).toBe(2);
  await me.answer();
});

test("a quota that the CRM sets arrives in an open browser", async () => {
  const before = Number((await balance())?.replace(/\D/g, ""));
  await setQuota(me.userId, 123_456);
  const after = await balanceOf(me.userId);
  expect(after).not.toBe(before);
  await expect.poll(balance).toBe(`${after.toLocaleString("en-GB")} tokens left`);
});
