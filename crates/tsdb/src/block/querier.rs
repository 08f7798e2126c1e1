//! `BlockQuerier`: a view of a block, from matchers to columns or chunks. Reads the entries of some series,
//! then their chunks, which stand behind one another, then decodes.

mod chain;

pub use chain::BlockChain;

use super::{
    chunks::reader::{ChunkFetcher, Wanted},
    error::BlockError,
    index::{ChunkMeta, reader::LabelReader, series::SeriesEntry},
    kept::{decode_kept, rewrite_kept},
    reader::Block,
    select::select,
    tombstones::Tombstones,
};
use crate::intervals::Intervals;
use skopos_chunk::{ChunkError, samples_in};
use skopos_model::{Columns, Labels, SeriesRef};
use skopos_storage::{
    Chunk, ChunkQuerier, ChunkSeries, ChunkSeriesSet, EvenWindows, LabelRequest, Parting, Querier,
    QueryBudget, QueryError, SelectRequest, SeriesBatch, SeriesSet, Shard, TimeRange, first_behind_near,
    merge::compact_chunks,
};
use std::{
    collections::{BTreeSet, HashSet, VecDeque},
    ops::{ControlFlow, Range},
    sync::Arc,
};

/// A batch is handed out when it has so many series …
const BATCH_SERIES: usize = 64;
/// … or so many samples.
const BATCH_SAMPLES: usize = 64 << 10;
/// Series whose entries are read before their chunks are.
const READ_SERIES: usize = 64;
/// Series looked at before the budget is asked.
const STRIDE: usize = 256;

/// A view of one time range of a block, with what was deleted when it was made.
#[derive(Clone, Debug)]
pub struct BlockQuerier {
    block: Arc<Block>,
    range: TimeRange,
    tombstones: Arc<Tombstones>,
}

impl BlockQuerier {
    pub(super) fn new(block: Arc<Block>, range: TimeRange) -> Self {
        let tombstones = block.tombstones();
        let own = block.range();
        let range = TimeRange { min: own.min.max(range.min), max: own.max.min(range.max) };
        Self { block, range, tombstones }
    }

    fn selected(&self, request: &SelectRequest<'_>, charge: Charge) -> Result<Selected, QueryError> {
        let range = TimeRange {
            min: self.range.min.max(request.range.min),
            max: self.range.max.min(request.range.max),
        };
        let mut reader = LabelReader::default();
        let ids = if range.min > range.max {
            Vec::new()
        } else {
            select(&self.block, request.matchers, &request.budget, &mut reader)?
        };
        if request.shard == Shard::WHOLE && charge == Charge::Series {
            request.budget.charge_series(ids.len() as u64)?;
        }
        let of = Selection {
            block: Arc::clone(&self.block),
            tombstones: Arc::clone(&self.tombstones),
            budget: Arc::clone(&request.budget),
            shard: request.shard,
            range,
            windows: None,
            charge,
            bounds: Bounds::default(),
        };
        Ok(Selected { reader, ..Selected::new(of, ids) })
    }

    /// Walks over the matching series that may have samples, with what the index says of them.
    fn for_each_matching(
        &self,
        request: &LabelRequest<'_>,
        mut visit: impl FnMut(&mut LabelReader, &SeriesEntry) -> Result<ControlFlow<()>, BlockError>,
    ) -> Result<(), BlockError> {
        if self.range.min > self.range.max {
            return Ok(());
        }
        let mut reader = LabelReader::default();
        let ids = select(&self.block, request.matchers, &request.budget, &mut reader)?;
        let mut entry = SeriesEntry::default();
        for at in 0..ids.len() {
            if at % STRIDE == 0 {
                request.budget.check()?;
            }
            reader.entry(&self.block.index, &ids[at..], &mut entry)?;
            let deleted = SeriesRef::new(u64::from(ids[at])).and_then(|s| self.tombstones.get(s));
            if entry.chunks.iter().any(|c| may_have(c, self.range, deleted))
                && visit(&mut reader, &entry)?.is_break()
            {
                break;
            }
        }
        Ok(())
    }
}

