/** What takes long shows as a long task: 50 ms and more in which the page answers to nobody. */

import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { launch, openPage, type Site, serveDist } from "./browser";
import { fakeGateway, THREAD_PATH } from "./fake-gateway";

const LONG_MS = 50;
const OPEN_MS_MAX = 300;
const TRIES = 5;

const PARAGRAPH = "A paragraph with **bold** words, `code`, a [link](https://example.com) and more of it. ";
const BLOCK = `## A heading\n\n${PARAGRAPH.repeat(3)}\n\n- one\n- two\n\n\`\`\`python\nx = 1\n\`\`\`\n\n`;
const fill = (part: string, length: number) => part.repeat(Math.ceil(length / part.length)).slice(0, length);
const ofLength = (length: number) => fill(BLOCK, length);

const STREAMED_LENGTH = 64_000;
const STREAMED = {
  "of everything": ofLength(STREAMED_LENGTH),
  "that is one list": fill("- An item of **some** words\n", STREAMED_LENGTH),
  "that is one table": `| Name | Words | Tokens |\n|:--|:--|--:|\n${fill("| `one` | **Some** words in a cell | 1,204 |\n", STREAMED_LENGTH)}`,
  "that is one block of code": `\`\`\`python\n${fill("    total = sum(row.tokens for row in rows)  # of a day\n", STREAMED_LENGTH)}`,
  "that is one paragraph": fill(PARAGRAPH, STREAMED_LENGTH),
};

let browser: Browser;
let site: Site;
let context: BrowserContext;
let page: Page;

beforeAll(async () => {
  [site, browser] = await Promise.all([serveDist(), launch()]);
});

afterAll(async () => {
  await browser?.close();
  await site?.close();
});

beforeEach(async () => {
  context = await browser.newContext({ baseURL: site.origin });
});

afterEach(() => context.close());

interface TraceEvent {
  name: string;
  pid: number;
  tid: number;
  /** Time of the processor in microseconds: how busy the machine is elsewhere does not count. */
  tdur?: number;
  args: { name?: string };
}

/** Opens a page whose tasks are traced. */
async function watch(): Promise<void> {
  ({ page } = await openPage(context, site.origin));
}

const startTracing = () => browser.startTracing(page, { categories: ["toplevel", "__metadata"] });

/** The longest task since tracing began, in milliseconds of the processor. */
async function longestTaskMs(): Promise<number> {
  const { traceEvents } = JSON.parse(String(await browser.stopTracing())) as { traceEvents: TraceEvent[] };
  const isPage = new Set(
    traceEvents
      .filter(({ name, args }) => name === "thread_name" && args.name === "CrRendererMain")
      .map(({ pid, tid }) => `${pid} ${tid}`),
  );
  const tasks = traceEvents.filter(
    ({ name, pid, tid }) => name.endsWith("RunTask") && isPage.has(`${pid} ${tid}`),
  );
  expect(tasks.length).toBeGreaterThan(10);
  return Math.max(...tasks.map(({ tdur = 0 }) => tdur)) / 1_000;
}

test("200 messages of 2,000 characters open without a task of more than 300 ms", async () => {
  const gateway = await fakeGateway(context);
  gateway.answers = Array.from({ length: 100 }, () => ofLength(2_000));
  gateway.question = "Words of a long question. ".repeat(77);
  const longest: number[] = [];
  // The best of a few: what else this machine does is not ours.
  for (let attempt = 0; attempt < TRIES; attempt++) {
    await watch();
    await startTracing();
    await page.goto(THREAD_PATH);
    await page.waitForSelector(".exchange.last .markdown");
    await page.waitForTimeout(500);
    expect(await page.locator(".exchange").count()).toBe(100);
    longest.push(await longestTaskMs());
    await page.close();
    if (Math.min(...longest) <= OPEN_MS_MAX) break;
  }
  expect(Math.min(...longest)).toBeLessThanOrEqual(OPEN_MS_MAX);
});

const STREAM_TEST_MS = 150_000;

test.each(Object.entries(STREAMED))("64,000 characters of an answer %s stream without a long task", { timeout: STREAM_TEST_MS }, async (_, reply) => {
  const gateway = await fakeGateway(context);
  gateway.reply = reply;
  const longest: number[] = [];
  for (let attempt = 0; attempt < TRIES; attempt++) {
    gateway.answers = [];
    await watch();
    await streamInPieces(page, 400);
    await page.goto(THREAD_PATH);
    await page.waitForSelector("#message");
    await startTracing();
    await page.fill("#message", "A long one");
    await page.press("#message", "Enter");
    await page.waitForSelector(".answer[data-status=completed] .markdown");
    // What was drawn last has been laid out, and what was put off until there is time has been done.
    await page.evaluate(() => new Promise(resolve => requestIdleCallback(() => resolve(null))));
    expect((await page.locator(".markdown").textContent())?.length).toBeGreaterThan(STREAMED_LENGTH / 2);
    longest.push(await longestTaskMs());
    await page.close();
    if (Math.min(...longest) < LONG_MS) break;
  }
  expect(Math.min(...longest)).toBeLessThan(LONG_MS);
});

/** Has the page's own `fetch` hand out what the gateway answers a message with over time, a piece every 20 ms. */
async function streamInPieces(target: Page, pieces: number): Promise<void> {
  await target.addInitScript(count => {
    const original = globalThis.fetch;
    globalThis.fetch = async (...args) => {
      const response = await original(...args);
      if (!String(args[0]).endsWith("/chat/messages")) return response;
      const events = (await response.text()).split("\n\n").filter(Boolean);
      const [run = "", delta = "", ...end] = events;
      const { text } = JSON.parse(delta.slice(delta.indexOf("data: ") + 6)) as { text: string };
      const size = Math.ceil(text.length / count);
      const body = new ReadableStream<Uint8Array>({
        async start(controller) {
          const write = (event: string) => controller.enqueue(new TextEncoder().encode(`${event}\n\n`));
          write(run);
          for (let at = 0; at < text.length; at += size) {
            write(`event: delta\ndata: ${JSON.stringify({ text: text.slice(at, at + size), at })}`);
            await new Promise(resolve => setTimeout(resolve, 20));
          }
          for (const event of end) write(event);
          controller.close();
        },
      });
      return new Response(body, { headers: { "Content-Type": "text/event-stream" } });
    };
  }, pieces);
}
