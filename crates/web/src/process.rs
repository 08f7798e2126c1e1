//! What the system says of this process: CPU, memory, descriptors, start. Says nothing of what the process
//! does.

use rustix::process::{Resource, getrlimit};
use skopos_exposition::Families;
use skopos_model::MetricType;
use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    sync::OnceLock,
};

/// The kernel counts processor time in hundredths of a second, on every architecture that we run on.
const TICKS_PER_SECOND: f64 = 100.0;

/// A file of `/proc/self`, which stays open.
struct OwnFile {
    path: &'static str,
    file: OnceLock<File>,
}

static STAT: OwnFile = OwnFile::new("/proc/self/stat");
static STATUS: OwnFile = OwnFile::new("/proc/self/status");

impl OwnFile {
    /// Both are mostly no longer than this.
    const USUAL_BYTES: usize = 4096;

    const fn new(path: &'static str) -> Self {
        Self { path, file: OnceLock::new() }
    }

    /// Where it cannot be opened, that is tried again the next time.
    fn read<T>(&self, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let file = match self.file.get() {
            Some(file) => file,
            None => {
                let opened = File::open(self.path).ok()?;
                self.file.get_or_init(|| opened)
            }
        };
        let mut content = vec![0; Self::USUAL_BYTES];
        let mut len = 0;
        loop {
            match file.read_at(&mut content[len..], len as u64).ok()? {
                0 => break,
                more => len += more,
            }
            if len == content.len() {
                content.resize(2 * len, 0);
            }
        }
        // The name of the program may be any bytes.
        parse(&String::from_utf8_lossy(&content[..len]))
    }
}

/// Writes what can be read, as families of their own; what cannot is left out.
pub fn write(out: &mut Families<'_>) {
    out.family("skopos_build_info", MetricType::Gauge, "A constant 1, labelled by the program's version.");
    out.sample("", &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    if let Some(stat) = STAT.read(Stat::parse) {
        out.counter(
            "process_cpu_seconds_total",
            "Processor time that this process used, in user and in system mode.",
            stat.cpu_ticks / TICKS_PER_SECOND,
        );
        out.gauge("process_virtual_memory_bytes", "Address space of this process.", stat.virtual_bytes);
        out.gauge("process_threads", "Threads of this process.", stat.threads);
        // The kernel counts all interrupts for whoever asks when the machine began: it is asked once.
        static BOOT: OnceLock<f64> = OnceLock::new();
        let boot = BOOT.get().copied().or_else(|| {
            let asked = boot_time_seconds()?;
            Some(*BOOT.get_or_init(|| asked))
        });
        if let Some(boot) = boot {
            let start = boot + stat.start_ticks / TICKS_PER_SECOND;
            out.gauge(
                "process_start_time_seconds",
                "When this process started, since the Unix epoch.",
                start,
            );
        }
    }
    if let Some(bytes) = STATUS.read(resident_bytes) {
        out.gauge("process_resident_memory_bytes", "Memory that this process holds.", bytes);
    }
    if let Some(open) = open_fds() {
        out.gauge("process_open_fds", "File descriptors that this process has open.", open);
    }
    let max = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    out.gauge("process_max_fds", "File descriptors that this process may open.", max as f64);
}

/// How many threads this process has.
pub fn threads() -> Option<usize> {
    Some(STAT.read(Stat::parse)?.threads as usize)
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

fn resident_bytes(status: &str) -> Option<f64> {
    let kib: f64 =
        status.lines().find_map(|l| l.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok())?;
    Some(kib * 1024.0)
}

/// How many descriptors are open. Kernels since 6.2 say it as the length of the folder; others are counted.
fn open_fds() -> Option<f64> {
    const FOLDER: &str = "/proc/self/fd";
    match fs::metadata(FOLDER).ok()?.len() {
        0 => count_names(FOLDER),
        count => Some(count as f64),
    }
}

/// How many names a folder of descriptors has, but for the one that it is read by.
fn count_names(folder: &str) -> Option<f64> {
    Some((fs::read_dir(folder).ok()?.count() - 1) as f64)
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
    fn own_files_are_read_again_and_again() {
        let before = STATUS.read(resident_bytes).unwrap();
        let held = vec![1_u8; 64 << 20];
        let after = STATUS.read(resident_bytes).unwrap();
        assert!(after - before > 32e6, "{before} {after} {}", held.len());
        assert!(STAT.read(Stat::parse).unwrap().threads >= 1.0);
    }

    #[test]
    fn open_descriptors_are_counted_the_same_in_both_ways() {
        let folder = tempfile::tempdir().unwrap();
        let same = || (open_fds(), count_names("/proc/self/fd"));
        // Other tests open files meanwhile.
        assert!(
            (0..100).any(|_| matches!(same(), (Some(told), Some(counted)) if told == counted)),
            "{:?}",
            same()
        );
        let before = open_fds().unwrap();
        let open: Vec<_> =
            (0..500).map(|i| File::create(folder.path().join(i.to_string())).unwrap()).collect();
        let after = open_fds().unwrap();
        assert!(after >= before + 400.0, "{before} {after} {}", open.len());
    }
}
