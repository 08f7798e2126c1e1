// Owns: turning a matrix (the answer of a range query) into the aligned columns that uPlot draws.
// Never: fills a gap; a grid point without a sample is null, and the line breaks there.

import type { MatrixSeries } from "../api/types";

/** The timestamps that a range query evaluates: start, start + step, … up to end. */
export interface Grid {
  readonly startMs: number;
  readonly endMs: number;
  readonly stepMs: number;
}

export interface Columns {
  /** Unix time in seconds, strictly rising. */
  readonly times: number[];
  /** One column a series, in the order of the matrix. */
  readonly values: (number | null)[][];
  /** How many points can be drawn. */
  readonly points: number;
}

/**
 * The grid over a window, on multiples of the step. With `live` its last point lies at or after the window's
 * end: the newest sample is then seen at once and not a step later; PromQL looks back from there to what is
 * known now.
 */
export function gridOver(fromMs: number, toMs: number, stepMs: number, live: boolean): Grid {
  const startMs = Math.floor(fromMs / stepMs) * stepMs;
  const endMs = (live ? Math.ceil(toMs / stepMs) : Math.floor(toMs / stepMs)) * stepMs;
  return { startMs, endMs: Math.max(endMs, startMs), stepMs };
}

export function toColumns(matrix: readonly MatrixSeries[], grid: Grid, nowMs: number): Columns {
  const length = Math.round((grid.endMs - grid.startMs) / grid.stepMs) + 1;
  const times = Array.from({ length }, (_, index) => (grid.startMs + index * grid.stepMs) / 1000);
  // The last point may have been asked for a moment ahead of now; what it tells is true of now.
  if (grid.endMs > nowMs && grid.endMs - grid.stepMs < nowMs) times[length - 1] = nowMs / 1000;
  let points = 0;
  const values = matrix.map((series) => {
    const column: (number | null)[] = new Array<number | null>(length).fill(null);
    for (const [timeS, text] of series.values) {
      const index = Math.round((timeS * 1000 - grid.startMs) / grid.stepMs);
      const value = Number(text);
      if (index < 0 || index >= length || !Number.isFinite(value)) continue;
      column[index] = value;
      points += 1;
    }
    return column;
  });
  return { times, values, points };
}

/** Each column on top of the ones before it; where a column has no value, the stack passes underneath. */
export function stackColumns(values: readonly (number | null)[][]): (number | null)[][] {
  const below: number[] = [];
  return values.map((column) =>
    column.map((value, index) => {
      if (value === null) return null;
      const top = (below[index] ?? 0) + value;
      below[index] = top;
      return top;
    }),
  );
}

export interface ColumnSummary {
  readonly last: number | null;
  readonly mean: number | null;
  readonly max: number | null;
}

/**
 * What a legend tells of a series. `last` is the newest point, null when the series has already ended; the
 * very last point may be missing where the rate's window holds only one sample yet, so the one before it
 * counts too.
 */
export function summarise(column: readonly (number | null)[]): ColumnSummary {
  let count = 0;
  let sum = 0;
  let max = Number.NEGATIVE_INFINITY;
  for (const value of column) {
    if (value === null) continue;
    count += 1;
    sum += value;
    max = Math.max(max, value);
  }
  const last = column.at(-1) ?? column.at(-2) ?? null;
  return count === 0 ? { last, mean: null, max: null } : { last, mean: sum / count, max };
}
