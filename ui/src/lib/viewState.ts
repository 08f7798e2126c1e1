// Owns: what a link to the page says (range, refresh, selectors, theme) and its form as a query string.
// Never: touches the browser; state/viewStore.ts does. An unreadable value falls back to its default.

import { parseDurationMs, shortDuration } from "./duration";
import { DEFAULT_RANGE, parseRange, rangeParams, type TimeRange } from "./timeRange";

export type Theme = "light" | "dark" | "auto";

export interface ViewState {
  readonly range: TimeRange;
  /** Milliseconds between refreshes; 0 is off. */
  readonly refreshMs: number;
  /** Absent: not chosen yet, the page picks. */
  readonly job: string | null;
  readonly instance: string | null;
  readonly device: string | null;
  /** Absent: the reader's own setting holds. */
  readonly theme: Theme | null;
}

export const REFRESH_CHOICES_MS: readonly number[] = [0, 5_000, 15_000, 60_000];

export const DEFAULT_VIEW: ViewState = {
  range: DEFAULT_RANGE,
  refreshMs: 5_000,
  job: null,
  instance: null,
  device: null,
  theme: null,
};

function parseRefresh(text: string | null): number {
  if (text === "off") return 0;
  const durationMs = text === null ? null : parseDurationMs(text);
  if (durationMs === null || !REFRESH_CHOICES_MS.includes(durationMs)) return DEFAULT_VIEW.refreshMs;
  return durationMs;
}

function parseTheme(text: string | null): Theme | null {
  return text === "light" || text === "dark" || text === "auto" ? text : null;
}

export function refreshText(refreshMs: number): string {
  return refreshMs === 0 ? "off" : shortDuration(refreshMs);
}

export function parseView(search: string): ViewState {
  const params = new URLSearchParams(search);
  const chosen = (name: string): string | null => params.get(name) || null;
  return {
    range: parseRange(params.get("from"), params.get("to")) ?? DEFAULT_VIEW.range,
    refreshMs: parseRefresh(params.get("refresh")),
    job: chosen("job"),
    instance: chosen("instance"),
    device: chosen("device"),
    theme: parseTheme(params.get("theme")),
  };
}

/** The whole state, defaults too: a link keeps its meaning when a later version has other defaults. */
export function formatView(view: ViewState): string {
  const params = new URLSearchParams();
  if (view.job !== null) params.set("job", view.job);
  if (view.instance !== null) params.set("instance", view.instance);
  if (view.device !== null) params.set("device", view.device);
  const { from, to } = rangeParams(view.range);
  params.set("from", from);
  params.set("to", to);
  params.set("refresh", refreshText(view.refreshMs));
  if (view.theme !== null) params.set("theme", view.theme);
  return `?${params.toString()}`;
}
