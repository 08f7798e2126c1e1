// Owns: one uPlot drawing inside React: built once for its lines and colours, then fed with data and size.
// Never: asks for data; rebuilds only when the lines or the colour scheme change, so a refresh does not
// flicker.

import { useEffect, useLayoutEffect, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import "./uplot.css";
import { stackColumns } from "../lib/columns";
import type { Window } from "../lib/timeRange";
import { formatText, type Unit } from "../lib/units";
import { type ChartLine, chartOptions } from "./chartOptions";
import { moveCrosshair } from "./crosshairKeys";
import type { ChartColours } from "./palette";
import css from "./TimeChart.module.css";
import { momentText } from "./timeText";
import { Tooltip } from "./tooltip";

export interface TimeChartProps {
  readonly label: string;
  readonly widthPx: number;
  readonly heightPx: number;
  readonly times: number[];
  /** One column a line, not yet stacked; the first is the bottom of a stack. */
  readonly columns: readonly (number | null)[][];
  readonly lines: readonly ChartLine[];
  readonly window: Window;
  readonly stacked: boolean;
  readonly unit: Unit;
  readonly softMax: number | undefined;
  readonly max: number | undefined;
  readonly colours: ChartColours;
  readonly onZoom: (fromMs: number, toMs: number) => void;
  readonly onZoomOut: () => void;
  /** Index into `times` below the crosshair, null when there is none; called for every chart of the page. */
  readonly onCursor: (index: number | null) => void;
}

const TOOLTIP_CLASSES = {
  box: css.tooltip ?? "",
  time: css.tooltipTime ?? "",
  row: css.tooltipRow ?? "",
  swatch: css.swatch ?? "",
  name: css.tooltipName ?? "",
  value: css.tooltipValue ?? "",
};

function drawnData(props: TimeChartProps): uPlot.AlignedData {
  const columns = props.stacked ? stackColumns(props.columns).reverse() : props.columns;
  return [props.times, ...columns] as uPlot.AlignedData;
}

function valuesAt({ lines, columns, unit }: TimeChartProps, index: number) {
  return lines.map(({ name, colour }, line) => ({
    name,
    colour,
    text: formatText(columns[line]?.[index] ?? null, unit),
  }));
}

/** The rows stand as the layers do, the top of a stack first. */
function tooltipRows(props: TimeChartProps, index: number) {
  const rows = valuesAt(props, index);
  return props.stacked ? rows.reverse() : rows;
}

export function TimeChart(props: TimeChartProps) {
  const host = useRef<HTMLDivElement>(null);
  const live = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot | null>(null);
  // The functions given to uPlot outlive a render: they look here for the newest props.
  const current = useRef(props);
  current.current = props;
  const pointed = useRef(false);

  const shape = JSON.stringify([props.lines, props.stacked, props.unit, props.softMax, props.max]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: only these call for a new chart.
  useLayoutEffect(() => {
    const parent = host.current;
    if (parent === null) return;
    const tooltip = new Tooltip(TOOLTIP_CLASSES);
    const onCursor = (plot: uPlot): void => {
      const index = (plot.cursor.left ?? -1) < 0 ? null : (plot.cursor.idx ?? null);
      current.current.onCursor(index);
      const timeS = index === null ? undefined : current.current.times[index];
      if (!pointed.current || index === null || timeS === undefined) tooltip.hide();
      else tooltip.show(plot, timeS, tooltipRows(current.current, index));
    };
    const plot = new uPlot(
      chartOptions({
        ...props,
        lines: props.stacked ? [...props.lines].reverse() : props.lines,
        window: () => current.current.window,
        onZoom: (fromMs, toMs) => current.current.onZoom(fromMs, toMs),
        onZoomOut: () => current.current.onZoomOut(),
        onCursor,
      }),
      drawnData(props),
      parent,
    );
    tooltip.attach(plot);
    plot.over.addEventListener("mouseenter", () => {
      pointed.current = true;
    });
    plot.over.addEventListener("mouseleave", () => {
      pointed.current = false;
      tooltip.hide();
    });
    chart.current = plot;
    // The first drawing may be older than the web font.
    void document.fonts.ready.then(() => {
      if (chart.current === plot) plot.redraw(false, true);
    });
    return () => {
      chart.current = null;
      plot.destroy();
    };
  }, [shape, props.colours]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: these change with the data.
  useEffect(() => {
    chart.current?.setData(drawnData(props));
  }, [props.times, props.columns]);

  useEffect(() => {
    chart.current?.setSize({ width: props.widthPx, height: props.heightPx });
  }, [props.widthPx, props.heightPx]);

  const onKeyDown = (event: React.KeyboardEvent): void => {
    const plot = chart.current;
    if (plot === null) return;
    pointed.current = true;
    const index = moveCrosshair(plot, event);
    if (index === undefined) return;
    event.preventDefault();
    if (index === null || live.current === null) return;
    const values = valuesAt(current.current, index).map(({ name, text }) => `${name} ${text}`);
    live.current.textContent = `${momentText(current.current.times[index] ?? 0)}: ${values.join(", ")}`;
  };

  return (
    <>
      {/* biome-ignore lint/a11y/useSemanticElements: a fieldset is a form's part. */}
      <div
        ref={host}
        className={css.chart}
        role="group"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: arrow keys move the crosshair.
        tabIndex={0}
        aria-label={`${props.label}, chart. Arrow keys move the crosshair.`}
        onKeyDown={onKeyDown}
        onBlur={() => {
          pointed.current = false;
          chart.current?.setCursor({ left: -10, top: -10 });
        }}
      />
      <div ref={live} className={css.live} aria-live="polite" />
    </>
  );
}
