// Owns: the geometry of a gauge: a value's share of the arc, its level, and the arc's SVG path.

import type { Thresholds } from "../panels";

export type Level = "good" | "high" | "critical";

/** The arc opens downwards: it runs from the lower left over the top to the lower right. */
export const ARC_SWEEP_DEGREES = 240;

export function levelOf(value: number, { high, critical }: Thresholds): Level {
  if (value >= critical) return "critical";
  return value >= high ? "high" : "good";
}

/** 0 at the left end, 1 at the right end; values outside 0 to 100 stay at the ends. */
export function shareOfArc(percent: number): number {
  return Math.min(Math.max(percent / 100, 0), 1);
}

export interface Circle {
  readonly x: number;
  readonly y: number;
  readonly radius: number;
}

function pointAt({ x, y, radius }: Circle, share: number): string {
  const degrees = -90 - ARC_SWEEP_DEGREES / 2 + share * ARC_SWEEP_DEGREES;
  const radians = (degrees * Math.PI) / 180;
  return `${(x + radius * Math.cos(radians)).toFixed(2)} ${(y + radius * Math.sin(radians)).toFixed(2)}`;
}

export function arcPath(circle: Circle, fromShare: number, toShare: number): string {
  const large = (toShare - fromShare) * ARC_SWEEP_DEGREES > 180 ? 1 : 0;
  const { radius } = circle;
  return `M ${pointAt(circle, fromShare)} A ${radius} ${radius} 0 ${large} 1 ${pointAt(circle, toShare)}`;
}
