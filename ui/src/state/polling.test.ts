// Tests how soon queries ask again.

import { describe, expect, it } from "vitest";
import { type PollFacts, pollIntervalMs } from "./polling";

const FACTS: PollFacts = {
  reachability: { reachable: true },
  refreshMs: 15_000,
  live: true,
  failed: false,
  hasData: true,
  waitingMs: 0,
};

describe("pollIntervalMs", () => {
  it.each<[string, Partial<PollFacts>, number | false]>([
    ["at the chosen interval with data", {}, 15_000],
    ["not at all when off", { refreshMs: 0 }, false],
    ["not at all for the past", { live: false }, false],
    ["not at all for the empty past", { live: false, hasData: false }, false],
    ["every 2 s while there is no data", { hasData: false }, 2_000],
    ["every 2 s while there is no data, even when off", { hasData: false, refreshMs: 0 }, 2_000],
    ["at the interval again after a minute in vain", { hasData: false, waitingMs: 61_000 }, 15_000],
    ["slower after a minute in vain, when off", { hasData: false, waitingMs: 61_000, refreshMs: 0 }, 5_000],
    ["not faster than 5 s after an error", { failed: true, refreshMs: 5_000 }, 5_000],
    ["still after an error when off", { failed: true, refreshMs: 0, hasData: false }, 5_000],
    ["every 3 s while unreachable", { reachability: { reachable: false, sinceMs: 0, reason: "" } }, 3_000],
  ])("asks %s", (_, change, expected) => {
    expect(pollIntervalMs({ ...FACTS, ...change })).toBe(expected);
  });
});
