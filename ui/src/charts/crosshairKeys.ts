// Owns: moving a chart's crosshair by keyboard: arrows, with Shift in tens, Home, End, Escape.

import type uPlot from "uplot";

interface Key {
  readonly key: string;
  readonly shiftKey: boolean;
}

/** The index moved to; null when the crosshair went away; undefined when the key means nothing here. */
export function nextIndex(
  { key, shiftKey }: Key,
  at: number | null,
  length: number,
): number | null | undefined {
  const stride = shiftKey ? 10 : 1;
  const last = length - 1;
  switch (key) {
    case "ArrowLeft":
      return Math.max(0, (at ?? length) - stride);
    case "ArrowRight":
      return Math.min(last, (at ?? last - 1) + stride);
    case "Home":
      return 0;
    case "End":
      return last;
    case "Escape":
      return null;
    default:
      return undefined;
  }
}

export function moveCrosshair(chart: uPlot, key: Key): number | null | undefined {
  const times = chart.data[0];
  const at = (chart.cursor.left ?? -1) < 0 ? null : (chart.cursor.idx ?? null);
  const index = nextIndex(key, at, times.length);
  if (index === undefined) return undefined;
  if (index === null) {
    chart.setCursor({ left: -10, top: -10 });
    return null;
  }
  // A grid point a little outside the window still gets a crosshair at the edge.
  const left = chart.valToPos(times[index] ?? 0, "x");
  chart.setCursor({ left: Math.min(Math.max(left, 0), chart.over.clientWidth - 1), top: 8 });
  return index;
}
