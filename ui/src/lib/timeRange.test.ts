// Tests time ranges: moving, widening, naming.

import { describe, expect, it } from "vitest";
import {
  fromLocalInput,
  isLive,
  lastRange,
  PRESETS,
  rangeLabel,
  shiftRange,
  type TimeRange,
  toLocalInput,
  windowOf,
  zoomOut,
} from "./timeRange";

const NOW = 1_700_000_000_000;
const LAST: TimeRange = { kind: "last", durationMs: 60_000 };
const PAST: TimeRange = { kind: "between", fromMs: NOW - 600_000, toMs: NOW - 300_000 };

describe("moving and widening", () => {
  it("goes half a window back, and back to the present again", () => {
    const earlier = shiftRange(LAST, -1, NOW);
    expect(earlier).toEqual({ kind: "between", fromMs: NOW - 90_000, toMs: NOW - 30_000 });
    expect(shiftRange(earlier, 1, NOW)).toEqual(LAST);
    expect(shiftRange(earlier, 1, NOW + 20_000)).toEqual(LAST);
  });

  it("moves within the past", () => {
    expect(shiftRange(PAST, 1, NOW)).toEqual({ kind: "between", fromMs: NOW - 450_000, toMs: NOW - 150_000 });
  });

  it("doubles a relative range and stays relative", () => {
    expect(zoomOut(LAST, NOW)).toEqual({ kind: "last", durationMs: 120_000 });
  });

  it("doubles an absolute range around its middle", () => {
    expect(zoomOut(PAST, NOW)).toEqual({ kind: "between", fromMs: NOW - 750_000, toMs: NOW - 150_000 });
  });

  it("does not widen into the future", () => {
    const { toMs } = windowOf(zoomOut({ kind: "between", fromMs: NOW - 100_000, toMs: NOW }, NOW), NOW);
    expect(toMs).toBe(NOW);
  });
});

describe("what a range means now", () => {
  it("ends a relative range now", () => {
    expect(windowOf(LAST, NOW)).toEqual({ fromMs: NOW - 60_000, toMs: NOW });
  });

  it("knows that the past does not change", () => {
    expect(isLive(LAST, NOW)).toBe(true);
    expect(isLive(PAST, NOW)).toBe(false);
    expect(isLive({ kind: "between", fromMs: NOW - 1000, toMs: NOW + 1000 }, NOW)).toBe(true);
  });
});

describe("texts", () => {
  it("names the presets", () => {
    const labels = PRESETS.map((text) => {
      const range = lastRange(text);
      return range === null ? null : rangeLabel(range);
    });
    expect(labels).toEqual([
      "Last 5 minutes",
      "Last 15 minutes",
      "Last 1 hour",
      "Last 6 hours",
      "Last 24 hours",
      "Last 7 days",
    ]);
  });

  it("writes and reads the time inputs to the second", () => {
    expect(fromLocalInput(toLocalInput(NOW))).toBe(NOW);
    expect(fromLocalInput("")).toBeNull();
    expect(fromLocalInput("nonsense")).toBeNull();
  });
});
