// Tests the first page in Chromium against a running server (SKOPOS_URL): data in every panel and in time,
// refresh, range, zoom, theme, errors. SKOPOS_STARTED_AT_MS and SKOPOS_DATA_WITHIN_MS set the limit from the
// server's start.

import { mkdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CHARTS, PANELS } from "../src/panels";
import { DESKTOP, openPage, PHONE, startBrowser, visit, type Watched } from "./browser";
import { hasData, type PanelFacts, panelsUntil, readPanels } from "./panels";

const PATIENCE_MS = 45_000;
const TITLES = PANELS.map((panel) => panel.title);

let browser: Browser;
let desktop: Watched;

beforeAll(async () => {
  browser = await startBrowser();
  desktop = await openPage(browser, { ...DESKTOP, colorScheme: "light" });
});

afterAll(async () => {
  await browser?.close();
});

const allHaveData = (panels: readonly PanelFacts[]): boolean =>
  panels.length === TITLES.length && panels.every(hasData);

function rangeQueries(watched: Watched, from = 0): URLSearchParams[] {
  return watched.asked
    .slice(from)
    .filter((url) => url.pathname.endsWith("/query_range"))
    .map((url) => url.searchParams);
}

function spanS(params: URLSearchParams): number {
  return Number(params.get("end")) - Number(params.get("start"));
}

describe("the first page", () => {
  it("shows data in every panel, in time", async () => {
    const openedAtMs = Date.now();
    await visit(desktop.page);
    const panels = await panelsUntil(desktop.page, allHaveData, PATIENCE_MS);
    const startedAtMs = Number(process.env.SKOPOS_STARTED_AT_MS ?? openedAtMs);
    const tookMs = Date.now() - startedAtMs;
    const since = process.env.SKOPOS_STARTED_AT_MS === undefined ? "opening the page" : "the server's start";
    console.log(`all ${panels.length} panels have data ${tookMs} ms after ${since}`);

    expect(panels.map((panel) => panel.title)).toEqual(TITLES);
    for (const panel of panels) expect(panel.text, panel.title).toMatch(/\d/);
    for (const panel of panels) expect(panel.expr, panel.title).not.toContain("$");
    const limitMs = process.env.SKOPOS_DATA_WITHIN_MS;
    if (limitMs !== undefined) expect(tookMs).toBeLessThanOrEqual(Number(limitMs));
  });

  it("shows plausible values of this machine", async () => {
    const value = new Map((await readPanels(desktop.page)).map((panel) => [panel.title, panel.value ?? -1]));
    for (const title of ["RAM Used", "CPU Busy", "Root FS Used"]) {
      expect(value.get(title), title).toBeGreaterThanOrEqual(0);
      expect(value.get(title), title).toBeLessThanOrEqual(100);
    }
    expect(value.get("Sys Load (5m avg)")).toBeGreaterThanOrEqual(0);
    expect(value.get("CPU Cores")).toBeGreaterThanOrEqual(1);
    expect(value.get("RAM Total")).toBeGreaterThan(2 ** 26);
    expect(value.get("RootFS Total")).toBeGreaterThan(2 ** 26);
    expect(value.get("Uptime")).toBeGreaterThan(0);
  });

  it("keeps the machine it picked in the address", async () => {
    const params = new URL(desktop.page.url()).searchParams;
    expect(params.get("job")).toBe("node");
    expect(params.get("instance")).toBeTruthy();
    expect(params.get("device")).toBeTruthy();
  });

  it("refreshes by itself, and values change", async () => {
    const before = await readPanels(desktop.page);
    const uptime = before.find((panel) => panel.title === "Uptime")?.value ?? 0;
    await panelsUntil(
      desktop.page,
      (panels) =>
        allHaveData(panels) &&
        panels.every((panel, index) => panel.updatedAtMs > (before[index]?.updatedAtMs ?? 0)) &&
        panels.some((panel) => panel.title === "Uptime" && (panel.value ?? 0) > uptime),
      PATIENCE_MS,
    );
  });

  it("stops when refreshing is off, and refreshes on demand", async () => {
    const { page, asked } = desktop;
    await page.getByTestId("refresh-interval").click();
    await page.getByRole("button", { name: "Off" }).click();
    await expect.poll(() => new URL(page.url()).searchParams.get("refresh")).toBe("off");
    await page.waitForTimeout(1_000);
    const before = rangeQueries(desktop).length;
    await page.waitForTimeout(6_500);
    expect(rangeQueries(desktop).length).toBe(before);
    const from = asked.length;
    await page.getByRole("button", { name: "Refresh now" }).click();
    await expect.poll(() => rangeQueries(desktop, from).length).toBe(CHARTS.length);
    await page.getByTestId("refresh-interval").click();
    await page.getByRole("button", { name: "Every 5 seconds" }).click();
  });
});

