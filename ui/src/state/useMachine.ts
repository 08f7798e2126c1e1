// Owns: the choices of the selectors (jobs, instances, devices) and the values in force.
// Never: keeps the values; they live in the view state, and what the page picked is written there once.

import { useQuery } from "@tanstack/react-query";
import { useEffect } from "react";
import { getApi } from "../api/client";
import type { Labels, QueryData } from "../api/types";
import { defaultJob, devicesByTraffic, instancesOf, jobsOf, machinesOf } from "../lib/choose";
import { escapeLabelValue } from "../lib/template";
import { rangeLengthMs, windowOf } from "../lib/timeRange";
import type { ViewState } from "../lib/viewState";
import { DEVICE_METRIC, MACHINE_METRIC } from "../panels";
import { useReachability } from "./reachability";
import { serverNowMs } from "./serverClock";
import { changeView } from "./viewStore";

const IDLE_POLL_MS = 30_000;
const WAITING_POLL_MS = 2_000;
const UNREACHABLE_POLL_MS = 3_000;
/** Machines seen within the last hour are offered even where the chosen range is shorter. */
const LOOK_BACK_MS = 3_600_000;

export interface MachineChoice {
  readonly jobs: readonly string[];
  readonly instances: readonly string[];
  readonly devices: readonly string[];
  readonly job: string | null;
  readonly instance: string | null;
  /** Null while it is not known; "" when the machine has no device. */
  readonly device: string | null;
  readonly loading: boolean;
  readonly error: Error | null;
}

function useMachines(view: ViewState) {
  const reachability = useReachability();
  return useQuery({
    queryKey: ["machines", view.range],
    queryFn: async ({ signal }) => {
      const window = windowOf(view.range, serverNowMs());
      const fromMs = window.toMs - Math.max(rangeLengthMs(view.range), LOOK_BACK_MS);
      const params = {
        "match[]": MACHINE_METRIC,
        start: String(fromMs / 1000),
        end: String(window.toMs / 1000),
      };
      return machinesOf(await getApi<readonly Labels[]>("series", params, signal));
    },
    placeholderData: (previous) => previous,
    refetchInterval: ({ state }) => {
      if (!reachability.reachable) return UNREACHABLE_POLL_MS;
      return (state.data ?? []).length === 0 ? WAITING_POLL_MS : IDLE_POLL_MS;
    },
  });
}

/** The devices by traffic; those of a machine that is silent now, from its series within the range. */
async function askDevices(
  view: ViewState,
  matchers: string,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const window = windowOf(view.range, serverNowMs());
  const time = view.range.kind === "between" ? { time: String(window.toMs / 1000) } : {};
  const selector = `${DEVICE_METRIC}{${matchers}}`;
  const data = await getApi<QueryData>("query", { query: selector, ...time }, signal);
  const now = data.resultType === "vector" ? devicesByTraffic(data.result) : [];
  if (now.length > 0) return now;
  const between = { start: String(window.fromMs / 1000), end: String(window.toMs / 1000) };
  const series = await getApi<readonly Labels[]>("series", { "match[]": selector, ...between }, signal);
  return devicesByTraffic(series.map((metric) => ({ metric, value: [0, "0"] })));
}

function useDevices(view: ViewState, job: string | null, instance: string | null) {
  const reachability = useReachability();
  return useQuery({
    queryKey: ["devices", job, instance, view.range],
    enabled: job !== null && instance !== null,
    queryFn: ({ signal }) => {
      const matchers = `instance="${escapeLabelValue(instance ?? "")}",job="${escapeLabelValue(job ?? "")}"`;
      return askDevices(view, matchers, signal);
    },
    placeholderData: (previous, query) =>
      query?.queryKey[1] === job && query?.queryKey[2] === instance ? previous : undefined,
    refetchInterval: ({ state }) => {
      if (!reachability.reachable) return UNREACHABLE_POLL_MS;
      return (state.data ?? []).length === 0 ? WAITING_POLL_MS : IDLE_POLL_MS;
    },
  });
}

export function useMachine(view: ViewState): MachineChoice {
  const machinesQuery = useMachines(view);
  const machines = machinesQuery.data ?? [];
  const jobs = jobsOf(machines);
  const job = view.job ?? defaultJob(jobs);
  const instances = instancesOf(machines, job);
  const instance = view.instance ?? instances[0] ?? null;
  const devicesQuery = useDevices(view, job, instance);
  const devices = devicesQuery.data ?? [];
  const picked = devicesQuery.data === undefined ? null : (devices[0] ?? "");
  const device = view.device ?? picked;

  // Written once it is known, so that the link shows the same machine tomorrow even if another is then the
  // first.
  useEffect(() => {
    const change: { job?: string; instance?: string; device?: string } = {};
    if (view.job === null && job !== null) change.job = job;
    if (view.instance === null && instance !== null) change.instance = instance;
    if (view.device === null && device !== null && device !== "") change.device = device;
    if (Object.keys(change).length > 0) changeView(change, { history: "replace" });
  }, [view.job, view.instance, view.device, job, instance, device]);

  return {
    jobs,
    instances,
    devices,
    job,
    instance,
    device,
    loading: machinesQuery.isPending || (instance !== null && devicesQuery.isPending),
    error: machinesQuery.error ?? devicesQuery.error,
  };
}