/// Whether a chunk may have samples of `range` that are not deleted.
fn may_have(chunk: &ChunkMeta, range: TimeRange, deleted: Option<&Intervals>) -> bool {
    let part = TimeRange { min: chunk.min.max(range.min), max: chunk.max.min(range.max) };
    part.min <= part.max && !deleted.is_some_and(|d| d.covers(part.min.as_ms(), part.max.as_ms()))
}

impl Querier for BlockQuerier {
    fn select(&self, request: &SelectRequest<'_>) -> Result<Box<dyn SeriesSet>, QueryError> {
        Ok(Box::new(BlockSeriesSet(self.selected(request, Charge::Series)?)))
    }

    fn series(&self, request: &LabelRequest<'_>) -> Result<Vec<Labels>, QueryError> {
        let mut out = Vec::new();
        self.for_each_matching(request, |reader, entry| {
            out.push(reader.labels(&self.block.index, entry)?);
            Ok(enough(out.len(), request))
        })?;
        charged(out, request)
    }

    fn label_names(&self, request: &LabelRequest<'_>) -> Result<Vec<String>, QueryError> {
        if self.range.min > self.range.max {
            return Ok(Vec::new());
        }
        if request.matchers.is_empty() {
            return charged(self.block.index.offsets.names().map(str::to_owned).collect(), request);
        }
        // Most series have the same names: they are compared as numbers.
        let mut seen = HashSet::new();
        let mut names = BTreeSet::new();
        self.for_each_matching(request, |reader, entry| {
            for pair in entry.labels.iter().filter(|pair| seen.insert(pair.0)) {
                names.insert(reader.pair(&self.block.index, *pair)?.0.to_owned());
            }
            Ok(ControlFlow::Continue(()))
        })?;
        charged(names.into_iter().collect(), request)
    }

    fn label_values(&self, name: &str, request: &LabelRequest<'_>) -> Result<Vec<String>, QueryError> {
        if self.range.min > self.range.max || name.is_empty() {
            return Ok(Vec::new());
        }
        let index = &self.block.index;
        if request.matchers.is_empty() {
            let mut out = Vec::new();
            index.offsets.for_each(&index.input, name, "", |value, _| {
                out.push(value.to_owned());
                if out.len() % STRIDE == 0 {
                    request.budget.check()?;
                }
                Ok(enough(out.len(), request))
            })?;
            return charged(out, request);
        }
        let mut name_symbol = None;
        let mut seen = HashSet::new();
        let mut values = BTreeSet::new();
        self.for_each_matching(request, |reader, entry| {
            for pair in &entry.labels {
                if name_symbol.is_none() && reader.pair(index, *pair)?.0 == name {
                    name_symbol = Some(pair.0);
                }
                if name_symbol == Some(pair.0) && seen.insert(pair.1) {
                    values.insert(reader.pair(index, *pair)?.1.to_owned());
                }
            }
            Ok(ControlFlow::Continue(()))
        })?;
        charged(values.into_iter().collect(), request)
    }
}

/// Whether so many results are all that is asked for.
fn enough(found: usize, request: &LabelRequest<'_>) -> ControlFlow<()> {
    if request.limit > 0 && found >= request.limit {
        ControlFlow::Break(())
    } else {
        ControlFlow::Continue(())
    }
}

/// Cuts a result to its limit and charges it.
fn charged<T>(mut found: Vec<T>, request: &LabelRequest<'_>) -> Result<Vec<T>, QueryError> {
    if request.limit > 0 {
        found.truncate(request.limit);
    }
    request.budget.charge_series(found.len() as u64)?;
    Ok(found)
}

impl ChunkQuerier for BlockQuerier {
    fn select_chunks(&self, request: &SelectRequest<'_>) -> Result<Box<dyn ChunkSeriesSet>, QueryError> {
        Ok(Box::new(BlockChunkSet(self.selected(request, Charge::Series)?)))
    }
}

/// Who charges the series that are selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Charge {
    /// The selection itself.
    Series,
    /// Whoever makes one series of those of several blocks: each counts once.
    Nothing,
}

/// What is read of a block, and on whose account.
#[derive(Clone)]
struct Selection {
    block: Arc<Block>,
    tombstones: Arc<Tombstones>,
    budget: Arc<QueryBudget>,
    shard: Shard,
    range: TimeRange,
    /// Outside of these nobody looks at samples.
    windows: Option<EvenWindows>,
    charge: Charge,
    bounds: Bounds,
}

