//! `HeadAppender`: a batch, from `append` to `commit`. Samples are checked against their series when
//! they are appended, and once more when they are stored, since another batch may have overtaken this
//! one. Never makes a sample visible that the WAL does not have.
//!
//! Start timestamps are passed over. A batch that needs several records is logged as a group of them
//! (`wal::group`). Metadata are logged when they are news.

use super::{
    Head,
    batch_samples::{BatchSamples, Order},
    batches::BatchNumber,
    exemplars::{Timed, Verdict},
    histograms::{checked, compress_all},
    out_of_order::LateBatch,
    registry::{HeldSeries, Origin, Table, ref_of},
    series::{CommitView, HistogramRef, MemSeries, Place, SeriesIndex, Stored},
};
use crate::{
    stats::Stats,
    wal::{
        Wal,
        compress::Compressor,
        group::{group_markers, push_group},
        record::{WalExemplar, push_exemplars, push_metadata, push_series},
    },
};
use skopos_model::{Exemplar, Labels, Metadata, Sample, SeriesRef, TimestampMs};
use skopos_storage::{
    Append, AppendError, Appender, CommitError, Committed, Row, SeriesId, SeriesLimit, TimeRange, Value,
};
use std::{collections::BTreeMap, sync::Arc};

/// Samples stored or checked before the registry is let go for a moment.
const STRIDE: usize = 4096;
/// Batches whose buffers are larger are not kept for later ones.
const SPARE_BYTES: usize = 8 << 20;
/// The most spare batches kept.
const SPARES: usize = 16;
/// How limits are named to an operator: as the flag, where there is one.
const LABEL_LIMIT: &str = "max-label-bytes (tsdb)";
const HISTOGRAM_LIMIT: &str = "max-batch-histogram-bytes (tsdb)";
const BATCH_LIMIT: &str = "max-batch-samples (tsdb)";

/// What becomes of a sample that is appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is stored behind the others of its series.
    Store,
    /// It is stored among them.
    Late,
    /// It is there already.
    Known,
}

/// The buffers of a batch.
#[derive(Default)]
pub(crate) struct Batch {
    samples: BatchSamples,
    /// Series that the WAL did not name when they were appended to.
    unlogged: Vec<Arc<MemSeries>>,
    /// Series that the batch holds, as often as it does.
    held: Vec<Arc<MemSeries>>,
    /// What is new, by metric, with the series that the log shall have it with.
    metadata: BTreeMap<Box<str>, (Arc<MemSeries>, Metadata)>,
    exemplars: Vec<WalExemplar>,
    /// Of which series each is.
    exemplar_series: Vec<SeriesIndex>,
    compressor: Compressor,
    compressed: Vec<u8>,
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch").field("floats", &self.samples.floats()).finish_non_exhaustive()
    }
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.metadata.is_empty() && self.exemplars.is_empty() && self.samples.is_empty()
    }

    /// The records before the floats of the first turn, and those behind them.
    fn other_records(&self) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
        let (mut exemplars, mut metadata) = (Vec::new(), Vec::new());
        push_exemplars(&mut exemplars, &self.exemplars);
        for (series, of) in self.metadata.values() {
            push_metadata(&mut metadata, series.wal_ref().get(), of);
        }
        let (mut before, mut behind) = (Vec::new(), Vec::new());
        before.extend([exemplars, metadata].into_iter().filter(|record| !record.is_empty()));
        before.extend(self.samples.first.histograms.records());
        self.samples.later.iter().for_each(|turn| turn.push_records(&mut behind));
        (before, behind)
    }

    /// What makes those and the floats one; none when there is one record only.
    fn markers(&self, before: &[Vec<u8>], behind: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let floats = Some(self.samples.first.floats()).filter(|floats| !floats.is_empty());
        if before.len() + floats.iter().len() + behind.len() < 2 {
            return Vec::new();
        }
        let all = before.iter().map(Vec::as_slice).chain(floats).chain(behind.iter().map(Vec::as_slice));
        group_markers(all)
    }

    fn clear(&mut self) {
        self.samples.clear();
        self.unlogged.clear();
        self.metadata.clear();
        self.exemplars.clear();
        self.exemplar_series.clear();
    }
}

