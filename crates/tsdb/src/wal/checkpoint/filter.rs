//! What of a record a checkpoint keeps. Pure: records in, records out.

mod numbers;

use super::{CheckpointError, CheckpointStats, KeptFrom, Memory};
use crate::wal::{
    group::{Batch, Gate},
    record::{
        MmapMarker, RecordError, RecordKind, SamplesRecord, SamplesV2Record, WalExemplar, WalHistogram,
        WalSample, WalTombstone, push_exemplars, push_histograms, push_markers, push_metadata, push_series,
        push_tombstones, read_any_samples, read_deletion_bound, read_exemplars, read_histograms,
        read_markers, read_metadata, read_samples, read_samples_v2, read_series, read_tombstones,
    },
};
use numbers::Numbers;
use skopos_model::{LabelsBuilder, Metadata};
use std::{collections::BTreeMap, mem};

/// A record of metadata is ended at so many bytes.
const METADATA_RECORD_BYTES: usize = 1 << 20;
/// A record of series is ended at so many bytes: damage to a page costs all records that touch it.
const SERIES_RECORD_BYTES: usize = 16 << 10;
/// So many tombstones are one record.
const TOMBSTONES_IN_RECORD: usize = 1024;

/// What becomes of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Blocks have it.
    Old,
    /// It is new enough, and its series is not kept.
    OfNoSeries,
    /// Under this number.
    Kept(u64),
}

pub(super) struct Filter {
    kept_from: KeptFrom,
    stats: CheckpointStats,
    /// The series that are kept.
    kept: Numbers,
    /// The latest of each series.
    metadata: BTreeMap<u64, Metadata>,
    /// Whether the segment was found damaged before the current record.
    damaged_before: bool,
    gate: Gate,
    builder: LabelsBuilder,
    out: Vec<u8>,
    samples: Vec<WalSample>,
    samples_out: SamplesRecord,
    samples_v2: Vec<(WalSample, i64)>,
    samples_v2_out: SamplesV2Record,
    histograms: Vec<WalHistogram>,
    exemplars: Vec<WalExemplar>,
    /// Those that count, by the numbers of the series that are kept. A bound may follow: they are written at
    /// the end.
    tombstones: Vec<WalTombstone>,
    markers: Vec<MmapMarker>,
}

impl Filter {
    pub(super) fn new(kept_from: KeptFrom) -> Self {
        Self {
            kept_from,
            stats: CheckpointStats::default(),
            kept: Numbers::default(),
            metadata: BTreeMap::new(),
            damaged_before: false,
            gate: Gate::default(),
            builder: LabelsBuilder::default(),
            out: Vec::new(),
            samples: Vec::new(),
            samples_out: SamplesRecord::default(),
            samples_v2: Vec::new(),
            samples_v2_out: SamplesV2Record::default(),
            histograms: Vec::new(),
            exemplars: Vec::new(),
            tombstones: Vec::new(),
            markers: Vec::new(),
        }
    }

    /// Names the series that are kept. All are taken from memory: a name that damage took from the log is in
    /// the checkpoint again, for the segments behind it too.
    pub(super) fn name_series(
        &mut self,
        memory: &Memory<'_>,
        mut push: impl FnMut(&[u8]) -> Result<(), CheckpointError>,
    ) -> Result<(), CheckpointError> {
        self.kept = Numbers::without(memory.given_twice);
        let (kept, out, mut result) = (&mut self.kept, &mut self.out, Ok(()));
        out.clear();
        (memory.series)(&mut |wal_ref, labels| {
            if !kept.keep(wal_ref, labels) {
                return;
            }
            push_series(out, wal_ref, labels);
            if out.len() >= SERIES_RECORD_BYTES {
                if result.is_ok() {
                    result = push(out);
                }
                out.clear();
            }
        });
        result?;
        if !out.is_empty() {
            push(out)?;
            out.clear();
        }
        Ok(())
    }

