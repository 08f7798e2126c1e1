// Tests writing values with units.

import { describe, expect, it } from "vitest";
import { formatText, formatTick, formatUnit, type Unit } from "./units";

describe("formatUnit", () => {
  it.each<[number, Unit, string, string]>([
    [42.345, "percent", "42.3", "%"],
    [100, "percent", "100", "%"],
    [0, "percent", "0.0", "%"],
    [273_600, "seconds", "3 days 4 h", ""],
    [25_217_089_536, "bytes", "23.5", "GiB"],
    [512, "bytes", "512", "B"],
    [1024 ** 4 * 1.5, "bytes", "1.50", "TiB"],
    [1024 ** 3 - 1, "bytes", "1.00", "GiB"],
    [8, "count", "8", ""],
    [1.234, "load", "1.23", ""],
    [0, "packets/s", "0", "p/s"],
    [58.24, "packets/s", "58.2", "p/s"],
    [12_340, "packets/s", "12.3", "kp/s"],
    [2_500_000, "packets/s", "2.50", "Mp/s"],
    [999.9, "packets/s", "1.00", "kp/s"],
  ])("writes %d as %s", (value, unit, number, suffix) => {
    expect(formatUnit(value, unit)).toEqual({ number, suffix });
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY])("writes %d as a dash", (value) => {
    expect(formatUnit(value, "bytes")).toEqual({ number: "–", suffix: "" });
  });
});

describe("formatText", () => {
  it("joins number and unit by a no-break space", () => {
    expect(formatText(42.3, "percent")).toBe("42.3\u00a0%");
    expect(formatText(1.5, "load")).toBe("1.50");
  });

  it("writes a missing value as a dash", () => {
    expect(formatText(null, "percent")).toBe("–");
    expect(formatText(undefined, "bytes")).toBe("–");
  });
});

describe("formatTick", () => {
  it.each<[number, Unit, string]>([
    [20, "percent", "20\u00a0%"],
    [0.5, "percent", "0.5\u00a0%"],
    [1500, "packets/s", "1.5\u00a0k"],
    [200, "packets/s", "200"],
    [0.30000000000000004, "load", "0.3"],
    [2 * 1024 ** 3, "bytes", "2\u00a0GiB"],
  ])("writes %d (%s) as %s", (value, unit, expected) => {
    expect(formatTick(value, unit)).toBe(expected);
  });
});
