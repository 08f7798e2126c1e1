//! What the system says of this process: CPU, memory, descriptors, start. Says nothing of what the process
//! does.

use skopos_exposition::Families;
use skopos_model::MetricType;
use std::{fs, sync::OnceLock};

/// The kernel counts processor time in hundredths of a second, on every architecture that we run on.
const TICKS_PER_SECOND: f64 = 100.0;

/// Writes what can be read, as families of their own; what cannot is left out.
pub fn write(out: &mut Families<'_>) {
    out.family("skopos_build_info", MetricType::Gauge, "A constant 1, labelled by the program's version.");
    out.sample("", &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    if let Some(stat) = fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(Stat::parse) {
        out.counter(
            "process_cpu_seconds_total",
            "Processor time that this process used, in user and in system mode.",
            stat.cpu_ticks / TICKS_PER_SECOND,
        );
        out.gauge("process_virtual_memory_bytes", "Address space of this process.", stat.virtual_bytes);
        out.gauge("process_threads", "Threads of this process.", stat.threads);
        // The kernel counts all interrupts for whoever asks when the machine began: it is asked once.
        static BOOT: OnceLock<Option<f64>> = OnceLock::new();
        if let Some(boot) = BOOT.get_or_init(boot_time_seconds) {
            let start = boot + stat.start_ticks / TICKS_PER_SECOND;
            out.gauge(
                "process_start_time_seconds",
                "When this process started, since the Unix epoch.",
                start,
            );
        }
    }
    if let Some(bytes) = resident_bytes() {
        out.gauge("process_resident_memory_bytes", "Memory that this process holds.", bytes);
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        out.gauge("process_open_fds", "File descriptors that this process has open.", open.count() as f64);
    }
    if let Some(max) = fs::read_to_string("/proc/self/limits").ok().as_deref().and_then(max_fds) {
        out.gauge("process_max_fds", "File descriptors that this process may open.", max);
    }
}

/// How many threads this process has.
pub fn threads() -> Option<usize> {
    Some(Stat::parse(&fs::read_to_string("/proc/self/stat").ok()?)?.threads as usize)
}

#[derive(Debug, PartialEq)]
struct Stat {
    cpu_ticks: f64,
    threads: f64,
    start_ticks: f64,
    virtual_bytes: f64,
}

impl Stat {
    /// The line of `/proc/self/stat`; the name in parentheses may itself hold anything.
    fn parse(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line[line.rfind(')')? + 1..].split_whitespace().collect();
        // Numbers of the fields as the manual counts them, from 1; the first behind the name is 3.
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        Some(Self {
            cpu_ticks: field(14)? + field(15)?,
            threads: field(20)?,
            start_ticks: field(22)?,
            virtual_bytes: field(23)?,
        })
    }
}

fn boot_time_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|l| l.strip_prefix("btime ")?.trim().parse().ok())
}

fn resident_bytes() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kib: f64 =
        status.lines().find_map(|l| l.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok())?;
    Some(kib * 1024.0)
}

fn max_fds(limits: &str) -> Option<f64> {
    limits.lines().find_map(|l| l.strip_prefix("Max open files")?.split_whitespace().next()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let line = "42 (a) b) S 1 42 42 0 -1 4194304 100 0 0 0 7 5 0 0 20 0 9 0 12345 1000000 250 0";
        let stat = Stat { cpu_ticks: 12.0, threads: 9.0, start_ticks: 12345.0, virtual_bytes: 1e6 };
        assert_eq!(Stat::parse(line), Some(stat));
        assert_eq!(Stat::parse("42 (a"), None);
        assert_eq!(Stat::parse("42 (a) S 1"), None);
    }

    #[test]
    fn limits_are_found() {
        let text = "Limit                     Soft Limit           Hard Limit           Units\n\
                    Max open files            1024                 4096                 files\n";
        assert_eq!(max_fds(text), Some(1024.0));
    }
}
