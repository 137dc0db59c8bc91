/** A person in front of a browser, and what no visit may do: run foreign code, break the content policy, shut people out. */

import AxeBuilder from "@axe-core/playwright";
import type { Browser, BrowserContext, BrowserContextOptions, Locator, Page } from "playwright-core";
import { expect } from "vitest";
import { launch, openPage, type WatchedPage } from "../browser-tests/browser";
import { type Claims, newUserId, STACK, sessionOf } from "./stack";

const PHONE: BrowserContextOptions = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true };

let browser: Promise<Browser> | undefined;

/** One browser for all tests of a file. */
export async function closeBrowser(): Promise<void> {
  await (await browser)?.close();
  browser = undefined;
}

interface VisitOptions {
  userId?: string;
  claims?: Claims;
  isPhone?: boolean;
  path?: string;
  /** Where the gateway is reached, if not directly. */
  origin?: string;
}

export class Visit {
  readonly userId: string;
  readonly context: BrowserContext;
  readonly page: Page;
  readonly #watched: WatchedPage;
  readonly #allowedFailures: { path: RegExp; reason: string }[] = [];
  #allowed: string | undefined;

  constructor(userId: string, context: BrowserContext, watched: WatchedPage) {
    this.userId = userId;
    this.context = context;
    this.page = watched.page;
    this.#watched = watched;
  }

  get field(): Locator {
    return this.page.locator("#message");
  }

  get threadId(): string {
    return new URL(this.page.url()).pathname.slice("/c/".length);
  }

  async send(text: string): Promise<void> {
    await this.field.fill(text);
    await this.field.press("Enter");
  }

  /** The answer that is last on the screen, once it has ended. */
  async answer(status = "completed"): Promise<Locator> {
    const last = this.page.locator(".exchange.last .answer:not(.active)");
    await last.waitFor({ timeout: 45_000 });
    expect(await last.getAttribute("data-status")).toBe(status);
    return last;
  }

  /** Sends, and waits for the whole answer. */
  async ask(text: string): Promise<Locator> {
    const before = await this.page.locator(".exchange").count();
    await this.send(text);
    await expect.poll(() => this.page.locator(".exchange").count()).toBe(before + 1);
    return this.answer();
  }

  /** In both appearances, nothing for axe to complain of; nothing sticks out at the side. */
  async isAccessible(): Promise<void> {
    // What is about to be replaced is dimmed for a moment.
    await expect.poll(() => this.page.locator(".dimmed").count()).toBe(0);
    for (const colorScheme of ["light", "dark"] as const) {
      // Colours that are on their way from one appearance to the other are of neither.
      await this.page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      const { violations } = await new AxeBuilder({ page: this.page }).setLegacyMode().analyze();
      expect(violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${colorScheme} ${id}: ${html}`))).toEqual([]);
    }
    await this.page.emulateMedia({ colorScheme: null, reducedMotion: null });
    const excessPx = await this.page.evaluate(
      () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
    );
    expect(excessPx).toBeLessThanOrEqual(0);
  }

  /** This one address may be left for. */
  allowForeign(url: string): void {
    this.#allowed = url;
  }

  /** Requests to such paths may be refused with this status, or get no answer when the network is cut. */
  allowFailure(path: RegExp, why: number | "cut"): void {
    this.#allowedFailures.push({ path, reason: why === "cut" ? "net::ERR_" : `the server responded with a status of ${why} ` });
  }

  /** Ends the visit. The console said nothing, and no request failed but those that may. */
  async end(): Promise<void> {
    await this.context.close();
    expect(this.#watched.complaints).toEqual([]);
    const mayFail = ({ path, reason }: WatchedPage["failures"][number]) =>
      this.#allowedFailures.some(allowed => allowed.path.test(path) && reason.startsWith(allowed.reason));
    expect(this.#watched.failures.filter(failure => !mayFail(failure))).toEqual([]);
    const foreign = this.#watched.foreignRequests.filter(url => !this.#allowed || !url.startsWith(this.#allowed));
    expect(foreign).toEqual([]);
  }
}

/** Follows a sign-in link, and waits for the page. */
export async function visit({
  userId = newUserId(),
  claims,
  isPhone,
  path = "/",
  origin = STACK.origin,
}: VisitOptions = {}): Promise<Visit> {
  browser ??= launch();
  const context = await (await browser).newContext({
    baseURL: origin,
    locale: "en-GB",
    timezoneId: "Europe/Berlin",
    ...(isPhone && PHONE),
  });
  const watched = await openPage(context, origin);
  const glue = path.includes("?") ? "&" : "?";
  await watched.page.goto(`${path}${glue}s=${sessionOf(userId, { name: "Ada Lovelace", ...claims })}`);
  return new Visit(userId, context, watched);
}