/// A batch being gathered.
pub(crate) struct HeadAppender<'a> {
    head: &'a Head,
    wal: &'a Wal,
    batch: Batch,
    number: BatchNumber,
    accepted_ms: (i64, i64),
    /// From this time on samples out of order are taken; none without a window.
    oldest_late: Option<TimestampMs>,
    max_samples: usize,
    /// Of the source of the samples, for new series.
    limit: Option<Arc<SeriesLimit>>,
}

impl<'a> HeadAppender<'a> {
    pub(crate) fn new(head: &'a Head, wal: &'a Wal, limit: Option<&Arc<SeriesLimit>>) -> Self {
        Self {
            head,
            wal,
            batch: head.spare.lock().pop().unwrap_or_default(),
            number: head.batches.begin(),
            accepted_ms: head.accepted(),
            oldest_late: head.oldest_late(),
            max_samples: head.options.max_batch_samples(),
            limit: limit.cloned(),
        }
    }

    fn find_or_create(&mut self, labels: &Labels) -> Result<Arc<MemSeries>, AppendError> {
        let invalid = |reason| AppendError::InvalidLabels { labels: labels.clone(), reason };
        if labels.is_empty() {
            return Err(invalid("there is no label"));
        }
        // Names are sorted: an empty one comes first.
        if labels.iter().next().is_some_and(|(name, _)| name.is_empty()) {
            return Err(invalid("a label has no name"));
        }
        let max_bytes = self.head.options.max_label_bytes;
        if labels.byte_len() > max_bytes {
            return Err(AppendError::Limit { limit: LABEL_LIMIT, max: max_bytes as u64 });
        }
        let origin = self.limit.as_ref().map_or(Origin::Appender, Origin::Limited);
        match self.head.registry.get_or_create_for(self.number, labels, origin) {
            Ok(found) => {
                if found.created {
                    Stats::add(&self.head.stats.series, 1);
                }
                Ok(self.hold(found))
            }
            Err(reached) => Err(reached.refuse(&self.head.stats)),
        }
    }

    /// Finds a series and keeps it from being taken out until the batch ends.
    fn find(&mut self, id: SeriesId<'_>) -> Result<Arc<MemSeries>, AppendError> {
        match id {
            SeriesId::Labels(labels) => self.find_or_create(labels),
            SeriesId::Ref(r) => {
                let known = self.head.registry.find(r, Some(self.number));
                Ok(self.hold(known.ok_or(AppendError::UnknownRef(r.get()))?))
            }
        }
    }

    /// Adds a float of a series that is there and found by its labels, with nothing beside it. None without
    /// such a series.
    fn append_found(
        &mut self,
        labels: &Labels,
        timestamp: TimestampMs,
        value: f64,
    ) -> Option<Result<SeriesRef, AppendError>> {
        let head = self.head;
        // A series of before, when the limit was another one, is refused as a new one is.
        if labels.byte_len() > head.options.max_label_bytes {
            return None;
        }
        let (index, added) = head.registry.with_found(labels, |series| {
            if series.hold_unlogged() {
                self.batch.held.push(Arc::clone(series));
            }
            (series.index, self.add(series, timestamp.as_ms(), value))
        })?;
        if let Some(limit) = &self.limit {
            head.registry.charge_found(index, limit);
        }
        Some(added.map(|()| ref_of(index)))
    }

    /// Notes what has to be released.
    fn hold(&mut self, found: HeldSeries) -> Arc<MemSeries> {
        if found.held {
            self.batch.held.push(Arc::clone(&found.series));
        }
        found.series
    }

    /// Adds a sample of a known series, or says why not.
    #[inline]
    fn add(&mut self, series: &Arc<MemSeries>, timestamp_ms: i64, value: f64) -> Result<(), AppendError> {
        let (min, max) = self.accepted_ms;
        let regular = timestamp_ms > series.newest_ms() && timestamp_ms >= min && timestamp_ms <= max;
        let mut fate = Fate::Store;
        if !regular {
            fate = self.check_irregular(series, timestamp_ms, value)?;
        }
        if fate == Fate::Store && series.mark_pending(self.number) {
            fate = self.check_repeated(series, timestamp_ms, value)?;
        }
        if fate == Fate::Known {
            series.keep_for(self.number);
            return Ok(());
        }
        if self.batch.samples.floats() >= self.max_samples {
            return Err(AppendError::Limit { limit: BATCH_LIMIT, max: self.max_samples as u64 });
        }
        if !series.is_logged() {
            self.batch.unlogged.push(Arc::clone(series));
        }
        if fate == Fate::Late {
            series.mark_pending(self.number);
            let sample = Sample { timestamp: TimestampMs::new(timestamp_ms), value };
            self.batch.samples.push_known(series, sample, Order::Late);
        } else {
            self.batch.samples.push(series, timestamp_ms, value);
        }
        Ok(())
    }

