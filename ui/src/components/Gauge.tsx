// Owns: a panel with one percentage as an arc: value, thresholds as a thin outer ring, and the level in
// words.

import { arcPath, type Level, levelOf, shareOfArc } from "../lib/arc";
import { formatText, formatUnit } from "../lib/units";
import type { GaugePanel } from "../panels";
import { useInstant } from "../state/useInstant";
import css from "./Gauge.module.css";
import { PanelFrame } from "./PanelFrame";

const VALUE = { x: 100, y: 92, radius: 70 };
const RING = { x: 100, y: 92, radius: 83 };
const LEVEL_WORDS: Readonly<Record<Level, string>> = { good: "", high: "high", critical: "critical" };

/** Degrees of rounding keep the thin segments of the ring apart. */
const RING_GAP = 0.008;

function Ring({ high, critical }: { readonly high: number; readonly critical: number }) {
  const atHigh = shareOfArc(high);
  const atCritical = shareOfArc(critical);
  return (
    <g className={css.ring}>
      <path data-level="good" d={arcPath(RING, 0, atHigh - RING_GAP)} />
      <path data-level="high" d={arcPath(RING, atHigh, atCritical - RING_GAP)} />
      <path data-level="critical" d={arcPath(RING, atCritical, 1)} />
    </g>
  );
}

export function Gauge({ panel }: { readonly panel: GaugePanel }) {
  const view = useInstant(panel);
  const value = view.data ?? 0;
  const level = levelOf(value, panel.thresholds);
  const { number, suffix } = formatUnit(value, panel.unit);
  const words = LEVEL_WORDS[level];
  return (
    <PanelFrame
      panel={panel}
      view={view}
      facts={{ "data-value": view.data ?? undefined, "data-level": level }}
    >
      {/* biome-ignore lint/a11y/useSemanticElements: a <meter> cannot be drawn as an arc. */}
      <div
        className={css.gauge}
        role="meter"
        aria-label={panel.title}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={Math.min(Math.max(value, 0), 100)}
        aria-valuetext={`${formatText(value, panel.unit)}${words === "" ? "" : `, ${words}`}`}
      >
        <svg viewBox="8 4 184 136" className={css.drawing} aria-hidden="true">
          <Ring {...panel.thresholds} />
          <path className={css.track} d={arcPath(VALUE, 0, 1)} pathLength={100} />
          <path
            className={css.value}
            data-level={level}
            d={arcPath(VALUE, 0, 1)}
            pathLength={100}
            // The dash is the value; a gap longer than the arc keeps a second dash away.
            strokeDasharray={`${(shareOfArc(value) * 100).toFixed(2)} 200`}
          />
          <text x="100" y="103" textAnchor="middle" className={css.number}>
            {number}
            <tspan className={css.suffix} dx="3">
              {suffix}
            </tspan>
          </text>
          <text x="100" y="127" textAnchor="middle" className={css.words} data-level={level}>
            {words}
          </text>
        </svg>
      </div>
    </PanelFrame>
  );
}
