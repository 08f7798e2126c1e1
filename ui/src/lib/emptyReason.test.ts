// Tests the sentence of an empty panel.

import { describe, expect, it } from "vitest";
import { type EmptyFacts, emptyReason } from "./emptyReason";

const FACTS: EmptyFacts = {
  metric: "node_cpu_seconds_total",
  needsTwoSamples: false,
  instance: "a:9100",
  device: null,
  live: true,
  scrapeMs: 5_000,
  waitingMs: 1_000,
  target: { health: "up", lastError: "" },
};

describe("emptyReason", () => {
  it.each<[string, Partial<EmptyFacts>, string]>([
    ["nothing scraped yet", { instance: null }, "Waiting for the first scrape"],
    ["nothing scraped for long", { instance: null, waitingMs: 60_000 }, "No machine has reported"],
    ["a rate after one scrape", { needsTwoSamples: true }, "Waiting for the second sample"],
    ["a value at once", {}, "Waiting for the first sample"],
    ["waited in vain", { waitingMs: 60_000 }, "No data in this range"],
    ["a past range", { live: false }, "No data in this range"],
    ["no device for long", { device: "", waitingMs: 60_000 }, "No network device"],
    ["device not known yet", { device: "", needsTwoSamples: true }, "Waiting for the first sample"],
    ["target down", { target: { health: "down", lastError: "connection refused" } }, "Target is down"],
  ])("tells: %s", (_, change, title) => {
    expect(emptyReason({ ...FACTS, ...change }).title).toBe(title);
  });

  it("passes the scrape's own error on", () => {
    const reason = emptyReason({ ...FACTS, target: { health: "down", lastError: "connection refused" } });
    expect(reason.detail).toBe("connection refused");
  });

  it("names metric, device and instance that are missing", () => {
    const { detail } = emptyReason({ ...FACTS, device: "eth0", waitingMs: 60_000 });
    expect(detail).toBe("no samples of node_cpu_seconds_total from eth0 on a:9100");
  });
});
