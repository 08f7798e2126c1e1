//! The WAL's records back into series. Applies records in the order in which they were written, by the
//! same rules as a commit: so what was overtaken then is overtaken again. Never refuses to start for
//! damage; counts it and says where it is.

mod behind;
mod by_series;
mod late;
mod named;
mod names;
mod refs;
mod rounds;
mod twice;
mod unsure;

use super::{
    Head,
    histograms::{is_sound, reference},
    out_of_order::{cut::LateInBlocks, late_value},
    series::{LateValue, SeriesIndex},
    snapshot::Imported,
};
use crate::{
    error::OpenError,
    stats::Stats,
    wal::{
        PAGE_SIZE,
        group::{Batch, Gate},
        reader::{Fault, Item, SegmentReader},
        record::{
            RecordError, RecordKind, WalHistogram, WalSample, WalTombstone, read_any_samples,
            read_deletion_bound, read_exemplars, read_histograms, read_markers, read_metadata,
            read_min_valid_time, read_series, read_tombstones,
        },
        segment::{Begins, Listing, Misplaced, SegmentFile},
        unnamed::{Unnamed, given_twice_reason},
    },
};
use late::LateReplay;
pub(super) use named::{add_series, reserve};
use names::Copied;
pub(super) use refs::RefMap;
use rounds::Rounds;
use skopos_base::{
    Env,
    clock::Clock,
    fs::{Fs, OpenMode},
    sync::atomic::Ordering::Relaxed,
};
use skopos_model::{DurationMs, LabelsBuilder, TimestampMs};
use skopos_storage::TimeRange;
use std::{collections::BTreeMap, fmt::Display, sync::Arc, time::Duration};
use twice::GivenTwice;
use unsure::Unsure;

/// How often the log says how far it is.
pub(super) const PROGRESS_EVERY: Duration = Duration::from_secs(5);
/// So many faults of one segment are logged one by one; the rest is only counted.
const FAULTS_LOGGED: u64 = 10;
/// So many bytes of closed chunks wait for the end of their segment.
const SPILL_BYTES: usize = 32 << 20;

/// The logs of a database.
pub(crate) struct Logs<'a> {
    pub(crate) wal: &'a Listing,
    /// The names of series beside the WAL, where they are to be believed.
    pub(crate) names: Option<&'a Listing>,
    /// The write-behind log; it is empty where there is none.
    pub(crate) behind: &'a Listing,
    /// Whether samples out of order are taken or ever were: else those of the WAL were overtaken before they
    /// were stored.
    pub(crate) late_taken: bool,
    /// How long a block is that was cut from the head, where one was.
    pub(crate) block: Option<DurationMs>,
    /// Of late samples, this is in blocks.
    pub(crate) late: LateInBlocks,
    /// What a snapshot has brought into the head: what the WAL has before it is not read. The write-behind
    /// log is.
    pub(crate) imported: Option<Imported>,
    /// When the head began to be read back.
    pub(crate) started: Duration,
}

/// Reads all that `logs` name into `head`, and cuts off torn ends of their last segments. Where the logs
/// contradict themselves, the head is given up for one that `fresh` makes, which has nothing yet, and no
/// snapshot.
pub(crate) fn replay(
    mut head: Arc<Head>,
    env: &Env,
    mut logs: Logs<'_>,
    fresh: impl Fn() -> Result<Arc<Head>, OpenError>,
) -> Result<Arc<Head>, OpenError> {
    let mut twice = GivenTwice::default();
    let renumbered = loop {
        let number = match replay_knowing(&head, env, &mut logs, &twice) {
            Ok(renumbered) => break renumbered,
            Err(ReplayError::Open(error)) => return Err(error),
            Err(ReplayError::GivenTwice(number)) => number,
        };
        tracing::warn!(number, "the WAL gives a number to two series: all of it is read once more");
        twice.look(&*env.fs, &logs, number)?;
        let counted = [&head.stats.chunks, &head.stats.replayed_samples, &head.stats.wal_corruptions_total];
        counted.iter().for_each(|n| n.store(0, Relaxed));
        head = fresh()?;
        twice.prepare(&head);
    };
    if let Some(reason) = given_twice_reason(twice.numbers()) {
        Stats::add(&head.stats.wal_corruptions_total, twice.numbers().len() as u64);
        tracing::error!("{reason}");
    }
    head.contradicted.set(twice.numbers().clone(), renumbered);
    head.replayed();
    Ok(head)
}

