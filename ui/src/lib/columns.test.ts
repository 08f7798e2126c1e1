// Tests columns for charts, above all their gaps.

import { describe, expect, it } from "vitest";
import type { MatrixSeries } from "../api/types";
import { gridOver, stackColumns, summarise, toColumns } from "./columns";

const series = (values: [number, string][]): MatrixSeries => ({ metric: {}, values });

describe("gridOver", () => {
  it("lies on multiples of the step and ends at or after now when live", () => {
    expect(gridOver(1_002_000, 1_033_000, 10_000, true)).toEqual({
      startMs: 1_000_000,
      endMs: 1_040_000,
      stepMs: 10_000,
    });
  });

  it("ends before the window's end when it is past", () => {
    expect(gridOver(1_002_000, 1_033_000, 10_000, false).endMs).toBe(1_030_000);
  });

  it("has at least one point", () => {
    const grid = gridOver(1_002_000, 1_003_000, 10_000, false);
    expect(grid.endMs).toBe(grid.startMs);
  });
});

describe("toColumns", () => {
  const grid = { startMs: 100_000, endMs: 140_000, stepMs: 10_000 };

  it("aligns series that cover different points of the grid", () => {
    const a = series([
      [100, "1"],
      [110, "2"],
      [120, "3"],
      [130, "4"],
      [140, "5"],
    ]);
    const b = series([
      [130, "7"],
      [140, "8"],
    ]);
    const columns = toColumns([a, b], grid, 140_000);
    expect(columns.times).toEqual([100, 110, 120, 130, 140]);
    expect(columns.values).toEqual([
      [1, 2, 3, 4, 5],
      [null, null, null, 7, 8],
    ]);
    expect(columns.points).toBe(7);
  });

  it("leaves null where steps are missing, so that the line breaks", () => {
    const gappy = series([
      [100, "1"],
      [140, "2"],
    ]);
    expect(toColumns([gappy], grid, 140_000).values).toEqual([[1, null, null, null, 2]]);
  });

  it("does not draw NaN and infinities, nor points outside of the grid", () => {
    const odd = series([
      [90, "9"],
      [100, "NaN"],
      [110, "+Inf"],
      [120, "-Inf"],
      [130, "1e3"],
      [150, "9"],
    ]);
    const columns = toColumns([odd], grid, 140_000);
    expect(columns.values).toEqual([[null, null, null, 1000, null]]);
    expect(columns.points).toBe(1);
  });

  it("finds the grid point of a time that is off by a rounding", () => {
    const fine = { startMs: 100_000, endMs: 100_200, stepMs: 100 };
    const rounded = series([
      [100.0999, "1"],
      [100.2001, "2"],
    ]);
    expect(toColumns([rounded], fine, 100_200).values).toEqual([[null, 1, 2]]);
  });

  it("moves a last point that was asked for ahead of time to now", () => {
    const columns = toColumns([series([[140, "5"]])], grid, 133_000);
    expect(columns.times).toEqual([100, 110, 120, 130, 133]);
    expect(columns.values[0]?.at(-1)).toBe(5);
  });

  it("gives empty columns for an empty matrix", () => {
    expect(toColumns([], grid, 140_000)).toEqual({ times: [100, 110, 120, 130, 140], values: [], points: 0 });
  });
});

describe("stackColumns", () => {
  it("puts each column on top of the ones before, and keeps gaps", () => {
    const stacked = stackColumns([
      [1, null, 3],
      [10, 10, null],
      [100, 100, 100],
    ]);
    expect(stacked).toEqual([
      [1, null, 3],
      [11, 10, null],
      [111, 110, 103],
    ]);
  });
});

describe("summarise", () => {
  it("gives the newest, the mean and the maximum", () => {
    expect(summarise([1, null, 5, 3])).toEqual({ last: 3, mean: 3, max: 5 });
  });

  it("takes the point before where the very last one is missing", () => {
    expect(summarise([1, 5, null]).last).toBe(5);
  });

  it("has no newest value for a series that has ended", () => {
    expect(summarise([4, null, null])).toEqual({ last: null, mean: 4, max: 4 });
  });

  it("has nothing to tell of nothing", () => {
    expect(summarise([null, null])).toEqual({ last: null, mean: null, max: null });
  });
});
