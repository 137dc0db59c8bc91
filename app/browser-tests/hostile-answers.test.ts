import type { Browser, BrowserContext } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { HOSTILE_ANSWERS } from "../src/ui/markdown/hostile-answers";
import { launch, openPage, type Site, serveDist } from "./browser";
import { fakeGateway, THREAD_PATH } from "./fake-gateway";

let browser: Browser;
let context: BrowserContext;
let site: Site;

beforeAll(async () => {
  [site, browser] = await Promise.all([serveDist(), launch()]);
  context = await browser.newContext({ baseURL: site.origin });
  const gateway = await fakeGateway(context);
  gateway.answers = [...HOSTILE_ANSWERS];
});

afterAll(async () => {
  await browser?.close();
  await site?.close();
});

test("no hostile answer runs, loads anything, changes the page or makes it complain", async () => {
  const { page, complaints, failures, foreignRequests } = await openPage(context, site.origin);
  await page.goto(THREAD_PATH);
  await page.waitForSelector(".markdown");
  // Every answer is brought on the screen once, since what is out of sight is not drawn.
  const shown = await page.evaluate(async () => {
    const answers = [...document.querySelectorAll(".answer")];
    for (const answer of answers) {
      answer.scrollIntoView();
      await new Promise(requestAnimationFrame);
    }
    return answers.length;
  });
  await page.waitForTimeout(1_000);

  expect(shown).toBe(HOSTILE_ANSWERS.length);
  expect([complaints, failures]).toEqual([[], []]);
  expect(foreignRequests).toEqual([]);
  const found = await page.evaluate(() => ({
    pwned: "pwned" in globalThis,
    path: location.pathname,
    root: document.querySelectorAll("#app").length,
    forbidden: [
      ...document.querySelectorAll(
        ".answer :is(script, iframe, object, embed, img, svg:not(.icon), style, link, meta, base, form, input, template)",
      ),
    ].map(element => element.outerHTML),
    handlers: [...document.querySelectorAll(".answer *")].flatMap(element =>
      [...element.attributes]
        .map(({ name }) => name)
        .filter(name => name.startsWith("on") || name === "style"),
    ),
    ownLinks: [...document.querySelectorAll<HTMLAnchorElement>(".markdown a")]
      .filter(link => link.origin === location.origin && link.pathname !== "/chat/file")
      .map(link => link.href),
  }));
  expect(found).toEqual({
    pwned: false,
    path: THREAD_PATH,
    root: 1,
    forbidden: [],
    handlers: [],
    ownLinks: [],
  });
  await page.close();
});