/// Why a replay ended before its time.
#[derive(Debug, thiserror::Error)]
enum ReplayError {
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The head is of no use: all is to be read anew by who knows that this number is several series'.
    #[error("the WAL gives number {0} to two series")]
    GivenTwice(u64),
}

/// One attempt at it, with the numbers that are known to be several series'.
fn replay_knowing(
    head: &Arc<Head>,
    env: &Env,
    logs: &mut Logs<'_>,
    twice: &GivenTwice,
) -> Result<Vec<SeriesIndex>, ReplayError> {
    let (fs, clock) = (&*env.fs, &*env.clock);
    let (started, listing) = (logs.started, logs.wal);
    let behind = &logs.behind.segments[..];
    let imported = logs.imported.take();
    let after = imported.as_ref().map(|imported| imported.position);
    let checkpoint = if after.is_some() { &[][..] } else { &listing.checkpoint[..] };
    let first = after.map_or(0, |position| position.segment);
    let segments = &listing.segments[listing.segments.partition_point(|s| s.index < first)..];
    let total: u64 = checkpoint.iter().chain(segments).chain(behind).map(|s| s.len).sum();
    let (refs, newest_ms) =
        imported.map_or_else(Default::default, |imported| (imported.refs, imported.newest_ms));
    let late = LateReplay::new(head, logs.late_taken, logs.block, newest_ms);
    let mut replay = Replay::new(head, env, refs, Copied::new(logs.names), late);
    replay.refs.know(twice.clone());
    replay.behind = behind;
    replay.are_late_blocks_gone = logs.late == LateInBlocks::Gone;
    let said = &head.options.replay_progress;
    if let (Some(first), Some(last)) = (segments.first(), segments.last()) {
        said.begin(first.index.into(), last.index.into());
    }
    let mut progress = Progress { clock, started, said: clock.monotonic(), total, done: 0 };
    replay.say_misplaced(listing, Begins::AtTheStart);
    // What a checkpoint has of later segments is not older than the head's samples in order, so that what was
    // deleted of it is marked there.
    let in_blocks = |segment| logs.late.cut().map_or(0, |cut| cut.until(segment));
    let of_checkpoint = listing.checkpoint_index.map_or(0, in_blocks);
    let late_in_blocks_until = if of_checkpoint == u64::MAX { u64::MAX } else { 0 };
    for segment in checkpoint {
        let part = Part { late_in_blocks_until, ..Part::default() };
        replay.segment(fs, segment, part, &mut progress)?;
        // Checkpoints are written to the end of their last page; one may have nothing in it.
        if !segment.len.is_multiple_of(PAGE_SIZE as u64) {
            replay.damaged(segment, segment.len, &"a checkpoint ends inside of a page", 1);
        }
    }
    replay.refs.forget_given_again();
    let mut before = listing.checkpoint_index.filter(|_| after.is_none()).or(first.checked_sub(1));
    for segment in segments {
        if before.map_or(0, |before| before + 1) != segment.index {
            replay.lose();
        }
        before = Some(segment.index);
        said.reached(segment.index.into());
        let part = Part {
            from: after.filter(|after| after.segment == segment.index).map_or(0, |after| after.offset),
            is_last: segments.last() == Some(segment),
            late_in_blocks_until: in_blocks(segment.index),
        };
        replay.segment(fs, segment, part, &mut progress)?;
    }
    replay.lose();
    replay.gate = Gate::default();
    replay.log = Log::Behind;
    replay.late.begin_behind();
    replay.refs.forget_given_twice();
    replay.say_misplaced(logs.behind, Begins::Anywhere);
    for segment in behind {
        let part = Part { is_last: behind.last() == Some(segment), ..Part::default() };
        replay.segment(fs, segment, part, &mut progress)?;
    }
    replay.lose();
    Ok(replay.finish(clock, started))
}

