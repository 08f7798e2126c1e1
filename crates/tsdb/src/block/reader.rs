//! `Block`: an open block, and the deletion of samples from it. Holds its files open, so that it goes on when
//! its directory is removed.

use super::{
    chunks::reader::{ChunkFetcher, ChunkSegments, Wanted},
    error::BlockError,
    id::BlockId,
    index::reader::{IndexReader, LabelReader},
    index::series::SeriesEntry,
    meta::{BlockMeta, Compaction},
    querier::BlockQuerier,
    select::select,
    tombstones::Tombstones,
};
use crate::intervals::Interval;
use skopos_base::fs::Fs;
use skopos_base::sync::{Mutex, RwLock};
use skopos_model::{Labels, Matcher, SeriesRef, TimestampMs};
use skopos_storage::{QueryBudget, QueryError, TimeRange};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// Series looked at before the budget is asked again.
const STRIDE: usize = 256;

/// An open block. Asked by many at once.
#[derive(Debug)]
pub struct Block {
    dir: PathBuf,
    pub(crate) index: IndexReader,
    pub(crate) chunks: ChunkSegments,
    /// How many series it has.
    pub(crate) series: usize,
    /// How many samples its `meta.json` says it has.
    samples: u64,
    /// What a deletion changes, both together.
    changing: RwLock<Changing>,
    /// Held by the one change that runs.
    deleting: Mutex<()>,
}

#[derive(Debug)]
struct Changing {
    meta: BlockMeta,
    tombstones: Arc<Tombstones>,
}

impl Block {
    /// Opens the block in `dir`. Reads the tables of the index once and no chunk.
    pub fn open(fs: &dyn Fs, dir: &Path) -> Result<Self, BlockError> {
        let meta = BlockMeta::read(fs, dir)?;
        let named = dir.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
        if named.is_some_and(|id: BlockId| id != meta.ulid) {
            let reason = format!("it is of block {}, the directory of another", meta.ulid);
            return Err(BlockError::corrupt(&dir.join(super::META_FILE), 0, reason));
        }
        let index = IndexReader::open(fs, dir)?;
        let chunks = ChunkSegments::open(fs, dir)?;
        let tombstones = Arc::new(Tombstones::read(fs, dir)?);
        let series = index.postings_len("", "")?;
        if series as u64 != meta.stats.num_series {
            let reason = format!("it has {series} series, its meta.json says {}", meta.stats.num_series);
            return Err(index.input.corrupt(0, reason));
        }
        let samples = meta.stats.num_samples;
        let changing = RwLock::new(Changing { meta, tombstones });
        Ok(Self { dir: dir.to_owned(), index, chunks, series, samples, changing, deleting: Mutex::new(()) })
    }

    /// What its `meta.json` says.
    pub fn meta(&self) -> BlockMeta {
        self.changing.read().meta.clone()
    }

    /// Its name.
    pub fn id(&self) -> BlockId {
        self.changing.read().meta.ulid
    }

    /// The times it may have, both ends included.
    pub fn range(&self) -> TimeRange {
        self.changing.read().meta.range()
    }

    /// About how many samples so many of its series have in `range`.
    pub(crate) fn samples_expected(&self, series: usize, range: TimeRange) -> u64 {
        let length = |range: TimeRange| range.max.since(range.min).as_ms().max(1) as f64;
        let share = (length(range) / length(self.range())).min(1.0);
        (self.samples as f64 / self.series.max(1) as f64 * series as f64 * share) as u64
    }

    /// Its directory when it was opened.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The bytes of its index and chunks.
    pub fn size_bytes(&self) -> u64 {
        self.index.input.len() + self.chunks.len()
    }

    /// What is deleted from it.
    pub fn tombstones(&self) -> Arc<Tombstones> {
        Arc::clone(&self.changing.read().tombstones)
    }

    /// Hands out all texts of its labels, sorted: the symbols of a block made of it.
    pub fn for_each_symbol(&self, visit: impl FnMut(&str)) -> Result<(), BlockError> {
        self.index.symbols.for_each(&self.index.input, visit)
    }

    /// A view of `range`, with what is deleted until now.
    pub fn querier(self: &Arc<Self>, range: TimeRange) -> BlockQuerier {
        BlockQuerier::new(Arc::clone(self), range)
    }

