// Owns: what every panel needs to know of the page: range, machine, scrape interval, and what to do on a
// zoom.

import { createContext, useContext } from "react";
import type { ActiveTarget } from "../api/types";
import type { TimeRange } from "../lib/timeRange";
import type { MachineChoice } from "./useMachine";

export interface Dashboard {
  readonly range: TimeRange;
  readonly refreshMs: number;
  readonly machine: MachineChoice;
  readonly target: ActiveTarget | null;
  readonly scrapeMs: number;
  /** False until the scrape interval is known: asking earlier would ask for another window than later. */
  readonly ready: boolean;
  readonly setRange: (range: TimeRange) => void;
}

export const DashboardContext = createContext<Dashboard | null>(null);

export function useDashboard(): Dashboard {
  const dashboard = useContext(DashboardContext);
  if (dashboard === null) throw new Error("invariant: panels stand inside a DashboardContext");
  return dashboard;
}
