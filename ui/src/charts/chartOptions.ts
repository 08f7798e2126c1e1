// Owns: the uPlot options of every chart: scales, axes, lines, stacks, crosshair, drag to zoom.
// Never: holds React state; what changes over time comes in by the functions of ChartInput.

import type uPlot from "uplot";
import type { Window } from "../lib/timeRange";
import { formatTick, type Unit } from "../lib/units";
import { type ChartColours, fade } from "./palette";
import { axisText } from "./timeText";

export interface ChartLine {
  readonly name: string;
  readonly colour: string;
}

export interface ChartInput {
  readonly widthPx: number;
  readonly heightPx: number;
  /**
   * In drawing order. A stack is drawn from its top: a layer of zero height then hides below the one under
   * it.
   */
  readonly lines: readonly ChartLine[];
  readonly stacked: boolean;
  readonly unit: Unit;
  readonly softMax: number | undefined;
  readonly max: number | undefined;
  readonly colours: ChartColours;
  readonly window: () => Window;
  readonly onZoom: (fromMs: number, toMs: number) => void;
  readonly onZoomOut: () => void;
  readonly onCursor: (chart: uPlot) => void;
}

const SYNC_KEY = "skopos";
const MIN_DRAG_PX = 6;
/** Width of "13:04:05" on the time axis; a label that would not fit before the right edge is left out. */
const LABEL_PX = 50;
const FONT = '11px Inter, system-ui, "DejaVu Sans", sans-serif';

/** Points worth a dot: the newest one, and those that no line reaches because both neighbours are missing. */
export function dottedPoints(column: ArrayLike<number | null | undefined>, markNewest: boolean): number[] {
  const dots: number[] = [];
  let newest = -1;
  for (let index = 0; index < column.length; index += 1) {
    if (column[index] == null) continue;
    newest = index;
    if (column[index - 1] == null && column[index + 1] == null) dots.push(index);
  }
  if (markNewest && newest >= 0 && dots.at(-1) !== newest) dots.push(newest);
  return dots;
}

function valueRange(input: ChartInput, dataMax: number): [number, number] {
  if (input.max !== undefined) return [0, input.max];
  const top = Math.max(dataMax * 1.08, input.softMax ?? 0);
  // Shares of a whole end at 100; rates of several counters add up to a little more at times.
  if (input.unit === "percent" && dataMax <= 105) return [0, Math.min(top, Math.max(dataMax, 100))];
  return [0, top > 0 ? top : 1];
}

function line(input: ChartInput, { name, colour }: ChartLine): uPlot.Series {
  return {
    label: name,
    stroke: colour,
    width: 1.5,
    fill: fade(colour, input.stacked ? 0.32 : 0.12),
    spanGaps: false,
    points: {
      show: () => false,
      size: 4,
      fill: colour,
      stroke: colour,
      filter: (chart: uPlot, index: number) => dottedPoints(chart.data[index] ?? [], !input.stacked),
    },
  };
}

function axes({ colours, unit }: ChartInput): uPlot.Axis[] {
  const common = {
    stroke: colours.axis,
    font: FONT,
    grid: { stroke: colours.grid, width: 1 },
    ticks: { show: false },
    border: { show: false },
  };
  return [
    {
      ...common,
      space: 72,
      size: 24,
      gap: 6,
      grid: { show: false },
      values: (chart, splits, _, __, increment) => {
        const roomy = chart.posToVal(
          chart.over.clientWidth - (increment < 60 ? LABEL_PX : LABEL_PX * 0.6) / 2,
          "x",
        );
        return splits.map((timeS) => (timeS > roomy ? "" : axisText(timeS, increment)));
      },
    },
    {
      ...common,
      space: 34,
      size: unit === "percent" || unit === "packets/s" ? 50 : 40,
      gap: 8,
      values: (_, splits) => splits.map((value) => formatTick(value, unit)),
    },
  ];
}

function cursor(input: ChartInput): uPlot.Cursor {
  return {
    y: false,
    drag: { x: true, y: false, setScale: false, dist: MIN_DRAG_PX },
    points: { size: 7, width: 1.5, fill: (_, index) => input.lines[index - 1]?.colour ?? input.colours.axis },
    bind: {
      // uPlot would reset its scales here; the page's range is what a double click widens.
      dblclick: () => () => {
        input.onZoomOut();
        return null;
      },
    },
    sync: {
      key: SYNC_KEY,
      setSeries: false,
      scales: ["x", null],
      // Only the crosshair is shared: a drag on one chart must not select on all.
      filters: { pub: (type) => type === "mousemove" || type === "mouseleave" },
    },
  };
}

export function chartOptions(input: ChartInput): uPlot.Options {
  const bands = input.stacked
    ? input.lines.slice(1).map((_, index): uPlot.Band => ({ series: [index + 1, index + 2] }))
    : [];
  return {
    width: input.widthPx,
    height: input.heightPx,
    padding: [8, 12, 0, 0],
    legend: { show: false },
    scales: {
      x: {
        time: true,
        range: () => {
          const { fromMs, toMs } = input.window();
          return [fromMs / 1000, toMs / 1000];
        },
      },
      y: { range: (_, __, dataMax) => valueRange(input, Number.isFinite(dataMax) ? dataMax : 0) },
    },
    axes: axes(input),
    series: [{}, ...input.lines.map((one) => line(input, one))],
    bands,
    cursor: cursor(input),
    hooks: {
      setCursor: [input.onCursor],
      setSelect: [
        (chart) => {
          const { left, width } = chart.select;
          if (width < MIN_DRAG_PX) return;
          const fromMs = chart.posToVal(left, "x") * 1000;
          const toMs = chart.posToVal(left + width, "x") * 1000;
          chart.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          input.onZoom(fromMs, toMs);
        },
      ],
    },
  };
}
