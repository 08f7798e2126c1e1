//! `GivenTwice`: numbers that the log gives to several series, which no sound log does. Behind each naming a
//! number is that series' in the log, as in Prometheus; what stands elsewhere under it, in chunk files and in
//! the write-behind log, is nobody's, since nobody knows before which naming it was written. Finds the
//! numbers; names no series.

use super::Logs;
use crate::{
    error::OpenError,
    head::{Head, wal_ref::WalRef},
    head_chunks::ChunkMeta,
    wal::{
        reader::{Item, SegmentReader},
        record::{
            RecordKind, read_any_samples, read_exemplars, read_histograms, read_markers, read_metadata,
            read_series, read_tombstones,
        },
        segment::{Listing, SegmentFile},
        unnamed::FirstNames,
    },
};
use skopos_base::fs::{Fs, OpenMode};
use skopos_model::LabelsBuilder;
use std::collections::BTreeSet;

/// See above.
#[derive(Clone, Debug, Default)]
pub(super) struct GivenTwice {
    numbers: BTreeSet<u64>,
    /// What chunk files have under them.
    chunks: Vec<(u64, ChunkMeta)>,
    /// The largest number that the logs have.
    highest: u64,
}

impl GivenTwice {
    /// Looks through all logs, once a replay has come upon `found`.
    ///
    /// # Errors
    /// When the system refuses a file.
    pub(super) fn look(&mut self, fs: &dyn Fs, logs: &Logs<'_>, found: u64) -> Result<(), OpenError> {
        let mut looking = Looking::default();
        let logs = [(Some(logs.wal), Place::Log), (Some(logs.behind), Place::Log), (logs.names, Place::Copy)];
        for (log, place) in logs {
            let Some(Listing { checkpoint, segments, .. }) = log else { continue };
            looking.segments(fs, checkpoint, place)?;
            looking.segments(fs, segments, place)?;
        }
        self.numbers.append(&mut looking.names.into_given_twice());
        self.numbers.insert(found);
        self.highest = self.highest.max(looking.highest);
        Ok(())
    }

    /// Prepares a head that has read nothing yet: what chunk files have under these numbers is passed over,
    /// and no number that a log has is given to a series in the place of one of these.
    pub(super) fn prepare(&mut self, head: &Head) {
        super::reserve(head, self.highest);
        self.chunks = head.forget_loaded_chunks(&self.numbers);
    }

    pub(super) fn numbers(&self) -> &BTreeSet<u64> {
        &self.numbers
    }

    #[inline]
    pub(super) fn has(&self, wal_ref: u64) -> bool {
        !self.numbers.is_empty() && self.numbers.contains(&wal_ref)
    }

    /// What chunk files have under these numbers.
    pub(super) fn chunks(&self) -> &[(u64, ChunkMeta)] {
        &self.chunks
    }
}

/// Where a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Log,
    /// The copy of names: none of them counts here.
    Copy,
}

#[derive(Default)]
struct Looking {
    builder: LabelsBuilder,
    names: FirstNames,
    highest: u64,
}

impl Looking {
    fn segments(&mut self, fs: &dyn Fs, segments: &[SegmentFile], place: Place) -> Result<(), OpenError> {
        for segment in segments {
            let fail = |doing| OpenError::io(doing, &segment.path);
            let file = fs.open(&segment.path, OpenMode::Read).map_err(fail("opening"))?;
            let mut reader = SegmentReader::new(&*file);
            while let Some(item) = reader.next().map_err(fail("reading"))? {
                // Damage is said by the replay.
                if let Item::Record(_, record) = item {
                    self.record(record, place);
                }
            }
        }
        Ok(())
    }

    /// What cannot be read of a record is passed over.
    fn record(&mut self, record: &[u8], place: Place) {
        if RecordKind::of(record) == Some(RecordKind::Series) {
            let mut builder = std::mem::take(&mut self.builder);
            let _ = read_series(record, &mut builder, |wal_ref, labels| {
                self.see(wal_ref);
                if place == Place::Log {
                    self.names.see(wal_ref, &labels);
                }
            });
            self.builder = builder;
            return;
        }
        each_number(record, |wal_ref| self.see(wal_ref));
    }

    fn see(&mut self, wal_ref: u64) {
        // Behind these only damage has any.
        if wal_ref <= WalRef::BOUNDS.1.get() {
            self.highest = self.highest.max(wal_ref);
        }
    }
}

/// Hands out the numbers of series under which a record, which names none, has anything.
fn each_number(record: &[u8], mut each: impl FnMut(u64)) {
    match RecordKind::of(record) {
        Some(RecordKind::Samples | RecordKind::SamplesV2) => {
            let mut all = Vec::new();
            let _ = read_any_samples(record, &mut all);
            all.iter().for_each(|s| each(s.wal_ref));
        }
        Some(RecordKind::Histograms) => {
            let mut all = Vec::new();
            let _ = read_histograms(record, &mut all);
            all.iter().for_each(|s| each(s.wal_ref));
        }
        Some(RecordKind::Exemplars) => {
            let mut all = Vec::new();
            let _ = read_exemplars(record, &mut all);
            all.iter().for_each(|e| each(e.wal_ref));
        }
        Some(RecordKind::Tombstones) => {
            let mut all = Vec::new();
            let _ = read_tombstones(record, &mut all);
            all.iter().for_each(|t| each(t.wal_ref));
        }
        Some(RecordKind::MmapMarkers) => {
            let mut all = Vec::new();
            let _ = read_markers(record, &mut all);
            all.iter().for_each(|m| each(m.wal_ref));
        }
        Some(RecordKind::Metadata) => {
            let _ = read_metadata(record, |wal_ref, _| each(wal_ref));
        }
        _ => {}
    }
}
