import { afterAll, afterEach, beforeEach, expect, onTestFinished, test } from "vitest";
import { cuttableLink } from "./cuttable-link";
import { counted, restartGateway, STACK, sim, storedThread } from "./stack";
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
async function beginAnswer(each = me): Promise<void> {
  await each.send(SLOW);
  await expect.poll(() => textOf(each).catch(() => "")).toContain("t5");
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
  expect(await (await me.answer()).locator(".markdown").textContent()).toBe("Yes.");
  const { messages } = await storedThread(me.userId, me.threadId);
  expect(messages).toHaveLength(4);
});

test("without a network one goes on reading and typing, and with it the answer goes on where it broke", async () => {
  const link = await cuttableLink(STACK.origin);
  onTestFinished(() => link.close());
  const away = await visit({ origin: link.origin });
  away.allowFailure(/^\/chat\//, "cut");
  const broken: string[] = [];
  const resumed: { status: number; eventId: string | undefined }[] = [];
  away.page.on("requestfailed", request => broken.push(new URL(request.url()).pathname));
  away.page.on("response", response => {
    if (/^\/chat\/runs\/.*\/events$/.test(new URL(response.url()).pathname))
      resumed.push({ status: response.status(), eventId: response.request().headers()["last-event-id"] });
  });
  await beginAnswer(away);
  link.cut();
  await away.context.setOffline(true);
  await expect.poll(() => broken).toContain("/chat/messages");
  await away.page.waitForSelector(".offline");
  await away.page.waitForSelector(".notice[role=status]");
  const shown = await textOf(away);
  await away.field.fill("typed offline");
  await away.isAccessible();
  expect(await textOf(away)).toBe(shown);
  expect(counted(TOKENS).startsWith(shown)).toBe(true);
  expect(resumed).toEqual([]);
  link.mend();
  await away.context.setOffline(false);
  await isWholeOnce(away);
  // Behind the last event that it had: neither from the beginning, nor with a gap.
  expect(resumed).toEqual([{ status: 200, eventId: expect.stringMatching(/^r_\w+:[1-9]\d*$/) }]);
  expect(await away.field.inputValue()).toBe("typed offline");
  await away.end();
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
