// Tests the view’s way into the address bar and back.

import { describe, expect, it } from "vitest";
import { DEFAULT_VIEW, formatView, parseView, REFRESH_CHOICES_MS, type ViewState } from "./viewState";

const FULL: ViewState = {
  range: { kind: "between", fromMs: 1_700_000_000_000, toMs: 1_700_003_600_000 },
  refreshMs: 15_000,
  job: "node",
  instance: "10.0.0.1:9100",
  device: "enp0s3",
  theme: "dark",
};

describe("the view in the address bar", () => {
  it.each<[string, ViewState]>([
    ["defaults", DEFAULT_VIEW],
    ["everything set", FULL],
    ["a relative range", { ...FULL, range: { kind: "last", durationMs: 604_800_000 } }],
    ["an uneven range", { ...FULL, range: { kind: "last", durationMs: 5_430_000 } }],
    ["odd label values", { ...FULL, instance: 'a&b=c "d"\\ e+f%20#é', device: "br-1.2@if3" }],
    ...REFRESH_CHOICES_MS.map((refreshMs): [string, ViewState] => [
      `refresh ${refreshMs}`,
      { ...FULL, refreshMs },
    ]),
  ])("survives the way there and back: %s", (_, view) => {
    expect(parseView(formatView(view))).toEqual(view);
  });

  it("writes readable values", () => {
    const params = new URLSearchParams(formatView({ ...DEFAULT_VIEW, refreshMs: 0 }));
    expect(params.get("from")).toBe("now-15m");
    expect(params.get("to")).toBe("now");
    expect(params.get("refresh")).toBe("off");
    expect(params.has("theme")).toBe(false);
  });

  it.each([
    "",
    "?from=yesterday&to=now",
    "?from=now-5x&to=now",
    "?from=now-1s&to=now",
    "?from=123&to=abc",
    "?from=1e3&to=9e9",
    "?refresh=1ms&theme=pink&job=&instance=",
  ])("falls back to defaults for %j", (search) => {
    expect(parseView(search)).toEqual(DEFAULT_VIEW);
  });

  it("puts the ends of a range in order and widens one that is too narrow", () => {
    expect(parseView("?from=90000&to=20000").range).toEqual({
      kind: "between",
      fromMs: 20_000,
      toMs: 90_000,
    });
    expect(parseView("?from=60000&to=60000").range).toEqual({
      kind: "between",
      fromMs: 55_000,
      toMs: 65_000,
    });
  });
});
