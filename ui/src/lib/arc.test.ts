// Tests the gauge’s geometry.

import { describe, expect, it } from "vitest";
import { arcPath, levelOf, shareOfArc } from "./arc";

describe("gauge", () => {
  it.each([
    [0, "good"],
    [79.9, "good"],
    [80, "high"],
    [90, "critical"],
    [250, "critical"],
  ])("%d %% is %s", (value, level) => {
    expect(levelOf(value, { high: 80, critical: 90 })).toBe(level);
  });

  it("stays on the arc, whatever the value", () => {
    expect([-5, 0, 50, 100, 250].map(shareOfArc)).toEqual([0, 0, 0.5, 1, 1]);
  });

  it("takes the long way round for more than half a circle", () => {
    const circle = { x: 100, y: 100, radius: 50 };
    expect(arcPath(circle, 0, 1)).toBe("M 56.70 125.00 A 50 50 0 1 1 143.30 125.00");
    expect(arcPath(circle, 0, 0.5)).toBe("M 56.70 125.00 A 50 50 0 0 1 100.00 50.00");
  });
});
