// Owns: how soon each query asks again.
// Never: asks itself; React Query takes the interval from here.

import type { Reachability } from "./reachability";

const UNREACHABLE_MS = 3_000;
const WAITING_MS = 2_000;
const SLOW_MS = 5_000;
/** A panel that has had nothing for this long is no longer about to get something. */
const HOPE_MS = 60_000;

export interface PollFacts {
  readonly reachability: Reachability;
  readonly refreshMs: number;
  /** The range ends now; a range in the past does not change. */
  readonly live: boolean;
  readonly failed: boolean;
  readonly hasData: boolean;
  readonly waitingMs: number;
}

/** Milliseconds until the next request, or false for none. */
export function pollIntervalMs(facts: PollFacts): number | false {
  const regular = facts.live && facts.refreshMs > 0 ? facts.refreshMs : false;
  if (!facts.reachability.reachable) return UNREACHABLE_MS;
  if (facts.failed) return regular === false ? SLOW_MS : Math.max(regular, SLOW_MS);
  if (facts.hasData || !facts.live) return regular;
  return facts.waitingMs < HOPE_MS ? WAITING_MS : Math.max(regular === false ? 0 : regular, SLOW_MS);
}
