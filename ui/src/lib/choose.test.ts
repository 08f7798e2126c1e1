// Tests which machine and device are shown.

import { describe, expect, it } from "vitest";
import type { VectorSample } from "../api/types";
import { defaultJob, devicesByTraffic, instancesOf, jobsOf, machinesOf } from "./choose";

const packets = (device: string, value: string): VectorSample => ({ metric: { device }, value: [0, value] });

describe("machines", () => {
  const machines = machinesOf([
    { __name__: "m", job: "node", instance: "b:9100" },
    { __name__: "m", job: "edge", instance: "c:9100" },
    { __name__: "m", job: "node", instance: "a10:9100" },
    { __name__: "m", job: "node", instance: "a9:9100" },
    { __name__: "m", job: "node", instance: "b:9100", extra: "same machine" },
    { __name__: "m", job: "node" },
  ]);

  it("lists each once, in natural order", () => {
    expect(jobsOf(machines)).toEqual(["edge", "node"]);
    expect(instancesOf(machines, "node")).toEqual(["a9:9100", "a10:9100", "b:9100"]);
    expect(instancesOf(machines, null)).toEqual([]);
  });

  it("prefers the job node, else the first", () => {
    expect(defaultJob(jobsOf(machines))).toBe("node");
    expect(defaultJob(["edge", "web"])).toBe("edge");
    expect(defaultJob([])).toBeNull();
  });
});

describe("devicesByTraffic", () => {
  it("puts the busiest first and the loopback last, however busy", () => {
    const devices = devicesByTraffic([
      packets("lo", "9e9"),
      packets("eth0", "10"),
      packets("wlan0", "2000"),
      packets("docker0", "0"),
    ]);
    expect(devices).toEqual(["wlan0", "eth0", "docker0", "lo"]);
  });

  it("takes the loopback where there is nothing else", () => {
    expect(devicesByTraffic([packets("lo", "1")])).toEqual(["lo"]);
  });
});
