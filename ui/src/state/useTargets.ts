// Owns: what the server scrapes: the chosen target's health and how often it is scraped.
// Never: decides which machine is shown; useMachine.ts does.

import { useQuery } from "@tanstack/react-query";
import { getApi } from "../api/client";
import type { ActiveTarget, TargetsData } from "../api/types";
import { parseDurationMs } from "../lib/duration";
import { DEFAULT_SCRAPE_MS } from "../lib/step";
import { useReachability } from "./reachability";

const IDLE_POLL_MS = 10_000;

export interface Targets {
  /** False until the first answer: the scrape interval is then only assumed. */
  readonly settled: boolean;
  readonly find: (job: string | null, instance: string | null) => ActiveTarget | null;
}

export function scrapeIntervalMs(target: ActiveTarget | null): number {
  const told = target?.scrapeInterval === undefined ? null : parseDurationMs(target.scrapeInterval);
  return told !== null && told > 0 ? told : DEFAULT_SCRAPE_MS;
}

/** The target of that instance, else any of the job: an instance label may have been rewritten on the way. */
export function findTarget(
  targets: readonly ActiveTarget[],
  job: string | null,
  instance: string | null,
): ActiveTarget | null {
  const ofJob = targets.filter((target) => target.labels.job === (job ?? "node"));
  return ofJob.find((target) => target.labels.instance === instance) ?? ofJob[0] ?? null;
}

export function useTargets(refreshMs: number): Targets {
  const reachability = useReachability();
  const query = useQuery({
    queryKey: ["targets"],
    queryFn: ({ signal }) => getApi<TargetsData>("targets", { state: "active" }, signal),
    refetchInterval: ({ state }) => {
      if (!reachability.reachable) return 3_000;
      const known = (state.data?.activeTargets ?? []).some((target) => target.health !== "unknown");
      if (!known) return 2_000;
      return refreshMs === 0 ? false : Math.max(refreshMs, IDLE_POLL_MS);
    },
  });
  const targets = query.data?.activeTargets ?? [];
  return {
    settled: query.isSuccess || query.isError,
    find: (job, instance) => findTarget(targets, job, instance),
  };
}
