import { readFile } from "node:fs/promises";
import { afterAll, afterEach, beforeEach, describe, expect, test } from "vitest";
import { PAGE_HEADERS } from "../browser-tests/browser";
import { balanceOf, counted, newUserId, STACK, sim, storedThread } from "./stack";
import { closeBrowser, type Visit, visit } from "./visit";

const ANSWER = `## Tokens

A **token** is a piece of text. Some pieces:

- one
- two

\`\`\`python
def available(rows):
    return sum(rows)  # never clamped
\`\`\`

| Name | Tokens |
|:--|--:|
| in | 1,204 |
`;

let me: Visit;

beforeEach(async () => {
  me = await visit({ claims: { company: { id: "acme", name: "Acme" } } });
  await me.page.waitForSelector("#message");
});

afterEach(() => me.end());
afterAll(closeBrowser);

const balanceShown = async () =>
  Number((await me.page.locator(".sidebar .balance-text").textContent())?.replace(/\D/g, ""));

test("the sign-in link is spent at once, and only a cookie that scripts cannot read remains", async () => {
  expect(me.page.url()).toBe(`${STACK.origin}/`);
  const [cookie] = await me.context.cookies();
  expect(cookie).toMatchObject({ name: "session", httpOnly: true, sameSite: "Lax" });
  expect(await me.page.evaluate(() => JSON.stringify([document.cookie, { ...localStorage }, { ...sessionStorage }]))).not.toContain(cookie?.value);
  await me.isAccessible();
});

test("the page comes with the headers under which the app is tested alone", async () => {
  const answer = await me.page.reload();
  expect(answer?.headers()).toMatchObject(PAGE_HEADERS);
});

test("an answer streams, is set in type, can be copied, and costs what the ledger says", async () => {
  const before = await balanceShown();
  await me.context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await me.send(sim("What is a token?", { reply: ANSWER, tokens_per_s: 40 }));
  await me.page.waitForSelector(".answer.active .markdown");
  expect(me.page.url()).toMatch(/\/c\/t_[0-9a-f]{32}$/);
  expect(await me.page.locator(".send.stop").isEnabled()).toBe(true);
  await me.field.fill("typed while it answers");
  await me.isAccessible();

  const answer = await me.answer();
  expect(await answer.locator(".markdown h3").textContent()).toBe("Tokens");
  await answer.locator("figure.code [class^=t-]").first().waitFor();
  expect(await answer.locator("td").allTextContents()).toEqual(["in", "1,204"]);
  expect(await me.field.inputValue()).toBe("typed while it answers");
  await expect.poll(() => balanceOf(me.userId)).toBeLessThan(before);
  // What is left comes with an event of its own, behind the one that ends the answer.
  const after = await balanceOf(me.userId);
  await expect.poll(balanceShown).toBe(after);

  const shown = await answer.locator(".markdown").innerText();
  await answer.locator(".actions button").first().click();
  expect(await me.page.evaluate(() => navigator.clipboard.readText())).toBe(ANSWER);
  await answer.locator("figure.code button").click();
  await expect.poll(() => me.page.evaluate(() => navigator.clipboard.readText())).toContain("never clamped");

  await me.page.reload();
  expect(await (await me.answer()).locator(".markdown").innerText()).toBe(shown);
  expect(await me.field.inputValue()).toBe("typed while it answers");
  await me.isAccessible();
});

test("Stop keeps what was written, and the next message goes out", async () => {
  await me.send(sim("Count", { reply_tokens: 300, tokens_per_s: 30 }));
  await me.page.waitForSelector(".answer.active .markdown");
  await me.page.locator(".send.stop").click();
  const answer = await me.answer("cancelled");
  const written = (await answer.locator(".markdown").innerText()).trim();
  expect(counted(300).startsWith(written)).toBe(true);
  expect(written).not.toBe("");
  await me.isAccessible();
  await me.ask("and go on");
});

test("an answer that fails says so in plain words, and a better question is answered", async () => {
  await me.send(sim("Please", { status: 400, code: "bad_request" }));
  const answer = await me.answer("failed");
  expect(await answer.locator(".ending").textContent()).toContain("could not accept this message");
  await me.isAccessible();
  await me.page.getByRole("button", { name: "Edit and send again" }).last().click();
  await me.page.locator(".question-form textarea").fill("Please, this time");
  await me.page.locator(".question-form [type=submit]").click();
  await me.answer();
});