/// What of a segment is read.
#[derive(Clone, Copy, Default)]
struct Part {
    /// From this byte on.
    from: u64,
    /// No segment follows, so that a torn end is cut off.
    is_last: bool,
    /// Blocks have the late samples before this byte.
    late_in_blocks_until: u64,
}

/// Which log a record is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Log {
    Ahead,
    /// It has samples out of order alone.
    Behind,
}

struct Progress<'a> {
    clock: &'a dyn Clock,
    started: Duration,
    said: Duration,
    total: u64,
    done: u64,
}

impl Progress<'_> {
    fn say(&mut self, segment: &SegmentFile, offset: u64) {
        let now = self.clock.monotonic();
        if now.saturating_sub(self.said) >= PROGRESS_EVERY {
            self.said = now;
            let done = self.done + offset;
            let percent = done * 100 / self.total.max(1);
            let elapsed_s = now.saturating_sub(self.started).as_secs();
            tracing::info!(segment = %segment.path.display(), percent, elapsed_s, "reading the WAL");
        }
    }
}

struct Replay<'a> {
    head: &'a Head,
    rounds: Rounds<'a>,
    refs: RefMap,
    log: Log,
    /// Samples out of order.
    late: LateReplay,
    /// Blocks have the late samples of the current record.
    late_in_blocks: bool,
    /// A block of late samples that were deleted in part may be gone.
    are_late_blocks_gone: bool,
    /// The write-behind log.
    behind: &'a [SegmentFile],
    builder: LabelsBuilder,
    samples: Vec<WalSample>,
    histograms: Vec<WalHistogram>,
    /// Histograms that could not be stored.
    passed_over: u64,
    /// Samples of series that only blocks have any more.
    covered: u64,
    unnamed: Unnamed,
    unsure: Unsure,
    copied: Copied<'a>,
    fs: &'a dyn Fs,
    /// Whether anything was found damaged or missing.
    any_damage: bool,
    skipped: BTreeMap<RecordKind, u64>,
    /// Whether the segment was found damaged before the current record.
    damaged_before: bool,
    /// Holds records back until their group is whole.
    gate: Gate,
    /// Where in the segment the group under way begins.
    group_at: Option<u64>,
    /// Closed chunks are moved to files once they have so many bytes, however long the segment is.
    spill_at: usize,
}

impl<'a> Replay<'a> {
    fn new(head: &'a Arc<Head>, env: &'a Env, refs: RefMap, copied: Copied<'a>, late: LateReplay) -> Self {
        Self {
            head,
            rounds: Rounds::new(head, &*env.spawner),
            refs,
            log: Log::Ahead,
            late,
            late_in_blocks: false,
            are_late_blocks_gone: false,
            behind: &[],
            builder: LabelsBuilder::default(),
            samples: Vec::new(),
            histograms: Vec::new(),
            passed_over: 0,
            covered: 0,
            unnamed: Unnamed::default(),
            unsure: Unsure::default(),
            copied,
            fs: &*env.fs,
            any_damage: false,
            skipped: BTreeMap::new(),
            damaged_before: false,
            gate: Gate::default(),
            group_at: None,
            spill_at: SPILL_BYTES,
        }
    }

    /// Says what is missing from a log.
    fn say_misplaced(&mut self, listing: &Listing, begins: Begins) {
        for Misplaced { path, reason } in listing.misplaced(begins) {
            Stats::add(&self.head.stats.wal_corruptions_total, 1);
            tracing::warn!(path = %path.display(), "{reason}");
            self.find_damage();
        }
    }

