// Owns: starting Chromium for the page tests, and a page that records what must not happen.

import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";

const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/**
 * Where the page under test is served; `vite preview` in front of any server of the API does for development.
 */
export const BASE_URL = new URL(process.env.SKOPOS_URL ?? "http://127.0.0.1:4173/").href;

export const DESKTOP: BrowserContextOptions = { viewport: { width: 1440, height: 900 } };
export const PHONE: BrowserContextOptions = {
  viewport: { width: 390, height: 844 },
  deviceScaleFactor: 2,
  isMobile: true,
  hasTouch: true,
};

/** Playwright gives every launch a fresh user data directory of its own. */
export function startBrowser(): Promise<Browser> {
  return chromium.launch({
    executablePath: process.env.SKOPOS_CHROMIUM ?? "/usr/bin/chromium",
    args: FLAGS,
    headless: true,
  });
}

export interface Watched {
  readonly page: Page;
  /** Errors on the console and uncaught exceptions, a breach of the content security policy among them. */
  readonly errors: string[];
  /** Requests to anywhere but the server under test. */
  readonly foreign: string[];
  /** Every request to the API, in order. */
  readonly asked: URL[];
  readonly close: () => Promise<void>;
}

export async function openPage(browser: Browser, options: BrowserContextOptions): Promise<Watched> {
  const context = await browser.newContext({ timezoneId: "Europe/Berlin", locale: "en-GB", ...options });
  const page = await context.newPage();
  const errors: string[] = [];
  const foreign: string[] = [];
  const asked: URL[] = [];
  page.on("console", (message) => {
    if (message.type() === "error") errors.push(message.text());
  });
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (url.protocol !== "data:" && url.origin !== new URL(BASE_URL).origin) foreign.push(url.href);
    if (url.pathname.includes("/api/v1/")) asked.push(url);
  });
  return { page, errors, foreign, asked, close: () => context.close() };
}

/** Opens the address, waiting for a server that is still starting. */
export async function visit(page: Page, search = "", patienceMs = 60_000): Promise<void> {
  const until = Date.now() + patienceMs;
  for (;;) {
    try {
      await page.goto(`${BASE_URL}${search}`, { waitUntil: "commit" });
      return;
    } catch (error) {
      const refused = String(error).includes("ERR_CONNECTION_REFUSED");
      if (!refused || Date.now() > until) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}