impl Selection {
    /// Whether a chunk may lie in a window, asked where it may lie between two of them.
    fn may_want(&self, chunk: &ChunkMeta) -> bool {
        let is_long = |windows: &EvenWindows| windows.reach_into_each(chunk.max.since(chunk.min));
        self.windows.as_ref().is_none_or(is_long) || self.wanted_of(chunk).is_some()
    }

    /// The time of which a chunk's samples are wanted, if there is any.
    fn wanted_of(&self, chunk: &ChunkMeta) -> Option<TimeRange> {
        let Some(windows) = &self.windows else { return Some(self.range) };
        let (min, max) = (chunk.min.max(self.range.min), chunk.max.min(self.range.max));
        windows.within(TimeRange { min, max })
    }
}

/// Where a part begins and where the next one does.
#[derive(Clone, Default)]
struct Bounds {
    from: Option<Labels>,
    before: Option<Labels>,
}

impl Bounds {
    /// Whether a series is of this part. In an index out of order one may stand among those of another.
    fn contain(&self, labels: &Labels) -> bool {
        self.from.as_ref().is_none_or(|from| from <= labels)
            && self.before.as_ref().is_none_or(|before| labels < before)
    }
}

/// The selected series, read when they are asked for.
struct Selected {
    of: Selection,
    ids: Vec<u32>,
    next: usize,
    reader: LabelReader,
    entry: SeriesEntry,
    last: Option<Labels>,
    /// Series whose entries are read, and the chunks that they need.
    ready: VecDeque<Ready>,
    wanted: Vec<Wanted>,
    fetcher: ChunkFetcher,
}

/// A series of which chunks are to be read.
struct Ready {
    labels: Labels,
    series: Option<SeriesRef>,
    chunks: Vec<ChunkMeta>,
    /// The same chunks, among all that are wanted.
    wanted: Range<usize>,
    /// Whether chunks reach over the same times, as other programs may write them.
    overlaps: bool,
}

impl Selected {
    /// Nothing of the series `ids` is read yet.
    fn new(of: Selection, ids: Vec<u32>) -> Self {
        Self {
            of,
            ids,
            next: 0,
            reader: LabelReader::default(),
            entry: SeriesEntry::default(),
            last: None,
            ready: VecDeque::new(),
            wanted: Vec::new(),
            fetcher: ChunkFetcher::default(),
        }
    }

    fn labels_of(&mut self, at: usize) -> Result<Labels, BlockError> {
        let index = &self.of.block.index;
        // Only this one: what stands behind it is not read with it.
        self.reader.entry(index, &self.ids[at..=at], &mut self.entry)?;
        self.reader.labels(index, &self.entry)
    }

    /// Reads on until some series are ready. False when there are no more.
    fn prepare(&mut self) -> Result<bool, QueryError> {
        self.prepare_like(&VecDeque::new())
    }

    /// The same, where most of them are likely to have the labels of `others`, which are in order too.
    fn prepare_like(&mut self, others: &VecDeque<Ready>) -> Result<bool, QueryError> {
        if !self.ready.is_empty() {
            return Ok(true);
        }
        self.wanted.clear();
        let mut likely = others.iter().map(|ready| &ready.labels);
        while self.next < self.ids.len() && self.ready.len() < READ_SERIES {
            if self.next.is_multiple_of(STRIDE) {
                self.of.budget.check()?;
            }
            self.prepare_next(&mut likely)?;
        }
        Ok(!self.ready.is_empty())
    }

