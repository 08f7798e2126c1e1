// Owns: a panel with series over time: its query, its chart, its legend and which series are switched off.

import { useComputedColorScheme } from "@mantine/core";
import { lazy, Suspense, useCallback, useMemo, useRef, useState } from "react";
import { type ChartColours, chartColours } from "../charts/palette";
import { betweenRange, zoomOut } from "../lib/timeRange";
import type { SeriesPanel } from "../panels";
import { useDashboard } from "../state/dashboard";
import { serverNowMs } from "../state/serverClock";
import { type ChartData, useRange } from "../state/useRange";
import { Legend, type LegendEntry, type LegendHandle } from "./Legend";
import { PanelFrame } from "./PanelFrame";
import css from "./SeriesChart.module.css";
import { useSize } from "./useSize";

// A file of its own, asked for at once: the values above the charts need not wait for the code that draws
// lines.
const loadingTimeChart = import("../charts/TimeChart");
const TimeChart = lazy(() => loadingTimeChart.then((module) => ({ default: module.TimeChart })));

/** A legend stands beside the chart where that leaves the chart this wide; otherwise below. */
const MIN_CHART_BESIDE_LEGEND_PX = 560;

function entriesOf(
  panel: SeriesPanel,
  data: ChartData | undefined,
  hidden: ReadonlySet<string>,
  colours: ChartColours,
): readonly LegendEntry[] {
  const known = panel.order ?? [];
  return (data?.series ?? []).map((series, index) => {
    const place = known.indexOf(series.name);
    const slot = (panel.colour + (place === -1 ? index : place)) % colours.series.length;
    const quiet = panel.hidden?.includes(series.name) ?? false;
    return {
      ...series,
      colour: (quiet ? undefined : colours.series[slot]) ?? colours.quiet,
      hidden: hidden.has(series.name),
    };
  });
}

function useHidden(panel: SeriesPanel): [ReadonlySet<string>, (name: string) => void] {
  const [hidden, setHidden] = useState<ReadonlySet<string>>(() => new Set(panel.hidden ?? []));
  const toggle = useCallback((name: string) => {
    setHidden((old) => {
      const next = new Set(old);
      if (!next.delete(name)) next.add(name);
      return next;
    });
  }, []);
  return [hidden, toggle];
}

interface DrawingProps {
  readonly panel: SeriesPanel;
  readonly data: ChartData;
  readonly frameWidthPx: number;
}

function Drawing({ panel, data, frameWidthPx }: DrawingProps) {
  const { range, setRange } = useDashboard();
  const [plot, plotSize] = useSize<HTMLDivElement>();
  const [hidden, toggle] = useHidden(panel);
  const colours = chartColours(useComputedColorScheme("light"));
  const legend = useRef<LegendHandle>(null);

  const entries = useMemo(() => entriesOf(panel, data, hidden, colours), [panel, data, hidden, colours]);
  const drawn = useMemo(() => entries.filter((entry) => !entry.hidden), [entries]);
  const lines = useMemo(() => drawn.map(({ name, colour }) => ({ name, colour })), [drawn]);
  const columns = useMemo(() => drawn.map(({ column }) => column), [drawn]);
  const several = panel.order !== undefined;
  const side = several && frameWidthPx >= MIN_CHART_BESIDE_LEGEND_PX + 260;

  return (
    <div className={css.content} data-side={side || undefined}>
      <div className={css.plot} ref={plot}>
        {plotSize !== null && (
          <Suspense>
            <TimeChart
              label={panel.title}
              {...plotSize}
              times={data.times}
              columns={columns}
              lines={lines}
              window={data.window}
              stacked={panel.stacked ?? false}
              unit={panel.unit}
              softMax={panel.softMax}
              max={panel.max}
              colours={colours}
              onZoom={(fromMs, toMs) => {
                const next = betweenRange(fromMs, toMs);
                if (next !== null) setRange(next);
              }}
              onZoomOut={() => setRange(zoomOut(range, serverNowMs()))}
              onCursor={(index) => legend.current?.point(index)}
            />
          </Suspense>
        )}
      </div>
      <div className={css.legend}>
        <Legend
          ref={legend}
          entries={entries}
          unit={panel.unit}
          side={side}
          onToggle={several ? toggle : undefined}
        />
      </div>
    </div>
  );
}

export function SeriesChart({ panel }: { readonly panel: SeriesPanel }) {
  // Measured in every state: the step, and so the first request, depends on the width.
  const [frame, size] = useSize<HTMLElement>();
  const view = useRange(panel, size?.widthPx ?? null);
  const { data } = view;
  return (
    <PanelFrame
      ref={frame}
      panel={panel}
      view={view}
      className={css.panel}
      facts={{ "data-points": data?.points ?? 0, "data-series-count": data?.series.length ?? 0 }}
    >
      {data !== undefined && <Drawing panel={panel} data={data} frameWidthPx={size?.widthPx ?? 0} />}
    </PanelFrame>
  );
}
