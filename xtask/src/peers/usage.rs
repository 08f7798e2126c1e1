//! What the system says of a process, and a program of itself: processor time, memory, bytes on disk,
//! counters. Never starts one.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Ticks of a second in /proc: the same on every Linux that we build for.
const TICKS_PER_S: f64 = 100.0;

/// Seconds of processor time that a process took so far, all of its threads, in and out of the kernel.
pub(crate) fn cpu_s(process: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).context("the process is gone")?;
    cpu_of(&stat).with_context(|| format!("/proc/{process}/stat cannot be understood: {stat}"))
}

fn cpu_of(stat: &str) -> Option<f64> {
    // The program's name, in parentheses, may hold blanks.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some((ticks()? + ticks()?) as f64 / TICKS_PER_S)
}

/// Milliseconds of processor time that a process' threads took so far, finer than [`cpu_s`]: threads that
/// ended are left out.
pub(crate) fn fine_cpu_ms(process: u32) -> Result<f64> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).context("the process is gone")?;
    let mut total = 0.0;
    for task in tasks.flatten() {
        // A thread may end meanwhile.
        let Ok(text) = fs::read_to_string(task.path().join("schedstat")) else { continue };
        let ns = text.split_whitespace().next().and_then(|ns| ns.parse::<f64>().ok());
        total += ns.with_context(|| format!("schedstat cannot be understood: {text}"))? / 1e6;
    }
    Ok(total)
}

/// The most memory that a process ever had resident.
pub(crate) fn peak_bytes(process: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).context("the process is gone")?;
    field(&status, "VmHWM:").context("the system does not say the most memory of a process")
}

/// A process' memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    /// All that is resident.
    pub(crate) resident_bytes: u64,
    /// What of it is no file.
    pub(crate) anonymous_bytes: u64,
}

/// The memory of a process now.
pub(crate) fn memory(process: u32) -> Result<Memory> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).context("the process is gone")?;
    memory_of(&status).with_context(|| format!("/proc/{process}/status cannot be understood"))
}

fn memory_of(status: &str) -> Option<Memory> {
    Some(Memory { resident_bytes: field(status, "VmRSS:")?, anonymous_bytes: field(status, "RssAnon:")? })
}

/// A field of /proc/PID/status in bytes.
fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib << 10)
}

/// The bytes of all files below `folder`. Those that vanish meanwhile do not count.
pub(crate) fn bytes_below(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(about) if about.is_dir() => bytes_below(&entry.path()),
        Ok(about) => about.len(),
        Err(_) => 0,
    });
    sizes.sum()
}

/// The sum of the samples in `exposition` whose series begins with `series` (name and opening of labels).
pub(crate) fn counter(exposition: &str, series: &str) -> Option<f64> {
    let values = exposition.lines().filter_map(|line| {
        let rest = line.strip_prefix(series)?;
        let is_whole = series.contains('{') || rest.starts_with(['{', ' ']);
        is_whole.then(|| rest.rsplit_once(' ')?.1.parse::<f64>().ok()).flatten()
    });
    values.reduce(|a, b| a + b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_both_fields_whatever_the_name() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 1 0 100 1 1";
        assert_eq!(cpu_of(stat), Some(3.0));
        assert_eq!(cpu_of("nonsense"), None);
        assert!(cpu_s(std::process::id()).unwrap() >= 0.0);
    }

    #[test]
    fn memory_is_read_from_status() {
        let status = "Name:\tx\nVmRSS:\t    2048 kB\nRssAnon:\t    1024 kB\n";
        assert_eq!(memory_of(status), Some(Memory { resident_bytes: 2 << 20, anonymous_bytes: 1 << 20 }));
        assert_eq!(memory_of("Name: x"), None);
        let own = std::process::id();
        assert!(memory(own).unwrap().resident_bytes > 0);
        assert!(peak_bytes(own).unwrap() > 0 && fine_cpu_ms(own).unwrap() >= 0.0);
    }

    #[test]
    fn counters_are_summed_over_their_labels() {
        let text = "# HELP a b\na_total{x=\"1\"} 2\na_total{x=\"2\"} 3e2\na_total_more 7\nb 1.5\n";
        assert_eq!(counter(text, "a_total"), Some(302.0));
        assert_eq!(counter(text, "a_total{x=\"2\""), Some(300.0));
        assert_eq!(counter(text, "b"), Some(1.5));
        assert_eq!(counter(text, "c"), None);
    }

    #[test]
    fn files_are_counted_in_folders_too() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("a")).unwrap();
        fs::write(folder.path().join("a/x"), [0; 10]).unwrap();
        fs::write(folder.path().join("y"), [0; 5]).unwrap();
        assert_eq!(bytes_below(folder.path()), 15);
        assert_eq!(bytes_below(Path::new("no/such/folder")), 0);
    }
}
