//! The head to a snapshot when the database is closed, and back at the next start in the place of the WAL up
//! to there. Decides whether a snapshot is believed: what is damaged, of another WAL, or not of the closed
//! chunks on disk is thrown away, and the WAL read as if it had never been. Owns no file.
//!
//! The last tombstone of a snapshot is none: its span ends before it begins. It says which number the next
//! series of the WAL gets, how many series there are, and (−1 − max) how many exemplars: so that nothing is
//! missing unnoticed, and no number is given twice. Where there are samples out of order, which the snapshot
//! has not, another one stands before it, of number 0, which no series has: it says in which segment of the
//! write-behind log they end, and (−1 − max) where in it. Without that such a snapshot is not believed.
//! Prometheus deletes nothing by either.

use super::{
    Head,
    exemplars::Timed,
    metadata::Again,
    out_of_order::cut::LateInBlocks,
    replay::{Logs, PROGRESS_EVERY, RefMap, add_series, replay, reserve},
    series::{MemSeries, Restored},
};
use crate::{
    db::note::HeadCut,
    error::OpenError,
    head_chunks::HeadChunks,
    options::Options,
    stats::Stats,
    wal::{
        Wal,
        record::WalTombstone,
        segment::Listing,
        snapshot::{
            ClosedChunks, Entry, OpenChunk, Position, ReadSoFar, SnapshotError, newest, read_snapshot_saying,
            remove_all, write_snapshot,
        },
    },
};
use skopos_base::Env;
use skopos_model::{Labels, TimestampMs};
use skopos_storage::TimeRange;
use std::{
    cell::Cell,
    iter::once_with,
    path::Path,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

/// A number that no series has.
const NO_SERIES: u64 = 0;

/// What a snapshot has brought: the WAL is read from here on.
pub(crate) struct Imported {
    pub(super) position: Position,
    /// The series by the WAL's numbers.
    pub(super) refs: RefMap,
    /// The time of the newest sample in order that the WAL has up to there, by series.
    pub(super) newest_ms: Vec<i64>,
}

/// Where a head stands, and what has been found there.
pub(crate) struct FoundOnDisk<'a> {
    /// The data directory.
    pub(crate) dir: &'a Path,
    /// The directory of closed chunks.
    pub(crate) chunks_dir: &'a Path,
    /// The WAL.
    pub(crate) listing: &'a Listing,
    /// The names of series beside the WAL, if there are any that are to be believed.
    pub(crate) names: Option<&'a Listing>,
    /// The write-behind log; it is empty where there is none.
    pub(crate) behind: &'a Listing,
    /// Whether samples out of order are taken or ever were.
    pub(crate) late_taken: bool,
    /// Of samples in order, this is in blocks.
    pub(crate) covered: Option<HeadCut>,
    /// Of late samples, this is in blocks.
    pub(crate) late: LateInBlocks,
}

/// Why a snapshot is not used.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error(transparent)]
    Damaged(#[from] SnapshotError),
    #[error(
        "the log of samples out of order is gone, or another one: the WAL has those of before the snapshot"
    )]
    NothingBehind,
    #[error("a block of samples out of order is gone: the WAL may have what it had")]
    LateBlocksGone,
    #[error("the WAL does not reach to where the snapshot was taken, or no longer has what follows")]
    OtherWal,
    #[error("it has no end, or not all that it says it has; only Skopos' own snapshots have one")]
    Incomplete,
    #[error("series {0} does not go with the closed chunks on disk, or its open chunk is none")]
    Series(u64),
}

/// Opens the head: from a snapshot and what the WAL has behind it, or from the whole WAL.
///
/// # Errors
/// When the system refuses a file. Damage is no error.
pub(crate) fn open_head(
    options: &Options,
    stats: &Arc<Stats>,
    env: &Env,
    found: &FoundOnDisk<'_>,
) -> Result<Arc<Head>, OpenError> {
    let fresh = || {
        let options = options.clone();
        let mut chunks = HeadChunks::open(&env.fs, found.chunks_dir, options.head_chunk_file_bytes)?;
        Stats::add(&stats.head_chunks_damaged_files, chunks.loaded.damaged_files);
        chunks.loaded.pass_over(found.late.cut());
        let head = Head::new(options, Arc::clone(&env.clock), Arc::clone(stats), chunks);
        if let Some(HeadCut { until, .. }) = found.covered {
            head.refuse_before(until);
        }
        Ok(Arc::new(head))
    };
    let started = env.clock.monotonic();
    let mut head = fresh()?;
    let imported = match newest(&*env.fs, found.dir).map_err(OpenError::io("listing", found.dir))? {
        Some(_) if found.late == LateInBlocks::Gone => Err(Refused::LateBlocksGone),
        Some(position) if options.snapshot_on_shutdown => import(&head, env, found, position, started),
        Some(_) => Err(Refused::OtherWal),
        None => Ok(None),
    };
    let imported = match imported {
        Ok(imported) => imported,
        Err(reason) => {
            if options.snapshot_on_shutdown {
                tracing::warn!(dir = %found.dir.display(), %reason, "snapshot not used: the WAL is read");
            }
            forget_snapshot(env, found, stats);
            head = fresh()?;
            None
        }
    };
    let FoundOnDisk { listing: wal, names, behind, late_taken, covered, late, .. } = *found;
    let block = covered.and_then(|covered| covered.block);
    replay(head, env, Logs { wal, names, behind, late_taken, block, late, imported, started }, || {
        forget_snapshot(env, found, stats);
        fresh()
    })
}

