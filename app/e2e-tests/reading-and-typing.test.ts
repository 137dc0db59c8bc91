import { afterAll, afterEach, beforeEach, describe, expect, test } from "vitest";
import { sim, storedThread } from "./stack";
import { closeBrowser, type Visit, visit } from "./visit";

const PARAGRAPHS = 90;
const LONG = sim("Tell me all of it", {
  reply: Array.from({ length: PARAGRAPHS }, (_, n) => `Paragraph ${n + 1}.`).join("\n\n"),
  tokens_per_s: 30,
});

let me: Visit;

beforeEach(async () => {
  me = await visit();
  await me.page.waitForSelector("#message");
});

afterEach(() => me.end());
afterAll(closeBrowser);

const exchanges = () => me.page.locator(".exchange").count();
const roles = async () => (await storedThread(me.userId, me.threadId)).messages.map(({ role }) => role);

describe("while an answer grows", () => {
  const scroller = () => me.page.locator(".transcript");
  const paragraphs = () => me.page.locator(".answer.active .markdown p").count();
  const toEnd = () =>
    scroller().evaluate(({ scrollHeight, clientHeight, scrollTop }) => scrollHeight - clientHeight - scrollTop);

  /** Where the transcript is, once it has come to rest: the wheel turns on for a moment. */
  const top = () =>
    scroller().evaluate(async element => {
      for (let still = 0, last = -1; still < 10; still = element.scrollTop === last ? still + 1 : 0) {
        last = element.scrollTop;
        await new Promise(requestAnimationFrame);
      }
      return element.scrollTop;
    });

  async function grows(): Promise<void> {
    const before = await paragraphs();
    await expect.poll(paragraphs).toBeGreaterThan(before + 2);
  }

  test("who turns the wheel up is left to read, and jumps to the end to follow it again", async () => {
    await me.page.setViewportSize({ width: 1_000, height: 500 });
    await me.send(LONG);
    await expect.poll(paragraphs).toBeGreaterThan(15);
    await expect.poll(toEnd).toBeLessThan(10);

    await scroller().hover();
    await me.page.mouse.wheel(0, -150);
    const jump = me.page.getByRole("button", { name: "Jump to latest" });
    await jump.waitFor();
    const left = await top();
    await grows();
    expect(await top()).toBe(left);

    await jump.click();
    await expect.poll(toEnd).toBeLessThan(10);
    await grows();
    await expect.poll(toEnd).toBeLessThan(10);
    expect(await top()).toBeGreaterThan(left);
    expect(await jump.count()).toBe(0);
    await me.answer();
    await expect.poll(toEnd).toBeLessThan(10);
  });
});

test("Enter while a word is being put together takes the word, and only the next one sends it", async () => {
  const input = await me.context.newCDPSession(me.page);
  await me.field.focus();
  await input.send("Input.imeSetComposition", { text: "にほん", selectionStart: 3, selectionEnd: 3 });
  await expect.poll(() => me.field.inputValue()).toBe("にほん");
  // As browsers say it: some by the event, some by the code of the key.
  for (const windowsVirtualKeyCode of [13, 229]) {
    await input.send("Input.dispatchKeyEvent", { type: "rawKeyDown", key: "Enter", code: "Enter", windowsVirtualKeyCode });
  }
  await input.send("Input.insertText", { text: "日本" });
  await expect.poll(() => me.field.inputValue()).toBe("日本");
  expect(await exchanges()).toBe(0);

  await me.field.press("Enter");
  await me.answer();
  expect(await me.page.locator(".question-text").allTextContents()).toEqual(["日本"]);
  expect(await roles()).toEqual(["user", "assistant"]);
});

test("a message that did not go out is back in its field, and goes out once when tried again", async () => {
  me.allowFailure(/^\/chat\//, "cut");
  const retry = me.page.locator(".notice.problem").getByRole("button", { name: "Try again" });
  await me.context.setOffline(true);
  await me.send(sim("Are you there?", { reply: "Yes." }));
  await retry.waitFor();
  expect(await me.field.inputValue()).toContain("Are you there?");
  await me.isAccessible();
  await retry.click();
  await expect.poll(() => retry.count()).toBe(1);
  expect(await exchanges()).toBe(0);

  await me.context.setOffline(false);
  await retry.click();
  expect(await (await me.answer()).locator(".markdown").textContent()).toBe("Yes.");
  expect(await me.page.locator(".notice.problem").count()).toBe(0);
  expect(await me.field.inputValue()).toBe("");
  expect(await roles()).toEqual(["user", "assistant"]);
});

test("an answer that broke off is asked for again at a click, and what there was is kept", async () => {
  const breaks = { reply_tokens: 30, fault: "failed", after_deltas: 5, times: null };
  const version = () => me.page.locator(".last .versions").textContent();
  await me.send(sim("Please", breaks));
  const first = await me.answer("failed");
  expect((await first.locator(".markdown").innerText()).trim()).toBe("t1 t2 t3 t4 t5");
  await me.isAccessible();

  const again = me.page.getByRole("button", { name: "Ask again" });
  await again.click();
  await expect.poll(version).toBe("2/2");
  await me.answer("failed");
  expect(await again.count()).toBe(1);
  const { messages } = await storedThread(me.userId, me.threadId);
  expect(messages.map(({ role, status }) => `${role} ${status}`)).toEqual([
    "user sent",
    "assistant failed",
    "user sent",
    "assistant failed",
  ]);
  expect(new Set(messages.map(({ run_id }) => run_id)).size).toBe(2);
  await me.page.getByRole("button", { name: "Earlier version" }).click();
  await expect.poll(version).toBe("1/2");
});

test("from the keyboard, the list of chats is skipped with one link", async () => {
  await me.ask(sim("Hello", { reply: "Good day." }));
  const focused = (selector: string) => me.page.locator(`${selector}:focus`).count();
  const { threadId } = me;
  for (let presses = 0; presses < 40 && (await focused(".skip")) === 0; presses++) {
    await me.page.keyboard.press("Shift+Tab");
  }
  expect(await focused(".skip")).toBe(1);
  await expect.poll(() => me.page.locator(".skip").innerText()).toBe("Skip to the chat");
  await me.isAccessible();

  await me.page.keyboard.press("Enter");
  await expect.poll(() => focused("main")).toBe(1);
  await me.page.keyboard.press("Tab");
  expect(await focused("main *")).toBe(1);
  expect(me.threadId).toBe(threadId);
  expect(await me.page.locator(".markdown").textContent()).toBe("Good day.");
});