    fn prepare_next<'l>(
        &mut self,
        likely: &mut (impl Iterator<Item = &'l Labels> + Clone),
    ) -> Result<(), QueryError> {
        let index = &self.of.block.index;
        self.reader.entry(index, &self.ids[self.next..], &mut self.entry)?;
        let series = SeriesRef::new(u64::from(self.ids[self.next]));
        self.next += 1;
        let deleted = series.and_then(|s| self.of.tombstones.get(s));
        let all = &self.entry.chunks;
        let from = self.wanted.len();
        let mut chunks = Vec::new();
        for (i, chunk) in all.iter().enumerate() {
            if may_have(chunk, self.of.range, deleted) && self.of.may_want(chunk) {
                self.wanted.push(Wanted { at: chunk.at, end: all.get(i + 1).map(|next| next.at) });
                chunks.push(*chunk);
            }
        }
        if chunks.is_empty() {
            return Ok(());
        }
        let labels = self.reader.labels_like(index, &self.entry, likely)?;
        let corrupt = |reason: String| QueryError::from(index.input.corrupt(0, reason));
        let overlaps = !chunks.is_sorted_by(|a, b| a.max < b.min);
        if let Some(last) = self.last.as_ref().filter(|last| **last >= labels) {
            return Err(corrupt(format!("series {labels} stands behind {last}")));
        }
        if !self.of.bounds.contain(&labels) {
            return Err(corrupt(format!("series {labels} stands among those of another part")));
        }
        self.last = Some(labels.clone());
        if !self.of.shard.contains(&labels) {
            self.wanted.truncate(from);
            return Ok(());
        }
        if self.of.shard != Shard::WHOLE && self.of.charge == Charge::Series {
            self.of.budget.charge_series(1)?;
        }
        self.ready.push_back(Ready { labels, series, chunks, wanted: from..self.wanted.len(), overlaps });
        Ok(())
    }

    /// Reads the chunks of a series and hands each to `take`.
    fn fetch(
        &mut self,
        ready: &Ready,
        mut take: impl FnMut(Chunk) -> Result<(), ChunkError>,
    ) -> Result<(), QueryError> {
        for (meta, at) in ready.chunks.iter().zip(ready.wanted.clone()) {
            let (encoding, bytes) = self.fetcher.fetch(&self.of.block.chunks, &self.wanted[at..])?;
            let chunk = Chunk { min: meta.min, max: meta.max, encoding, bytes };
            take(chunk).map_err(|e| not_decoded(&self.of.block, ready, meta, e))?;
        }
        Ok(())
    }

    /// Reads the chunks of a series and appends their samples that are wanted and not deleted.
    fn decode(
        &mut self,
        ready: &Ready,
        deleted: &Intervals,
        columns: &mut Columns,
    ) -> Result<(), QueryError> {
        for (meta, at) in ready.chunks.iter().zip(ready.wanted.clone()) {
            let (encoding, bytes) = self.fetcher.fetch_borrowed(&self.of.block.chunks, &self.wanted[at..])?;
            let Some(range) = self.of.wanted_of(meta) else { continue };
            decode_kept(encoding, bytes, range, deleted, columns)
                .map_err(|e| not_decoded(&self.of.block, ready, meta, e))?;
        }
        Ok(())
    }
}

impl Selected {
    /// Reads a series and appends its samples that are wanted and not deleted.
    fn read(&mut self, ready: &Ready, columns: &mut Columns) -> Result<(), QueryError> {
        let tombstones = Arc::clone(&self.of.tombstones);
        let none = Intervals::default();
        let deleted = ready.series.and_then(|s| tombstones.get(s)).unwrap_or(&none);
        if !ready.overlaps {
            return self.decode(ready, deleted, columns);
        }
        let chunks = self.merged(ready)?;
        let mut decode = |c: &Chunk| decode_kept(c.encoding, &c.bytes, self.of.range, deleted, columns);
        chunks.iter().try_for_each(&mut decode).map_err(|e| self.not_merged(ready, &e))
    }
}

fn not_decoded(block: &Block, ready: &Ready, chunk: &ChunkMeta, error: ChunkError) -> BlockError {
    block.chunks.corrupt(chunk.at, format!("a chunk of series {}: {error}", ready.labels))
}

impl Selected {
    /// The chunks of a series whose own overlap, as chunks that do not: of samples of one time the one of the
    /// chunk that stands first is kept.
    #[cold]
    fn merged(&mut self, ready: &Ready) -> Result<Vec<Chunk>, QueryError> {
        let (mut all, mut out) = (Vec::new(), Vec::new());
        self.fetch(ready, |chunk| {
            all.push(chunk);
            Ok(())
        })?;
        compact_chunks(all, &mut out).map_err(|e| self.not_merged(ready, &e))?;
        Ok(out)
    }

    fn not_merged(&self, ready: &Ready, error: &ChunkError) -> QueryError {
        let reason = format!("overlapping chunks of series {}: {error}", ready.labels);
        self.of.block.chunks.corrupt(ready.chunks[0].at, reason).into()
    }
}

