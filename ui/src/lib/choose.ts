// Owns: which job, instance and device the page shows when the link does not say.
// Never: overrides a choice that the link holds.

import type { Labels, VectorSample } from "../api/types";

export interface Machine {
  readonly job: string;
  readonly instance: string;
}

export function machinesOf(series: readonly Labels[]): readonly Machine[] {
  const seen = new Map<string, Machine>();
  for (const { job = "", instance = "" } of series) {
    if (instance !== "") seen.set(JSON.stringify([job, instance]), { job, instance });
  }
  return [...seen.values()].sort((a, b) => compare(a.job, b.job) || compare(a.instance, b.instance));
}

const collator = new Intl.Collator("en", { numeric: true });

function compare(a: string, b: string): number {
  return collator.compare(a, b);
}

export function jobsOf(machines: readonly Machine[]): readonly string[] {
  return [...new Set(machines.map((machine) => machine.job))];
}

export function instancesOf(machines: readonly Machine[], job: string | null): readonly string[] {
  return machines.filter((machine) => machine.job === job).map((machine) => machine.instance);
}

export function defaultJob(jobs: readonly string[]): string | null {
  return jobs.includes("node") ? "node" : (jobs[0] ?? null);
}

/** Devices, the busiest first; the loopback device only where there is no other. */
export function devicesByTraffic(packets: readonly VectorSample[]): readonly string[] {
  const total = new Map<string, number>();
  for (const { metric, value } of packets) {
    const device = metric.device ?? "";
    if (device !== "") total.set(device, Math.max(total.get(device) ?? 0, Number(value[1]) || 0));
  }
  const last = (device: string): number => (device === "lo" ? 1 : 0);
  return [...total.keys()].sort(
    (a, b) => last(a) - last(b) || (total.get(b) ?? 0) - (total.get(a) ?? 0) || compare(a, b),
  );
}
