//! `softnet`: how each CPU's queue of packets fares, from `/proc/net/softnet_stat`.

use crate::{
    collector::{Collector, Context},
    error::CollectError,
    scan,
    source::{KeptFile, Root},
};
use skopos_model::MetricType::{self, Counter, Gauge};

/// The least that a line has, since Linux 2.6.
const MIN_FIELDS: usize = 9;
/// Where newer kernels write the number of the CPU.
const CPU_FIELD: usize = 12;
const MAX_FIELDS: usize = 16;

/// A family and the field of its value.
type Column = (usize, &'static str, MetricType, &'static str);

const COLUMNS: [Column; 7] = [
    (11, "node_softnet_backlog_len", Gauge, "Packets that wait in the CPU's queue."),
    (8, "node_softnet_cpu_collision_total", Counter, "Times that another CPU held the device to send to."),
    (1, "node_softnet_dropped_total", Counter, "Packets dropped since the queue was full."),
    (10, "node_softnet_flow_limit_count_total", Counter, "Times that a flow reached its limit."),
    (0, "node_softnet_processed_total", Counter, "Packets processed."),
    (9, "node_softnet_received_rps_total", Counter, "Times that another CPU woke this one to take packets."),
    (
        2,
        "node_softnet_times_squeezed_total",
        Counter,
        "Times that packets were left since the time was over.",
    ),
];

/// A line's fields, and how many it has.
type Row = ([u64; MAX_FIELDS], usize);

/// The collector.
#[derive(Debug, Default)]
pub(crate) struct SoftNet {
    file: KeptFile,
    rows: Vec<(String, Row)>,
}

impl Collector for SoftNet {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        self.file.read(context.paths, Root::Proc, format_args!("net/softnet_stat"))?;
        self.rows.clear();
        let mut last = None;
        for (i, line) in self.file.lines()?.enumerate() {
            let row = parse(line);
            let row = row
                .ok_or_else(|| self.file.bad_line(line, "at least nine hexadecimal numbers are expected"))?;
            // Older kernels do not number the lines, and leave CPUs out that are offline.
            let cpu = if row.1 > CPU_FIELD { row.0[CPU_FIELD] } else { i as u64 };
            if last.is_some_and(|last| last >= cpu) {
                return Err(self.file.bad_line(line, "a CPU of a higher number is expected"));
            }
            last = Some(cpu);
            self.rows.push((cpu.to_string(), row));
        }
        for (field, name, kind, help) in COLUMNS {
            let mut family = context.out.family(name, kind, help);
            for (cpu, (fields, _)) in self.rows.iter().filter(|(_, (_, given))| field < *given) {
                family.sample(&[("cpu", cpu)], fields[field] as f64);
            }
        }
        Ok(())
    }
}

fn parse(line: &[u8]) -> Option<Row> {
    let (mut numbers, mut given) = ([0; MAX_FIELDS], 0);
    for (number, field) in numbers.iter_mut().zip(scan::fields(line)) {
        *number = scan::hexadecimal(field)?;
        given += 1;
    }
    (given >= MIN_FIELDS).then_some((numbers, given))
}
