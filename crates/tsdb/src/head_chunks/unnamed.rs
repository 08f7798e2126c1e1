//! Chunks of files whose series nobody names. Counts them; reads no file.

use skopos_model::TimestampMs;
use skopos_storage::TimeRange;
use std::collections::BTreeMap;

/// So many numbers are said.
const NUMBERS_SAID: usize = 10;

/// Chunks with samples that are in no block and whose series nobody names, by the number of their series.
#[derive(Debug, Default)]
pub(crate) struct UnnamedChunks(BTreeMap<u64, Lost>);

#[derive(Debug)]
struct Lost {
    chunks: u64,
    samples: u64,
    min: TimestampMs,
    max: TimestampMs,
}

impl UnnamedChunks {
    /// Adds a chunk of so many samples, from its first one to its last one.
    pub(crate) fn add(&mut self, wal_ref: u64, TimeRange { min, max }: TimeRange, samples: u16) {
        let lost = self.0.entry(wal_ref).or_insert(Lost { chunks: 0, samples: 0, min, max });
        lost.chunks += 1;
        lost.samples += u64::from(samples);
        lost.min = lost.min.min(min);
        lost.max = lost.max.max(max);
    }

    /// The numbers of their series, growing.
    pub(crate) fn wal_refs(&self) -> Vec<u64> {
        self.0.keys().copied().collect()
    }

    /// Somebody names this series after all.
    pub(crate) fn forget(&mut self, wal_ref: u64) {
        self.0.remove(&wal_ref);
    }

    pub(crate) fn chunks(&self) -> u64 {
        self.0.values().map(|lost| lost.chunks).sum()
    }

    /// What is lost, and what to do; none where nothing is.
    pub(crate) fn reason(&self) -> Option<String> {
        let min = self.0.values().map(|lost| lost.min).min()?;
        let max = self.0.values().map(|lost| lost.max).max()?;
        let samples: u64 = self.0.values().map(|lost| lost.samples).sum();
        let numbers: Vec<String> = self.0.keys().take(NUMBERS_SAID).map(u64::to_string).collect();
        Some(format!(
            "{} chunks with {samples} samples from {} to {} ms belong to {} series that neither the WAL nor \
             the copy beside it names (number {}{}): they are given to no other series and are not answered; \
             restore wal and wal_names from a copy of the same time",
            self.chunks(),
            min.as_ms(),
            max.as_ms(),
            self.0.len(),
            numbers.join(", "),
            if self.0.len() > NUMBERS_SAID { ", …" } else { "" },
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_names_is_counted_and_said() {
        let mut unnamed = UnnamedChunks::default();
        assert_eq!((unnamed.chunks(), unnamed.reason()), (0, None));
        let time = TimestampMs::new;
        for (wal_ref, min, max) in [(7, 10, 20), (9, 5, 6), (7, 21, 40)] {
            unnamed.add(wal_ref, TimeRange { min: time(min), max: time(max) }, 3);
        }
        assert_eq!((unnamed.chunks(), unnamed.wal_refs()), (3, vec![7, 9]));
        let reason = unnamed.reason().unwrap();
        assert!(reason.starts_with("3 chunks with 9 samples from 5 to 40 ms belong to 2 series"), "{reason}");
        assert!(reason.contains("(number 7, 9)"), "{reason}");
        unnamed.forget(9);
        assert_eq!((unnamed.chunks(), unnamed.wal_refs()), (2, vec![7]));
    }
}