    /// Names may be missing from the log from here on.
    fn find_damage(&mut self) {
        self.any_damage = true;
        self.copied.load(self.fs, self.head, &self.refs);
    }

    /// Whether a sample of a series that the log does not name is lost. Series whose samples are all in
    /// blocks need no name; where damage has taken names, one that came out of order may be in no block.
    fn matters(&self, timestamp_ms: i64) -> bool {
        timestamp_ms >= self.head.min_valid_ms() || self.any_damage && self.late.are_taken()
    }

    /// The series of a number, which the copy of names may have.
    #[inline]
    fn series_of(&mut self, wal_ref: u64) -> Option<SeriesIndex> {
        self.refs.get(wal_ref).or_else(|| self.copied_series(wal_ref))
    }

    /// Whatever a log has under a number that nobody names, the number is given to no other series.
    #[cold]
    fn copied_series(&mut self, wal_ref: u64) -> Option<SeriesIndex> {
        reserve(self.head, wal_ref);
        if self.refs.is_given_twice(wal_ref) {
            return None;
        }
        let labels = self.copied.take(wal_ref)?;
        let rounds = &mut self.rounds;
        let series = add_series(self.head, &mut self.refs, wal_ref, &labels, || rounds.flush());
        series.map(|series| series.index)
    }

    /// The same for a sample, which is lost without a series.
    #[cold]
    fn series_of_sample(&mut self, wal_ref: u64, timestamp_ms: i64) -> Option<SeriesIndex> {
        let matters = self.matters(timestamp_ms);
        if matters {
            self.copied.load(self.fs, self.head, &self.refs);
        }
        let series = self.copied_series(wal_ref);
        if series.is_none() {
            if matters {
                self.unnamed.add(wal_ref, timestamp_ms);
            } else {
                self.covered += 1;
            }
        }
        series
    }

    fn segment(
        &mut self,
        fs: &dyn Fs,
        segment: &SegmentFile,
        part: Part,
        progress: &mut Progress<'_>,
    ) -> Result<(), ReplayError> {
        let fail = |doing| OpenError::io(doing, &segment.path);
        let file = fs.open(&segment.path, OpenMode::Read).map_err(fail("opening"))?;
        let mut reader = SegmentReader::starting_at(&*file, part.from).map_err(fail("reading"))?;
        let mut faults = 0;
        (self.damaged_before, self.group_at) = (false, None);
        // With where what precedes it ends.
        let mut torn: Option<(Fault, u64)> = None;
        loop {
            match reader.next().map_err(fail("reading"))? {
                None => break,
                Some(Item::Fault(fault)) => {
                    // A record that is whole and cannot be read, as one of zstd, is no torn end.
                    if fault.offset < reader.good_end() {
                        torn = None;
                    } else if torn.is_none() {
                        torn = Some((fault.clone(), self.group_at.unwrap_or(reader.good_end())));
                    }
                    faults += 1;
                    self.damaged(segment, fault.offset, &fault.reason, faults);
                    self.lose();
                }
                Some(Item::Record(offset, record)) => {
                    torn = None;
                    self.late_in_blocks = offset < part.late_in_blocks_until;
                    if let Err(e) = self.let_through(offset, record) {
                        faults += 1;
                        self.damaged(segment, offset, &e, faults);
                    }
                    if let Some(wal_ref) = self.refs.contradicted() {
                        return Err(ReplayError::GivenTwice(wal_ref));
                    }
                    if self.late.is_full(self.head) {
                        self.store_unlogged(fs)?;
                    }
                    if self.head.chunks.buffered_bytes() >= self.spill_at {
                        self.spill(fs, segment)?;
                    }
                    progress.say(segment, offset);
                }
            }
        }
        progress.done += segment.len;
        if let Some(offset) = self.group_at {
            torn = Some((Fault { offset, reason: "the file ends before the batch does" }, offset));
        }
        if let Some((fault, good_end)) = torn.filter(|_| part.is_last) {
            self.cut_off(fs, segment, good_end, &fault)?;
        }
        self.rounds.flush();
        Ok(self.spill(fs, segment)?)
    }

