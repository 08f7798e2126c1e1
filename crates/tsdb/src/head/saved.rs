//! What the head knows of its log and can say once more: the names of its series, and, where the log was
//! found damaged, the rest. Reads no log.

use super::{
    Head,
    metadata::Again,
    series::{MemSeries, SeriesIndex},
};
use crate::intervals::Interval;
use crate::wal::{
    Wal,
    compress::Compressor,
    record::{WalTombstone, push_deletion_bound, push_tombstones},
};
use skopos_base::sync::atomic::Ordering;
use skopos_model::Labels;
use skopos_storage::CommitError;
use std::{io, sync::Arc};

/// Series taken from the table at a time.
const STRIDE: usize = 256;

/// Which series are named once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// Those that the log names.
    Logged,
    /// Those that it will name soon too.
    All,
}

impl Head {
    /// Hands out the series of `which`: all numbers of each with its labels, the newest one last.
    pub(crate) fn each_name(&self, which: Which, each: &mut dyn FnMut(u64, &Labels)) {
        self.walk_series(|series| {
            if which == Which::All || series.is_logged() {
                let labels = series.labels.to_labels();
                self.older_refs_of(series.index).into_iter().for_each(|older| each(older.get(), &labels));
                each(series.wal_ref().get(), &labels);
            }
        });
    }

    /// The same without the numbers that several series have.
    pub(crate) fn each_sure_name(&self, which: Which, each: &mut dyn FnMut(u64, &Labels)) {
        let shared = self.contradicted.numbers();
        self.each_name(which, &mut |wal_ref, labels| {
            if !shared.contains(&wal_ref) {
                each(wal_ref, labels);
            }
        });
    }

    /// Visits all series that are there all the while, without a lock.
    pub(super) fn walk_series(&self, mut each: impl FnMut(&MemSeries)) {
        let all: Vec<u32> = self.registry.postings().all().to_vec();
        for part in all.chunks(STRIDE) {
            let series: Vec<Arc<MemSeries>> = {
                let table = self.registry.table();
                part.iter().filter_map(|index| table.get(SeriesIndex(*index)).cloned()).collect()
            };
            series.iter().for_each(|series| each(series));
        }
    }

    /// Brings to chunk files, and to the end of the log, what a damaged part of the log had: all samples that
    /// memory has, what is deleted, and metadata. Samples out of order have a log of their own.
    ///
    /// # Errors
    /// When a disk refuses. The damaged part is to stay then, so that this is done once more.
    pub(crate) fn save(&self, wal: &Wal) -> Result<(), CommitError> {
        let view = self.replay_view();
        self.walk_series(|series| series.close_open(view));
        self.log_deletions(wal)?;
        self.log_metadata(wal, Again::All)?;
        let closed = self.chunks.seal();
        self.sync(wal)?;
        let saved = self.chunks.write(closed).and_then(|()| self.chunks.sync());
        saved.map_err(|e| CommitError::Retry { path: wal.dir().to_owned(), source: io::Error::other(e) })
    }

    /// Writes to the log once more what is deleted, where bounds in it say of some that it counts no more: as
    /// blocks are gone that had the samples, it does.
    ///
    /// # Errors
    /// When the disk refuses. It is to be tried again before the log is made shorter.
    pub(crate) fn log_held_back(&self, wal: &Wal) -> Result<(), CommitError> {
        if !self.tombstones.take_held_back() {
            return Ok(());
        }
        self.log_deletions(wal).inspect_err(|_| self.tombstones.give_back_held_back())
    }

    /// Writes to the log what is deleted, and that nothing else is: whatever it says so far of the times
    /// before the samples in order that the head has counts no more. Prometheus, which passes that over,
    /// reads what is deleted behind it.
    fn log_deletions(&self, wal: &Wal) -> Result<(), CommitError> {
        // No deletion and no commit goes on meanwhile.
        let _commit = self.commit.lock();
        let mut all = Vec::new();
        for (index, spans) in self.tombstones.all() {
            let Some(wal_ref) = self.registry.table().get(index).map(|series| series.wal_ref().get()) else {
                continue;
            };
            let tombstone =
                |span: &Interval| WalTombstone { wal_ref, min_ms: span.min_ms, max_ms: span.max_ms };
            all.extend(spans.as_slice().iter().map(tombstone));
        }
        self.log_names_due(wal)?;
        let (mut bound, mut tombstones) = (Vec::new(), Vec::new());
        push_deletion_bound(&mut bound, self.min_ms.load(Ordering::Acquire), &all);
        push_tombstones(&mut tombstones, &all);
        for record in [bound, tombstones].iter().filter(|record| !record.is_empty()) {
            let (how, mut compressed) = (self.options.wal_compression, Vec::new());
            wal.log(&[Compressor::default().compress(how, record, &mut compressed)])?;
        }
        Ok(())
    }
}
