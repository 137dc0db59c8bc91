import { readFile } from "node:fs/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import {
  ask,
  balanceOf,
  newUserId,
  openAccount,
  publishGarbage,
  setQuota,
  setTokens,
  sim,
  waitingQuotas,
} from "./stack";
import { closeBrowser, type Visit, visit } from "./visit";

const ACME = { id: "acme", name: "Acme" };
const BETA = { id: "beta", name: "Beta" };
const ann = { userId: newUserId(), claims: { name: "Ann Lee", email: "ann@acme.test", company: ACME } };
const bob = { userId: newUserId(), claims: { name: "=Bob", email: "bob@beta.test", company: BETA } };

let me: Visit;

beforeAll(async () => {
  await Promise.all([
    ask(ann.userId, sim("One", { reply_tokens: 30 }), ann.claims),
    ask(bob.userId, sim("Two", { reply_tokens: 20 }), bob.claims),
  ]);
  await ask(ann.userId, sim("Three", { reply_tokens: 10 }), ann.claims);
});

beforeEach(async () => {
  me = await visit({ userId: "operator", claims: { name: "Olga", role: "operator" }, path: "/operator/usage" });
  await me.page.waitForSelector(".totals");
});

afterEach(() => me.end());
afterAll(closeBrowser);

const rows = () => me.page.locator("tbody tr").allInnerTexts();
const heading = () => me.page.locator("h1").textContent();
const inAddress = (name: string) => new URL(me.page.url()).searchParams.get(name);

async function open(path: string, ready = "tbody tr"): Promise<void> {
  await me.page.goto(path);
  await me.page.waitForSelector(ready);
}

test("usage: figures, a chart with its table, and every choice is in the address", async () => {
  await me.page.waitForSelector(".chart canvas");
  await me.isAccessible();
  await me.page.click("text=As a table");
  await me.page.getByRole("button", { name: "7 days" }).click();
  await expect.poll(() => inAddress("range")).toBe("7d");
  await me.page.getByRole("button", { name: "Company" }).click();
  await expect.poll(rows).toEqual(expect.arrayContaining([expect.stringContaining("Acme"), expect.stringContaining("Beta")]));
  await me.isAccessible();
  await me.page.getByRole("button", { name: "User", exact: true }).click();
  await expect.poll(rows).toEqual(expect.arrayContaining([expect.stringContaining("Ann Lee")]));
  await me.page.getByRole("button", { name: "Month", exact: true }).first().click();
  await me.page.selectOption(".zone select", "UTC");
  await me.page.reload();
  await expect.poll(() => [inAddress("range"), inAddress("group"), inAddress("tz")]).toEqual(["7d", "month", "UTC"]);
  await expect.poll(async () => (await rows()).length).toBeGreaterThan(0);
  await me.page.goBack();
  await me.page.goBack();
  await expect.poll(() => inAddress("group")).toBe("user");
});

test("usage: a custom range without anything in it says so", async () => {
  await me.page.fill("input[type=date] >> nth=0", "2020-01-01");
  await me.page.locator("input[type=date]").nth(1).fill("2020-01-31");
  await me.page.locator("input[type=date]").nth(1).blur();
  await expect.poll(() => me.page.locator(".empty").allTextContents()).toEqual(["Nothing was used in this period."]);
  expect(inAddress("to")).toBe("2020-01-31");
  await me.isAccessible();
});

test("usage: which day it was depends on the time zone, and the period before is named", async () => {
  // The two zones are 25 hours apart: what is today in one of them has not begun in the other.
  const today = new Intl.DateTimeFormat("en-CA", { timeZone: "Pacific/Kiritimati" }).format(new Date());
  const address = (zone: string) => `/operator/usage?from=${today}&to=${today}&tz=${zone}`;
  await open(address("Pacific/Kiritimati"), ".chart canvas");
  expect(await me.page.locator(".totals .figure").first().innerText()).not.toBe("0");
  expect(await me.page.locator(".detail.range").innerText()).toMatch(/Pacific\/Kiritimati · compared with \d+/);
  await open(address("Pacific/Pago_Pago"), ".panel .empty");
  expect(await me.page.locator(".totals .figure").first().innerText()).toBe("0");
});

