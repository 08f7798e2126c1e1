// Tests filling expressions, above all escaping.

import { describe, expect, it } from "vitest";
import { PANELS } from "../panels";
import { escapeLabelValue, fillExpression, usesDevice } from "./template";

const VARIABLES = { instance: "web:9100", job: "node", device: "eth0" };

describe("escapeLabelValue", () => {
  it.each([
    ["plain", "plain"],
    ['say "hi"', 'say \\"hi\\"'],
    ["C:\\temp", "C:\\\\temp"],
    ['\\"', '\\\\\\"'],
    ["two\nlines", "two\\nlines"],
    ["tab\there\r", "tab\\there\\r"],
    ["Gerät $1 $&", "Gerät $1 $&"],
  ])("escapes %j", (value, expected) => {
    expect(escapeLabelValue(value)).toBe(expected);
  });
});

describe("fillExpression", () => {
  it("fills every variable, each as often as it stands there", () => {
    const expr =
      'rate(a{instance="$instance",job="$job",device="$device"}[$__rate_interval]) / b{job="$job"}';
    expect(fillExpression(expr, VARIABLES, 60_000)).toBe(
      'rate(a{instance="web:9100",job="node",device="eth0"}[60s]) / b{job="node"}',
    );
  });

  it("escapes values, so that no value can leave its string", () => {
    const evil = { ...VARIABLES, instance: 'x"} or up{job="y' };
    expect(fillExpression('m{instance="$instance"}', evil, 1000)).toBe('m{instance="x\\"} or up{job=\\"y"}');
  });

  it("does not expand variables inside values, nor replacement patterns", () => {
    const tricky = { ...VARIABLES, instance: "$job $& $__rate_interval" };
    expect(fillExpression('m{instance="$instance",job="$job"}', tricky, 1000)).toBe(
      'm{instance="$job $& $__rate_interval",job="node"}',
    );
  });

  it("leaves longer names alone", () => {
    expect(fillExpression("$jobs $instance_x", VARIABLES, 1000)).toBe("$jobs $instance_x");
  });

  it.each(PANELS.map((panel) => [panel.title, panel.expr]))("leaves nothing to fill in %s", (_, expr) => {
    expect(fillExpression(expr, VARIABLES, 20_000)).not.toContain("$");
  });
});

describe("usesDevice", () => {
  it("is true for the two network panels only", () => {
    const titles = PANELS.filter((panel) => usesDevice(panel.expr)).map((panel) => panel.title);
    expect(titles).toEqual(["Network Traffic (received)", "Network Traffic (transmitted)"]);
  });
});
