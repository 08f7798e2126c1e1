// Owns: the series of a chart: a range query over the page's window, as columns ready to draw.

import { getApi } from "../api/client";
import type { Labels, QueryData } from "../api/types";
import { type ColumnSummary, gridOver, summarise, toColumns } from "../lib/columns";
import { chooseStepMs } from "../lib/step";
import { isLive, rangeLengthMs, type Window, windowOf } from "../lib/timeRange";
import type { SeriesPanel } from "../panels";
import { useDashboard } from "./dashboard";
import { serverNowMs } from "./serverClock";
import { type PanelView, usePanelQuery } from "./usePanelQuery";

export interface ChartSeries {
  readonly name: string;
  readonly column: (number | null)[];
  readonly summary: ColumnSummary;
}

export interface ChartData {
  readonly times: number[];
  readonly series: readonly ChartSeries[];
  readonly points: number;
  readonly window: Window;
}

function seriesName(panel: SeriesPanel, metric: Labels): string {
  if ("text" in panel.name) return panel.name.text;
  return metric[panel.name.label] ?? panel.title;
}

/** Known names in the panel's order, then the rest by name. */
function inOrder(panel: SeriesPanel, series: readonly ChartSeries[]): readonly ChartSeries[] {
  const order = panel.order ?? [];
  const rank = (name: string): number => {
    const index = order.indexOf(name);
    return index === -1 ? order.length : index;
  };
  return [...series].sort((a, b) => rank(a.name) - rank(b.name) || a.name.localeCompare(b.name));
}

export function useRange(panel: SeriesPanel, widthPx: number | null): PanelView<ChartData> {
  const { range, scrapeMs } = useDashboard();
  const stepMs = chooseStepMs({ rangeMs: rangeLengthMs(range), widthPx: widthPx ?? 0, scrapeMs });
  return usePanelQuery<ChartData>({
    panel,
    stepMs,
    window: `${JSON.stringify(range)} ${stepMs}`,
    enabled: widthPx !== null,
    ask: async (expr, signal) => {
      const nowMs = serverNowMs();
      const window = windowOf(range, nowMs);
      const grid = gridOver(window.fromMs, window.toMs, stepMs, isLive(range, nowMs));
      const params = {
        query: expr,
        start: String(grid.startMs / 1000),
        end: String(grid.endMs / 1000),
        step: String(stepMs / 1000),
      };
      const data = await getApi<QueryData>("query_range", params, signal);
      const matrix = data.resultType === "matrix" ? data.result : [];
      const { times, values, points } = toColumns(matrix, grid, nowMs);
      const series = matrix.map(({ metric }, index): ChartSeries => {
        const column = values[index] ?? [];
        return { name: seriesName(panel, metric), column, summary: summarise(column) };
      });
      return { times, series: inOrder(panel, series), points, window };
    },
    hasData: (data) => data.points > 0,
  });
}
