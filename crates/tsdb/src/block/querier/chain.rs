//! `BlockChain`: blocks whose times do not overlap as one source. A series' samples go from each block to the
//! columns that are handed out: nothing is merged and nothing copied. Knows no head.

use super::{BATCH_SAMPLES, BATCH_SERIES, BlockQuerier, BlockSeriesSet, Charge};
use crate::block::reader::Block;
use skopos_model::Labels;
use skopos_storage::{
    LabelRequest, Parting, Querier, QueryBudget, QueryError, SelectRequest, SeriesBatch, SeriesSet,
    TimeRange, merge_queriers,
};
use std::sync::Arc;

/// A view of blocks in the order of their times.
pub struct BlockChain {
    blocks: Vec<BlockQuerier>,
    /// The same blocks, for what is asked of labels alone.
    merged: Box<dyn Querier>,
}

impl BlockChain {
    /// A view of `range` of all of `blocks`; none where times of two may overlap.
    pub fn of(blocks: &[Arc<Block>], range: TimeRange) -> Option<Self> {
        let mut sorted = blocks.to_vec();
        sorted.sort_by_key(|block| block.range().min);
        if !sorted.is_sorted_by(|a, b| a.range().max < b.range().min) {
            return None;
        }
        // Once of each: what is deleted meanwhile is gone from both or from neither.
        let blocks: Vec<BlockQuerier> = sorted.iter().map(|block| block.querier(range)).collect();
        let boxed = |one: &BlockQuerier| Box::new(one.clone()) as Box<dyn Querier>;
        let merged = merge_queriers(blocks.iter().map(boxed).collect());
        Some(Self { blocks, merged })
    }
}

impl Querier for BlockChain {
    fn select(&self, request: &SelectRequest<'_>) -> Result<Box<dyn SeriesSet>, QueryError> {
        let mut blocks = Vec::with_capacity(self.blocks.len());
        for block in &self.blocks {
            let budget = request.budget.for_source();
            let request = SelectRequest { budget, ..request.clone() };
            blocks.push(BlockSeriesSet(block.selected(&request, Charge::Nothing)?));
        }
        Ok(Box::new(ChainSet { blocks, budget: Arc::clone(&request.budget) }))
    }

    fn series(&self, request: &LabelRequest<'_>) -> Result<Vec<Labels>, QueryError> {
        self.merged.series(request)
    }

    fn label_names(&self, request: &LabelRequest<'_>) -> Result<Vec<String>, QueryError> {
        self.merged.label_names(request)
    }

    fn label_values(&self, name: &str, request: &LabelRequest<'_>) -> Result<Vec<String>, QueryError> {
        self.merged.label_values(name, request)
    }
}

/// The selected series of all blocks, which stand in the order of their times.
struct ChainSet {
    blocks: Vec<BlockSeriesSet>,
    budget: Arc<QueryBudget>,
}

impl ChainSet {
    /// The least labels that a block has next.
    fn next_labels(&mut self) -> Result<Option<Labels>, QueryError> {
        let mut least: Option<&Labels> = None;
        for BlockSeriesSet(block) in &mut self.blocks {
            block.prepare()?;
            let Some(ready) = block.ready.front() else { continue };
            // Mostly all blocks have the same series, and whether texts are equal is soon known.
            if least.is_none_or(|least| ready.labels != *least && ready.labels < *least) {
                least = Some(&ready.labels);
            }
        }
        Ok(least.cloned())
    }

    /// Fills a batch; `charged` says for how many samples, also when it fails.
    fn fill(&mut self, batch: &mut SeriesBatch, charged: &mut u64) -> Result<(), QueryError> {
        while batch.len() < BATCH_SERIES && batch.sample_count() < BATCH_SAMPLES {
            let Some(labels) = self.next_labels()? else { break };
            self.budget.charge_series(1)?;
            let before = batch.sample_count();
            let blocks = &mut self.blocks;
            batch.push_series(labels.clone(), |columns| {
                for BlockSeriesSet(block) in blocks.iter_mut() {
                    if let Some(ready) = block.ready.pop_front_if(|ready| ready.labels == labels) {
                        block.read(&ready, columns)?;
                    }
                }
                Ok::<(), QueryError>(())
            })?;
            let more = (batch.sample_count() - before) as u64;
            self.budget.charge_samples(more)?;
            *charged += more;
        }
        Ok(())
    }
}

impl SeriesSet for ChainSet {
    fn next_batch(&mut self, batch: &mut SeriesBatch) -> Result<bool, QueryError> {
        batch.clear();
        self.budget.check()?;
        // A batch that cannot be paid for is not handed out.
        let mut charged = 0;
        if let Err(e) = self.fill(batch, &mut charged) {
            self.budget.release_samples(charged);
            batch.clear();
            return Err(e);
        }
        Ok(!batch.is_empty())
    }

    fn parting(&mut self) -> Option<&mut dyn Parting> {
        Some(self)
    }
}

impl Parting for ChainSet {
    fn remaining(&self) -> usize {
        self.blocks.iter().map(Parting::remaining).max().unwrap_or(0)
    }

    fn labels_at(&mut self, n: usize) -> Result<Labels, QueryError> {
        let largest = self.blocks.iter_mut().max_by_key(|block| block.remaining());
        largest.expect("invariant: a set with remaining series has a block with some").labels_at(n)
    }

    fn read_up_to(&self) -> Option<Labels> {
        self.blocks.iter().filter_map(Parting::read_up_to).max()
    }

    fn split_off(&mut self, labels: &Labels) -> Result<Box<dyn SeriesSet>, QueryError> {
        let blocks = self.blocks.iter_mut().map(|block| block.split_behind(labels));
        let blocks = blocks.collect::<Result<Vec<_>, _>>()?;
        Ok(Box::new(Self { blocks, budget: Arc::clone(&self.budget) }))
    }
}
