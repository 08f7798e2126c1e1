//! `tapestats`: what each tape drive did, from `/sys/class/scsi_tape`.

use super::class::{Class, Column};
use crate::{
    collector::{Collector, Context},
    error::CollectError,
    filter::Filter,
};
use skopos_model::MetricType;

const NANOSECONDS: f64 = 1e9;

const fn counter(file: &'static str, name: &'static str, divisor: f64, help: &'static str) -> Column {
    Column { file, name, kind: MetricType::Counter, divisor, help }
}

const COLUMNS: &[Column] = &[
    Column::gauge("in_flight", "node_tape_io_now", "Requests in progress."),
    counter("other_cnt", "node_tape_io_others_total", 1.0, "Requests other than reads and writes."),
    counter(
        "io_ns",
        "node_tape_io_time_seconds_total",
        NANOSECONDS,
        "Seconds spent by all requests, movements of the tape among them.",
    ),
    counter("read_byte_cnt", "node_tape_read_bytes_total", 1.0, "Bytes read."),
    counter("read_ns", "node_tape_read_time_seconds_total", NANOSECONDS, "Seconds spent by all reads."),
    counter("read_cnt", "node_tape_reads_completed_total", 1.0, "Reads completed."),
    counter(
        "resid_cnt",
        "node_tape_residual_total",
        1.0,
        "Reads and writes that moved another number of bytes than was asked for.",
    ),
    counter("write_ns", "node_tape_write_time_seconds_total", NANOSECONDS, "Seconds spent by all writes."),
    counter("write_cnt", "node_tape_writes_completed_total", 1.0, "Writes completed."),
    counter("write_byte_cnt", "node_tape_written_bytes_total", 1.0, "Bytes written."),
];

/// The collector.
#[derive(Debug)]
pub(crate) struct TapeStats {
    tapes: Filter,
    class: Class,
}

impl TapeStats {
    pub(crate) fn new(tapes: &Filter) -> Self {
        Self { tapes: tapes.clone(), class: Class::default() }
    }
}

impl Collector for TapeStats {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        let admits = |name: &str| is_tape(name) && self.tapes.admits(name.as_bytes());
        if !self.class.read(context, ["class/scsi_tape", "stats/"], COLUMNS, admits)? {
            return Err(CollectError::NoData("the machine has no tape drives".into()));
        }
        self.class.write(COLUMNS, "device", context);
        Ok(())
    }
}

/// A drive has more names than `st0`, such as `nst0` and `st0l`; they all count the same.
fn is_tape(name: &str) -> bool {
    name.strip_prefix("st")
        .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}
