//! Samples of the log whose series nobody names, and numbers that it gives to several series. Counts them;
//! reads no record.

use skopos_model::Labels;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// So many numbers are said.
const NUMBERS_SAID: usize = 10;

/// Samples that are in no block and whose series nobody names, by the number of their series.
#[derive(Debug, Default)]
pub(crate) struct Unnamed(BTreeMap<u64, Lost>);

#[derive(Debug)]
struct Lost {
    samples: u64,
    min_ms: i64,
    max_ms: i64,
}

impl Unnamed {
    pub(crate) fn add(&mut self, wal_ref: u64, timestamp_ms: i64) {
        let new = || Lost { samples: 0, min_ms: timestamp_ms, max_ms: timestamp_ms };
        let lost = self.0.entry(wal_ref).or_insert_with(new);
        lost.samples += 1;
        lost.min_ms = lost.min_ms.min(timestamp_ms);
        lost.max_ms = lost.max_ms.max(timestamp_ms);
    }

    /// Somebody names this series after all.
    pub(crate) fn forget(&mut self, wal_ref: u64) {
        self.0.remove(&wal_ref);
    }

    pub(crate) fn samples(&self) -> u64 {
        self.0.values().map(|lost| lost.samples).sum()
    }

    /// What is lost, and what to do; none where nothing is.
    pub(crate) fn reason(&self) -> Option<String> {
        let min_ms = self.0.values().map(|lost| lost.min_ms).min()?;
        let max_ms = self.0.values().map(|lost| lost.max_ms).max()?;
        let numbers: Vec<String> = self.0.keys().take(NUMBERS_SAID).map(u64::to_string).collect();
        Some(format!(
            "{} samples from {min_ms} to {max_ms} ms are lost: neither the WAL nor the copy beside it names \
             their {} series (number {}{}); restore wal and wal_names from a copy of the same time",
            self.samples(),
            self.0.len(),
            numbers.join(", "),
            if self.0.len() > NUMBERS_SAID { ", …" } else { "" },
        ))
    }
}

/// To which series each number was given first. Knows labels by their hash alone.
#[derive(Debug, Default)]
pub(crate) struct FirstNames {
    first: HashMap<u64, LabelsHash>,
    given_twice: BTreeSet<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LabelsHash(u64);

impl FirstNames {
    /// The log gives a number to a series.
    pub(crate) fn see(&mut self, wal_ref: u64, labels: &Labels) {
        let hash = LabelsHash(labels.hash64());
        if *self.first.entry(wal_ref).or_insert(hash) != hash {
            self.given_twice.insert(wal_ref);
        }
    }

    pub(crate) fn has(&self, wal_ref: u64) -> bool {
        self.first.contains_key(&wal_ref)
    }

    /// The numbers that were given to several series.
    pub(crate) fn given_twice(&self) -> &BTreeSet<u64> {
        &self.given_twice
    }

    pub(crate) fn into_given_twice(self) -> BTreeSet<u64> {
        self.given_twice
    }
}

/// What is wrong with numbers that the log gives to several series, and what comes of it; none where there
/// are none.
pub(crate) fn given_twice_reason(numbers: &BTreeSet<u64>) -> Option<String> {
    let said: Vec<String> = numbers.iter().take(NUMBERS_SAID).map(u64::to_string).collect();
    (!said.is_empty()).then(|| {
        format!(
            "the WAL gives {} numbers to two series each (number {}{}), which no sound one does: samples in \
             it go to the series that was named last before them; chunks and samples out of order that \
             stand elsewhere under these numbers are given to no series. Was a WAL put together from two? A \
             server writes it anew with a number for each series when it starts",
            numbers.len(),
            said.join(", "),
            if numbers.len() > NUMBERS_SAID { ", …" } else { "" },
        )
    })
}
