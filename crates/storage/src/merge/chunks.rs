//! `MergedChunkSeriesSet`: sorted sets of chunked series as one. Holds one series of each source and no
//! more; decodes chunks only where they overlap and compacting is asked for. `ChunkMerger` is the part of it
//! that needs no source, so that other threads can take it over.

use super::recode::Recoder;
use crate::{Chunk, ChunkSeries, ChunkSeriesSet, QueryBudget, QueryError};
use skopos_model::Labels;
use std::{cmp::Reverse, collections::BinaryHeap, path::PathBuf, sync::Arc};

/// What becomes of chunks that overlap. Equal ones are one in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkMerge {
    /// They come as they are, by their first samples' times.
    Concatenate,
    /// Their samples are merged, each time once, into chunks that do not overlap. Those that overlap with
    /// no other come as they are, however small.
    Compact,
}

/// One of the sets to merge.
pub struct ChunkSource {
    /// What errors call it by: the directory of a block, for instance.
    pub name: PathBuf,
    /// Its series.
    pub series: Box<dyn ChunkSeriesSet>,
}

/// A chunk, the place of its source in the order of sources, and its own among those of the source.
pub(super) struct Sourced {
    pub(super) source: usize,
    pub(super) place: usize,
    pub(super) chunk: Chunk,
}

/// A series with the chunks of all its sources, as they are.
pub struct UnmergedSeries {
    /// Its labels.
    pub labels: Labels,
    chunks: Unmerged,
}

enum Unmerged {
    /// Chunks that nothing is to be done to.
    InOrder(Vec<Chunk>),
    /// They stand by source, and in a source by time.
    OfSources(Vec<Sourced>),
}

impl UnmergedSeries {
    /// How many bytes its chunks have.
    pub fn chunk_bytes(&self) -> usize {
        match &self.chunks {
            Unmerged::InOrder(chunks) => chunks.iter().map(|c| c.bytes.len()).sum(),
            Unmerged::OfSources(chunks) => chunks.iter().map(|c| c.chunk.bytes.len()).sum(),
        }
    }
}

/// Merges the chunks of one series after the other. Several of them merge series of one set at once.
#[derive(Debug)]
pub struct ChunkMerger {
    /// What errors call the sources by.
    names: Arc<[PathBuf]>,
    mode: ChunkMerge,
    recoder: Recoder,
}

/// Sorted sets of chunked series as one.
pub struct MergedChunkSeriesSet {
    sources: Vec<Box<dyn ChunkSeriesSet>>,
    /// The next series of each source that has one; the least labels on top, then the earliest source.
    heads: BinaryHeap<Reverse<Head>>,
    merger: ChunkMerger,
    budget: Arc<QueryBudget>,
    started: bool,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Head {
    labels: Labels,
    source: usize,
    chunks: Chunks,
}

/// Chunks beside a key: they are never compared, as no two heads have the same labels and source.
struct Chunks(Vec<Chunk>);

impl PartialEq for Chunks {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Chunks {}

impl PartialOrd for Chunks {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Chunks {
    fn cmp(&self, _: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}

impl MergedChunkSeriesSet {
    /// All of `sources` as one. A series in several of them is charged to `budget` once.
    pub fn new(sources: Vec<ChunkSource>, mode: ChunkMerge, budget: Arc<QueryBudget>) -> Self {
        let heads = BinaryHeap::with_capacity(sources.len());
        let (names, sources): (Vec<_>, Vec<_>) = sources.into_iter().map(|s| (s.name, s.series)).unzip();
        let merger = ChunkMerger { names: names.into(), mode, recoder: Recoder::default() };
        Self { sources, heads, merger, budget, started: false }
    }

    /// One more that merges what `next_unmerged` gives.
    pub fn merger(&self) -> ChunkMerger {
        let ChunkMerger { names, mode, .. } = &self.merger;
        ChunkMerger { names: Arc::clone(names), mode: *mode, recoder: Recoder::default() }
    }

    fn push_head(&mut self, source: usize) -> Result<(), QueryError> {
        if let Some(ChunkSeries { labels, chunks }) = self.sources[source].next_series()? {
            self.heads.push(Reverse(Head { labels, source, chunks: Chunks(chunks) }));
        }
        Ok(())
    }

