// Tests reading and writing durations.

import { describe, expect, it } from "vitest";
import { durationInWords, humanDuration, parseDurationMs, promDuration, shortDuration } from "./duration";

describe("parseDurationMs", () => {
  it.each([
    ["5s", 5_000],
    ["15s", 15_000],
    ["1m0s", 60_000],
    ["1h30m", 5_400_000],
    ["250ms", 250],
    ["1.5s", 1_500],
    ["1m30.5s", 90_500],
    ["7d", 604_800_000],
    ["1w", 604_800_000],
    ["500us", 0.5],
    ["0s", 0],
  ])("reads %s", (text, expected) => {
    expect(parseDurationMs(text)).toBeCloseTo(expected, 9);
  });

  it.each(["", " ", "5", "s", "5x", "1m junk", "junk1m", "-5s", "1h 30m"])("refuses %j", (text) => {
    expect(parseDurationMs(text)).toBeNull();
  });
});

describe("promDuration", () => {
  it.each([
    [20_000, "20s"],
    [60_000, "60s"],
    [2_500, "2500ms"],
    [0, "1ms"],
  ])("writes %d ms as %s", (durationMs, expected) => {
    expect(promDuration(durationMs)).toBe(expected);
  });
});

describe("shortDuration", () => {
  it.each([
    [300_000, "5m"],
    [86_400_000, "1d"],
    [604_800_000, "7d"],
    [1_209_600_000, "2w"],
    [90_000, "1m30s"],
    [1_500, "1s500ms"],
    [0, "0s"],
  ])("writes %d ms as %s and reads it back", (durationMs, expected) => {
    expect(shortDuration(durationMs)).toBe(expected);
    expect(parseDurationMs(expected)).toBe(durationMs);
  });
});

describe("durations for people", () => {
  it.each([
    [45_000, "45 s"],
    [720_000, "12 min"],
    [15_120_000, "4 h 12 min"],
    [86_400_000, "1 day 0 h"],
    [273_600_000, "3 days 4 h"],
    [-5, "0 s"],
  ])("writes %d ms as %s", (durationMs, expected) => {
    expect(humanDuration(durationMs)).toBe(expected);
  });

  it.each([
    [60_000, "1 minute"],
    [900_000, "15 minutes"],
    [86_400_000, "24 hours"],
    [604_800_000, "7 days"],
    [90_500, "1m30s500ms"],
  ])("names the range of %d ms %s", (durationMs, expected) => {
    expect(durationInWords(durationMs)).toBe(expected);
  });
});
