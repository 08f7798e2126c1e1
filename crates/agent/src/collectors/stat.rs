//! `stat`: interrupts, context switches, forks, boot time and processes, from `/proc/stat`.

use crate::{
    collector::{Collector, Context},
    error::CollectError,
    scan,
    source::{KeptFile, Root},
};
use skopos_model::MetricType;

/// A line of `/proc/stat` and the metric of its first number.
#[derive(Debug)]
struct Line {
    key: &'static [u8],
    name: &'static str,
    kind: MetricType,
    help: &'static str,
}

const LINES: &[Line] = &[
    Line {
        key: b"btime",
        name: "node_boot_time_seconds",
        kind: MetricType::Gauge,
        help: "When the machine was booted, in seconds since 1970.",
    },
    Line {
        key: b"ctxt",
        name: "node_context_switches_total",
        kind: MetricType::Counter,
        help: "Context switches.",
    },
    Line { key: b"processes", name: "node_forks_total", kind: MetricType::Counter, help: "Forks." },
    Line { key: b"intr", name: "node_intr_total", kind: MetricType::Counter, help: "Interrupts serviced." },
    Line {
        key: b"procs_blocked",
        name: "node_procs_blocked",
        kind: MetricType::Gauge,
        help: "Processes that wait for I/O.",
    },
    Line {
        key: b"procs_running",
        name: "node_procs_running",
        kind: MetricType::Gauge,
        help: "Processes that can run.",
    },
];

/// The kinds of soft interrupts, in the order of the kernel's line.
const SOFTIRQS: [&str; 10] =
    ["hi", "timer", "net_tx", "net_rx", "block", "block_iopoll", "tasklet", "sched", "hrtimer", "rcu"];

/// The collector.
#[derive(Debug)]
pub(crate) struct Stat {
    file: KeptFile,
    softirq: bool,
}

impl Stat {
    pub(crate) fn new(softirq: bool) -> Self {
        Self { file: KeptFile::default(), softirq }
    }
}

impl Collector for Stat {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        self.file.read(context.paths, Root::Proc, format_args!("stat"))?;
        let mut values = [None; LINES.len()];
        let mut softirqs = None;
        for line in self.file.lines()? {
            let mut fields = scan::fields(line);
            let Some(key) = fields.next() else { continue };
            if key == b"softirq" {
                softirqs = Some(fields);
            } else if let Some(at) = LINES.iter().position(|known| known.key == key) {
                let value =
                    fields.number().ok_or_else(|| self.file.bad_line(line, "a number is expected"))?;
                values[at] = Some(value);
            }
        }
        if values.iter().all(Option::is_none) {
            return Err(self.file.malformed("none of the lines btime, ctxt, processes, intr stands in it"));
        }
        for (line, value) in LINES.iter().zip(values) {
            if let Some(value) = value {
                context.out.family(line.name, line.kind, line.help).sample(&[], value as f64);
            }
        }
        if let Some(fields) = softirqs.filter(|_| self.softirq) {
            let counts =
                softirq_counts(fields).ok_or_else(|| self.file.malformed("a softirq is no number"))?;
            let help = "Soft interrupts by kind.";
            let mut family = context.out.family("node_softirqs_total", MetricType::Counter, help);
            for (kind, count) in SOFTIRQS.iter().zip(counts) {
                family.sample(&[("vector", kind)], count as f64);
            }
        }
        Ok(())
    }
}

/// The counts by kind; the line's first number is their sum. Kinds that this kernel does not have
/// are zero.
fn softirq_counts(mut fields: scan::Fields<'_>) -> Option<[u64; SOFTIRQS.len()]> {
    fields.number()?;
    let mut counts = [0; SOFTIRQS.len()];
    for (count, field) in counts.iter_mut().zip(fields) {
        *count = scan::number(field)?;
    }
    Some(counts)
}