describe("asking again", () => {
  const questions = () => me.page.locator(".question-text").allTextContents();
  const answers = () => me.page.locator(".markdown").allTextContents();
  const version = () => me.page.locator(".last .versions").textContent();

  beforeEach(async () => {
    await me.ask(sim("First", { reply: "One." }));
    await me.ask(sim("Second", { reply: "Two." }));
  });

  test("an answer that is written anew is another version, and the first one is kept", async () => {
    await me.page.getByRole("button", { name: "Answer again" }).click();
    await expect.poll(version).toBe("2/2");
    await me.answer();
    await me.isAccessible();
    await me.page.getByRole("button", { name: "Earlier version" }).click();
    await expect.poll(version).toBe("1/2");
    await me.page.reload();
    await expect.poll(version).toBe("2/2");
    expect(await answers()).toEqual(["One.", "Two."]);
    const { messages } = await storedThread(me.userId, me.threadId);
    expect(messages.map(({ text }) => text)).toEqual(expect.arrayContaining(["One.", "Two.", "Two."]));
    expect(messages).toHaveLength(6);
  });

  test("a question that is changed leaves what came after it in the version before", async () => {
    const first = me.page.locator(".exchange").first();
    await first.hover();
    await first.getByRole("button", { name: "Edit and send again" }).click();
    await me.isAccessible();
    await me.page.locator(".question-form textarea").fill(sim("Changed", { reply: "Another one." }));
    await me.page.keyboard.press("Enter");
    await expect.poll(answers).toEqual(["Another one."]);
    // Its text is there before its end is, and until then nothing can be sent.
    await me.answer();
    expect(await questions()).toEqual([expect.stringContaining("Changed")]);
    expect(await version()).toBe("2/2");

    await me.ask(sim("Third", { reply: "Three." }));
    expect(await answers()).toEqual(["Another one.", "Three."]);
    await me.page.locator(".exchange").first().getByRole("button", { name: "Earlier version" }).click();
    await expect.poll(answers).toEqual(["One.", "Two."]);

    // Going on from here is going on with this version.
    await me.ask(sim("Fourth", { reply: "Four." }));
    await me.page.reload();
    await expect.poll(answers).toEqual(["One.", "Two.", "Four."]);
  });

  test("a change that is not sent is there again after a reload", async () => {
    const last = me.page.locator(".exchange.last");
    await last.hover();
    await last.getByRole("button", { name: "Edit and send again" }).click();
    await me.page.locator(".question-form textarea").fill("Half a change");
    await me.page.reload();
    await expect.poll(() => me.page.locator(".question-form textarea").inputValue()).toBe("Half a change");
    await me.page.keyboard.press("Escape");
    await expect.poll(questions).toHaveLength(2);
  });
});

test("a report is one click, can be explained, and is taken back", async () => {
  const answer = await me.ask("Hello");
  await answer.locator(".flag").click();
  await me.page.waitForSelector("dialog[open]");
  await me.isAccessible();
  await me.page.check('dialog input[value="wrong"]');
  await me.page.fill("dialog textarea", "It says nothing.");
  await me.page.click("dialog [type=submit]");
  await me.page.waitForSelector(".toast");
  await me.page.reload();
  const flag = (await me.answer()).locator(".flag");
  expect(await flag.getAttribute("aria-pressed")).toBe("true");
  await flag.click();
  await expect.poll(() => flag.getAttribute("aria-pressed")).toBe("false");
  await me.page.reload();
  expect(await (await me.answer()).locator(".flag").getAttribute("aria-pressed")).toBe("false");
});

test("a file that the assistant made is downloaded, also by the link in its text", async () => {
  const reply = "Here it is: [report](sandbox:/mnt/data/report.csv)";
  const files = [{ name: "report.csv", content: "a,b\n1,2\n" }];
  const answer = await me.ask(sim("Make a file", { reply, files }));
  for (const link of [answer.locator(".files a"), answer.locator(".markdown a").first()]) {
    const download = me.page.waitForEvent("download");
    await link.click();
    const file = await download;
    expect(file.suggestedFilename()).toBe("report.csv");
    expect(await readFile(await file.path(), "utf8")).toBe("a,b\n1,2\n");
  }
  await me.isAccessible();
});