    /// Moves the chunks that were closed so far to files. They have samples up to `segment`.
    fn spill(&mut self, fs: &dyn Fs, segment: &SegmentFile) -> Result<(), OpenError> {
        let fail = |doing| OpenError::io(doing, &segment.path);
        // A process that was killed may have left bytes that no disk has: what is answered from now on
        // must not be lost to a power loss. For a segment that is durable this costs next to nothing.
        let mut file = fs.open(&segment.path, OpenMode::Append).map_err(fail("opening"))?;
        file.sync().map_err(fail("synchronising"))?;
        self.head.spill();
        let (bytes, max) = (self.head.chunks.refused_bytes(), self.head.options.max_unwritten_chunk_bytes);
        if bytes >= max {
            return Err(OpenError::ChunksRefused { path: self.head.chunks.dir().to_owned(), bytes, max });
        }
        // A disk that refuses them is not asked at each record.
        self.spill_at = bytes + SPILL_BYTES;
        Ok(())
    }

    /// Stores the samples of the WAL that wait for the write-behind log and are not there.
    #[cold]
    fn store_unlogged(&mut self, fs: &dyn Fs) -> Result<(), OpenError> {
        self.late.store_unlogged(self.head, |each| {
            behind::each_sample(fs, self.behind, &mut |wal_ref, timestamp_ms| {
                let known = self.refs.get(wal_ref).filter(|_| !self.refs.is_given_twice(wal_ref));
                if let Some(series) = known {
                    each(series, timestamp_ms);
                }
            })
        })
    }

    /// Reads a record once what it belongs to is whole.
    fn let_through(&mut self, offset: u64, record: &[u8]) -> Result<(), RecordError> {
        let (mut gate, mut result) = (std::mem::take(&mut self.gate), Ok(()));
        let passed = gate.pass(record, &mut |batch| result = result.and(self.batch(batch)));
        self.group_at = self.group_at.or(Some(offset)).filter(|_| gate.is_open());
        self.gate = gate;
        passed.and(result)
    }

    /// Records may be missing here. What is let through was held back alone, and could be read before.
    fn lose(&mut self) {
        let mut gate = std::mem::take(&mut self.gate);
        gate.damage(&mut |batch| {
            let _ = self.batch(batch);
        });
        (self.gate, self.group_at) = (gate, None);
    }

    /// Reads the records of a batch, or one that stands for itself.
    fn batch(&mut self, batch: Batch<'_>) -> Result<(), RecordError> {
        let Batch { records, is_behind_damage } = batch;
        if (self.damaged_before || is_behind_damage)
            && self.log == Log::Ahead
            && self.lacks_series(records)?
        {
            return Ok(());
        }
        let mut result = Ok(());
        for record in records {
            result = result.and(self.record(record));
        }
        result
    }

    /// After a power loss the page that names a series may be gone while a later one is there. A batch with
    /// samples of such a series would be half there, so none of it is taken.
    #[cold]
    fn lacks_series(&mut self, records: &[&[u8]]) -> Result<bool, RecordError> {
        self.samples.clear();
        self.histograms.clear();
        for record in records {
            match RecordKind::of(record) {
                Some(RecordKind::Samples | RecordKind::SamplesV2) => {
                    read_any_samples(record, &mut self.samples)?;
                }
                Some(RecordKind::Histograms) => drop(read_histograms(record, &mut self.histograms)?),
                _ => {}
            }
        }
        let floats = self.samples.iter().map(|s| (s.wal_ref, s.timestamp_ms));
        let all: Vec<_> = floats.chain(self.histograms.iter().map(|h| (h.wal_ref, h.timestamp_ms))).collect();
        let mut lacks = false;
        for (wal_ref, timestamp_ms) in &all {
            lacks |= self.series_of(*wal_ref).is_none() && self.matters(*timestamp_ms);
        }
        if lacks {
            for (wal_ref, timestamp_ms) in all {
                self.unnamed.add(wal_ref, timestamp_ms);
            }
        }
        Ok(lacks)
    }