    /// Adds a float of the series of a reference, or says why not.
    #[inline]
    fn add_known(
        &mut self,
        table: &Table<'_>,
        series: SeriesRef,
        timestamp: TimestampMs,
        value: f64,
    ) -> Result<(), AppendError> {
        let known = table.by_ref(series).ok_or(AppendError::UnknownRef(series.get()))?;
        if known.hold_unlogged() {
            self.batch.held.push(Arc::clone(known));
        }
        self.add(known, timestamp.as_ms(), value)
    }

    /// Adds a histogram of a known series, or says why not.
    fn add_histogram(
        &mut self,
        series: &Arc<MemSeries>,
        timestamp: TimestampMs,
        value: HistogramRef<'_>,
    ) -> Result<(), AppendError> {
        self.check_bounds(timestamp)?;
        let mut place = series.place_of_histogram(timestamp, value);
        let mut order = Order::First;
        if place == Place::Behind && series.mark_pending(self.number) {
            place = self.batch.samples.place_of_histogram(series.index, timestamp, value);
            order = Order::Newest;
        }
        match self.judge(place, timestamp)? {
            Fate::Known => return Ok(()),
            Fate::Late => {
                let place = series.late_place_of_histogram(timestamp, value);
                if self.judge_late(place, timestamp)? == Fate::Known {
                    return Ok(());
                }
                series.mark_pending(self.number);
                order = Order::Late;
            }
            Fate::Store => {}
        }
        let max_bytes = self.head.options.max_record_bytes();
        if self.batch.samples.histogram_bytes() >= max_bytes {
            return Err(AppendError::Limit { limit: HISTOGRAM_LIMIT, max: max_bytes as u64 });
        }
        self.batch.samples.push_histogram(series, timestamp, value, order)?;
        if !series.is_logged() {
            self.batch.unlogged.push(Arc::clone(series));
        }
        Ok(())
    }

    fn check_bounds(&self, timestamp: TimestampMs) -> Result<(), AppendError> {
        let (min, max) = self.accepted_ms;
        if (min..=max).contains(&timestamp.as_ms()) {
            return Ok(());
        }
        if self.oldest_late.is_some() && timestamp.as_ms() < min {
            return self.check_window(timestamp);
        }
        Stats::add(&self.head.stats.out_of_bounds_total, 1);
        let (min, max) = (TimestampMs::new(min), TimestampMs::new(max));
        Err(AppendError::OutOfBounds { timestamp, min, max })
    }

    /// Whether a sample out of order is recent enough; there is a window.
    fn check_window(&self, timestamp: TimestampMs) -> Result<(), AppendError> {
        match self.oldest_late {
            Some(oldest) if timestamp < oldest => {
                Stats::add(&self.head.stats.too_old_total, 1);
                let window = self.head.options.out_of_order_window;
                Err(AppendError::TooOld { timestamp, oldest, window })
            }
            _ => Ok(()),
        }
    }

    /// What becomes of a sample that is not simply newer.
    #[cold]
    fn check_irregular(
        &self,
        series: &MemSeries,
        timestamp_ms: i64,
        value: f64,
    ) -> Result<Fate, AppendError> {
        let timestamp = TimestampMs::new(timestamp_ms);
        self.check_bounds(timestamp)?;
        let sample = Sample { timestamp, value };
        match self.judge(series.place(sample), timestamp)? {
            Fate::Late => self.judge_late(series.late_place(sample), timestamp),
            other => Ok(other),
        }
    }

