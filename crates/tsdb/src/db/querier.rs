//! Views of the database: the head and the blocks as one. Enters the head first and takes the list of blocks
//! then: what goes from the head in between is in a block of that list, and what is in both comes once. Both
//! are taken anew when the list has changed meanwhile: a block may have a part of a batch that was committed
//! after the head was entered.

use super::{Core, Db};
use crate::{
    block::{Block, BlockChain, BlockMeta},
    equal_times::Uncontradicted,
    head::querier::HeadQuerier,
};
use skopos_model::{Matcher, TimestampMs};
use skopos_storage::{
    ChunkQuerier, ExemplarQueryable, Querier, QueryBudget, QueryError, Queryable, SeriesExemplars, TimeRange,
    merge_chunk_queriers, merge_queriers,
};
use std::{path::PathBuf, sync::Arc};

impl Core {
    /// The view of the head, if it may have samples there, and the blocks that may; none where a block cannot
    /// be read.
    fn sources(&self, range: TimeRange) -> Result<(Option<HeadQuerier>, Vec<Arc<Block>>), QueryError> {
        let mut before = self.blocks.load();
        let (head, list) = loop {
            let head = HeadQuerier::new(&self.head, range);
            let after = self.blocks.load();
            if Arc::ptr_eq(&before, &after) {
                break (head, after);
            }
            before = after;
        };
        let in_head = head.may_have_samples();
        let overlaps = |b: &&Arc<Block>| {
            let own = b.range();
            own.min <= range.max && own.max >= range.min
        };
        let blocks = list.iter().filter(overlaps).cloned().collect();
        self.blocks.check_readable(range)?;
        Ok((in_head.then_some(head), blocks))
    }

    /// When the oldest sample is at the earliest; none while there are no samples, or a block cannot be read.
    fn min_time(&self) -> Option<TimestampMs> {
        // As in `sources`: what goes from the head meanwhile is in a block by then.
        let head = self.head.time_range().map(|range| range.min);
        let late = self.head.late.time_range().map(|range| range.min);
        let blocks = self.blocks.load().iter().map(|b| b.range().min).min();
        self.blocks.check_readable(TimeRange { min: TimestampMs::MIN, max: TimestampMs::MAX }).ok()?;
        head.into_iter().chain(late).chain(blocks).min()
    }

    /// What the head has in `range`, without what a block has already. Nobody changes blocks meanwhile.
    pub(super) fn behind_blocks(&self, head: HeadQuerier, range: TimeRange) -> Uncontradicted {
        let overlaps = |b: &&Arc<Block>| b.range().min <= range.max && b.range().max >= range.min;
        let of_block =
            |b: &Arc<Block>| (b.dir().to_owned(), Box::new(b.querier(range)) as Box<dyn ChunkQuerier>);
        let blocks = self.blocks.load().iter().filter(overlaps).map(of_block).collect();
        Uncontradicted { head: Box::new(head), blocks }
    }
}

impl Queryable for Db {
    fn querier(&self, range: TimeRange) -> Result<Box<dyn Querier>, QueryError> {
        let (head, blocks) = self.core.sources(range)?;
        // In the order of `equal_times`.
        let mut sources: Vec<Box<dyn Querier>> = Vec::with_capacity(blocks.len() + 1);
        // Mostly few blocks overlap others: those alone are merged.
        let chain = if blocks.len() > 1 { BlockChain::of(&blocks, range) } else { None };
        match chain {
            Some(chain) => sources.push(Box::new(chain)),
            None => {
                sources.extend(blocks.iter().map(|b| Box::new(b.querier(range)) as Box<dyn Querier>));
            }
        }
        sources.extend(head.map(|head| Box::new(head) as Box<dyn Querier>));
        Ok(merge_queriers(sources))
    }

    fn min_time(&self) -> Option<TimestampMs> {
        self.core.min_time()
    }
}

impl ExemplarQueryable for Db {
    fn exemplars(
        &self,
        range: TimeRange,
        sets: &[Vec<Matcher>],
        budget: &QueryBudget,
    ) -> Result<Vec<SeriesExemplars>, QueryError> {
        self.select_exemplars(range, sets, budget)
    }
}

impl Db {
    /// The blocks that queries read, in the order of their time.
    pub fn block_metas(&self) -> Vec<BlockMeta> {
        self.core.blocks.metas()
    }

    /// A view of `range` as encoded chunks. Chunks of the head and of blocks may overlap.
    ///
    /// # Errors
    /// When a block of the range cannot be read.
    pub fn chunk_querier(&self, range: TimeRange) -> Result<Box<dyn ChunkQuerier>, QueryError> {
        let (head, blocks) = self.core.sources(range)?;
        let mut sources: Vec<(PathBuf, Box<dyn ChunkQuerier>)> = Vec::with_capacity(blocks.len() + 1);
        let of_block =
            |b: &Arc<Block>| (b.dir().to_owned(), Box::new(b.querier(range)) as Box<dyn ChunkQuerier>);
        sources.extend(blocks.iter().map(of_block));
        sources.extend(head.map(|head| (PathBuf::from("head"), Box::new(head) as Box<dyn ChunkQuerier>)));
        Ok(match sources.pop() {
            Some((_, only)) if sources.is_empty() => only,
            last => {
                sources.extend(last);
                merge_chunk_queriers(sources)
            }
        })
    }
}
