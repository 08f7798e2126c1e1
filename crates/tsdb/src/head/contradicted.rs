//! `Contradicted`: numbers that the log gives to several series, until the log is written anew without them,
//! and the series that have numbers of their own in their place, until the log names them by these. Reads no
//! log.

use super::{Head, series::SeriesIndex, wal_ref::WalRef};
use crate::wal::{Wal, compress::Compressor, record::push_series};
use skopos_base::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering},
};
use skopos_storage::CommitError;
use std::collections::BTreeSet;

/// A record of names is ended at so many bytes.
const RECORD_BYTES: usize = 16 << 10;

/// See above. Mostly there is nothing in it.
#[derive(Debug, Default)]
pub(crate) struct Contradicted {
    numbers: Mutex<BTreeSet<u64>>,
    /// The series that the log is to name before anything is logged of them.
    due: Mutex<Vec<SeriesIndex>>,
    any_due: AtomicBool,
    /// Whether there were any at the start.
    found: AtomicBool,
}

impl Contradicted {
    /// Notes what a replay has found.
    pub(super) fn set(&self, numbers: BTreeSet<u64>, due: Vec<SeriesIndex>) {
        self.found.store(!numbers.is_empty(), Ordering::Release);
        *self.numbers.lock() = numbers;
        self.any_due.store(!due.is_empty(), Ordering::Release);
        *self.due.lock() = due;
    }

    /// The numbers that the log gives to several series.
    pub(crate) fn numbers(&self) -> BTreeSet<u64> {
        self.numbers.lock().clone()
    }

    /// Whether the log gave any at the start: then it is written anew, and the next start reads all of it,
    /// also late samples that this one has passed over.
    pub(super) fn were_found(&self) -> bool {
        self.found.load(Ordering::Acquire)
    }
}

impl Head {
    /// To be called once the log is written anew: it names each series by its own numbers, before all that it
    /// has of it.
    pub(crate) fn log_agrees(&self) {
        let numbers = std::mem::take(&mut *self.contradicted.numbers.lock());
        self.older_refs.lock().retain(|(_, wal_ref)| !numbers.contains(&wal_ref.get()));
        self.contradicted.due.lock().clear();
        self.contradicted.any_due.store(false, Ordering::Release);
    }

    /// Names the series in the log that it does not name by their own numbers yet. Called before anything is
    /// logged, by whoever holds back all others that log.
    ///
    /// # Errors
    /// When the disk refuses. The next call goes on where this one ended.
    #[inline]
    pub(crate) fn log_names_due(&self, wal: &Wal) -> Result<(), CommitError> {
        if self.contradicted.any_due.load(Ordering::Acquire) { self.log_due(wal) } else { Ok(()) }
    }

    #[cold]
    fn log_due(&self, wal: &Wal) -> Result<(), CommitError> {
        let numbers = self.contradicted.numbers();
        let mut due = self.contradicted.due.lock();
        let (mut record, mut compressed) = (Vec::new(), Vec::new());
        let (mut compressor, how) = (Compressor::default(), self.options.wal_compression);
        while !due.is_empty() {
            record.clear();
            let mut left = due.len();
            while left > 0 && record.len() < RECORD_BYTES {
                left -= 1;
                let Some(series) = self.registry.table().get(due[left]).cloned() else { continue };
                let labels = series.labels.to_labels();
                let older = self.older_refs_of(series.index).into_iter().map(WalRef::get);
                let own = older.filter(|wal_ref| !numbers.contains(wal_ref)).chain([series.wal_ref().get()]);
                own.for_each(|wal_ref| push_series(&mut record, wal_ref, &labels));
            }
            if !record.is_empty() {
                wal.log(&[compressor.compress(how, &record, &mut compressed)])?;
            }
            due.truncate(left);
        }
        self.contradicted.any_due.store(false, Ordering::Release);
        Ok(())
    }
}
