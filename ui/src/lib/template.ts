// Owns: putting the chosen instance, job, device and rate window into a panel's expression.
// Never: parses PromQL; a value is escaped for the double-quoted string that it stands in.

import { promDuration } from "./duration";

export interface QueryVariables {
  readonly instance: string;
  readonly job: string;
  readonly device: string;
}

/** The inside of a double-quoted PromQL string: backslash, quote and control characters escaped. */
export function escapeLabelValue(value: string): string {
  return value
    .replace(/\\/g, "\\\\")
    .replace(/"/g, '\\"')
    .replace(/\n/g, "\\n")
    .replace(/\r/g, "\\r")
    .replace(/\t/g, "\\t");
}

// One pass over the expression: a label value that itself reads "$job" is never expanded a second time.
const VARIABLE = /\$(__rate_interval|instance|job|device)\b/g;

export function fillExpression(expr: string, variables: QueryVariables, rateIntervalMs: number): string {
  return expr.replace(VARIABLE, (_, name: string) => {
    switch (name) {
      case "__rate_interval":
        return promDuration(rateIntervalMs);
      case "instance":
        return escapeLabelValue(variables.instance);
      case "job":
        return escapeLabelValue(variables.job);
      default:
        return escapeLabelValue(variables.device);
    }
  });
}

export function usesDevice(expr: string): boolean {
  return /\$device\b/.test(expr);
}