describe("the time range", () => {
  it("changes the queries and the address, and back undoes it", async () => {
    const { page, asked } = desktop;
    const from = asked.length;
    await page.getByTestId("time-range").click();
    await page.getByRole("button", { name: "Last 6 hours" }).click();
    await expect.poll(() => new URL(page.url()).searchParams.get("from")).toBe("now-6h");
    await expect
      .poll(() => rangeQueries(desktop, from).filter((params) => spanS(params) >= 21_600).length)
      .toBeGreaterThanOrEqual(CHARTS.length);
    const last = rangeQueries(desktop).at(-1);
    expect(Number(last?.get("step"))).toBeGreaterThan(5);
    await panelsUntil(page, allHaveData, PATIENCE_MS);
    await page.goBack();
    await expect.poll(() => new URL(page.url()).searchParams.get("from")).toBe("now-15m");
    await panelsUntil(page, allHaveData, PATIENCE_MS);
  });

  it("shares the crosshair between charts and reads values below it", async () => {
    const { page } = desktop;
    const over = page.locator('[data-panel="System Load"] .u-over');
    const box = await over.boundingBox();
    if (box === null) throw new Error("the chart is not laid out");
    await page.mouse.move(box.x + box.width - 4, box.y + box.height / 2);
    for (const { title } of CHARTS) {
      const legend = page.locator(`[data-panel="${title}"] table[data-pointed]`);
      await legend.waitFor({ timeout: 5_000 });
    }
    await page.mouse.move(5, 5);
    await expect.poll(() => page.locator("table[data-pointed]").count()).toBe(0);
  });

  it("zooms into what is dragged over", async () => {
    const { page } = desktop;
    const box = await page.locator('[data-panel="RAM Memory"] .u-over').boundingBox();
    if (box === null) throw new Error("the chart is not laid out");
    const y = box.y + box.height / 2;
    await page.mouse.move(box.x + box.width * 0.5, y);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.75, y, { steps: 5 });
    await page.mouse.up();
    await expect.poll(() => new URL(page.url()).searchParams.get("from")).toMatch(/^\d+$/);
    const params = new URL(page.url()).searchParams;
    const lengthMs = Number(params.get("to")) - Number(params.get("from"));
    expect(lengthMs).toBeGreaterThan(900_000 * 0.23);
    expect(lengthMs).toBeLessThan(900_000 * 0.27);
    await page.goBack();
    await panelsUntil(page, allHaveData, PATIENCE_MS);
  });
});

describe("the look", () => {
  it("switches between light and dark, and remembers", async () => {
    const { page } = desktop;
    const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const scheme = () => page.evaluate(() => document.documentElement.dataset.mantineColorScheme);
    expect(await scheme()).toBe("light");
    const light = await background();
    await page.getByTestId("theme").click();
    await page.getByTestId("theme").click();
    await expect.poll(scheme).toBe("dark");
    expect(await background()).not.toBe(light);
    await visit(page);
    await expect.poll(scheme).toBe("dark");
    await panelsUntil(page, allHaveData, PATIENCE_MS);
  });

  it("fits a phone", async () => {
    const phone = await openPage(browser, { ...PHONE, colorScheme: "dark" });
    await visit(phone.page);
    await panelsUntil(phone.page, allHaveData, PATIENCE_MS);
    const overflow = () =>
      phone.page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    expect(await overflow()).toBeLessThanOrEqual(0);
    await phone.page.getByTestId("time-range").click();
    expect(await overflow()).toBeLessThanOrEqual(0);
    expect(phone.errors).toEqual([]);
    expect(phone.foreign).toEqual([]);
    await phone.close();
  });

  it("has all its data on every device in every theme, as its photographs show", async () => {
    const folder = process.env.SKOPOS_SCREENSHOT_DIR ?? join(tmpdir(), "skopos-screenshots");
    mkdirSync(folder, { recursive: true });
    for (const [device, options] of Object.entries({ desktop: DESKTOP, phone: PHONE })) {
      for (const theme of ["light", "dark"]) {
        const shown = await openPage(browser, options);
        await visit(shown.page, `?theme=${theme}`);
        const panels = await panelsUntil(shown.page, allHaveData, PATIENCE_MS);
        await shown.page.screenshot({ path: join(folder, `${device}-${theme}.png`), fullPage: true });
        expect(
          panels.filter((panel) => !hasData(panel)),
          `${device}, ${theme}`,
        ).toEqual([]);
        expect(shown.errors, `${device}, ${theme}`).toEqual([]);
        await shown.close();
      }
    }
  });
});