struct BlockSeriesSet(Selected);

impl BlockSeriesSet {
    /// Fills a batch; `charged` says for how many samples, also when it fails.
    fn fill(&mut self, batch: &mut SeriesBatch, charged: &mut u64) -> Result<(), QueryError> {
        let found = &mut self.0;
        found.of.budget.check()?;
        while batch.len() < BATCH_SERIES && batch.sample_count() < BATCH_SAMPLES && found.prepare()? {
            let Some(ready) = found.ready.pop_front() else { break };
            let before = batch.sample_count();
            batch.push_series(ready.labels.clone(), |columns| found.read(&ready, columns))?;
            let more = (batch.sample_count() - before) as u64;
            found.of.budget.charge_samples(more)?;
            *charged += more;
        }
        Ok(())
    }
}

impl SeriesSet for BlockSeriesSet {
    fn next_batch(&mut self, batch: &mut SeriesBatch) -> Result<bool, QueryError> {
        batch.clear();
        let mut charged = 0;
        // A batch that cannot be paid for is not handed out.
        if let Err(e) = self.fill(batch, &mut charged) {
            self.0.of.budget.release_samples(charged);
            batch.clear();
            return Err(e);
        }
        Ok(!batch.is_empty())
    }

    fn only_within(&mut self, windows: EvenWindows) {
        self.0.of.windows = Some(windows);
    }

    fn parting(&mut self) -> Option<&mut dyn Parting> {
        Some(self)
    }
}

impl Parting for BlockSeriesSet {
    fn remaining(&self) -> usize {
        self.0.ids.len() - self.0.next
    }

    fn samples_expected(&self) -> u64 {
        self.0.of.block.samples_expected(self.remaining(), self.0.of.range)
    }

    fn labels_at(&mut self, n: usize) -> Result<Labels, QueryError> {
        Ok(self.0.labels_of(self.0.next + n)?)
    }

    fn read_up_to(&self) -> Option<Labels> {
        self.0.last.clone()
    }

    fn split_off(&mut self, labels: &Labels) -> Result<Box<dyn SeriesSet>, QueryError> {
        let middle = self.remaining() / 2;
        Ok(Box::new(self.split_behind(labels, middle)?))
    }
}

impl BlockSeriesSet {
    /// Takes away the series from `labels` on, of which perhaps `guess` of the remaining ones stand before.
    fn split_behind(&mut self, labels: &Labels, guess: usize) -> Result<Self, QueryError> {
        let found = &mut self.0;
        let (next, len) = (found.next, found.ids.len() - found.next);
        let at = first_behind_near(len, guess, |n| Ok(found.labels_of(next + n)? >= *labels))?;
        let ids = found.ids.split_off(next + at);
        let mut of = found.of.clone();
        of.bounds.from = Some(labels.clone());
        found.of.bounds.before = Some(labels.clone());
        Ok(Self(Selected::new(of, ids)))
    }
}

struct BlockChunkSet(Selected);

impl ChunkSeriesSet for BlockChunkSet {
    fn next_series(&mut self) -> Result<Option<ChunkSeries>, QueryError> {
        let found = &mut self.0;
        while found.prepare()? {
            let Some(ready) = found.ready.pop_front() else { break };
            let tombstones = Arc::clone(&found.of.tombstones);
            let deleted = ready.series.and_then(|s| tombstones.get(s));
            let mut chunks = Vec::with_capacity(ready.chunks.len());
            let mut take = |chunk| match deleted {
                Some(deleted) => rewrite_kept(chunk, deleted, &mut chunks),
                None => {
                    chunks.push(chunk);
                    Ok(())
                }
            };
            if ready.overlaps {
                let merged = found.merged(&ready)?;
                merged.into_iter().try_for_each(take).map_err(|e| found.not_merged(&ready, &e))?;
            } else {
                found.fetch(&ready, &mut take)?;
            }
            // What has no count is no chunk; whoever decodes it says so.
            let count = |c: &Chunk| u64::from(samples_in(c.encoding, &c.bytes).unwrap_or(0));
            let samples = chunks.iter().map(count).sum();
            found.of.budget.charge_samples(samples)?;
            if !chunks.is_empty() {
                return Ok(Some(ChunkSeries { labels: ready.labels, chunks }));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod part_tests;
