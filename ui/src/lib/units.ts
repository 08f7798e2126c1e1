// Owns: writing a sample's value with its unit, for tiles, axes, legends and tooltips.
// Never: computes with values; what PromQL gave is what is shown.

import { humanDuration } from "./duration";

export type Unit = "percent" | "seconds" | "bytes" | "count" | "load" | "packets/s";

/** A value split so that the unit can be set smaller than the number. */
export interface Formatted {
  readonly number: string;
  readonly suffix: string;
}

const NOTHING: Formatted = { number: "–", suffix: "" };
const BINARY = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] as const;
const DECIMAL = ["", "k", "M", "G", "T", "P"] as const;

/** About three significant digits: 0.42, 4.21, 42.1, 421. */
export function threeDigits(value: number): string {
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size < 10) return value.toFixed(2);
  if (size < 100) return value.toFixed(1);
  return value.toFixed(0);
}

function scaled(value: number, base: number, names: readonly string[]): { value: number; name: string } {
  let rest = value;
  let index = 0;
  // 0.9995 rather than 1: a number that would be rounded up to the next unit is written in the next unit.
  while (Math.abs(rest) >= base * 0.9995 && index < names.length - 1) {
    rest /= base;
    index += 1;
  }
  return { value: rest, name: names[index] ?? "" };
}

function formatBytes(value: number): Formatted {
  const { value: rest, name } = scaled(value, 1024, BINARY);
  return { number: name === "B" ? rest.toFixed(0) : threeDigits(rest), suffix: name };
}

function formatPackets(value: number): Formatted {
  const { value: rest, name } = scaled(value, 1000, DECIMAL);
  return { number: threeDigits(rest), suffix: `${name}p/s` };
}

export function formatUnit(value: number, unit: Unit): Formatted {
  if (!Number.isFinite(value)) return NOTHING;
  switch (unit) {
    case "percent":
      return { number: Math.abs(value) < 100 ? value.toFixed(1) : value.toFixed(0), suffix: "%" };
    case "seconds":
      return { number: humanDuration(value * 1000), suffix: "" };
    case "bytes":
      return formatBytes(value);
    case "count":
      return { number: Number.isInteger(value) ? value.toFixed(0) : threeDigits(value), suffix: "" };
    case "load":
      return { number: value.toFixed(2), suffix: "" };
    case "packets/s":
      return formatPackets(value);
  }
}

/** The same as one text, with a no-break space before the unit. */
export function formatText(value: number | null | undefined, unit: Unit): string {
  if (value === null || value === undefined) return NOTHING.number;
  const { number, suffix } = formatUnit(value, unit);
  return suffix === "" ? number : `${number}\u00a0${suffix}`;
}

/** Axis ticks are round numbers: trailing zeros say nothing there. */
export function formatTick(value: number, unit: Unit): string {
  if (unit === "percent") return `${Number(value.toFixed(2))}\u00a0%`;
  if (unit === "packets/s") {
    const { value: rest, name } = scaled(value, 1000, DECIMAL);
    return `${Number(rest.toFixed(2))}${name === "" ? "" : `\u00a0${name}`}`;
  }
  if (unit === "bytes") {
    const { value: rest, name } = scaled(value, 1024, BINARY);
    return `${Number(rest.toFixed(2))}\u00a0${name}`;
  }
  return String(Number(value.toFixed(3)));
}