describe("trouble", () => {
  const refusal = { status: "error", errorType: "execution", error: "query needs more than its 42 MB" };

  it("shows the API's error in each panel, and old data beside a new error", async () => {
    const broken = await openPage(browser, DESKTOP);
    const refuse = () =>
      broken.page.route(/\/api\/v1\/query(_range)?\?/, (route) =>
        // The list of devices is no panel's query.
        new URL(route.request().url()).searchParams
          .get("query")
          ?.startsWith("node_network_receive_packets_total{")
          ? route.continue()
          : route.fulfill({ status: 422, json: refusal }),
      );
    await refuse();
    await visit(broken.page);
    await panelsUntil(
      broken.page,
      (panels) =>
        panels.length === TITLES.length &&
        panels.every((panel) => panel.state === "error" && panel.text.includes(refusal.error)),
      PATIENCE_MS,
    );
    await broken.page.unroute(/\/api\/v1\/query(_range)?\?/);
    await broken.page.getByRole("button", { name: "Refresh now" }).click();
    await panelsUntil(broken.page, allHaveData, PATIENCE_MS);
    await refuse();
    await broken.page.getByRole("button", { name: "Refresh now" }).click();
    await panelsUntil(
      broken.page,
      (panels) => allHaveData(panels) && panels.every((panel) => panel.text.includes(refusal.error)),
      PATIENCE_MS,
    );
    await broken.close();
  });

  it("says that the server is not reachable, keeps the old data, and heals", async () => {
    const lonely = await openPage(browser, DESKTOP);
    await visit(lonely.page);
    await panelsUntil(lonely.page, allHaveData, PATIENCE_MS);
    await lonely.page.route(/\/api\/v1\//, (route) => route.abort("connectionrefused"));
    const banner = lonely.page.getByTestId("unreachable");
    await banner.waitFor({ timeout: 20_000 });
    expect(allHaveData(await readPanels(lonely.page))).toBe(true);
    const before = await readPanels(lonely.page);
    await lonely.page.unroute(/\/api\/v1\//);
    await banner.waitFor({ state: "detached", timeout: 20_000 });
    await panelsUntil(
      lonely.page,
      (panels) => panels.every((panel, index) => panel.updatedAtMs > (before[index]?.updatedAtMs ?? 0)),
      PATIENCE_MS,
    );
    await lonely.close();
  });

  it("says what an empty panel waits for", async () => {
    const empty = await openPage(browser, DESKTOP);
    await empty.page.route(/\/api\/v1\/query(_range)?\?/, (route) => {
      const resultType = route.request().url().includes("query_range") ? "matrix" : "vector";
      return route.fulfill({ json: { status: "success", data: { resultType, result: [] } } });
    });
    await visit(empty.page, "?device=eth0");
    const panels = await panelsUntil(
      empty.page,
      (shown) => shown.length === TITLES.length && shown.every((panel) => panel.state === "empty"),
      PATIENCE_MS,
    );
    const text = (title: string) => panels.find((panel) => panel.title === title)?.text;
    expect(text("CPU Busy")).toContain("Waiting for the second sample");
    expect(text("RAM Total")).toContain("Waiting for the first sample");
    await empty.close();
  });
});

describe("manners", () => {
  it("wrote no error on the console and asked nobody else", () => {
    expect(desktop.errors).toEqual([]);
    expect(desktop.foreign).toEqual([]);
    expect(desktop.asked.length).toBeGreaterThan(0);
  });
});
