//! `MemoryBudget`: what flags such as `--storage.memory-budget` say, and what that is on this machine. Reads
//! what the kernel says of memory; never says what else may take how much.

use skopos_base::fs::{Fs, read_all};
use std::{path::Path, str::FromStr};

/// Where limits of control groups stand, of version 2 and 1.
const LIMITS: [&str; 2] = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
/// When nothing can be read, so much is taken to be there.
const UNKNOWN_MACHINE_BYTES: u64 = 4 << 30;

/// Less for the newest samples is a slip: a server without a sample takes more.
const LEAST_FOR_SAMPLES_BYTES: u64 = 16 << 20;

/// How much memory something may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MemoryBudget {
    Bytes(u64),
    /// Of what the machine has, or of what its control group lets the process have.
    Percent(u8),
}

impl FromStr for MemoryBudget {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let wrong = || format!("{s:?} is neither a size such as 8GiB nor a percentage from 1% to 100%");
        if let Some(percent) = s.strip_suffix('%') {
            let percent: u8 = percent.parse().map_err(|_| wrong())?;
            return if (1..=100).contains(&percent) { Ok(Self::Percent(percent)) } else { Err(wrong()) };
        }
        let digits = s.find(|c: char| !c.is_ascii_digit()).unwrap_or(s.len());
        let (number, unit) = s.split_at(digits);
        let shift = match unit {
            "" | "B" => 0,
            "KB" | "KiB" => 10,
            "MB" | "MiB" => 20,
            "GB" | "GiB" => 30,
            "TB" | "TiB" => 40,
            _ => return Err(wrong()),
        };
        let bytes = number.parse::<u64>().ok().and_then(|n| n.checked_mul(1 << shift));
        bytes.filter(|n| *n > 0).map(Self::Bytes).ok_or_else(wrong)
    }
}

impl MemoryBudget {
    /// In bytes, on the machine whose files `fs` shows.
    pub(super) fn bytes(self, fs: &dyn Fs) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Percent(percent) => machine_bytes(fs) / 100 * u64::from(percent),
        }
    }
}

/// The value of `--storage.memory-budget`.
pub(super) fn for_samples(text: &str) -> Result<MemoryBudget, String> {
    match text.parse()? {
        MemoryBudget::Bytes(bytes) if bytes < LEAST_FOR_SAMPLES_BYTES => {
            Err(format!("{text:?} is {bytes} bytes: write 16MiB or more, or a percentage such as 60%"))
        }
        budget => Ok(budget),
    }
}

/// The least of what the machine has and what its control group allows.
fn machine_bytes(fs: &dyn Fs) -> u64 {
    let text = |path: &str| read_all(fs, Path::new(path)).ok().and_then(|b| String::from_utf8(b).ok());
    let total = text("/proc/meminfo").and_then(|all| {
        let line = all.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
    });
    // A group without a limit says "max", or a number that no machine has.
    let allowed = LIMITS.iter().filter_map(|path| text(path)?.trim().parse::<u64>().ok());
    allowed.chain(total).min().unwrap_or(UNKNOWN_MACHINE_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_percentages_are_read() {
        for (text, expected) in [
            ("60%", Some(MemoryBudget::Percent(60))),
            ("100%", Some(MemoryBudget::Percent(100))),
            ("8GiB", Some(MemoryBudget::Bytes(8 << 30))),
            ("512MB", Some(MemoryBudget::Bytes(512 << 20))),
            ("1000", Some(MemoryBudget::Bytes(1000))),
            ("0%", None),
            ("101%", None),
            ("0", None),
            ("-1", None),
            ("GiB", None),
            ("1.5GiB", None),
            ("99999999999TiB", None),
            ("", None),
        ] {
            assert_eq!(text.parse::<MemoryBudget>().ok(), expected, "{text}");
        }
    }

    #[test]
    fn too_little_for_samples_is_refused_with_what_is_sensible() {
        for (text, bytes) in [("16777216", 16 << 20), ("16MiB", 16 << 20), ("1GB", 1 << 30)] {
            assert_eq!(for_samples(text), Ok(MemoryBudget::Bytes(bytes)));
        }
        assert_eq!(for_samples("1%"), Ok(MemoryBudget::Percent(1)));
        for (text, part) in [
            ("1", "write 16MiB or more"),
            ("16777215", "write 16MiB or more"),
            ("1KiB", "write 16MiB or more"),
            ("0", "neither a size"),
            ("x", "neither a size"),
        ] {
            let error = for_samples(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn a_percentage_is_of_what_is_there() {
        let fs = skopos_base::Env::real().fs;
        let whole = MemoryBudget::Percent(100).bytes(&*fs);
        assert!(whole > 100 << 20, "{whole}");
        assert!(MemoryBudget::Percent(50).bytes(&*fs) <= whole / 2);
        assert_eq!(MemoryBudget::Bytes(7).bytes(&*fs), 7);
    }
}
