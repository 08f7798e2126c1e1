//! `BlockChain`: blocks as one source, in the order of their times. A series' samples go from each block to
//! the columns that are handed out: nothing is merged and nothing copied, but for blocks whose times overlap,
//! which are merged with one another alone. Knows no head.

mod heads;
mod link;

use super::{BATCH_SAMPLES, BATCH_SERIES, BlockQuerier, BlockSeriesSet, Charge};
use crate::block::reader::Block;
use heads::Heads;
use link::{Link, MergedLink};
use skopos_model::Labels;
use skopos_storage::{
    EvenWindows, LabelRequest, Parting, Querier, QueryBudget, QueryError, SelectRequest, SeriesBatch,
    SeriesSet, TimeRange, merge::MergedSeriesSet, merge_queriers,
};
use std::sync::Arc;

/// A view of blocks in the order of their times.
pub struct BlockChain {
    /// All that a link has is before the next one. Mostly a link is one block; those that overlap are one
    /// link, in the order in which they count.
    links: Vec<Vec<BlockQuerier>>,
    /// The same blocks, for what is asked of labels alone.
    merged: Box<dyn Querier>,
}

impl BlockChain {
    /// A view of `range` of all of `blocks`, the first of which counts where several have a sample of one
    /// time; none where there is nothing to chain, as times of each overlap others'.
    pub fn of(blocks: &[Arc<Block>], range: TimeRange) -> Option<Self> {
        // Once of each: what is deleted meanwhile is gone from both or from neither.
        let all: Vec<BlockQuerier> = blocks.iter().map(|block| block.querier(range)).collect();
        let links = links_of(&all);
        if links.len() < 2 {
            return None;
        }
        let merged = merge_queriers(all.into_iter().map(boxed).collect());
        Some(Self { links, merged })
    }
}

fn boxed(one: BlockQuerier) -> Box<dyn Querier> {
    Box::new(one)
}

/// The longest runs of blocks of which each reaches into the times of the one before, in the order of times.
fn links_of(all: &[BlockQuerier]) -> Vec<Vec<BlockQuerier>> {
    let mut by_time: Vec<usize> = (0..all.len()).collect();
    by_time.sort_by_key(|i| (all[*i].range.min, all[*i].range.max));
    let mut links: Vec<Vec<usize>> = Vec::new();
    let mut end = None;
    for i in by_time {
        let range = all[i].range;
        match links.last_mut() {
            Some(link) if end.is_some_and(|end| range.min <= end) => link.push(i),
            _ => links.push(vec![i]),
        }
        end = end.max(Some(range.max));
    }
    let in_order = |mut link: Vec<usize>| {
        link.sort_unstable();
        link.into_iter().map(|i| all[i].clone()).collect()
    };
    links.into_iter().map(in_order).collect()
}

impl Querier for BlockChain {
    fn select(&self, request: &SelectRequest<'_>) -> Result<Box<dyn SeriesSet>, QueryError> {
        let mut links = Vec::with_capacity(self.links.len());
        for link in &self.links {
            let mut sets = Vec::with_capacity(link.len());
            for block in link {
                let budget = request.budget.for_source();
                let request = SelectRequest { budget, ..request.clone() };
                sets.push(BlockSeriesSet(block.selected(&request, Charge::Nothing)?));
            }
            links.push(if sets.len() == 1 {
                Link::Block(sets.remove(0))
            } else {
                let sets = sets.into_iter().map(|set| Box::new(set) as Box<dyn SeriesSet>).collect();
                let merged = MergedSeriesSet::new(sets, request.budget.for_source());
                Link::Merged(MergedLink::new(Box::new(merged), Arc::clone(&request.budget)))
            });
        }
        Ok(Box::new(ChainSet::new(links, &request.budget)))
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

/// The selected series of all links, which stand in the order of their times.
struct ChainSet {
    links: Vec<Link>,
    /// The series that come next.
    heads: Heads,
    /// The links whose next series is not among those yet.
    behind: Vec<usize>,
    budget: Arc<QueryBudget>,
    /// Labels that the set may be cut at, and how many series a link has before them: mostly all links have
    /// as many.
    looked_up: Vec<(Labels, usize)>,
}

impl ChainSet {
    fn new(links: Vec<Link>, budget: &Arc<QueryBudget>) -> Self {
        let behind = (0..links.len()).collect();
        let budget = Arc::clone(budget);
        Self { links, heads: Heads::default(), behind, budget, looked_up: Vec::new() }
    }

    /// The least labels that a link has next, and in `having` the links that have them, in their order.
    fn next_series(&mut self, having: &mut Vec<usize>) -> Result<Option<Labels>, QueryError> {
        for link in self.behind.drain(..) {
            // Mostly the one before was just asked, and has the same series.
            let (before, from) = self.links.split_at_mut(link);
            let like = before.last().and_then(Link::ready);
            if let Some(labels) = from[0].head(like)? {
                self.heads.add(labels, link);
            }
        }
        Ok(self.heads.take_least(having))
    }

    /// Fills a batch; `charged` says for how many samples, also when it fails.
    fn fill(&mut self, batch: &mut SeriesBatch, charged: &mut u64) -> Result<(), QueryError> {
        let mut having = Vec::new();
        while batch.len() < BATCH_SERIES && batch.sample_count() < BATCH_SAMPLES {
            let Some(labels) = self.next_series(&mut having)? else { break };
            self.budget.charge_series(1)?;
            let before = batch.sample_count();
            let (links, mut paid) = (&mut self.links, 0);
            let read = batch.push_series(labels, |columns| {
                having.iter().try_for_each(|link| links[*link].take(columns, &mut paid))
            });
            *charged += paid;
            read?;
            self.behind.extend_from_slice(&having);
            let more = (batch.sample_count() - before) as u64 - paid;
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

    fn only_within(&mut self, windows: EvenWindows) {
        self.links.iter_mut().for_each(|link| link.only_within(windows));
    }

    fn parting(&mut self) -> Option<&mut dyn Parting> {
        if self.links.iter_mut().all(Link::look_ahead) { Some(self) } else { None }
    }
}

impl Parting for ChainSet {
    fn remaining(&self) -> usize {
        self.links.iter().map(Link::remaining).max().unwrap_or(0)
    }

    fn samples_expected(&self) -> u64 {
        self.links.iter().map(Link::samples_expected).sum()
    }

    fn labels_at(&mut self, n: usize) -> Result<Labels, QueryError> {
        let largest = self.links.iter_mut().max_by_key(|link| link.remaining());
        let largest = largest.expect("invariant: a set with remaining series has a link with some");
        let labels = largest.labels_at(n)?;
        self.looked_up.push((labels.clone(), n));
        Ok(labels)
    }

    fn read_up_to(&self) -> Option<Labels> {
        self.links.iter().filter_map(Link::read_up_to).max()
    }

    fn split_off(&mut self, labels: &Labels) -> Result<Box<dyn SeriesSet>, QueryError> {
        // Cuts are made from the last to the first.
        while self.looked_up.pop_if(|(last, _)| last != labels).is_some() {}
        let guess = self.looked_up.pop().map_or(self.remaining() / 2, |(_, n)| n);
        let links = self.links.iter_mut().map(|link| link.split_off(labels, guess));
        let links = links.collect::<Result<Vec<_>, _>>()?;
        Ok(Box::new(Self::new(links, &self.budget)))
    }
}