test("offline, a choice that cannot be followed says so, keeps what was there, and works once there is a network", async () => {
  me.allowFailure(/^\/(chat|dashboard)\//, "cut");
  const range = () => me.page.locator(".detail.range").innerText();
  const note = me.page.locator(".notice.problem").first();
  const before = await range();
  await me.context.setOffline(true);
  await me.page.getByRole("button", { name: "7 days" }).click();
  await expect.poll(() => note.innerText()).toMatch(/^You are offline\.[\s\S]*may be out of date/);
  expect(await range()).toBe(before);
  await me.isAccessible();
  await note.getByRole("button", { name: "Try again" }).click();
  await expect.poll(() => note.innerText()).toMatch(/^You are offline\./);

  await me.context.setOffline(false);
  await note.getByRole("button", { name: "Try again" }).click();
  await expect.poll(range).not.toBe(before);
  await expect.poll(() => me.page.locator(".notice.problem, .dimmed").count()).toBe(0);
  expect(inAddress("range")).toBe("7d");
});

test("usage: a summary is written by a model, from the server's figures", async () => {
  await me.page.getByRole("button", { name: "Write a summary" }).click();
  await me.page.waitForSelector(".summary .markdown");
  const summary = await me.page.locator(".summary").innerText();
  expect(summary).toContain("Written by AI (sim-1");
  const figures = await me.page.locator(".totals .figure").allInnerTexts();
  const shown = await me.page.locator(".written-from dd").allInnerTexts();
  expect(shown.slice(1, 6)).toEqual(figures);
  const range = await me.page.locator(".detail.range").innerText();
  const [days, zone] = range.split(" · ");
  expect(shown[0]).toBe(`${days} (${zone})`);
  await me.isAccessible();
});

test("transactions: filtered, page by page, and the CSV is exactly what is shown", async () => {
  await open(`/operator/transactions?user=${bob.userId}`);
  await me.isAccessible();
  await me.page.selectOption("select >> nth=1", "usage");
  await expect.poll(() => inAddress("kind")).toBe("usage");
  await expect.poll(rows).toHaveLength(1);
  expect((await rows())[0]).toContain("=Bob");
  const download = me.page.waitForEvent("download");
  await me.page.click("text=Export as CSV");
  const csv = await readFile(await (await download).path(), "utf8");
  const [head, ...lines] = csv.trim().split(/\r?\n/);
  expect(head).toContain("balance_after");
  expect(lines).toHaveLength(1);
  expect(lines[0]).toContain("'=Bob");
  await me.page.selectOption("select >> nth=1", "correction");
  await expect.poll(() => me.page.locator(".empty").textContent()).toBe("No transactions match.");
});

test("transactions: the CSV has the rows of the screen, in their order", async () => {
  await open(`/operator/transactions?user=${ann.userId}`);
  const shown = await me.page.locator("tbody td:nth-child(6)").allInnerTexts();
  expect(shown.length).toBeGreaterThan(2);
  const download = me.page.waitForEvent("download");
  await me.page.click("text=Export as CSV");
  const [head, ...lines] = (await readFile(await (await download).path(), "utf8")).trim().split(/\r?\n/);
  const column = head?.split(",").indexOf("balance_after") ?? -1;
  expect(lines.map(line => line.split(",")[column])).toEqual(shown.map(text => text.replaceAll(",", "")));
});

test("transactions: more of them come at a click", async () => {
  const many = newUserId();
  await openAccount(many);
  for (let balance = 1; balance <= 55; balance++) await setTokens(many, balance, 0);
  await open(`/operator/transactions?user=${many}`);
  expect(await rows()).toHaveLength(50);
  await me.page.getByRole("button", { name: "Show more" }).click();
  await expect.poll(rows).toHaveLength(56);
});

test("users: found by name, mail and id, and opened", async () => {
  await open("/operator/users");
  await me.isAccessible();
  for (const words of ["ann le", "ann@acme", ann.userId]) {
    await me.page.fill("input[type=search]", words);
    await expect.poll(rows).toEqual([expect.stringContaining("Ann Lee")]);
  }
  await me.page.fill("input[type=search]", "nobody at all");
  await expect.poll(() => me.page.locator(".empty").textContent()).toBe("Nobody matches.");
  await me.page.fill("input[type=search]", ann.userId);
  await expect.poll(rows).toHaveLength(1);
  await me.page.click("tbody a");
  await expect.poll(heading).toBe("Ann Lee");
  await me.page.waitForSelector(".sparkline");
  await me.isAccessible();
});

describe("setting balance and grant", () => {
  const user = newUserId();
  const balance = () => me.page.locator(".totals .figure").first().textContent();

  async function openDialog(newBalance: string, reason: string): Promise<void> {
    await me.page.getByRole("button", { name: "Set balance and grant" }).click();
    await me.page.fill("dialog input >> nth=0", newBalance);
    await me.page.fill("dialog input >> nth=2", reason);
  }

  beforeEach(async () => {
    await openAccount(user, { name: "Carl" });
    await setTokens(user, 1_000, 50_000);
    await open(`/operator/users/${user}`, ".sparkline");
  });

  test("shows old and new, asks why, and stands in the ledger", async () => {
    await openDialog("70000", "Goodwill");
    expect(await me.page.locator("dialog output").first().textContent()).toBe("1,000 → 70,000 (+69,000)");
    await me.isAccessible();
    await me.page.click("dialog [type=submit]");
    await expect.poll(balance).toBe("70,000");
    expect((await rows())[0]).toMatch(/Adjustment[\s\S]*\+69,000[\s\S]*operator[\s\S]*Goodwill/);
  });

  test("does not overwrite what moved meanwhile", async () => {
    me.allowFailure(/^\/dashboard\/users\/.*\/tokens$/, 409);
    await openDialog("70000", "Goodwill");
    await setTokens(user, 2_000, 50_000);
    await me.page.click("dialog [type=submit]");
    await expect.poll(() => me.page.locator("dialog .notice").textContent()).toContain("has become 2,000");
    await me.isAccessible();
    expect(await balanceOf(user)).toBe(2_000);
    await me.page.click("dialog [type=submit]");
    await expect.poll(() => balanceOf(user)).toBe(70_000);
  });
});

test("reports: what a user flagged is there with question, answer, reasons and note", async () => {
  const user = await visit({ claims: { name: "Dora" } });
  const answer = await user.ask(sim("Is it so?", { reply: "It is **so**." }));
  await answer.locator(".flag").click();
  await user.page.check('dialog input[value="wrong"]');
  await user.page.fill("dialog textarea", "It is not so.");
  await user.page.click("dialog [type=submit]");
  await user.page.waitForSelector(".toast");
  await user.end();
  await open("/operator/flags", ".flags li");
  const report = me.page.locator(".flags li").first();
  expect(await report.innerText()).toMatch(/Dora[\s\S]*Wrong or made up[\s\S]*It is not so\./);
  await report.locator("summary").click();
  expect(await report.locator(".markdown strong").textContent()).toBe("so");
  await me.isAccessible();
});

test("operations: queues, and a message that nobody can read is seen, tried again and thrown away", async () => {
  await publishGarbage("worker.run.v1");
  const letters = me.page.locator("tr", { has: me.page.locator(".deeds") });
  await expect
    .poll(async () => {
      await open("/operator/operations");
      return letters.count();
    })
    .toBe(1);
  expect(await rows()).toEqual(expect.arrayContaining([expect.stringContaining("ledger.usage.v1")]));
  await me.isAccessible();
  await letters.locator("button").first().click();
  await me.page.click("dialog [type=submit]");
  await me.page.waitForSelector(".toast");
  await expect
    .poll(async () => {
      await open("/operator/operations");
      return letters.count();
    })
    .toBe(1);
  await letters.locator("button").nth(1).click();
  await me.page.fill("dialog input", "It says nothing");
  await me.page.click("dialog [type=submit]");
  await expect.poll(() => letters.count()).toBe(0);
  await expect.poll(rows).toEqual(expect.arrayContaining([expect.stringContaining("It says nothing")]));
});

test("operations: a quota that nobody can read waits until an operator says what it means", async () => {
  const user = newUserId();
  await openAccount(user);
  expect((await setQuota(user, "lots")).status).toBe(400);
  const waiting = me.page.locator("tr", { hasText: user });
  await expect
    .poll(async () => {
      await open("/operator/operations");
      await me.page.waitForLoadState("networkidle");
      return waiting.count();
    })
    .toBe(1);
  expect(await waiting.innerText()).toContain("lots");
  await waiting.locator("button").click();
  // While the operator makes up their mind, something newer comes, which they have not seen.
  me.allowFailure(/^\/dashboard\/integration\/waiting$/, 409);
  expect((await setQuota(user, "plenty")).status).toBe(400);
  await expect.poll(() => waitingQuotas()).toContain("plenty");
  await me.page.locator("dialog input").nth(1).fill("66000");
  await me.page.click("dialog [type=submit]");
  await expect.poll(() => waiting.innerText()).toContain("plenty");
  expect(await me.page.locator(".toast").innerText()).toContain("something newer came meanwhile");
  await waiting.locator("button").click();
  await me.page.locator("dialog input").nth(1).fill("77000");
  await me.isAccessible();
  await me.page.click("dialog [type=submit]");
  await expect.poll(() => waiting.count()).toBe(0);
  await expect.poll(() => balanceOf(user)).toBe(77_000);
});

test("whoever is no operator is told so, and sees nothing", async () => {
  const user = await visit({ path: "/operator/usage" });
  user.allowFailure(/^\/dashboard\//, 403);
  await user.page.waitForSelector(".notice.problem, .page");
  expect(await user.page.locator("body").textContent()).toContain("only for operators");
  expect(await user.page.locator(".totals").count()).toBe(0);
  await user.isAccessible();
  await user.end();
});

test("on a phone every page can be read", async () => {
  const phone = await visit({ userId: "operator", claims: { role: "operator" }, isPhone: true, path: "/operator/usage" });
  await phone.page.waitForSelector(".totals");
  for (const [view, ready] of Object.entries({
    usage: ".chart canvas",
    transactions: "tbody tr",
    users: "tbody tr",
    [`users/${ann.userId}`]: ".sparkline",
    operations: "tbody tr",
  })) {
    await phone.page.goto(`/operator/${view}`);
    await phone.page.waitForSelector(ready);
    await phone.isAccessible();
  }
  await phone.end();
});
