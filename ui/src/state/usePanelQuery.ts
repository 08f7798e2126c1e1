// Owns: asking for one panel's data and telling in which state the panel is (loading, empty, error, data).
// Never: draws; keeps showing what it has while new data is on its way.

import { keepPreviousData, type QueryKey, type UseQueryResult, useQuery } from "@tanstack/react-query";
import { useRef } from "react";
import { UnreachableError } from "../api/client";
import { type EmptyReason, emptyReason } from "../lib/emptyReason";
import { rateIntervalMs } from "../lib/step";
import { fillExpression, usesDevice } from "../lib/template";
import { isLive } from "../lib/timeRange";
import type { Panel } from "../panels";
import { useDashboard } from "./dashboard";
import { pollIntervalMs } from "./polling";
import { useReachability } from "./reachability";
import { serverNowMs } from "./serverClock";

export interface PanelView<T> {
  readonly state: "loading" | "empty" | "error" | "data";
  readonly data: T | undefined;
  readonly error: Error | null;
  readonly reason: EmptyReason | null;
  readonly expr: string;
  readonly stepMs: number;
  readonly updatedAtMs: number;
  readonly fetching: boolean;
}

export interface PanelRequest<T> {
  readonly panel: Panel;
  readonly stepMs: number;
  /** What the answer depends on besides the expression, as part of the cache key. */
  readonly window: string;
  /** False while something the request needs (the chart's width) is not known yet. */
  readonly enabled: boolean;
  readonly ask: (expr: string, signal: AbortSignal) => Promise<T>;
  readonly hasData: (data: T) => boolean;
}

function useWaitingSince(waiting: boolean, what: string): number {
  const since = useRef({ what: "", atMs: 0 });
  if (!waiting) since.current = { what: "", atMs: 0 };
  else if (since.current.what !== what) since.current = { what, atMs: Date.now() };
  return waiting ? Date.now() - since.current.atMs : 0;
}

/** Old data is kept on the screen while a new range loads, but never another machine's. */
function keepSameMachine<T>(machineKey: string) {
  return (previous: T | undefined, query: { queryKey: QueryKey } | undefined): T | undefined =>
    query?.queryKey[2] === machineKey ? keepPreviousData(previous) : undefined;
}

export function usePanelQuery<T>(request: PanelRequest<T>): PanelView<T> {
  const { panel, stepMs } = request;
  const { range, refreshMs, machine, target, scrapeMs, ready } = useDashboard();
  const reachability = useReachability();
  const needsDevice = usesDevice(panel.expr);
  const known = machine.job !== null && machine.instance !== null && (!needsDevice || !!machine.device);
  const variables = {
    instance: machine.instance ?? "",
    job: machine.job ?? "",
    device: needsDevice ? (machine.device ?? "") : "",
  };
  const expr = fillExpression(panel.expr, variables, rateIntervalMs(stepMs, scrapeMs));
  const machineKey = JSON.stringify(variables);
  const live = isLive(range, serverNowMs());
  const emptySince = useRef(Date.now());

  const query = useQuery<T>({
    queryKey: [panel.kind, panel.title, machineKey, request.window, expr],
    enabled: known && ready && request.enabled,
    queryFn: ({ signal }) => request.ask(expr, signal),
    placeholderData: keepSameMachine<T>(machineKey) as never,
    structuralSharing: false,
    refetchInterval: ({ state }) => {
      const hasData = state.data !== undefined && request.hasData(state.data);
      if (hasData) emptySince.current = Date.now();
      return pollIntervalMs({
        reachability,
        refreshMs,
        live,
        failed: state.status === "error",
        hasData,
        waitingMs: Date.now() - emptySince.current,
      });
    },
  });

  const shown = query.data !== undefined && request.hasData(query.data);
  const waitingMs = useWaitingSince(!shown, `${machineKey} ${request.window}`);
  const error = known ? query.error : (machine.error ?? query.error);
  const loading = known ? query.isPending : machine.loading;
  const state = shown ? "data" : error !== null ? "error" : loading ? "loading" : "empty";
  const reason =
    state !== "empty"
      ? null
      : emptyReason({
          metric: panel.metric,
          needsTwoSamples: panel.expr.includes("$__rate_interval"),
          instance: machine.instance,
          device: needsDevice ? (machine.device ?? "") : null,
          live,
          scrapeMs,
          waitingMs,
          target: target === null ? null : { health: target.health, lastError: target.lastError },
        });
  return { state, data: query.data, error, reason, expr, stepMs, ...freshness(query) };
}

function freshness<T>(query: UseQueryResult<T>): { updatedAtMs: number; fetching: boolean } {
  return { updatedAtMs: query.dataUpdatedAt, fetching: query.isFetching };
}

/** An error that the panel itself should speak of; an unreachable server is the banner's business. */
export function ownError(error: Error | null): Error | null {
  return error instanceof UnreachableError ? null : error;
}