    /// Changes what `meta.json` says, durably. The counts are the block's own affair.
    pub fn change_compaction(
        &self,
        fs: &dyn Fs,
        change: impl FnOnce(&mut Compaction),
    ) -> Result<(), BlockError> {
        let _one = self.deleting.lock();
        let mut meta = self.meta();
        change(&mut meta.compaction);
        meta.write(fs, &self.dir)?;
        self.changing.write().meta = meta;
        Ok(())
    }

    /// The labels of a series, by the number that tombstones have of it.
    pub(crate) fn labels_of(&self, series: SeriesRef) -> Result<Labels, BlockError> {
        let Ok(id) = u32::try_from(series.get()) else {
            let path = self.dir.join(super::TOMBSTONES_FILE);
            return Err(BlockError::corrupt(&path, 0, format!("there is no series {}", series.get())));
        };
        let (mut reader, mut entry) = (LabelReader::default(), SeriesEntry::default());
        reader.entry(&self.index, &[id], &mut entry)?;
        reader.labels(&self.index, &entry)
    }

    /// Reads the chunk that was written last: what a copy lacks that has not come to its end.
    pub(crate) fn check_end(&self) -> Result<(), BlockError> {
        let Some(last) = self.index.all()?.pop() else { return Ok(()) };
        let mut entry = SeriesEntry::default();
        LabelReader::default().entry(&self.index, &[last], &mut entry)?;
        let Some(chunk) = entry.chunks.iter().max_by_key(|chunk| chunk.at) else { return Ok(()) };
        let wanted = [Wanted { at: chunk.at, end: None }];
        ChunkFetcher::default().fetch_borrowed(&self.chunks, &wanted).map(|_| ())
    }

    /// Whether a series that fulfils all matchers, and of which `is_meant` holds, has a chunk that ends
    /// before `time`.
    pub(crate) fn has_chunk_before(
        &self,
        matchers: &[Matcher],
        time: TimestampMs,
        is_meant: impl Fn(&Labels) -> bool,
        budget: &QueryBudget,
    ) -> Result<bool, QueryError> {
        let mut reader = LabelReader::default();
        let found = select(self, matchers, budget, &mut reader)?;
        let mut entry = SeriesEntry::default();
        for at in 0..found.len() {
            if at.is_multiple_of(STRIDE) {
                budget.check()?;
            }
            reader.entry(&self.index, &found[at..], &mut entry)?;
            let is_before = entry.chunks.first().is_some_and(|first| first.max < time);
            if is_before && is_meant(&reader.labels(&self.index, &entry)?) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Deletes `range` of the series that fulfil all matchers: at once for views to come, and durably.
    /// `meta.json` is changed first: a crash in between leaves a wrong count there and nothing else. Returns
    /// how many series lost something.
    pub fn delete(
        &self,
        fs: &dyn Fs,
        matchers: &[Matcher],
        range: TimeRange,
        budget: &QueryBudget,
    ) -> Result<usize, BlockError> {
        let _one = self.deleting.lock();
        let mut reader = LabelReader::default();
        let found = select(self, matchers, budget, &mut reader)?;
        let mut tombstones = (*self.tombstones()).clone();
        let mut entry = SeriesEntry::default();
        let mut changed = 0;
        for at in 0..found.len() {
            reader.entry(&self.index, &found[at..], &mut entry)?;
            let (Some(first), Some(last)) = (entry.chunks.first(), entry.chunks.last()) else { continue };
            // No wider than the series, so that the file stays small.
            let (min, max) = (range.min.max(first.min), range.max.min(last.max));
            let span = Interval::new(min.as_ms(), max.as_ms());
            if let (Some(series), Some(span)) = (SeriesRef::new(u64::from(found[at])), span) {
                tombstones.add(series, span);
                changed += 1;
            }
        }
        if changed == 0 {
            return Ok(0);
        }
        let mut meta = self.meta();
        meta.stats.num_tombstones = tombstones.len() as u64;
        meta.write(fs, &self.dir)?;
        tombstones.write(fs, &self.dir)?;
        *self.changing.write() = Changing { meta, tombstones: Arc::new(tombstones) };
        Ok(changed)
    }
}
