//! `schedstat`: how long each CPU ran tasks and let them wait, from `/proc/schedstat`.

use crate::{
    collector::{Collector, Context},
    error::CollectError,
    scan,
    source::{KeptFile, Root},
};
use skopos_model::MetricType;

const NANOSECONDS: f64 = 1e9;
/// What stands in a CPU's line before the three numbers.
const SKIPPED: usize = 6;

/// The families: the name, the help text, what the number is divided by.
const FAMILIES: [(&str, &str, f64); 3] = [
    ("node_schedstat_running_seconds_total", "Seconds in which the CPU ran tasks.", NANOSECONDS),
    ("node_schedstat_waiting_seconds_total", "Seconds that tasks waited for the CPU.", NANOSECONDS),
    ("node_schedstat_timeslices_total", "Time slices that the CPU ran.", 1.0),
];

/// The collector.
#[derive(Debug, Default)]
pub(crate) struct SchedStat {
    file: KeptFile,
    cpus: Vec<(String, [u64; FAMILIES.len()])>,
}

impl Collector for SchedStat {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        if !self.file.read_if_exists(context.paths, Root::Proc, format_args!("schedstat"))? {
            return Err(CollectError::NoData(
                "the kernel was built without statistics of its scheduler".into(),
            ));
        }
        self.cpus.clear();
        let mut last = None;
        for line in self.file.lines()?.filter(|line| line.starts_with(b"cpu")) {
            let (cpu, numbers) = parse(line).ok_or_else(|| self.file.bad_line(line, "a CPU is expected"))?;
            if last.is_some_and(|last| last >= cpu) {
                return Err(self.file.bad_line(line, "a CPU of a higher number is expected"));
            }
            last = Some(cpu);
            self.cpus.push((cpu.to_string(), numbers));
        }
        for (i, (name, help, divisor)) in FAMILIES.into_iter().enumerate() {
            let mut family = context.out.family(name, MetricType::Counter, help);
            for (cpu, numbers) in &self.cpus {
                family.sample(&[("cpu", cpu)], numbers[i] as f64 / divisor);
            }
        }
        Ok(())
    }
}

/// A line such as `cpu0 0 0 0 0 0 0 2045936778163039 343796328169361 4767485306`.
fn parse(line: &[u8]) -> Option<(u64, [u64; FAMILIES.len()])> {
    let mut fields = scan::fields(line);
    let cpu = scan::number(fields.next()?.strip_prefix(b"cpu")?)?;
    for _ in 0..SKIPPED {
        fields.number()?;
    }
    Some((cpu, [fields.number()?, fields.number()?, fields.number()?]))
}