    /// Behind the checkpoint before, which named all series at once.
    pub(super) fn end_checkpoint(&mut self) {
        self.kept.forget_given_again();
    }

    pub(super) fn begin_segment(&mut self) {
        self.damaged_before = false;
    }

    pub(super) fn fault(&mut self) {
        self.damaged_before = true;
        self.stats.faults += 1;
    }

    /// Hands what is to be kept of a record, once its batch is whole, to `push`.
    pub(super) fn pass(
        &mut self,
        record: &[u8],
        push: impl FnMut(&[u8]) -> Result<(), CheckpointError>,
    ) -> Result<(), CheckpointError> {
        let mut sink = Sink { push, result: Ok(()) };
        let mut gate = mem::take(&mut self.gate);
        let passed = gate.pass(record, &mut |batch| self.batch(batch, &mut sink));
        self.gate = gate;
        if passed.is_err() {
            self.fault();
        }
        sink.result
    }

    /// Records may be missing here.
    pub(super) fn damage(
        &mut self,
        push: impl FnMut(&[u8]) -> Result<(), CheckpointError>,
    ) -> Result<(), CheckpointError> {
        let mut sink = Sink { push, result: Ok(()) };
        self.fault();
        let mut gate = mem::take(&mut self.gate);
        gate.damage(&mut |batch| self.batch(batch, &mut sink));
        self.gate = gate;
        sink.result
    }

    /// Whether the end of a batch is in the next segment.
    pub(super) fn is_within_batch(&self) -> bool {
        self.gate.is_open()
    }

