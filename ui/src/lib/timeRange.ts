// Owns: the time range of the page, relative ("the last 15 minutes") or absolute, and the window it means
// right now.
// Never: reads the clock; "now" is always given.

import { durationInWords, parseDurationMs, shortDuration } from "./duration";

export type TimeRange =
  | { readonly kind: "last"; readonly durationMs: number }
  | { readonly kind: "between"; readonly fromMs: number; readonly toMs: number };

export interface Window {
  readonly fromMs: number;
  readonly toMs: number;
}

const NEAR_NOW_MS = 30_000;

export const MIN_RANGE_MS = 10_000;
export const MAX_RANGE_MS = 10 * 365 * 86_400_000;
export const PRESETS: readonly string[] = ["5m", "15m", "1h", "6h", "24h", "7d"];
export const DEFAULT_RANGE: TimeRange = { kind: "last", durationMs: 900_000 };

export function lastRange(text: string): TimeRange | null {
  const durationMs = parseDurationMs(text);
  if (durationMs === null || durationMs < MIN_RANGE_MS || durationMs > MAX_RANGE_MS) return null;
  return { kind: "last", durationMs };
}

/**
 * An absolute range with its ends in order and at least the smallest width; null when the ends make no sense.
 */
export function betweenRange(fromMs: number, toMs: number): TimeRange | null {
  if (!Number.isFinite(fromMs) || !Number.isFinite(toMs)) return null;
  const low = Math.round(Math.min(fromMs, toMs));
  const high = Math.round(Math.max(fromMs, toMs));
  if (low < 0 || high - low > MAX_RANGE_MS) return null;
  const missing = Math.max(0, MIN_RANGE_MS - (high - low));
  return { kind: "between", fromMs: low - Math.floor(missing / 2), toMs: high + Math.ceil(missing / 2) };
}

export function windowOf(range: TimeRange, nowMs: number): Window {
  if (range.kind === "between") return { fromMs: range.fromMs, toMs: range.toMs };
  return { fromMs: nowMs - range.durationMs, toMs: nowMs };
}

export function rangeLengthMs(range: TimeRange): number {
  return range.kind === "last" ? range.durationMs : range.toMs - range.fromMs;
}

/** A range that lies wholly in the past is not refreshed: nothing in it changes. */
export function isLive(range: TimeRange, nowMs: number): boolean {
  return range.kind === "last" || range.toMs > nowMs - 2 * NEAR_NOW_MS;
}

/** The window moved by half its width; moving to or past "now" becomes relative again. */
export function shiftRange(range: TimeRange, direction: -1 | 1, nowMs: number): TimeRange {
  const { fromMs, toMs } = windowOf(range, nowMs);
  const by = Math.round((toMs - fromMs) / 2) * direction;
  // Reading takes a while: forth right after back should be the present again, not a moment short of it.
  const nearMs = Math.max(NEAR_NOW_MS, (toMs - fromMs) / 10);
  if (toMs + by >= nowMs - nearMs && direction === 1) return { kind: "last", durationMs: toMs - fromMs };
  return betweenRange(fromMs + by, toMs + by) ?? range;
}

/** Twice the width around the same middle; a relative range stays relative. */
export function zoomOut(range: TimeRange, nowMs: number): TimeRange {
  const length = Math.min(rangeLengthMs(range) * 2, MAX_RANGE_MS);
  if (range.kind === "last") return { kind: "last", durationMs: length };
  const middle = (range.fromMs + range.toMs) / 2;
  const toMs = Math.min(middle + length / 2, Math.max(nowMs, range.toMs));
  return betweenRange(toMs - length, toMs) ?? range;
}

/** A range as two URL values; the opposite of parseRange. */
export function rangeParams(range: TimeRange): { from: string; to: string } {
  if (range.kind === "last") return { from: `now-${shortDuration(range.durationMs)}`, to: "now" };
  return { from: String(range.fromMs), to: String(range.toMs) };
}

export function parseRange(from: string | null, to: string | null): TimeRange | null {
  if (from === null) return null;
  if (from.startsWith("now-") && (to === null || to === "now")) return lastRange(from.slice(4));
  if (!/^\d+$/.test(from) || to === null || !/^\d+$/.test(to)) return null;
  return betweenRange(Number(from), Number(to));
}

const DAY_TIME: Intl.DateTimeFormatOptions = {
  day: "numeric",
  month: "short",
  hour: "2-digit",
  minute: "2-digit",
  hourCycle: "h23",
};
const TIME: Intl.DateTimeFormatOptions = {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
};

export function rangeLabel(range: TimeRange): string {
  if (range.kind === "last") return `Last ${durationInWords(range.durationMs)}`;
  const from = new Date(range.fromMs);
  const to = new Date(range.toMs);
  const fine = range.toMs - range.fromMs < 600_000 ? { second: "2-digit" as const } : {};
  const first = from.toLocaleString("en-GB", { ...DAY_TIME, ...fine });
  const sameDay = from.toDateString() === to.toDateString();
  const second = to.toLocaleString(
    "en-GB",
    sameDay ? { ...TIME, ...(fine.second ? {} : { second: undefined }) } : DAY_TIME,
  );
  return `${first} – ${second}`;
}

/** Text of an <input type="datetime-local"> in local time, to the second. */
export function toLocalInput(timeMs: number): string {
  const time = new Date(timeMs);
  const two = (n: number): string => String(n).padStart(2, "0");
  const day = `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`;
  return `${day}T${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
}

export function fromLocalInput(text: string): number | null {
  const timeMs = new Date(text).getTime();
  return text === "" || Number.isNaN(timeMs) ? null : timeMs;
}