    fn damaged(&mut self, segment: &SegmentFile, offset: u64, reason: &dyn Display, count: u64) {
        self.damaged_before = true;
        self.find_damage();
        Stats::add(&self.head.stats.wal_corruptions_total, 1);
        if count <= FAULTS_LOGGED {
            tracing::warn!(
                segment = %segment.path.display(), offset, %reason,
                "the WAL is damaged here; the records that touch this page are lost, the rest is read: there \
                 is nothing to do, but if these samples matter restore the data directory from a copy; \
                 `skopos tool tsdb verify` lists all such places"
            );
        }
    }

    /// Cuts a torn end off the last segment: other programs that read this WAL give up what follows
    /// damage, and more segments are about to follow.
    fn cut_off(
        &self,
        fs: &dyn Fs,
        segment: &SegmentFile,
        good_end: u64,
        fault: &Fault,
    ) -> Result<(), OpenError> {
        tracing::warn!(
            segment = %segment.path.display(), offset = good_end,
            bytes = segment.len.saturating_sub(good_end), reason = fault.reason,
            "the WAL ends in an unfinished record, as after a crash: it is cut off"
        );
        let fail = |doing| OpenError::io(doing, &segment.path);
        let mut file = fs.open(&segment.path, OpenMode::Append).map_err(fail("opening"))?;
        file.truncate(good_end).map_err(fail("truncating"))
    }

    fn record(&mut self, record: &[u8]) -> Result<(), RecordError> {
        match RecordKind::of(record) {
            None => Ok(()),
            Some(RecordKind::Series) => {
                let (head, refs, rounds) = (self.head, &mut self.refs, &mut self.rounds);
                read_series(record, &mut self.builder, |wal_ref, labels| {
                    // Its samples so far come before chunks of another number.
                    add_series(head, refs, wal_ref, &labels, || rounds.flush());
                })
            }
            Some(RecordKind::Samples | RecordKind::SamplesV2) => {
                self.samples.clear();
                read_any_samples(record, &mut self.samples)?;
                self.apply_samples();
                Ok(())
            }
            Some(RecordKind::Histograms) => {
                self.histograms.clear();
                self.passed_over += read_histograms(record, &mut self.histograms)?;
                self.apply_histograms();
                Ok(())
            }
            // What they speak of is found in the chunks.
            Some(RecordKind::MmapMarkers) if self.log == Log::Behind => {
                let mut markers = Vec::new();
                read_markers(record, &mut markers)?;
                markers.iter().for_each(|marker| reserve(self.head, marker.wal_ref));
                Ok(())
            }
            Some(RecordKind::Metadata) => read_metadata(record, |wal_ref, metadata| {
                let series = self.series_of(wal_ref);
                let table = self.head.registry.table();
                if let Some(series) = series.and_then(|series| table.get(series)) {
                    self.head.metadata.set(series, &metadata);
                }
            }),
            // The gate has seen to it.
            Some(RecordKind::GroupMarker) => Ok(()),
            Some(RecordKind::MinValidTime) => read_min_valid_time(record).map(drop),
            Some(RecordKind::Exemplars) => {
                let mut exemplars = Vec::new();
                read_exemplars(record, &mut exemplars)?;
                for exemplar in exemplars {
                    if let Some(series) = self.series_of(exemplar.wal_ref) {
                        self.head.exemplars.add(series, exemplar.into());
                    }
                }
                Ok(())
            }
            Some(RecordKind::Tombstones) => self.tombstones(record),
            Some(RecordKind::DeletionBound) => {
                let mut anew = Vec::new();
                let first_ms = read_deletion_bound(record, &mut anew)?;
                self.forget_deleted(first_ms);
                self.delete(&anew);
                Ok(())
            }
            Some(RecordKind::Unknown(kind)) => Err(RecordError::UnknownKind(kind)),
            Some(kind) => {
                *self.skipped.entry(kind).or_default() += 1;
                Ok(())
            }
        }
    }