/// Before the WAL is read in the place of a snapshot.
fn forget_snapshot(env: &Env, found: &FoundOnDisk<'_>, stats: &Stats) {
    // It must not seem to go with a WAL that is yet to be written.
    if let Err(error) = remove_all(&*env.fs, found.dir) {
        tracing::warn!(dir = %found.dir.display(), %error, "a snapshot that is not used stays");
    }
    [&stats.chunks, &stats.replayed_samples].iter().for_each(|n| n.store(0, Relaxed));
}

/// Writes what is in memory alone to a snapshot. All is durable in the WAL, and nobody appends any more. When
/// it fails the next start reads the WAL. The next start reads samples out of order from the write-behind log
/// alone: so there is no snapshot unless that has them all.
pub(crate) fn export(head: &Head, wal: &Wal, env: &Env, dir: &Path) {
    if let Err(error) = head.settle_late(wal) {
        tracing::warn!(dir = %dir.display(), %error, "no snapshot: the write-behind log is not complete");
        return;
    }
    if !head.contradicted.numbers().is_empty() {
        tracing::warn!(dir = %dir.display(), "no snapshot: the WAL has given numbers to two series");
        return;
    }
    let Some(position) = wal.end().filter(|_| head.chunks.settle()) else {
        tracing::warn!(dir = %dir.display(), "no snapshot: the disk did not take all that it stands on");
        return;
    };
    // Behind where the snapshot ends: it has none.
    if let Err(error) = head.log_metadata(wal, Again::All) {
        tracing::warn!(dir = %dir.display(), %error, "no snapshot: the WAL did not take the metadata");
        return;
    }
    let compression = head.options.wal_compression;
    match write_snapshot(&*env.fs, dir, position, compression, entries(head)) {
        Ok(()) => tracing::info!(dir = %dir.display(), series = head.registry.len(), "snapshot written"),
        Err(error) => {
            tracing::warn!(dir = %dir.display(), %error, "no snapshot: the next start reads the WAL");
        }
    }
}

/// The head as entries of a snapshot.
fn entries(head: &Head) -> impl Iterator<Item = Entry> + '_ {
    let series_of = |index| head.registry.table().get(index).cloned();
    let ids: Vec<_> = head.registry.table().iter().map(|s| s.index).collect();
    let count = std::rc::Rc::new(Cell::new(0i64));
    let counted = std::rc::Rc::clone(&count);
    let series = ids.into_iter().filter_map(series_of).filter(|s| s.is_logged());
    let series = series.flat_map(|s| named(head, &s)).inspect(move |_| counted.set(counted.get() + 1));
    let tombstones: Vec<Entry> =
        head.tombstones.all().into_iter().fold(Vec::new(), |mut all, (index, spans)| {
            if let Some(series) = series_of(index) {
                let wal_ref = series.wal_ref().get();
                let time = TimestampMs::new;
                let spans = spans.as_slice().iter();
                all.extend(spans.map(|s| Entry::Tombstone {
                    wal_ref,
                    min: time(s.min_ms),
                    max: time(s.max_ms),
                }));
            }
            all
        });
    let exemplars: Vec<Entry> = head
        .exemplars
        .all()
        .into_iter()
        .filter_map(|(index, Timed { timestamp_ms, value, labels })| {
            let wal_ref = series_of(index)?.wal_ref().get();
            Some(Entry::Exemplar { wal_ref, timestamp: TimestampMs::new(timestamp_ms), value, labels })
        })
        .collect();
    let late = head.late.end_of_log().map(|Position { segment, offset }| Entry::Tombstone {
        wal_ref: NO_SERIES,
        min: TimestampMs::new(segment.into()),
        max: TimestampMs::new(-1 - offset as i64),
    });
    let (next, exemplars_len) = (head.registry.wal_refs.next(), exemplars.len() as i64);
    let end = move || Entry::Tombstone {
        wal_ref: next,
        min: TimestampMs::new(count.get()),
        max: TimestampMs::new(-1 - exemplars_len),
    };
    series.chain(tombstones).chain(late).chain(once_with(end)).chain(exemplars)
}

