// Owns: how far apart the points of a chart are, and the window that rates look back over.
// Never: asks for more points than a chart has pixels, nor for steps finer than the scrape interval.

/** Scrape interval assumed while no target has told its own: Prometheus' usual one. */
export const DEFAULT_SCRAPE_MS = 15_000;

/** CSS pixels that one point gets at least. */
const PIXELS_PER_POINT = 2;

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

const NICE_STEPS_MS: readonly number[] = [
  ...[1, 2, 5, 10, 15, 20, 30].map((n) => n * SECOND),
  ...[1, 2, 5, 10, 15, 20, 30].map((n) => n * MINUTE),
  ...[1, 2, 3, 4, 6, 8, 12, 24].map((n) => n * HOUR),
];

export interface StepInput {
  readonly rangeMs: number;
  readonly widthPx: number;
  readonly scrapeMs: number;
}

/**
 * The step of a range query. A step taken from a short list keeps the query the same while a window is
 * resized by a few pixels, and keeps the points on the same timestamps from one refresh to the next.
 */
export function chooseStepMs({ rangeMs, widthPx, scrapeMs }: StepInput): number {
  const points = Math.max(50, Math.floor(widthPx / PIXELS_PER_POINT));
  const wanted = Math.max(rangeMs / points, scrapeMs, SECOND);
  // Between two scrapes there is nothing new: the scrape interval itself is as good as a nice step.
  if (wanted === scrapeMs) return scrapeMs;
  const nice = NICE_STEPS_MS.find((step) => step >= wanted);
  return nice ?? Math.ceil(wanted / (24 * HOUR)) * 24 * HOUR;
}

/** Grafana's $__rate_interval: always wide enough for two samples, even when one scrape is missed. */
export function rateIntervalMs(stepMs: number, scrapeMs: number): number {
  return Math.max(stepMs + scrapeMs, 4 * scrapeMs);
}
