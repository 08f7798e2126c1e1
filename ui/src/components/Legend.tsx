// Owns: a chart's legend: names, the value now or below the crosshair, mean and maximum; toggles series.
// Never: re-renders for the crosshair; the values are written into their cells directly.

import { type Ref, useImperativeHandle, useRef } from "react";
import { formatText, type Unit } from "../lib/units";
import type { ChartSeries } from "../state/useRange";
import css from "./Legend.module.css";

export interface LegendEntry extends ChartSeries {
  readonly colour: string;
  readonly hidden: boolean;
}

export interface LegendHandle {
  /** Shows the values at an index of the columns; null goes back to the newest ones. */
  readonly point: (index: number | null) => void;
}

export interface LegendProps {
  readonly entries: readonly LegendEntry[];
  readonly unit: Unit;
  readonly side: boolean;
  /** Absent: the series cannot be switched off (there is only one). */
  readonly onToggle: ((name: string) => void) | undefined;
  readonly ref: Ref<LegendHandle>;
}

export function Legend({ entries, unit, side, onToggle, ref }: LegendProps) {
  const table = useRef<HTMLTableElement>(null);
  useImperativeHandle(
    ref,
    () => ({
      point: (index) => {
        table.current?.toggleAttribute("data-pointed", index !== null);
        const cells = table.current?.querySelectorAll<HTMLElement>("[data-now]") ?? [];
        cells.forEach((cell, at) => {
          const entry = entries[at];
          const value = index === null ? entry?.summary.last : entry?.column[index];
          cell.textContent = formatText(value, unit);
        });
      },
    }),
    [entries, unit],
  );
  return (
    <table
      ref={table}
      className={css.legend}
      data-side={side || undefined}
      data-single={entries.length === 1 || undefined}
    >
      <thead>
        <tr>
          <th scope="col">
            <span className={css.hiddenText}>series</span>
          </th>
          <th scope="col">
            <span className={css.now}>now</span>
            <span className={css.atCursor}>at cursor</span>
          </th>
          <th scope="col">mean</th>
          <th scope="col">max</th>
        </tr>
      </thead>
      <tbody>
        {entries.map((entry) => (
          <tr key={entry.name} data-hidden={entry.hidden || undefined} data-series={entry.name}>
            <th scope="row">
              {onToggle === undefined ? (
                <Name entry={entry} />
              ) : (
                <button
                  type="button"
                  className={css.toggle}
                  aria-pressed={!entry.hidden}
                  title={entry.hidden ? `Show ${entry.name}` : `Hide ${entry.name}`}
                  onClick={() => onToggle(entry.name)}
                >
                  <Name entry={entry} />
                </button>
              )}
            </th>
            <td data-now="" data-label="now">
              {formatText(entry.summary.last, unit)}
            </td>
            <td data-label="mean">{formatText(entry.summary.mean, unit)}</td>
            <td data-label="max">{formatText(entry.summary.max, unit)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Name({ entry }: { readonly entry: LegendEntry }) {
  const style = entry.hidden
    ? { borderColor: entry.colour }
    : { borderColor: entry.colour, background: entry.colour };
  return (
    <span className={css.name}>
      <span className={css.swatch} style={style} />
      <span className={css.nameText}>{entry.name}</span>
    </span>
  );
}
