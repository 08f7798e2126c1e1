//! A view of the head as encoded chunks: what blocks are made of and what is shipped. Hands out visible
//! samples only; never holds a lock while reading a chunk.

use super::{
    Head,
    isolation::{CommitId, ReadMark},
    querier::HeadQuerier,
    series::{Collected, MemSeries, SeriesIndex, View},
};
use crate::{
    block::{Symbols, kept::rewrite_kept},
    equal_times::without_times,
};
use skopos_chunk::ChunkError;
use skopos_model::{Columns, TimestampMs};
use skopos_storage::{
    Chunk, ChunkQuerier, ChunkSeries, ChunkSeriesSet, QueryBudget, QueryError, SelectRequest, Shard,
    TimeRange,
    merge::{compact_chunks, cut_chunk},
};
use std::{collections::HashSet, path::PathBuf, sync::Arc};

/// Series looked at before the table is let go.
const STRIDE: usize = 256;

impl Head {
    /// All series with their chunks of the block that ends with `range`, to be cut: from now on no sample of
    /// it or of before is appended. The budget bounds it by time alone.
    pub(crate) fn cut_chunks(
        self: &Arc<Self>,
        range: TimeRange,
        budget: Arc<QueryBudget>,
    ) -> Result<Box<dyn ChunkSeriesSet>, QueryError> {
        self.refuse_before(TimestampMs::new(range.max.as_ms().saturating_add(1)));
        let request = SelectRequest { matchers: &[], range, shard: Shard::WHOLE, budget };
        HeadQuerier::new(self, range).only(Which::InOrder).select_chunks(&request)
    }
}

impl HeadQuerier {
    /// The texts of the labels of all series that may have samples of the view's range.
    pub(crate) fn symbols(&self) -> Symbols {
        let mut symbols = Symbols::default();
        // Texts are shared among series, and stay as long as the series do, which have samples.
        let mut seen = HashSet::new();
        let view = self.view(self.range());
        let all: Vec<u32> = self.head().registry.postings().all().to_vec();
        for part in all.chunks(STRIDE) {
            let table = self.head().registry.table();
            let series = part.iter().filter_map(|i| table.get(SeriesIndex(*i)));
            for series in series.filter(|s| s.may_have(view)) {
                for text in series.labels.iter().flat_map(|(name, value)| [name, value]) {
                    if seen.insert(text.as_ptr()) {
                        symbols.add_text(text);
                    }
                }
            }
        }
        symbols
    }
}

impl ChunkQuerier for HeadQuerier {
    fn select_chunks(&self, request: &SelectRequest<'_>) -> Result<Box<dyn ChunkSeriesSet>, QueryError> {
        Ok(Box::new(HeadChunkSet::new(self, request)?))
    }
}

/// Which samples of the head are handed out as chunks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Which {
    All,
    InOrder,
    /// Late ones of closed chunks of commits up to one: cut to the range and merged, so that no chunks
    /// overlap, and without the times at which the head has a sample in order.
    LateUpTo(CommitId),
}

/// The selected series, read when they are asked for.
struct HeadChunkSet {
    head: Arc<Head>,
    which: Which,
    view: View,
    /// Keeps what it sees.
    _mark: Arc<ReadMark>,
    /// Sorted by labels.
    series: std::vec::IntoIter<Arc<MemSeries>>,
    budget: Arc<QueryBudget>,
    collected: Collected,
}

impl HeadChunkSet {
    fn new(querier: &HeadQuerier, request: &SelectRequest<'_>) -> Result<Self, QueryError> {
        let (series, range) = querier.sorted(request)?;
        Ok(Self {
            head: Arc::clone(querier.head()),
            which: querier.which(),
            view: querier.view(range),
            _mark: Arc::clone(querier.mark()),
            series: series.into_iter(),
            budget: Arc::clone(&request.budget),
            collected: Collected::default(),
        })
    }

    /// The chunks of one series as they are stored.
    fn collect(&mut self, series: &MemSeries) -> Result<Vec<Chunk>, QueryError> {
        let (range, chunks) = (self.view.range, &self.head.chunks);
        match self.which {
            Which::All | Which::InOrder => {
                series.collect(self.view, &mut self.collected);
                if matches!(self.which, Which::InOrder) {
                    self.collected.forget_late();
                }
                self.collected.chunks(chunks)
            }
            Which::LateUpTo(commit) => {
                series.collect_late_up_to(commit, range, &mut self.collected);
                let (mut cut, mut merged) = (Vec::new(), Vec::new());
                for chunk in self.collected.chunks(chunks)? {
                    cut_chunk(chunk, range, &mut cut).map_err(corrupt)?;
                }
                compact_chunks(cut, &mut merged).map_err(corrupt)?;
                // What came in order counts before it, here as in every merge (`equal_times`).
                let (mut in_order, mut kept) = (Columns::default(), Vec::with_capacity(merged.len()));
                series.collect(self.view, &mut self.collected);
                self.collected.forget_late();
                self.collected.decode(chunks, range, &mut in_order)?;
                without_times(merged, &in_order.timestamps, &mut kept).map_err(corrupt)?;
                Ok(kept)
            }
        }
    }
}

fn corrupt(e: ChunkError) -> QueryError {
    QueryError::Corrupt { path: PathBuf::from("head"), offset: 0, reason: e.to_string() }
}

impl ChunkSeriesSet for HeadChunkSet {
    fn next_series(&mut self) -> Result<Option<ChunkSeries>, QueryError> {
        while let Some(series) = self.series.next() {
            self.budget.check()?;
            let mut chunks = self.collect(&series)?;
            if let Some(deleted) = self.head.tombstones.get(series.index) {
                let mut kept = Vec::with_capacity(chunks.len());
                for chunk in chunks.drain(..) {
                    rewrite_kept(chunk, &deleted, &mut kept).map_err(corrupt)?;
                }
                chunks = kept;
            }
            if !chunks.is_empty() {
                return Ok(Some(ChunkSeries { labels: series.labels.to_labels(), chunks }));
            }
        }
        Ok(None)
    }
}
