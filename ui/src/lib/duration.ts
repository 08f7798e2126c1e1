// Owns: reading Go and Prometheus duration strings ("1m0s", "1.5s", "7d") and writing them for PromQL and for
// people.
// Never: knows about calendars; a day has 24 hours, a week seven days, a year 365 days, as PromQL has it.

const UNIT_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
  y: 31_536_000_000,
};

const PART = /(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h|d|w|y)/y;

/**
 * Milliseconds of a duration such as "5s", "1m0s", "1h30m" or "250ms"; null when the text is not a duration.
 */
export function parseDurationMs(text: string): number | null {
  const trimmed = text.trim();
  if (trimmed === "") return null;
  let total = 0;
  PART.lastIndex = 0;
  while (PART.lastIndex < trimmed.length) {
    const part = PART.exec(trimmed);
    if (part === null) return null;
    total += Number(part[1]) * (UNIT_MS[part[2] ?? ""] ?? Number.NaN);
  }
  return Number.isFinite(total) ? total : null;
}

/** A duration as PromQL reads it: whole seconds where possible, else whole milliseconds. */
export function promDuration(durationMs: number): string {
  const whole = Math.max(1, Math.round(durationMs));
  return whole % 1000 === 0 ? `${whole / 1000}s` : `${whole}ms`;
}

const SHORT_UNITS = ["w", "d", "h", "m", "s", "ms"] as const;

/** The shortest exact text: 900000 is "15m", 604800000 is "7d", 90000 is "1m30s". */
export function shortDuration(durationMs: number): string {
  let rest = Math.round(durationMs);
  if (rest <= 0) return "0s";
  let text = "";
  for (const unit of SHORT_UNITS) {
    // Weeks read worse than days below a fortnight: the usual name of the week's range is "7d".
    if (unit === "w" && rest % 604_800_000 !== 0) continue;
    if (unit === "w" && rest < 1_209_600_000) continue;
    const size = UNIT_MS[unit] ?? 1;
    const count = Math.floor(rest / size);
    if (count > 0) text += `${count}${unit}`;
    rest -= count * size;
  }
  return text;
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/** A duration for people, its two largest parts: "3 days 4 h", "4 h 12 min", "12 min", "45 s". */
export function humanDuration(durationMs: number): string {
  const seconds = Math.max(0, Math.floor(durationMs / 1000));
  const days = Math.floor(seconds / 86_400);
  const hours = Math.floor((seconds % 86_400) / 3600);
  const minutes = Math.floor((seconds % 3600) / 60);
  if (days > 0) return `${plural(days, "day")} ${hours} h`;
  if (hours > 0) return `${hours} h ${minutes} min`;
  if (minutes > 0) return `${minutes} min`;
  return `${seconds} s`;
}

/**
 * A range's length in words: "15 minutes", "24 hours", "7 days"; uneven lengths fall back to the short form.
 */
export function durationInWords(durationMs: number): string {
  const words: readonly (readonly [string, number])[] = [
    ["day", 86_400_000],
    ["hour", 3_600_000],
    ["minute", 60_000],
    ["second", 1000],
  ];
  for (const [noun, size] of words) {
    // A single day reads better as the 24 hours that it is: no midnight is meant.
    const least = noun === "day" ? 2 * size : size;
    if (durationMs >= least && durationMs % size === 0) return plural(durationMs / size, noun);
  }
  return shortDuration(durationMs);
}