    /// The next series, whose chunks are not merged yet.
    ///
    /// # Errors
    /// As `next_series`, but for what a decoder says.
    pub fn next_unmerged(&mut self) -> Result<Option<UnmergedSeries>, QueryError> {
        self.budget.check()?;
        if !self.started {
            (0..self.sources.len()).try_for_each(|i| self.push_head(i))?;
            self.started = true;
        }
        let Some(Reverse(Head { labels, source, chunks })) = self.heads.pop() else { return Ok(None) };
        self.budget.charge_series(1)?;
        self.push_head(source)?;
        if self.heads.peek().is_none_or(|Reverse(next)| next.labels != labels)
            && chunks.0.windows(2).all(|pair| pair[0].max < pair[1].min)
        {
            return Ok(Some(UnmergedSeries { labels, chunks: Unmerged::InOrder(chunks.0) }));
        }
        let of = |source, chunks: Chunks| {
            chunks.0.into_iter().enumerate().map(move |(place, chunk)| Sourced { source, place, chunk })
        };
        let mut all: Vec<Sourced> = of(source, chunks).collect();
        while let Some(Reverse(next)) = self.heads.peek()
            && next.labels == labels
            && let Some(Reverse(next)) = self.heads.pop()
        {
            all.extend(of(next.source, next.chunks));
            self.push_head(next.source)?;
        }
        Ok(Some(UnmergedSeries { labels, chunks: Unmerged::OfSources(all) }))
    }
}

impl ChunkMerger {
    /// The series with its chunks merged.
    ///
    /// # Errors
    /// When a chunk that overlaps with others cannot be decoded.
    pub fn merge(&mut self, series: UnmergedSeries) -> Result<ChunkSeries, QueryError> {
        let UnmergedSeries { labels, chunks } = series;
        let chunks = match chunks {
            Unmerged::InOrder(chunks) => chunks,
            Unmerged::OfSources(chunks) => self.merge_sources(&labels, chunks)?,
        };
        Ok(ChunkSeries { labels, chunks })
    }

    fn merge_sources(&mut self, labels: &Labels, mut chunks: Vec<Sourced>) -> Result<Vec<Chunk>, QueryError> {
        // Stable: what begins at the same time stays in the order of sources.
        chunks.sort_by_key(|c| c.chunk.min);
        drop_equal(&mut chunks);
        if self.mode == ChunkMerge::Concatenate {
            return Ok(chunks.into_iter().map(|c| c.chunk).collect());
        }
        let mut out = Vec::with_capacity(chunks.len());
        let mut rest = chunks.as_mut_slice();
        while let [first, ..] = rest {
            let mut max = first.chunk.max;
            let mut len = 1;
            while let Some(next) = rest.get(len)
                && next.chunk.min <= max
            {
                max = max.max(next.chunk.max);
                len += 1;
            }
            let (group, behind) = rest.split_at_mut(len);
            match group {
                [alone] => out.push(alone.chunk.clone()),
                _ => self.recoder.recode(group, &mut out).map_err(|failed| QueryError::Corrupt {
                    path: self.names[failed.source].clone(),
                    offset: 0,
                    reason: format!("a chunk of series {labels}: {}", failed.error),
                })?,
            }
            rest = behind;
        }
        Ok(out)
    }
}

/// Drops chunks that equal one before them. They stand by the times that they begin at.
fn drop_equal(chunks: &mut Vec<Sourced>) {
    let mut kept = 0;
    for i in 0..chunks.len() {
        let begins = chunks[i].chunk.min;
        let same_begin = chunks[..kept].iter().rev().take_while(|c| c.chunk.min == begins);
        if !same_begin.into_iter().any(|c| c.chunk == chunks[i].chunk) {
            chunks.swap(kept, i);
            kept += 1;
        }
    }
    chunks.truncate(kept);
}

impl ChunkSeriesSet for MergedChunkSeriesSet {
    fn next_series(&mut self) -> Result<Option<ChunkSeries>, QueryError> {
        self.next_unmerged()?.map(|series| self.merger.merge(series)).transpose()
    }
}