    fn tombstones(&mut self, record: &[u8]) -> Result<(), RecordError> {
        let mut deleted = Vec::new();
        read_tombstones(record, &mut deleted)?;
        self.delete(&deleted);
        Ok(())
    }

    fn delete(&mut self, deleted: &[WalTombstone]) {
        for tombstone in deleted {
            if let Some(series) = self.series_of(tombstone.wal_ref) {
                self.head.tombstones.add_logged(series, *tombstone);
            }
        }
    }

    /// Forgets what memory forgot here. Where blocks of then are gone, the log's samples count again, and so
    /// does what was deleted of them.
    fn forget_deleted(&self, first_ms: i64) {
        let at_most = if self.are_late_blocks_gone { i64::MIN } else { self.head.min_valid_ms() };
        self.head.tombstones.forget_logged(TimestampMs::new(first_ms), TimestampMs::new(at_most));
    }

    /// The series of a sample of the write-behind log. Those of series that nobody names are in blocks.
    fn series_behind(&mut self, wal_ref: u64, timestamp_ms: i64, value: &LateValue) -> Option<SeriesIndex> {
        let series = self.series_of(wal_ref);
        if series.is_none() && self.refs.is_given_twice(wal_ref) {
            self.unsure.add(wal_ref, timestamp_ms, value, &mut self.unnamed);
        }
        series
    }

    /// Stores floats of the write-behind log.
    fn apply_floats_behind(&mut self) {
        for s in std::mem::take(&mut self.samples) {
            let value = LateValue::Float(f64::from_bits(s.value_bits));
            if let Some(series) = self.series_behind(s.wal_ref, s.timestamp_ms, &value) {
                self.late.take(self.head, series, s.timestamp_ms, value);
            }
        }
    }

    /// The same for histograms.
    fn apply_histograms_behind(&mut self) {
        for s in std::mem::take(&mut self.histograms).into_iter().filter(|s| is_sound(&s.value)) {
            let value = late_value(&s.value);
            if let Some(series) = self.series_behind(s.wal_ref, s.timestamp_ms, &value) {
                self.late.take(self.head, series, s.timestamp_ms, value);
            }
        }
    }

    fn apply_samples(&mut self) {
        if self.log == Log::Behind {
            return self.apply_floats_behind();
        }
        let samples = std::mem::take(&mut self.samples);
        for sample in &samples {
            let known = self.refs.get(sample.wal_ref);
            let found = known.or_else(|| self.series_of_sample(sample.wal_ref, sample.timestamp_ms));
            let Some(series) = found else { continue };
            if self.late.is_late(series, sample.timestamp_ms) {
                if self.late_in_blocks {
                    self.covered += 1;
                } else {
                    let value = LateValue::Float(f64::from_bits(sample.value_bits));
                    self.late.wait(series, sample.timestamp_ms, value);
                }
                continue;
            }
            self.rounds.push(series, sample.timestamp_ms, sample.value_bits);
        }
        self.samples = samples;
    }

