//! Several sources as one: `merge_queriers` and `merge_chunk_queriers`, and the sets that they hand out.
//! Owns the order of series and samples, and the choice between samples of one time; knows no head, no
//! block and no network.
//!
//! - `series`: `MergedSeriesSet`, a merge of sorted series by labels.
//! - `samples`: the samples of one series from several sources, as columns.
//! - `chunks`: `MergedChunkSeriesSet`, the same for encoded chunks.
//! - `recode`: overlapping chunks decoded, merged and encoded anew.
//! - `floats`: runs of floats merged as columns; `samples` and `recode` do so where there is no histogram.
//!
//! What always holds:
//! - Of samples at the same time the one of the source given first is kept, and within a source of chunks
//!   that of the chunk given first, whatever the values are. (Prometheus keeps one of them too, but which
//!   one depends on the state of its heap.) In which order sources are given is up to who has them; that of
//!   the database stands in `tsdb::equal_times`.
//! - The same sources in the same order give the same answer.
//! - A series in several sources is charged once. Samples stay charged as their source charged them;
//!   those that merging drops are given back.

mod chunks;
mod floats;
mod recode;
mod samples;
mod series;

pub use chunks::{ChunkMerge, ChunkMerger, ChunkSource, MergedChunkSeriesSet, UnmergedSeries};
pub use recode::{compact_chunks, cut_chunk, keep_samples};
pub use samples::merge_columns;
pub use series::MergedSeriesSet;

use crate::{
    ChunkQuerier, ChunkSeriesSet, LabelRequest, Querier, QueryBudget, QueryError, SelectRequest, SeriesSet,
};
use skopos_model::Labels;
use std::{path::PathBuf, sync::Arc};

/// One querier over all of `sources`. Of samples at the same time the one of the earlier source is kept.
pub fn merge_queriers(mut sources: Vec<Box<dyn Querier>>) -> Box<dyn Querier> {
    match sources.pop() {
        Some(only) if sources.is_empty() => only,
        last => {
            sources.extend(last);
            Box::new(MergedQuerier { sources })
        }
    }
}

/// One querier of chunks over all of `sources`, each with the name that errors call it by. Chunks of all
/// sources come as they are, also where they overlap; equal chunks come once.
pub fn merge_chunk_queriers(sources: Vec<(PathBuf, Box<dyn ChunkQuerier>)>) -> Box<dyn ChunkQuerier> {
    Box::new(MergedChunkQuerier { sources })
}

struct MergedQuerier {
    sources: Vec<Box<dyn Querier>>,
}

impl Querier for MergedQuerier {
    fn select(&self, request: &SelectRequest<'_>) -> Result<Box<dyn SeriesSet>, QueryError> {
        let mut sets = Vec::with_capacity(self.sources.len());
        for source in &self.sources {
            let budget = request.budget.for_source();
            sets.push(source.select(&SelectRequest { budget, ..request.clone() })?);
        }
        Ok(Box::new(MergedSeriesSet::new(sets, Arc::clone(&request.budget))))
    }

    fn series(&self, request: &LabelRequest<'_>) -> Result<Vec<Labels>, QueryError> {
        self.union(request, |source, request| source.series(request))
    }

    fn label_names(&self, request: &LabelRequest<'_>) -> Result<Vec<String>, QueryError> {
        self.union(request, |source, request| source.label_names(request))
    }

    fn label_values(&self, name: &str, request: &LabelRequest<'_>) -> Result<Vec<String>, QueryError> {
        self.union(request, |source, request| source.label_values(name, request))
    }
}

impl MergedQuerier {
    /// What all sources answer together, sorted and each once. The first `limit` of all are among the first
    /// `limit` of each.
    fn union<T: Ord>(
        &self,
        request: &LabelRequest<'_>,
        ask: impl Fn(&dyn Querier, &LabelRequest<'_>) -> Result<Vec<T>, QueryError>,
    ) -> Result<Vec<T>, QueryError> {
        let mut all = Vec::new();
        for source in &self.sources {
            let budget: Arc<QueryBudget> = request.budget.for_source();
            all.append(&mut ask(&**source, &LabelRequest { budget, ..request.clone() })?);
            // The standard sort takes two sorted runs in one pass. So no more than the union and one answer
            // is held.
            all.sort();
            all.dedup();
            if request.limit > 0 {
                all.truncate(request.limit);
            }
        }
        request.budget.charge_series(all.len() as u64)?;
        Ok(all)
    }
}

struct MergedChunkQuerier {
    sources: Vec<(PathBuf, Box<dyn ChunkQuerier>)>,
}

impl ChunkQuerier for MergedChunkQuerier {
    fn select_chunks(&self, request: &SelectRequest<'_>) -> Result<Box<dyn ChunkSeriesSet>, QueryError> {
        let mut sources = Vec::with_capacity(self.sources.len());
        for (name, source) in &self.sources {
            let budget = request.budget.for_source();
            let series = source.select_chunks(&SelectRequest { budget, ..request.clone() })?;
            sources.push(ChunkSource { name: name.clone(), series });
        }
        let budget = Arc::clone(&request.budget);
        Ok(Box::new(MergedChunkSeriesSet::new(sources, ChunkMerge::Concatenate, budget)))
    }
}