    /// Like `check_irregular`, for a series of which the batch has a sample already.
    #[cold]
    fn check_repeated(
        &mut self,
        series: &MemSeries,
        timestamp_ms: i64,
        value: f64,
    ) -> Result<Fate, AppendError> {
        let sample = Sample { timestamp: TimestampMs::new(timestamp_ms), value };
        let place = self.batch.samples.place(series.index, sample);
        self.judge(place, sample.timestamp)
    }

    /// What becomes of a sample that would stand there.
    fn judge(&self, place: Place, timestamp: TimestampMs) -> Result<Fate, AppendError> {
        match place {
            Place::Behind => Ok(Fate::Store),
            Place::Same => Ok(Fate::Known),
            Place::Before(_) if self.oldest_late.is_some() => {
                self.check_window(timestamp).map(|()| Fate::Late)
            }
            Place::Conflict => {
                Stats::add(&self.head.stats.duplicates_total, 1);
                Err(AppendError::Duplicate { timestamp })
            }
            Place::Before(newest) => {
                Stats::add(&self.head.stats.out_of_order_total, 1);
                Err(AppendError::OutOfOrder { timestamp, newest })
            }
        }
    }

    /// What becomes of a late sample that would stand there among those of the open chunk.
    fn judge_late(&self, place: Place, timestamp: TimestampMs) -> Result<Fate, AppendError> {
        match place {
            Place::Same | Place::Conflict => self.judge(place, timestamp),
            Place::Behind | Place::Before(_) => Ok(Fate::Late),
        }
    }

    /// Adds an exemplar that its series does not have yet, or says why not.
    fn add_exemplar(
        &mut self,
        series: &MemSeries,
        exemplar: &Exemplar,
        of_sample: TimestampMs,
    ) -> Result<(), AppendError> {
        if exemplar.timestamp.is_none() && self.head.exemplars.is_newest(series.index, exemplar) {
            return Ok(());
        }
        let timestamp_ms = exemplar.timestamp.unwrap_or(of_sample).as_ms();
        let labels = exemplar.labels.clone();
        let timed = Timed { timestamp_ms, value: exemplar.value, labels };
        match self.head.exemplars.check(series.index, &timed) {
            Verdict::New => {}
            // A target repeats its newest one from scrape to scrape.
            Verdict::Same => return Ok(()),
            refused @ (Verdict::OutOfOrder | Verdict::TooLong) => {
                Stats::add(&self.head.stats.exemplars_dropped_total, 1);
                let is_old = refused == Verdict::OutOfOrder;
                let reason = if is_old { "its series has a newer one" } else { "its labels are too long" };
                return Err(AppendError::Exemplar(reason));
            }
        }
        let Timed { timestamp_ms, value, labels } = timed;
        let exemplar = WalExemplar { wal_ref: series.wal_ref().get(), timestamp_ms, value, labels };
        self.batch.exemplars.push(exemplar);
        self.batch.exemplar_series.push(series.index);
        Ok(())
    }

    /// Adds what a metric is, where that is news. The log names the series, or will with this batch.
    fn add_metadata(&mut self, series: Arc<MemSeries>, metadata: &Metadata) {
        let Some(metric) = series.labels.metric_name() else { return };
        let known = match self.batch.metadata.get(metric) {
            Some((_, newest)) => newest == metadata,
            None => self.head.metadata.is_known(metric, metadata),
        };
        if !known && self.head.metadata.has_room(metric, metadata, &self.head.stats) {
            let metric = Box::from(metric);
            self.batch.metadata.insert(metric, (series, metadata.clone()));
        }
    }

