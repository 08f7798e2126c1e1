// Tests dots, crosshair keys, axis texts, colours.

import { describe, expect, it } from "vitest";
import { dottedPoints } from "./chartOptions";
import { nextIndex } from "./crosshairKeys";
import { chartColours, fade } from "./palette";
import { axisText } from "./timeText";

describe("dottedPoints", () => {
  it("marks points without neighbours, which no line reaches", () => {
    expect(dottedPoints([1, null, 2, 3, null, 4, null], false)).toEqual([0, 5]);
  });

  it("marks the newest point too when asked, once", () => {
    expect(dottedPoints([1, 2, 3, null], true)).toEqual([2]);
    expect(dottedPoints([null, 7, null], true)).toEqual([1]);
    expect(dottedPoints([null, null], true)).toEqual([]);
  });
});

describe("nextIndex", () => {
  const press = (key: string, at: number | null, shiftKey = false) => nextIndex({ key, shiftKey }, at, 100);

  it.each([
    ["ArrowLeft", null, 99],
    ["ArrowRight", null, 99],
    ["ArrowLeft", 50, 49],
    ["ArrowRight", 99, 99],
    ["ArrowLeft", 0, 0],
    ["Home", 50, 0],
    ["End", 50, 99],
    ["Escape", 50, null],
    ["Tab", 50, undefined],
  ])("%s from %s goes to %s", (key, at, expected) => {
    expect(press(key, at)).toBe(expected);
  });

  it("goes in tens with Shift", () => {
    expect(press("ArrowLeft", 50, true)).toBe(40);
  });
});

describe("axisText", () => {
  const at = (text: string): number => new Date(text).getTime() / 1000;

  it.each([
    ["2026-03-05T13:04:05", 5, "13:04:05"],
    ["2026-03-05T13:04:00", 60, "13:04"],
    ["2026-03-05T00:00:00", 3600, "5 Mar"],
    ["2026-03-05T12:00:00", 86_400, "5 Mar"],
  ])("writes %s with ticks %d s apart as %s", (time, incrementS, expected) => {
    expect(axisText(at(time), incrementS)).toBe(expected);
  });
});

/** Contrast of two colours after WCAG 2.2. */
function contrast(a: string, b: string): number {
  const luminance = (hex: string): number => {
    const [r = 0, g = 0, blue = 0] = [1, 3, 5].map((at) => {
      const channel = Number.parseInt(hex.slice(at, at + 2), 16) / 255;
      return channel <= 0.03928 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * blue;
  };
  const [high = 0, low = 0] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (high + 0.05) / (low + 0.05);
}

describe("palette", () => {
  it.each(["light", "dark"] as const)("is legible on the %s surface", (scheme) => {
    const { series, axis, surface } = chartColours(scheme);
    for (const colour of series) expect(contrast(colour, surface)).toBeGreaterThanOrEqual(3);
    expect(contrast(axis, surface)).toBeGreaterThanOrEqual(4.5);
  });

  it("fades by an alpha channel", () => {
    expect(fade("#102030", 0.5)).toBe("#10203080");
    expect(fade("#102030", 0)).toBe("#10203000");
  });
});
