import { afterAll, afterEach, beforeEach, expect, test } from "vitest";
import { counted, restartGateway, sim, storedThread } from "./stack";
import { closeBrowser, type Visit, visit } from "./visit";

const TOKENS = 100;
const SLOW = sim("Count slowly", { reply_tokens: TOKENS, tokens_per_s: 20 });

let me: Visit;

beforeEach(async () => {
  me = await visit();
  await me.page.waitForSelector("#message");
});

afterEach(() => me.end());
afterAll(closeBrowser);

const textOf = async (each: Visit) => (await each.page.locator(".markdown").last().innerText()).trim();

/** Begins a long answer, and waits until some of it can be read. */
async function beginAnswer(): Promise<void> {
  await me.send(SLOW);
  await expect.poll(() => textOf(me).catch(() => "")).toContain("t5");
}

/** The whole answer is there once: on the screen and in the store. */
async function isWholeOnce(each: Visit): Promise<void> {
  await each.answer();
  expect(await textOf(each)).toBe(counted(TOKENS));
  expect(await each.page.locator(".exchange").count()).toBe(1);
  expect(await each.page.locator(".ending, .notice.problem").count()).toBe(0);
  const { messages } = await storedThread(each.userId, each.threadId);
  expect(messages.map(({ role, status }) => [role, status])).toEqual([
    ["user", "sent"],
    ["assistant", "completed"],
  ]);
  expect(messages[1]?.text).toBe(counted(TOKENS));
}

test("a reload in the middle goes on where the answer is", async () => {
  await beginAnswer();
  await me.page.reload();
  await me.page.waitForSelector(".answer.active .markdown");
  expect(counted(TOKENS).startsWith(await textOf(me))).toBe(true);
  await isWholeOnce(me);
  expect(await me.field.inputValue()).toBe("");
});

test("a gateway that is killed in the middle is a pause: nothing is lost, doubled or called an error", async () => {
  me.allowFailure(/^\/chat\//, "cut");
  await beginAnswer();
  const back = restartGateway();
  await me.page.waitForSelector(".notice[role=status]");
  expect(await me.page.locator(".notice.problem, .ending").count()).toBe(0);
  await back;
  await isWholeOnce(me);
  await expect.poll(() => me.page.locator(".notice").count()).toBe(0);
});

test("a message that is sent while the gateway is away is sent once it is back", async () => {
  me.allowFailure(/^\/chat\//, "cut");
  await me.ask("Hello");
  const back = restartGateway();
  await me.send(sim("Are you there?", { reply: "Yes." }));
  await expect.poll(() => me.page.locator(".exchange").count()).toBe(2);
  await back;
  await expect.poll(() => me.page.locator(".markdown").allTextContents()).toContain("Yes.");
  const { messages } = await storedThread(me.userId, me.threadId);
  expect(messages).toHaveLength(4);
});

test("without a network one goes on reading and typing, and with it the answer is there", async () => {
  await beginAnswer();
  await me.context.setOffline(true);
  await me.page.waitForSelector(".offline");
  await me.isAccessible();
  await me.field.fill("typed offline");
  await me.context.setOffline(false);
  await isWholeOnce(me);
  expect(await me.field.inputValue()).toBe("typed offline");
});

test("a closed tab does not stop the answer, and another tab shows it while it is written", async () => {
  await beginAnswer();
  const address = me.page.url();
  await me.page.close();
  const other = await visit({ userId: me.userId, path: new URL(address).pathname });
  await other.page.waitForSelector(".answer.active .markdown");
  await isWholeOnce(other);
  await other.end();
});