    /// Writes the batch to the WAL, stores it in memory and makes it visible.
    fn commit_batch(&mut self) -> Result<Committed, CommitError> {
        let (head, batch) = (self.head, &mut self.batch);
        head.check_unwritten()?;
        let how = head.options.wal_compression;
        let (before, behind) = batch.other_records();
        let markers = batch.markers(&before, &behind);
        let floats = batch.samples.first.floats();
        let samples = batch.compressor.compress(how, floats, &mut batch.compressed);
        let (mut buffers, mut buffers_behind) = (Vec::new(), Vec::new());
        let mut members = compress_all(&mut batch.compressor, how, &before, &mut buffers);
        if !floats.is_empty() {
            members.push(samples);
        }
        members.extend(compress_all(&mut batch.compressor, how, &behind, &mut buffers_behind));
        let mut state = head.commit.lock();
        let state = &mut *state;
        head.log_names_due(self.wal)?;
        state.series_record.clear();
        batch.unlogged.retain(|series| !series.is_logged());
        for series in &batch.unlogged {
            push_series(&mut state.series_record, series.wal_ref().get(), &series.labels.to_labels());
        }
        if batch.unlogged.is_empty() && before.is_empty() && behind.is_empty() {
            self.wal.log(&[samples])?;
        } else {
            let mut all = Vec::with_capacity(2 + 2 * members.len());
            // Series stand before the group: what comes later needs them whatever becomes of it.
            if !batch.unlogged.is_empty() {
                let names = batch.compressor.compress(how, &state.series_record, &mut state.compressed);
                if let Some(copy) = head.names.get() {
                    copy.log(names);
                }
                all.push(names);
            }
            match &members[..] {
                [one] => all.push(*one),
                many => push_group(&mut all, many, &markers),
            }
            self.wal.log(&all)?;
            batch.unlogged.iter().for_each(|series| series.set_logged());
        }
        if let Some(copy) = head.names.get() {
            copy.follow(self.wal.under_way());
        }
        batch.metadata.values().for_each(|(series, metadata)| head.metadata.set(series, metadata));
        head.readers.copy_marks(&mut state.marks);
        let view = CommitView {
            id: state.next,
            marks: &state.marks,
            block_ms: head.options.min_block_duration.as_ms().max(1),
            min_valid_ms: head.min_valid_ms(),
            late_cut: head.late.cut_up_to(),
            chunks: &head.chunks,
        };
        let committed = store(head, batch, view);
        head.readers.publish(state.next);
        store_exemplars(head, batch);
        state.next += 1;
        Ok(committed)
    }
}

/// Stores the exemplars of a batch, which readers see at once.
fn store_exemplars(head: &Head, batch: &mut Batch) {
    for (series, exemplar) in batch.exemplar_series.drain(..).zip(batch.exemplars.drain(..)) {
        let counter = match head.exemplars.add(series, exemplar.into()) {
            Verdict::New => &head.stats.exemplars_appended_total,
            Verdict::Same => continue,
            Verdict::OutOfOrder | Verdict::TooLong => &head.stats.exemplars_dropped_total,
        };
        Stats::add(counter, 1);
    }
}

/// Stores a batch in memory. Readers do not see it before it is published.
fn store(head: &Head, batch: &Batch, view: CommitView<'_>) -> Committed {
    let mut tally = Tally::default();
    let mut late = LateBatch::new(head, view);
    for turn in batch.samples.turns() {
        turn.store(head, view, &mut late, |timestamp_ms, stored| tally.add(timestamp_ms, stored));
    }
    late.finish();
    let Tally { committed, chunks, min_ms, max_ms } = tally;
    if min_ms <= max_ms {
        head.saw(TimeRange { min: TimestampMs::new(min_ms), max: TimestampMs::new(max_ms) });
    }
    Stats::add(&head.stats.chunks, chunks);
    Stats::add(&head.stats.samples_appended_total, committed.samples as u64);
    Stats::add(&head.stats.overtaken_total, committed.overtaken as u64);
    Stats::add(&head.stats.commits_total, 1);
    committed
}

/// What a commit stored.
struct Tally {
    committed: Committed,
    chunks: u64,
    min_ms: i64,
    max_ms: i64,
}

impl Default for Tally {
    fn default() -> Self {
        Self { committed: Committed::default(), chunks: 0, min_ms: i64::MAX, max_ms: i64::MIN }
    }
}

impl Tally {
    #[inline]
    fn add(&mut self, timestamp_ms: i64, stored: Stored) {
        match stored {
            Stored::New => {}
            Stored::NewChunk { first_of_series } => {
                self.chunks += 1;
                self.committed.new_series += usize::from(first_of_series);
            }
            Stored::Same => return,
            Stored::Late { first_of_series } => {
                self.committed.samples += 1;
                self.committed.new_series += usize::from(first_of_series);
                return;
            }
            Stored::Overtaken => {
                self.committed.overtaken += 1;
                return;
            }
        }
        self.committed.samples += 1;
        self.min_ms = self.min_ms.min(timestamp_ms);
        self.max_ms = self.max_ms.max(timestamp_ms);
    }
}

