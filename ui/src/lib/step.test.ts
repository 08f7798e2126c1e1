// Tests the choice of step and rate window.

import { describe, expect, it } from "vitest";
import { chooseStepMs, rateIntervalMs } from "./step";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

describe("chooseStepMs", () => {
  it.each([
    { rangeMs: 5 * MINUTE, widthPx: 900, scrapeMs: 5_000, expected: 5_000 },
    { rangeMs: 15 * MINUTE, widthPx: 700, scrapeMs: 15_000, expected: 15_000 },
    { rangeMs: HOUR, widthPx: 700, scrapeMs: 5_000, expected: 15_000 },
    { rangeMs: 24 * HOUR, widthPx: 1400, scrapeMs: 15_000, expected: 5 * MINUTE },
    { rangeMs: 7 * 24 * HOUR, widthPx: 700, scrapeMs: 15_000, expected: 30 * MINUTE },
    { rangeMs: 15 * MINUTE, widthPx: 700, scrapeMs: 7_000, expected: 7_000 },
  ])("gives $expected ms for $rangeMs ms on $widthPx px", ({ expected, ...input }) => {
    expect(chooseStepMs(input)).toBe(expected);
  });

  it("is never finer than the scrape interval and never asks for more points than pixels", () => {
    for (const rangeMs of [10_000, MINUTE, HOUR, 30 * 24 * HOUR, 10 * 365 * 24 * HOUR]) {
      for (const widthPx of [0, 100, 390, 1440, 3840]) {
        for (const scrapeMs of [100, 1_000, 5_000, 60_000, 2 * HOUR]) {
          const stepMs = chooseStepMs({ rangeMs, widthPx, scrapeMs });
          expect(stepMs).toBeGreaterThanOrEqual(scrapeMs);
          expect(stepMs).toBeGreaterThanOrEqual(1_000);
          expect(rangeMs / stepMs).toBeLessThanOrEqual(Math.max(50, widthPx / 2));
        }
      }
    }
  });

  it("does not change when the width changes by a few pixels", () => {
    const at = (widthPx: number) => chooseStepMs({ rangeMs: 6 * HOUR, widthPx, scrapeMs: 15_000 });
    expect(at(800)).toBe(at(806));
  });
});

describe("rateIntervalMs", () => {
  it.each([
    [5_000, 5_000, 20_000],
    [15_000, 15_000, 60_000],
    [5 * MINUTE, 15_000, 315_000],
    [30_000, 15_000, 60_000],
    [45_000, 15_000, 60_000],
    [46_000, 15_000, 61_000],
  ])("is max(step + scrape, 4 × scrape): step %d, scrape %d", (stepMs, scrapeMs, expected) => {
    expect(rateIntervalMs(stepMs, scrapeMs)).toBe(expected);
  });
});
