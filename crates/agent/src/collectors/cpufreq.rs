//! `cpufreq`: how fast each CPU runs, and may run, from `/sys/devices/system/cpu`; and, if the CPUs are
//! described, what `/proc/cpuinfo` says of it.

use super::cpu_info::Frequencies;
use crate::{
    collector::{Collector, Context},
    error::CollectError,
    scan,
    source::{File, Root, exists, names_in},
    table::{self, Column, Table},
};
use skopos_model::MetricType;

const FOLDER: &str = "devices/system/cpu";
const HERTZ_PER_KILOHERTZ: f64 = 1e3;

/// The files and their families, but that of the current frequency, which has another source, too.
const FILES: [&str; 5] =
    ["cpuinfo_max_freq", "cpuinfo_min_freq", "scaling_cur_freq", "scaling_max_freq", "scaling_min_freq"];
const COLUMNS: &[Column] = &[
    table::gauge("node_cpu_frequency_max_hertz", "The highest frequency of each CPU."),
    table::gauge("node_cpu_frequency_min_hertz", "The lowest frequency of each CPU."),
    table::gauge("node_cpu_scaling_frequency_hertz", "The frequency that each CPU is set to."),
    table::gauge(
        "node_cpu_scaling_frequency_max_hertz",
        "The highest frequency that each CPU may be set to.",
    ),
    table::gauge("node_cpu_scaling_frequency_min_hertz", "The lowest frequency that each CPU may be set to."),
];
const GOVERNORS: &[Column] =
    &[table::gauge("node_cpu_scaling_governor", "What decides about each CPU's frequency: 1 if it does.")];

/// The collector.
#[derive(Debug)]
pub(crate) struct CpuFreq {
    file: File,
    table: Table,
    governors: Table,
    /// Each CPU's current frequency, in kilohertz.
    current: Vec<(u64, u64)>,
    /// What `/proc/cpuinfo` says, if that is asked for.
    described: Option<Frequencies>,
}

/// Whether `/proc/cpuinfo` is read, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Described(pub(crate) bool);

impl CpuFreq {
    pub(crate) fn new(described: Described) -> Self {
        Self {
            file: File::default(),
            table: Table::new(&["cpu"], COLUMNS),
            governors: Table::new(&["cpu", "governor"], GOVERNORS),
            current: Vec::new(),
            described: described.0.then(Frequencies::default),
        }
    }

    fn read(&mut self, cpu: u64, context: &Context<'_>) {
        let label = cpu.to_string();
        let Self { file, table, governors, current, .. } = self;
        let mut kilohertz = |name: &str| {
            file.number(context.paths, Root::Sys, format_args!("{FOLDER}/cpu{cpu}/cpufreq/{name}"))
        };
        current.extend(kilohertz("cpuinfo_cur_freq").map(|value| (cpu, value)));
        let values = FILES.map(|name| kilohertz(name).map(|value| value as f64 * HERTZ_PER_KILOHERTZ));
        table.row(&[&label]).copy_from_slice(&values);
        let mut text = |name: &str| {
            let path = format_args!("{FOLDER}/cpu{cpu}/cpufreq/{name}");
            file.value(context.paths, Root::Sys, path).map(|text| scan::text(text).into_owned())
        };
        let (Some(chosen), Some(available)) = (text("scaling_governor"), text("scaling_available_governors"))
        else {
            return;
        };
        for governor in available.split_ascii_whitespace() {
            governors.row(&[&label, governor])[0] = Some(f64::from(u8::from(governor == chosen)));
        }
    }

    fn write_current(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        if let Some(described) = &mut self.described {
            described.read(context)?;
        }
        let help = "How fast each CPU runs.";
        let mut family = context.out.family("node_cpu_frequency_hertz", MetricType::Gauge, help);
        for (cpu, kilohertz) in &self.current {
            family.sample(&[("cpu", &cpu.to_string())], *kilohertz as f64 * HERTZ_PER_KILOHERTZ);
        }
        if let Some(described) = &self.described {
            described.write(&mut family, |cpu| self.current.iter().any(|(told, _)| *told == cpu));
        }
        Ok(())
    }
}

impl Collector for CpuFreq {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        self.table.clear();
        self.governors.clear();
        self.current.clear();
        for name in names_in(context.paths, Root::Sys, FOLDER)? {
            let Some(cpu) = name.strip_prefix("cpu").and_then(|cpu| scan::number(cpu.as_bytes())) else {
                continue;
            };
            if exists(context.paths, Root::Sys, &format!("{FOLDER}/{name}/cpufreq")) {
                self.read(cpu, context);
            }
        }
        self.current.sort_unstable();
        self.write_current(context)?;
        self.table.write(&mut context.out);
        self.governors.write(&mut context.out);
        Ok(())
    }
}
