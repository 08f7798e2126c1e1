//! Samples of one series at one time with different values: which one counts. This is the one place that says
//! it; whoever stores, reads back or merges samples follows it.
//!
//! **The rule.** The sample that was accepted first stays. One that contradicts it is refused by name
//! (`AppendError::Duplicate`) where it is seen when it is appended: at the time of the newest sample of its
//! series, of a late sample of the series' open chunk of such, and of samples of its own batch in order.
//! Elsewhere no sample is looked for, as it would have to be read from a disk: then the contradicting one is
//! accepted, and never answers. Values are compared by their bits; a float never equals a histogram, but for
//! the marker of staleness, which is one value whatever its kind.
//!
//! **The order of sources**, the first of which counts in every merge:
//! 1. blocks, by the oldest of the blocks that each was made of, as `by_age` sorts them;
//! 2. what the head has in order;
//! 3. late samples of closed chunks, in the order in which the chunks were closed;
//! 4. late samples of the open chunk, which has each time once.
//!
//! **Why it keeps the rule.** A sample is late when its series has a later one, or when its time belongs to
//! blocks: so whatever is in order at its time came before it. What has become a block was accepted before
//! what is in the head now. And what is cut from the head leaves out the times at which a source before it
//! has a sample (`Uncontradicted`): hence the blocks of one database have no two samples of one time, and
//! compaction may take them in whichever order and number. What remains are blocks that somebody else made
//! and puts there: those count by their age, before and after they are compacted with others.
//!
//! **The logs** have samples in the order in which they were accepted. A replay takes from the WAL what is in
//! order, then late samples from the write-behind log, then those that the WAL alone has; each time that a
//! late sample stands at is taken once.

use crate::{
    block::{Block, BlockId, kept::rewrite_kept},
    intervals::{Interval, Intervals},
};
use skopos_chunk::{ChunkError, decode_columns};
use skopos_model::{Columns, Labels, TimestampMs};
use skopos_storage::{Chunk, ChunkQuerier, ChunkSeries, ChunkSeriesSet, QueryError, SelectRequest};
use std::{cmp::Ordering, path::PathBuf, sync::Arc};

/// Sorts blocks by what they were made of, the oldest first.
pub(crate) fn by_age(blocks: &mut [Arc<Block>]) {
    blocks.sort_by_cached_key(|block| {
        let meta = block.meta();
        let oldest: Option<BlockId> = meta.compaction.sources.iter().min().copied();
        (oldest.unwrap_or(meta.ulid), meta.ulid)
    });
}

/// Hands chunks on without the samples at `taken`, which grows.
pub(crate) fn without_times(
    chunks: Vec<Chunk>,
    taken: &[TimestampMs],
    out: &mut Vec<Chunk>,
) -> Result<(), ChunkError> {
    for chunk in chunks {
        let from = taken.partition_point(|t| *t < chunk.min);
        let within = &taken[from..taken.partition_point(|t| *t <= chunk.max)];
        if within.is_empty() {
            out.push(chunk);
            continue;
        }
        let (mut columns, mut gone) = (Columns::default(), Intervals::default());
        decode_columns(chunk.encoding, &chunk.bytes, chunk.min, chunk.max, &mut columns)?;
        for t in columns.timestamps.iter().filter(|t| within.binary_search(t).is_ok()) {
            gone.add(Interval { min_ms: t.as_ms(), max_ms: t.as_ms() });
        }
        rewrite_kept(chunk, &gone, out)?;
    }
    Ok(())
}

/// What the head has on its way to a block, without the times at which a block has a sample. A block that is
/// damaged has none: then the order of sources alone decides. Where the system refuses to read one, nothing
/// is handed out: it is tried again, and what a block has is not contradicted for good.
pub(crate) struct Uncontradicted {
    pub(crate) head: Box<dyn ChunkQuerier>,
    /// With the names that errors call them by.
    pub(crate) blocks: Vec<(PathBuf, Box<dyn ChunkQuerier>)>,
}

