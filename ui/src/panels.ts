// Owns: the dashboard as data: every panel's title, expression and how it is drawn.
// Never: draws or asks; change a panel here and nowhere else.

import type { Unit } from "./lib/units";

/** From these values on a gauge counts as high (orange) or critical (red). */
export interface Thresholds {
  readonly high: number;
  readonly critical: number;
}

interface PanelBase {
  readonly title: string;
  readonly unit: Unit;
  readonly expr: string;
  /** The metric whose absence explains an empty panel. */
  readonly metric: string;
}

export interface GaugePanel extends PanelBase {
  readonly kind: "gauge";
  readonly thresholds: Thresholds;
}

export interface NumberPanel extends PanelBase {
  readonly kind: "number";
}

export interface SeriesPanel extends PanelBase {
  readonly kind: "series";
  /** Names each series by a label's value, or all of them by one text. */
  readonly name: { readonly label: string } | { readonly text: string };
  readonly stacked?: boolean;
  /** Order of the label's values, first at the bottom of a stack; others follow by name. */
  readonly order?: readonly string[];
  /** Series that stand in the legend but are not drawn until asked for. */
  readonly hidden?: readonly string[];
  /** The top of the y axis is at least this … */
  readonly softMax?: number;
  /** … or always this. */
  readonly max?: number;
  /** Index into the palette of the first series. */
  readonly colour: number;
  /** Share of a desktop row, of 12. */
  readonly columns: number;
}

export type Panel = GaugePanel | NumberPanel | SeriesPanel;

/** The metric by which a job and an instance count as a machine that can be shown. */
export const MACHINE_METRIC = "node_time_seconds";

/** The metric that tells which network devices a machine has and which of them carries most traffic. */
export const DEVICE_METRIC = "node_network_receive_packets_total";

export const GAUGES: readonly GaugePanel[] = [
  {
    kind: "gauge",
    title: "RAM Used",
    unit: "percent",
    expr: '100 * (1 - (node_memory_MemAvailable_bytes{instance="$instance",job="$job"} / node_memory_MemTotal_bytes{instance="$instance",job="$job"}))',
    metric: "node_memory_MemAvailable_bytes",
    thresholds: { high: 80, critical: 90 },
  },
  {
    kind: "gauge",
    title: "CPU Busy",
    unit: "percent",
    expr: '(sum by(instance) (irate(node_cpu_seconds_total{instance="$instance",job="$job", mode!="idle"}[$__rate_interval])) / on(instance) group_left sum by (instance)((irate(node_cpu_seconds_total{instance="$instance",job="$job"}[$__rate_interval])))) * 100',
    metric: "node_cpu_seconds_total",
    thresholds: { high: 85, critical: 95 },
  },
  {
    kind: "gauge",
    title: "Root FS Used",
    unit: "percent",
    expr: '100 - ((node_filesystem_avail_bytes{instance="$instance",job="$job",mountpoint="/",fstype!="rootfs"} * 100) / node_filesystem_size_bytes{instance="$instance",job="$job",mountpoint="/",fstype!="rootfs"})',
    metric: "node_filesystem_avail_bytes",
    thresholds: { high: 80, critical: 90 },
  },
  {
    kind: "gauge",
    title: "Sys Load (5m avg)",
    unit: "percent",
    expr: 'avg(node_load5{instance="$instance",job="$job"}) / count(count(node_cpu_seconds_total{instance="$instance",job="$job"}) by (cpu)) * 100',
    metric: "node_load5",
    thresholds: { high: 85, critical: 95 },
  },
];

export const NUMBERS: readonly NumberPanel[] = [
  {
    kind: "number",
    title: "Uptime",
    unit: "seconds",
    expr: 'node_time_seconds{instance="$instance",job="$job"} - node_boot_time_seconds{instance="$instance",job="$job"}',
    metric: "node_boot_time_seconds",
  },
  {
    kind: "number",
    title: "RootFS Total",
    unit: "bytes",
    expr: 'node_filesystem_size_bytes{instance="$instance",job="$job",mountpoint="/",fstype!="rootfs"}',
    metric: "node_filesystem_size_bytes",
  },
  {
    kind: "number",
    title: "CPU Cores",
    unit: "count",
    expr: 'count(count(node_cpu_seconds_total{instance="$instance",job="$job"}) by (cpu))',
    metric: "node_cpu_seconds_total",
  },
  {
    kind: "number",
    title: "RAM Total",
    unit: "bytes",
    expr: 'node_memory_MemTotal_bytes{instance="$instance",job="$job"}',
    metric: "node_memory_MemTotal_bytes",
  },
];

export const CHARTS: readonly SeriesPanel[] = [
  {
    kind: "series",
    title: "CPU Analysis",
    unit: "percent",
    expr: 'avg without(cpu) (irate(node_cpu_seconds_total{instance="$instance",job="$job"}[$__rate_interval])) * 100',
    metric: "node_cpu_seconds_total",
    name: { label: "mode" },
    stacked: true,
    order: ["user", "system", "iowait", "nice", "irq", "softirq", "steal", "idle"],
    hidden: ["idle"],
    softMax: 5,
    colour: 0,
    columns: 8,
  },
  {
    kind: "series",
    title: "System Load",
    unit: "load",
    expr: 'avg(node_load1{instance="$instance",job="$job"})',
    metric: "node_load1",
    name: { text: "Load, 1 min" },
    softMax: 1,
    colour: 5,
    columns: 4,
  },
  {
    kind: "series",
    title: "Network Traffic (received)",
    unit: "packets/s",
    expr: 'irate(node_network_receive_packets_total{instance="$instance",job="$job",device="$device"}[$__rate_interval])',
    metric: "node_network_receive_packets_total",
    name: { label: "device" },
    softMax: 10,
    colour: 2,
    columns: 4,
  },
  {
    kind: "series",
    title: "Network Traffic (transmitted)",
    unit: "packets/s",
    expr: 'irate(node_network_transmit_packets_total{instance="$instance",job="$job",device="$device"}[$__rate_interval])',
    metric: "node_network_transmit_packets_total",
    name: { label: "device" },
    softMax: 10,
    colour: 4,
    columns: 4,
  },
  {
    kind: "series",
    title: "RAM Memory",
    unit: "percent",
    expr: '100 * (1 - (node_memory_MemAvailable_bytes{instance="$instance",job="$job"} / node_memory_MemTotal_bytes{instance="$instance",job="$job"}))',
    metric: "node_memory_MemAvailable_bytes",
    name: { text: "RAM used" },
    max: 100,
    colour: 0,
    columns: 4,
  },
];

export const PANELS: readonly Panel[] = [...GAUGES, ...NUMBERS, ...CHARTS];
