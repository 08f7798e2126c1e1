// Owns: the single value of a gauge or a number: an instant query at the end of the range.

import { getApi } from "../api/client";
import type { QueryData } from "../api/types";
import type { GaugePanel, NumberPanel } from "../panels";
import { useDashboard } from "./dashboard";
import { type PanelView, usePanelQuery } from "./usePanelQuery";

function firstValue(data: QueryData): number | null {
  const text = data.resultType === "vector" ? data.result[0]?.value[1] : undefined;
  const value = text === undefined ? Number.NaN : Number(text);
  return Number.isFinite(value) ? value : null;
}

export function useInstant(panel: GaugePanel | NumberPanel): PanelView<number | null> {
  const { range, scrapeMs } = useDashboard();
  const atMs = range.kind === "between" ? range.toMs : null;
  return usePanelQuery<number | null>({
    panel,
    stepMs: scrapeMs,
    window: atMs === null ? "now" : String(atMs),
    enabled: true,
    ask: async (expr, signal) => {
      const time = atMs === null ? {} : { time: String(atMs / 1000) };
      return firstValue(await getApi<QueryData>("query", { query: expr, ...time }, signal));
    },
    hasData: (value) => value !== null,
  });
}
