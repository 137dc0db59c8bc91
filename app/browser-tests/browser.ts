/** A real browser in front of the built files, with the headers that the gateway sends along with them. */

import { createReadStream, existsSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { extname, join } from "node:path";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";

const DIST = new URL("../dist", import.meta.url).pathname;

const CONTENT_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data: blob:",
  "font-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'self'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types app",
].join("; ");

/** As the gateway sends them; a test on the real one compares. */
export const PAGE_HEADERS = {
  "content-security-policy": CONTENT_POLICY,
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
};

const MEDIA_TYPES: Record<string, string> = {
  ".css": "text/css",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".svg": "image/svg+xml",
  ".woff2": "font/woff2",
};

export interface Site {
  origin: string;
  /** What was asked for and not answered by a fake, as `METHOD path`. */
  requests: string[];
  close: () => Promise<void>;
}

/** Pages get `index.html`; what is missing below `/assets/` is missing. */
export async function serveDist(): Promise<Site> {
  if (!existsSync(join(DIST, "index.html"))) throw new Error("no built files: run `npm run build` first");
  const requests: string[] = [];
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? "/", "http://localhost");
    requests.push(`${request.method} ${pathname}`);
    const isAsset = pathname.startsWith("/assets/");
    const path = join(DIST, isAsset ? pathname : "index.html");
    if (!existsSync(path)) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, {
      "Content-Type": MEDIA_TYPES[extname(path)] ?? "application/octet-stream",
      ...PAGE_HEADERS,
    });
    createReadStream(path).pipe(response);
  });
  await new Promise<void>(resolve => server.listen(0, "127.0.0.1", resolve));
  const close = () => new Promise<void>(resolve => server.close(() => resolve()));
  return { origin: originOf(server), requests, close };
}

function originOf(server: Server): string {
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the server has no port");
  return `http://127.0.0.1:${address.port}`;
}

export function launch(): Promise<Browser> {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

/** A page that keeps what it complained about, what it did not get, and what it asked of other origins. */
export interface WatchedPage {
  page: Page;
  complaints: string[];
  /** What Chromium notes of a request without success. */
  failures: { path: string; reason: string }[];
  foreignRequests: string[];
}

export async function openPage(context: BrowserContext, origin: string): Promise<WatchedPage> {
  const page = await context.newPage();
  const complaints: string[] = [];
  const failures: WatchedPage["failures"] = [];
  const foreignRequests: string[] = [];
  page.on("console", message => {
    const reason = /^Failed to load resource: (.*)$/.exec(message.text())?.[1];
    if (reason !== undefined) failures.push({ path: new URL(message.location().url).pathname, reason });
    else if (message.type() === "error" || message.type() === "warning") complaints.push(message.text());
  });
  page.on("pageerror", error => complaints.push(String(error)));
  page.on("dialog", dialog => {
    complaints.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on("request", request => {
    if (!request.url().startsWith(origin)) foreignRequests.push(request.url());
  });
  return { page, complaints, failures, foreignRequests };
}