describe("the list of chats", () => {
  const titles = () => me.page.locator(".thread-title").allTextContents();

  async function chooseInMenu(index: number): Promise<void> {
    await me.page.locator(".thread").first().hover();
    await me.page.locator(".thread .icon-button").first().click();
    await me.page.locator(".menu:popover-open button").nth(index).click();
  }

  beforeEach(async () => {
    await me.ask("Tell me about ships");
    await me.page.keyboard.press("Control+Shift+KeyO");
    await me.page.waitForSelector(".greeting");
    await me.ask(sim("Tell me about birds", { reply: "The albatross sleeps while it flies." }));
    await expect.poll(titles).toEqual(["Tell me about birds", "Tell me about ships"].map(title => expect.stringContaining(title)));
  });

  test("renames, and keeps the name", async () => {
    await chooseInMenu(0);
    await me.page.locator(".rename").fill("Feathers");
    const kept = me.page.waitForResponse(response => response.request().method() === "PATCH");
    await me.page.keyboard.press("Enter");
    await expect.poll(titles).toEqual(["Feathers", "Tell me about ships"]);
    await kept;
    await me.page.reload();
    await expect.poll(titles).toEqual(["Feathers", "Tell me about ships"]);
    expect(await me.page.locator("h1").textContent()).toBe("Feathers");
  });

  test("finds what was said on either side", async () => {
    await me.page.fill("#thread-search", "ALBATROSS");
    await expect.poll(titles).toEqual([expect.stringContaining("birds")]);
    await me.page.fill("#thread-search", "ships");
    await expect.poll(titles).toEqual(["Tell me about ships"]);
    await me.page.fill("#thread-search", "neither");
    await me.page.waitForSelector(".thread-groups .hint");
    await me.isAccessible();
  });

  test("deletes after a moment to think again", async () => {
    const { threadId } = me;
    me.allowFailure(new RegExp(`^/chat/threads/${threadId}$`), 404);
    await chooseInMenu(1);
    await expect.poll(titles).toEqual(["Tell me about ships"]);
    await me.page.click(".toast button");
    await expect.poll(titles).toHaveLength(2);

    await chooseInMenu(1);
    await expect.poll(titles).toEqual(["Tell me about ships"]);
    // Leaving the page deletes at once.
    await me.page.reload();
    await expect.poll(() => storedThread(me.userId, threadId).then(() => "there", String)).toContain(": 404");
    await me.page.goto(`/c/${threadId}`);
    await expect.poll(titles).toEqual(["Tell me about ships"]);
    await me.page.waitForSelector(".page");
    expect(await me.page.locator(".page h1").textContent()).toBe("This chat does not exist");
    await me.isAccessible();
  });
});

test("two users cannot see each other's chats, answers or files", async () => {
  const files = [{ name: "secret.csv", content: "a secret" }];
  const answer = await me.ask(sim("A secret", { reply: "Nobody else reads this.", files }));
  const address = await answer.locator(".files a").getAttribute("href");
  const stranger = await visit({ userId: newUserId(), path: `/c/${me.threadId}` });
  stranger.allowFailure(/^\/chat\/(threads\/|file$)/, 404);
  await stranger.page.waitForSelector(".page");
  expect(await stranger.page.locator(".page h1").textContent()).toBe("This chat does not exist");
  expect(await stranger.page.locator("body").textContent()).not.toContain("Nobody else");
  expect(await stranger.page.locator(".thread").count()).toBe(0);
  const refused = await stranger.page.evaluate(async url => (await fetch(url)).status, address ?? "");
  expect(refused).toBe(404);
  await stranger.end();
});

test("on a phone a chat is found, read and continued with one hand", async () => {
  await me.ask(sim("On the desk", { reply: ANSWER }));
  const phone = await visit({ userId: me.userId, isPhone: true });
  await phone.page.waitForSelector("#message");
  await phone.isAccessible();
  await phone.page.tap(".chat-header .icon-button");
  await phone.page.tap(".thread a");
  await phone.page.waitForSelector(".markdown");
  await phone.page.waitForSelector(".sidebar", { state: "detached" });
  await phone.isAccessible();
  await phone.field.fill("On the way");
  await phone.page.tap(".send");
  await expect.poll(() => phone.page.locator(".exchange").count()).toBe(2);
  await phone.answer();
  await phone.isAccessible();
  await phone.end();
});

test("signed out, one is led to where people sign in", async () => {
  await me.context.clearCookies();
  me.allowFailure(/^\/chat\//, 401);
  const left = me.page.waitForRequest(request => request.url().startsWith(STACK.loginUrl));
  await me.page.route(`${STACK.loginUrl}**`, route => route.fulfill({ body: "sign in" }));
  await me.page.reload();
  await left;
  await me.page.waitForURL(`${STACK.loginUrl}**`);
  me.allowForeign(STACK.loginUrl);
});