impl ChunkQuerier for Uncontradicted {
    fn select_chunks(&self, request: &SelectRequest<'_>) -> Result<Box<dyn ChunkSeriesSet>, QueryError> {
        let head = self.head.select_chunks(request)?;
        let open = |(name, querier): &(PathBuf, Box<dyn ChunkQuerier>)| {
            let request = SelectRequest { budget: request.budget.for_source(), ..request.clone() };
            let mut block = InBlock { name: name.clone(), set: None, next: None };
            match querier.select_chunks(&request) {
                Ok(set) => block.set = Some(set),
                Err(error) => block.give_up(error)?,
            }
            Ok(block)
        };
        let blocks = self.blocks.iter().map(open).collect::<Result<_, QueryError>>()?;
        Ok(Box::new(UncontradictedSet { head, blocks }))
    }
}

struct UncontradictedSet {
    head: Box<dyn ChunkSeriesSet>,
    blocks: Vec<InBlock>,
}

impl ChunkSeriesSet for UncontradictedSet {
    fn next_series(&mut self) -> Result<Option<ChunkSeries>, QueryError> {
        while let Some(ChunkSeries { labels, chunks: own }) = self.head.next_series()? {
            let mut taken = Vec::new();
            self.blocks.iter_mut().try_for_each(|block| block.times(&labels, &own, &mut taken))?;
            taken.sort_unstable();
            let mut chunks = Vec::with_capacity(own.len());
            without_times(own, &taken, &mut chunks).map_err(|e| QueryError::Corrupt {
                path: PathBuf::from("head"),
                offset: 0,
                reason: format!("a chunk of series {labels}: {e}"),
            })?;
            if !chunks.is_empty() {
                return Ok(Some(ChunkSeries { labels, chunks }));
            }
        }
        Ok(None)
    }
}

/// One of the blocks, which count before the head.
struct InBlock {
    name: PathBuf,
    /// None once it is through or found damaged.
    set: Option<Box<dyn ChunkSeriesSet>>,
    next: Option<ChunkSeries>,
}

impl InBlock {
    /// Goes on without the block where it is damaged, which no other attempt mends. All else is an error.
    fn give_up(&mut self, error: QueryError) -> Result<(), QueryError> {
        if !matches!(error, QueryError::Corrupt { .. }) {
            return Err(error);
        }
        tracing::warn!(
            block = %self.name.display(), %error,
            "a block is damaged while another is cut: at equal times their order decides"
        );
        (self.set, self.next) = (None, None);
        Ok(())
    }

    /// Adds the times that it has of a series and `others` may have.
    fn times(
        &mut self,
        labels: &Labels,
        others: &[Chunk],
        out: &mut Vec<TimestampMs>,
    ) -> Result<(), QueryError> {
        loop {
            match self.next.as_ref().map(|next| next.labels.cmp(labels)) {
                Some(Ordering::Greater) => return Ok(()),
                Some(Ordering::Equal) => break,
                Some(Ordering::Less) | None => {}
            }
            let Some(set) = &mut self.set else { return Ok(()) };
            match set.next_series() {
                Ok(Some(next)) => self.next = Some(next),
                Ok(None) => {
                    (self.set, self.next) = (None, None);
                    return Ok(());
                }
                Err(error) => return self.give_up(error),
            }
        }
        let Some(own) = self.next.take() else { return Ok(()) };
        for chunk in own.chunks {
            if !others.iter().any(|o| o.min <= chunk.max && chunk.min <= o.max) {
                continue;
            }
            let mut columns = Columns::default();
            let (min, max) = (TimestampMs::MIN, TimestampMs::MAX);
            if let Err(error) = decode_columns(chunk.encoding, &chunk.bytes, min, max, &mut columns) {
                tracing::warn!(block = %self.name.display(), %labels, %error, "a chunk cannot be read");
            }
            out.extend(columns.timestamps);
        }
        Ok(())
    }
}
