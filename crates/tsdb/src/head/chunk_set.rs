//! A view of the head as encoded chunks: what blocks are made of and what is shipped. Hands out visible
//! samples only; never holds a lock while reading a chunk.

use super::{
    Head,
    isolation::ReadMark,
    querier::HeadQuerier,
    series::{Collected, MemSeries, SeriesIndex},
};
use crate::block::{Symbols, kept::rewrite_kept};
use skopos_model::TimestampMs;
use skopos_storage::{
    ChunkQuerier, ChunkSeries, ChunkSeriesSet, QueryBudget, QueryError, SelectRequest, Shard, TimeRange,
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
        HeadQuerier::new(self, range).select_chunks(&request)
    }
}

impl HeadQuerier {
    /// The texts of the labels of all series that may have samples of the view's range.
    pub(crate) fn symbols(&self) -> Symbols {
        let mut symbols = Symbols::default();
        // Texts are shared among series, and stay as long as the series do, which have samples.
        let mut seen = HashSet::new();
        let all: Vec<u32> = self.head().registry.postings().all().to_vec();
        for part in all.chunks(STRIDE) {
            let table = self.head().registry.table();
            let series = part.iter().filter_map(|i| table.get(SeriesIndex(*i)));
            for series in series.filter(|s| s.may_have(self.mark().get(), self.range())) {
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
        let (series, range) = self.sorted(request)?;
        Ok(Box::new(HeadChunkSet {
            head: Arc::clone(self.head()),
            mark: Arc::clone(self.mark()),
            series: series.into_iter(),
            range,
            budget: Arc::clone(&request.budget),
            collected: Collected::default(),
        }))
    }
}

/// The selected series, read when they are asked for.
struct HeadChunkSet {
    head: Arc<Head>,
    mark: Arc<ReadMark>,
    /// Sorted by labels.
    series: std::vec::IntoIter<Arc<MemSeries>>,
    range: TimeRange,
    budget: Arc<QueryBudget>,
    collected: Collected,
}

impl ChunkSeriesSet for HeadChunkSet {
    fn next_series(&mut self) -> Result<Option<ChunkSeries>, QueryError> {
        for series in self.series.by_ref() {
            self.budget.check()?;
            series.collect(self.mark.get(), self.range, &mut self.collected);
            let mut chunks = self.collected.chunks(&self.head.chunks)?;
            if let Some(deleted) = self.head.tombstones.get(series.index) {
                let mut kept = Vec::with_capacity(chunks.len());
                for chunk in chunks.drain(..) {
                    rewrite_kept(chunk, &deleted, &mut kept).map_err(|e| QueryError::Corrupt {
                        path: PathBuf::from("head"),
                        offset: 0,
                        reason: e.to_string(),
                    })?;
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