/// A series under all of its numbers, under the newest one with its chunk.
fn named(head: &Head, series: &Arc<MemSeries>) -> Vec<Entry> {
    let labels = series.labels.to_labels();
    let (closed, chunk) = series.to_snapshot();
    let older = head.older_refs_of(series.index);
    let mut entries: Vec<Entry> = older
        .into_iter()
        .map(|wal_ref| Entry::Series {
            wal_ref: wal_ref.get(),
            labels: labels.clone(),
            closed: ClosedChunks::default(),
            chunk: None,
        })
        .collect();
    entries.push(Entry::Series { wal_ref: series.wal_ref().get(), labels, closed, chunk });
    entries
}

/// Reads the snapshot that reaches to `position` into a head that has nothing yet. When it is refused the
/// head is of no use any more.
fn import(
    head: &Arc<Head>,
    env: &Env,
    found: &FoundOnDisk<'_>,
    position: Position,
    started: Duration,
) -> Result<Option<Imported>, Refused> {
    if !found.listing.reaches(position) {
        return Err(Refused::OtherWal);
    }
    let (refs, newest_ms) = Default::default();
    let mut import = Import { head, refs, newest_ms, seen: (0, 0), end: None, late: None, refused: None };
    let mut said = started;
    let say = |read: ReadSoFar| {
        let now = env.clock.monotonic();
        if now.saturating_sub(said) >= PROGRESS_EVERY {
            said = now;
            let percent = read.bytes * 100 / read.of_bytes.max(1);
            let elapsed_s = now.saturating_sub(started).as_secs();
            tracing::info!(percent, elapsed_s, "reading the snapshot of the head");
        }
    };
    read_snapshot_saying(&*env.fs, found.dir, position, |entry| import.take(entry), say)?;
    match import {
        Import { refused: Some(refused), .. } => Err(refused),
        Import { end, seen, .. } if end != Some(seen) => Err(Refused::Incomplete),
        Import { late: Some(end), .. } if !found.behind.reaches(end) => Err(Refused::NothingBehind),
        Import { refs, newest_ms, .. } => Ok(Some(Imported { position, refs, newest_ms })),
    }
}

/// A snapshot being read.
struct Import<'a> {
    head: &'a Head,
    refs: RefMap,
    newest_ms: Vec<i64>,
    /// How many series and exemplars there were.
    seen: (i64, i64),
    /// How many there should be.
    end: Option<(i64, i64)>,
    /// There were samples out of order, which the write-behind log has up to there.
    late: Option<Position>,
    refused: Option<Refused>,
}

impl Import<'_> {
    fn take(&mut self, entry: Entry) {
        if self.refused.is_some() {
            return;
        }
        match entry {
            Entry::Series { wal_ref, labels, closed, chunk } => {
                self.seen.0 += 1;
                if self.series(wal_ref, &labels, closed, chunk.as_ref()).is_none() {
                    self.refused = Some(Refused::Series(wal_ref));
                }
            }
            Entry::Tombstone { wal_ref: NO_SERIES, min, max } if min > max => {
                let segment = u32::try_from(min.as_ms()).unwrap_or(u32::MAX);
                let offset = u64::try_from(-1 - max.as_ms()).unwrap_or(u64::MAX);
                self.late = Some(Position { segment, offset });
            }
            Entry::Tombstone { wal_ref, min, max } if min > max => {
                reserve(self.head, wal_ref.saturating_sub(1));
                self.end = Some((min.as_ms(), -1 - max.as_ms()));
            }
            Entry::Tombstone { wal_ref, min, max } => {
                let tombstone = WalTombstone { wal_ref, min_ms: min.as_ms(), max_ms: max.as_ms() };
                if let Some(series) = self.refs.get(wal_ref) {
                    self.head.tombstones.add_logged(series, tombstone);
                }
            }
            Entry::Exemplar { wal_ref, timestamp, value, labels } => {
                self.seen.1 += 1;
                if let Some(series) = self.refs.get(wal_ref) {
                    let timestamp_ms = timestamp.as_ms();
                    self.head.exemplars.add(series, Timed { timestamp_ms, value, labels });
                }
            }
        }
    }

    fn series(
        &mut self,
        wal_ref: u64,
        labels: &Labels,
        closed: ClosedChunks,
        chunk: Option<&OpenChunk>,
    ) -> Option<()> {
        let head = self.head;
        let series = add_series(head, &mut self.refs, wal_ref, labels, || ())?;
        let Restored { samples, newest } = series.restore(closed, chunk, head.replay_view())?;
        if let Some(newest) = newest {
            let at = series.index.0 as usize;
            if self.newest_ms.len() <= at {
                self.newest_ms.resize(at + 1, i64::MIN);
            }
            self.newest_ms[at] = newest.as_ms();
        }
        if let Some(chunk) = chunk.filter(|_| samples > 0) {
            head.saw(TimeRange { min: chunk.min, max: chunk.max });
            Stats::add(&head.stats.chunks, 1);
            Stats::add(&head.stats.replayed_samples, u64::from(samples));
        }
        Some(())
    }
}