    fn batch<P>(&mut self, batch: Batch<'_>, sink: &mut Sink<P>)
    where
        P: FnMut(&[u8]) -> Result<(), CheckpointError>,
    {
        let Batch { records, is_behind_damage } = batch;
        if (self.damaged_before || is_behind_damage) && records.iter().any(|record| self.is_half(record)) {
            for record in records {
                self.pass_over(record);
            }
            return;
        }
        for record in records {
            if self.record(record, sink).is_err() {
                self.fault();
            }
        }
    }

    fn record<P>(&mut self, record: &[u8], sink: &mut Sink<P>) -> Result<(), RecordError>
    where
        P: FnMut(&[u8]) -> Result<(), CheckpointError>,
    {
        self.out.clear();
        match RecordKind::of(record) {
            Some(RecordKind::Series) => self.series(record)?,
            Some(RecordKind::Samples) => {
                self.samples(record)?;
                sink.put(self.samples_out.bytes());
            }
            Some(RecordKind::SamplesV2) => {
                self.samples_v2(record)?;
                sink.put(self.samples_v2_out.bytes());
            }
            Some(RecordKind::Histograms) => {
                self.histograms(record)?;
                push_histograms(&self.histograms, &mut self.out, |record| sink.put(record));
                self.out.clear();
            }
            Some(RecordKind::Tombstones) => {
                let mut deleted = Vec::new();
                read_tombstones(record, &mut deleted)?;
                self.delete(deleted);
            }
            Some(RecordKind::Exemplars) => {
                self.exemplars.clear();
                read_exemplars(record, &mut self.exemplars)?;
                let total = self.exemplars.len();
                let (kept, from_ms) = (&self.kept, self.kept_from.samples.as_ms());
                self.exemplars.retain_mut(|e| e.timestamp_ms >= from_ms && kept.renumber(&mut e.wal_ref));
                self.stats.exemplars.add(total, self.exemplars.len());
                push_exemplars(&mut self.out, &self.exemplars);
            }
            Some(RecordKind::MmapMarkers) => {
                self.markers.clear();
                read_markers(record, &mut self.markers)?;
                self.markers.retain_mut(|m| self.kept.renumber(&mut m.wal_ref));
                push_markers(&mut self.out, &self.markers);
            }
            Some(RecordKind::DeletionBound) => {
                let mut anew = Vec::new();
                let first_ms = read_deletion_bound(record, &mut anew)?;
                self.tombstones.retain_mut(|tombstone| {
                    tombstone.min_ms = tombstone.min_ms.max(first_ms);
                    tombstone.min_ms <= tombstone.max_ms
                });
                self.delete(anew);
            }
            Some(RecordKind::Metadata) => self.metadata(record)?,
            // A checkpoint is there whole or not at all, and needs no groups.
            Some(RecordKind::GroupMarker | RecordKind::MinValidTime) | None => {}
            // Of a kind that this program does not know: it would not read it again either.
            Some(RecordKind::Unknown(kind)) => return Err(RecordError::UnknownKind(kind)),
        }
        sink.put(&self.out);
        Ok(())
    }

    /// Counts: the names are those of memory.
    fn series(&mut self, record: &[u8]) -> Result<(), RecordError> {
        let (mut total, mut kept) = (0, 0);
        let all_kept = &mut self.kept;
        let result = read_series(record, &mut self.builder, |wal_ref, labels| {
            total += 1;
            kept += usize::from(all_kept.named(wal_ref, &labels));
        });
        self.stats.series.add(total, kept);
        // Those before what cannot be read are read by a replay too.
        if result.is_err() {
            self.fault();
        }
        Ok(())
    }

    fn judge(&self, wal_ref: u64, timestamp_ms: i64) -> Verdict {
        match self.kept.get(wal_ref) {
            _ if timestamp_ms < self.kept_from.samples.as_ms() => Verdict::Old,
            None => Verdict::OfNoSeries,
            Some(wal_ref) => Verdict::Kept(wal_ref),
        }
    }

    /// What a batch behind damage leaves, as a replay has it: all of it or nothing. A series of which
    /// samples are needed is kept, unless its name was lost.
    #[cold]
    fn is_half(&self, record: &[u8]) -> bool {
        self.samples_in(record).into_iter().any(|(wal_ref, t)| self.judge(wal_ref, t) == Verdict::OfNoSeries)
    }

    /// The samples of a record that can be read, of any kind.
    fn samples_in(&self, record: &[u8]) -> Vec<(u64, i64)> {
        let (mut samples, mut histograms) = (Vec::new(), Vec::new());
        // What cannot be read is seen to when it is to be kept.
        match RecordKind::of(record) {
            Some(RecordKind::Samples | RecordKind::SamplesV2) => {
                let _ = read_any_samples(record, &mut samples);
            }
            Some(RecordKind::Histograms) => drop(read_histograms(record, &mut histograms)),
            _ => {}
        }
        let floats = samples.iter().map(|s| (s.wal_ref, s.timestamp_ms));
        floats.chain(histograms.iter().map(|h| (h.wal_ref, h.timestamp_ms))).collect()
    }

    /// Counts what is dropped.
    fn pass_over(&mut self, record: &[u8]) {
        let total = self.samples_in(record).len();
        self.stats.samples.add(total, 0);
    }

    fn samples(&mut self, record: &[u8]) -> Result<(), RecordError> {
        self.samples.clear();
        self.samples_out.clear();
        read_samples(record, &mut self.samples)?;
        let mut kept = 0;
        for s in &self.samples {
            if let Verdict::Kept(wal_ref) = self.judge(s.wal_ref, s.timestamp_ms) {
                kept += 1;
                self.samples_out.push(wal_ref, s.timestamp_ms, f64::from_bits(s.value_bits));
            }
        }
        self.stats.samples.add(self.samples.len(), kept);
        Ok(())
    }

    fn samples_v2(&mut self, record: &[u8]) -> Result<(), RecordError> {
        self.samples_v2.clear();
        self.samples_v2_out.clear();
        read_samples_v2(record, &mut self.samples_v2)?;
        let mut kept = 0;
        for (s, start_ms) in &self.samples_v2 {
            if let Verdict::Kept(wal_ref) = self.judge(s.wal_ref, s.timestamp_ms) {
                kept += 1;
                self.samples_v2_out.push(WalSample { wal_ref, ..*s }, *start_ms);
            }
        }
        self.stats.samples.add(self.samples_v2.len(), kept);
        Ok(())
    }

    fn histograms(&mut self, record: &[u8]) -> Result<(), RecordError> {
        let mut histograms = std::mem::take(&mut self.histograms);
        histograms.clear();
        let passed_over = read_histograms(record, &mut histograms)?;
        let total = histograms.len() + passed_over as usize;
        histograms.retain_mut(|h| match self.judge(h.wal_ref, h.timestamp_ms) {
            Verdict::Kept(wal_ref) => {
                h.wal_ref = wal_ref;
                true
            }
            Verdict::Old | Verdict::OfNoSeries => false,
        });
        self.stats.samples.add(total, histograms.len());
        self.histograms = histograms;
        Ok(())
    }

    fn metadata(&mut self, record: &[u8]) -> Result<(), RecordError> {
        let (kept, latest, stats) = (&self.kept, &mut self.metadata, &mut self.stats.metadata);
        read_metadata(record, |wal_ref, metadata| {
            let is_new = kept.get(wal_ref).is_some_and(|own| latest.insert(own, metadata).is_none());
            stats.add(1, usize::from(is_new));
        })
    }

    fn release(
        &mut self,
        push: impl FnMut(&[u8]) -> Result<(), CheckpointError>,
    ) -> Result<(), CheckpointError> {
        let mut sink = Sink { push, result: Ok(()) };
        mem::take(&mut self.gate).finish(&mut |batch| self.batch(batch, &mut sink));
        sink.result
    }

    /// Takes tombstones, as of the series that have their numbers here.
    fn delete(&mut self, mut deleted: Vec<WalTombstone>) {
        self.stats.tombstones.total += deleted.len() as u64;
        deleted.retain_mut(|tombstone| self.kept.renumber(&mut tombstone.wal_ref));
        self.tombstones.append(&mut deleted);
    }

    fn write_tombstones(
        &mut self,
        mut push: impl FnMut(&[u8]) -> Result<(), CheckpointError>,
    ) -> Result<(), CheckpointError> {
        let from_ms = self.kept_from.tombstones.as_ms();
        self.tombstones.retain(|tombstone| tombstone.max_ms >= from_ms);
        self.stats.tombstones.dropped = self.stats.tombstones.total - self.tombstones.len() as u64;
        for part in self.tombstones.chunks(TOMBSTONES_IN_RECORD) {
            self.out.clear();
            push_tombstones(&mut self.out, part);
            push(&self.out)?;
        }
        self.out.clear();
        Ok(())
    }

    /// Writes what was held back, and says what was passed.
    pub(super) fn finish(
        mut self,
        mut push: impl FnMut(&[u8]) -> Result<(), CheckpointError>,
    ) -> Result<CheckpointStats, CheckpointError> {
        // A record behind damage may wait for what stands behind it.
        self.release(&mut push)?;
        self.write_tombstones(&mut push)?;
        for (wal_ref, metadata) in &self.metadata {
            push_metadata(&mut self.out, *wal_ref, metadata);
            if self.out.len() >= METADATA_RECORD_BYTES {
                push(&self.out)?;
                self.out.clear();
            }
        }
        if !self.out.is_empty() {
            push(&self.out)?;
        }
        Ok(self.stats)
    }
}

/// Where records go; after a failure, nowhere.
struct Sink<P> {
    push: P,
    result: Result<(), CheckpointError>,
}

impl<P: FnMut(&[u8]) -> Result<(), CheckpointError>> Sink<P> {
    fn put(&mut self, record: &[u8]) {
        if self.result.is_ok() && !record.is_empty() {
            self.result = (self.push)(record);
        }
    }
}