impl Appender for HeadAppender<'_> {
    fn append(&mut self, sample: &Append<'_>) -> Result<SeriesRef, AppendError> {
        if let (SeriesId::Labels(labels), Value::Float(value)) = (sample.series, sample.value)
            && sample.exemplars.is_empty()
            && sample.metadata.is_none()
            && let Some(appended) = self.append_found(labels, sample.timestamp, value)
        {
            return appended;
        }
        let series = match sample.value {
            Value::Float(value) => {
                let series = self.find(sample.series)?;
                self.add(&series, sample.timestamp.as_ms(), value)?;
                series
            }
            Value::Histogram(_) | Value::FloatHistogram(_) => {
                let histogram = checked(sample.value)?;
                let series = self.find(sample.series)?;
                self.add_histogram(&series, sample.timestamp, histogram)?;
                series
            }
        };
        for exemplar in sample.exemplars {
            // The sample is taken whatever becomes of what stands beside it, and it is counted.
            let _ = self.add_exemplar(&series, exemplar, sample.timestamp);
        }
        let series_ref = ref_of(series.index);
        if let Some(metadata) = sample.metadata {
            self.add_metadata(series, metadata);
        }
        Ok(series_ref)
    }

    fn metadata(&mut self, series: SeriesRef, metadata: &Metadata) {
        // A series that has gone meanwhile has nothing to say.
        if let Ok(series) = self.find(SeriesId::Ref(series)) {
            self.add_metadata(series, metadata);
        }
    }

    fn exemplar(&mut self, series: SeriesRef, exemplar: &Exemplar) -> Result<(), AppendError> {
        let series = self.find(SeriesId::Ref(series))?;
        let now = TimestampMs::new(self.head.clock.wall_ms());
        self.add_exemplar(&series, exemplar, now)
    }

    fn charge_nobody(&mut self) {
        self.limit = None;
    }

    fn append_floats(
        &mut self,
        timestamp: TimestampMs,
        series: &[SeriesRef],
        values: &[f64],
        refused: &mut Vec<(usize, AppendError)>,
    ) {
        assert_eq!(series.len(), values.len(), "one value for each series");
        let head = self.head;
        for from in (0..series.len()).step_by(STRIDE) {
            let to = (from + STRIDE).min(series.len());
            let table = head.registry.table();
            for i in from..to {
                if let Err(e) = self.add_known(&table, series[i], timestamp, values[i]) {
                    refused.push((i, e));
                }
            }
        }
    }

    fn append_rows(&mut self, rows: &[Row], refused: &mut Vec<(usize, AppendError)>) {
        let head = self.head;
        for (stride, rows) in rows.chunks(STRIDE).enumerate() {
            let table = head.registry.table();
            for (i, row) in rows.iter().enumerate() {
                if let Err(e) = self.add_known(&table, row.series, row.timestamp, row.value) {
                    refused.push((stride * STRIDE + i, e));
                }
            }
        }
    }

    fn commit(mut self: Box<Self>) -> Result<Committed, CommitError> {
        let committed = if self.batch.is_empty() {
            Committed::default()
        } else {
            self.commit_batch().inspect_err(|_| Stats::add(&self.head.stats.commits_failed_total, 1))?
        };
        Ok(committed)
    }
}

/// Gives the buffers back. What was not committed is gone with them, and so are the series that were made
/// for it.
impl Drop for HeadAppender<'_> {
    fn drop(&mut self) {
        self.head.batches.end(self.number);
        let mut batch = std::mem::take(&mut self.batch);
        let removed = self.head.registry.release(batch.held.drain(..));
        Stats::sub(&self.head.stats.series, removed as u64);
        batch.clear();
        let bytes = batch.samples.first.capacity_bytes()
            + batch.compressed.capacity()
            + (batch.held.capacity() + batch.unlogged.capacity()) * 8;
        let mut spare = self.head.spare.lock();
        if bytes <= SPARE_BYTES && spare.len() < SPARES {
            spare.push(batch);
        }
    }
}