    fn apply_histograms(&mut self) {
        if self.log == Log::Behind {
            return self.apply_histograms_behind();
        }
        let histograms = std::mem::take(&mut self.histograms);
        for sample in &histograms {
            let known = self.refs.get(sample.wal_ref);
            let found = known.or_else(|| self.series_of_sample(sample.wal_ref, sample.timestamp_ms));
            let Some(series) = found else { continue };
            if !is_sound(&sample.value) {
                self.passed_over += 1;
                continue;
            }
            if self.late.is_late(series, sample.timestamp_ms) {
                if self.late_in_blocks {
                    self.covered += 1;
                } else {
                    self.late.wait_histogram(series, sample);
                }
                continue;
            }
            self.rounds.apply_histogram(
                series,
                TimestampMs::new(sample.timestamp_ms),
                reference(&sample.value),
            );
        }
        self.histograms = histograms;
    }

    /// Series of which nothing but chunks on disk is left.
    fn recover_chunks(&mut self) {
        if self.any_damage {
            for wal_ref in self.copied.rest() {
                if self.head.has_loaded_chunks(wal_ref) {
                    let _ = self.copied_series(wal_ref);
                }
            }
        }
        self.find_names_of_chunks();
        self.copied.say();
    }

    /// Chunks on disk that no record of the log led to: the copy of names may have theirs.
    fn find_names_of_chunks(&mut self) {
        let unnamed = self.head.unnamed_chunks(|wal_ref| self.refs.get(wal_ref).is_some());
        if unnamed.chunks() == 0 {
            return;
        }
        self.copied.load(self.fs, self.head, &self.refs);
        for wal_ref in unnamed.wal_refs() {
            let _ = self.copied_series(wal_ref);
        }
        let unnamed = self.head.unnamed_chunks(|wal_ref| self.refs.get(wal_ref).is_some());
        Stats::add(&self.head.stats.head_chunks_unnamed, unnamed.chunks());
        if let Some(reason) = unnamed.reason() {
            tracing::error!("{reason}");
        }
    }

    fn finish(mut self, clock: &dyn Clock, started: Duration) -> Vec<SeriesIndex> {
        self.recover_chunks();
        let stats = &self.head.stats;
        self.rounds.flush();
        std::mem::take(&mut self.late).finish(self.head);
        let applied = self.rounds.finish();
        let (unsure, refs) = (std::mem::take(&mut self.unsure), &self.refs);
        unsure.finish(self.head, &refs.owners, refs.chunks_of_several(), &mut self.unnamed);
        if applied.stored > 0 {
            let (min_ms, max_ms) = applied.range_ms;
            self.head.saw(TimeRange { min: TimestampMs::new(min_ms), max: TimestampMs::new(max_ms) });
        }
        for (kind, records) in &self.skipped {
            tracing::warn!(
                ?kind,
                records,
                "the WAL has records of a kind that is not kept; they are passed over"
            );
        }
        if self.passed_over > 0 {
            tracing::warn!(histograms = self.passed_over, "the WAL has histograms that are none");
        }
        let places = stats.snapshot().wal_corruptions_total;
        if places > 0 {
            let (series, unnamed) = (self.head.registry.len(), self.unnamed.samples());
            tracing::warn!(
                places,
                series,
                samples = applied.stored,
                samples_of_unknown_series = unnamed,
                "the log is read, without what was damaged; what the damage held cannot be counted"
            );
        }
        if let Some(reason) = self.unnamed.reason() {
            Stats::add(&stats.wal_corruptions_total, 1);
            tracing::error!("{reason}");
        }
        let took = clock.monotonic().saturating_sub(started);
        Stats::add(&stats.chunks, applied.chunks);
        Stats::add(&stats.series, self.head.registry.len() as u64);
        Stats::add(&stats.replayed_samples, applied.stored);
        Stats::add(&stats.replay_covered_samples, applied.covered + self.covered);
        Stats::add(&stats.replay_unknown_series, self.unnamed.samples());
        Stats::add(&stats.replay_skipped_records, self.skipped.values().sum());
        Stats::add(&stats.replay_ms, took.as_millis() as u64);
        std::mem::take(&mut self.refs.renumbered)
    }
}
