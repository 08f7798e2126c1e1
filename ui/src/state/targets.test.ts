// Tests reading targets.

import { describe, expect, it } from "vitest";
import type { ActiveTarget } from "../api/types";
import { findTarget, scrapeIntervalMs } from "./useTargets";

const target = (job: string, instance: string, scrapeInterval?: string): ActiveTarget => ({
  labels: { job, instance },
  scrapePool: job,
  scrapeUrl: "",
  lastError: "",
  lastScrape: "",
  health: "up",
  ...(scrapeInterval === undefined ? {} : { scrapeInterval }),
});

describe("scrapeIntervalMs", () => {
  it.each([
    [target("node", "a", "5s"), 5_000],
    [target("node", "a", "1m0s"), 60_000],
    [target("node", "a"), 15_000],
    [target("node", "a", "soon"), 15_000],
    [target("node", "a", "0s"), 15_000],
    [null, 15_000],
  ])("reads the target's interval, 15 s when it says none", (given, expected) => {
    expect(scrapeIntervalMs(given)).toBe(expected);
  });
});

describe("findTarget", () => {
  const targets = [target("web", "a"), target("node", "a"), target("node", "b")];

  it("finds job and instance, else another of the job", () => {
    expect(findTarget(targets, "node", "b")?.labels).toEqual({ job: "node", instance: "b" });
    expect(findTarget(targets, "node", "gone")?.labels).toEqual({ job: "node", instance: "a" });
    expect(findTarget(targets, null, null)?.labels.job).toBe("node");
    expect(findTarget(targets, "none", "a")).toBeNull();
  });
});
