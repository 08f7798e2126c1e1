// Owns: the sentence that a panel without data shows: what is missing, and what it waits for.
// Never: guesses silently; each sentence follows from the facts it is given.

import { humanDuration } from "./duration";

export interface EmptyFacts {
  readonly metric: string;
  /** The expression holds a rate, which needs two samples. */
  readonly needsTwoSamples: boolean;
  readonly instance: string | null;
  /** Null where the panel needs no network device; "" where it needs one and none is known. */
  readonly device: string | null;
  /** The range ends now: data may still come. */
  readonly live: boolean;
  readonly scrapeMs: number;
  /** How long this panel has been without data. */
  readonly waitingMs: number;
  readonly target: { readonly health: "up" | "down" | "unknown"; readonly lastError: string } | null;
}

export interface EmptyReason {
  readonly title: string;
  readonly detail: string;
}

/** After this many scrape intervals without data, waiting is no longer the likely reason. */
const PATIENCE_SCRAPES = 5;

export function emptyReason(facts: EmptyFacts): EmptyReason {
  const every = `scraped every ${humanDuration(facts.scrapeMs)}`;
  if (facts.target?.health === "down") {
    return { title: "Target is down", detail: facts.target.lastError || "the last scrape failed" };
  }
  const patient = facts.live && facts.waitingMs < PATIENCE_SCRAPES * facts.scrapeMs;
  if (facts.instance === null) {
    return patient
      ? { title: "Waiting for the first scrape", detail: "no machine has reported yet" }
      : { title: "No machine has reported", detail: `no series of ${facts.metric} in this range` };
  }
  if (facts.device === "" && !patient) {
    return { title: "No network device", detail: `${facts.instance} reports no series of ${facts.metric}` };
  }
  if (patient && facts.needsTwoSamples && facts.device !== "") {
    return { title: "Waiting for the second sample", detail: `a rate needs two; ${every}` };
  }
  if (patient) return { title: "Waiting for the first sample", detail: every };
  const where = facts.device ? `${facts.device} on ${facts.instance}` : facts.instance;
  return { title: "No data in this range", detail: `no samples of ${facts.metric} from ${where}` };
}
