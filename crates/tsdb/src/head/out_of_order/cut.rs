//! Late samples into blocks: what is to be cut, and what goes from the head once blocks have it. Never stops
//! ingestion: what comes meanwhile is cut the next time.

use super::Line;
use crate::{
    head::{
        Head,
        chunk_set::Which,
        querier::HeadQuerier,
        series::{CommitView, LateExtent, SeriesIndex},
        truncate::Busy,
    },
    head_chunks::ChunkPlace,
    stats::Stats,
    wal::{Wal, snapshot::Position},
};
use skopos_model::TimestampMs;
use skopos_storage::{CommitError, TimeRange};
use std::{
    cmp,
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
};

/// Series looked at before the table is let go.
const STRIDE: usize = 256;

/// The late samples that the head had at one moment, in closed chunks of their own.
#[derive(Debug)]
pub(crate) struct OutOfOrderCut {
    line: Line,
    /// Their chunks stand before this place, and may have others among them.
    chunks: ChunkPlace,
    ranges: Vec<TimeRange>,
}

/// The same, in blocks that queries read.
#[derive(Debug)]
pub(crate) struct InBlocks {
    cut: OutOfOrderCut,
    /// Readers that began before this do not know the blocks.
    epoch: u64,
}

/// What a start passes over, as blocks have it. What came later and stands before the place of chunks is in
/// the write-behind log too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LateCut {
    /// The late samples that the WAL has before this position.
    pub(crate) wal: Position,
    /// The chunks of late samples that stand before this place.
    pub(crate) head_chunks: ChunkPlace,
}

/// What a start finds out of what blocks have of late samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LateInBlocks {
    /// Nothing is noted, or of another log.
    Nothing,
    /// This.
    Cut(LateCut),
    /// What was noted cannot be believed, as where one of the blocks is gone: the log may have the only copy
    /// of their samples, and of what was deleted of them.
    Gone,
}

impl LateInBlocks {
    /// What is to be passed over.
    pub(crate) fn cut(self) -> Option<LateCut> {
        match self {
            Self::Cut(cut) => Some(cut),
            Self::Nothing | Self::Gone => None,
        }
    }
}

impl LateCut {
    /// Blocks have the late samples that a segment of the WAL has before this byte.
    pub(crate) fn until(self, segment: u32) -> u64 {
        match segment.cmp(&self.wal.segment) {
            cmp::Ordering::Less => u64::MAX,
            cmp::Ordering::Equal => self.wal.offset,
            cmp::Ordering::Greater => 0,
        }
    }
}

impl OutOfOrderCut {
    /// The blocks that they belong to: aligned, each as long as the shortest block, both ends included.
    pub(crate) fn ranges(&self) -> &[TimeRange] {
        &self.ranges
    }
}

impl InBlocks {
    /// What a start is to pass over.
    pub(crate) fn late_cut(&self) -> LateCut {
        LateCut { wal: self.cut.line.ahead, head_chunks: self.cut.chunks }
    }
}

impl Head {
    /// What there is to be cut into blocks; none when the head has no late samples. The logs have all of it
    /// durably.
    ///
    /// # Errors
    /// When a log does not take it. Nothing is cut then.
    pub(crate) fn cut_out_of_order(&self, wal: &Wal) -> Result<Option<OutOfOrderCut>, CommitError> {
        if self.late.time_range().is_none() {
            return Ok(None);
        }
        let line = self.draw_line(wal)?;
        Ok(Some(self.close_late(line)))
    }

    /// Closes what is before the line, in chunks that have nothing else.
    pub(crate) fn close_late(&self, line: Line) -> OutOfOrderCut {
        let mut marks = Vec::new();
        self.readers.copy_marks(&mut marks);
        let view =
            CommitView { id: line.commit + 1, marks: &marks, late_cut: line.commit, ..self.replay_view() };
        let mut closed = Vec::new();
        self.each_series(|series| series.close_late(view, &mut closed));
        Stats::add(&self.stats.chunks, closed.len() as u64);
        let chunks = self.chunks.next_place();
        let block_ms = view.block_ms;
        let mut starts = BTreeSet::new();
        self.each_series(|series| {
            series.each_late_span(line.commit, |span| {
                let mut start = span.min.as_ms() - span.min.as_ms().rem_euclid(block_ms);
                while start <= span.max.as_ms() {
                    starts.insert(start);
                    start += block_ms;
                }
            });
        });
        let range = |start: i64| TimeRange {
            min: TimestampMs::new(start),
            max: TimestampMs::new(start + block_ms - 1),
        };
        OutOfOrderCut { line, chunks, ranges: starts.into_iter().map(range).collect() }
    }

    /// The late samples of one of the cut's ranges, as chunks that do not overlap and do not reach beyond it.
    pub(crate) fn out_of_order_querier(
        self: &Arc<Self>,
        cut: &OutOfOrderCut,
        range: TimeRange,
    ) -> HeadQuerier {
        HeadQuerier::new(self, range).only(Which::LateUpTo(cut.line.commit))
    }

    /// To be called when the cut is in blocks that later queries read.
    pub(crate) fn out_of_order_in_blocks(&self, cut: OutOfOrderCut) -> InBlocks {
        InBlocks { cut, epoch: self.readers.begin_epoch() }
    }

    /// Drops from the write-behind log what is in blocks.
    ///
    /// # Errors
    /// When the disk refuses; then it is to be tried again before the head drops it.
    pub(crate) fn shorten_behind(&self, in_blocks: &InBlocks) -> Result<(), CommitError> {
        match (self.late.log.get(), in_blocks.cut.line.behind) {
            (Some(log), Some(last)) => log.remove_up_to(last),
            _ => Ok(()),
        }
    }

    /// Drops from the head what is in blocks; how many chunks. No start may read it again by then: a deletion
    /// goes by what the head has.
    ///
    /// # Errors
    /// While a reader that began before the blocks were there needs it. Nothing is dropped then.
    pub(crate) fn drop_out_of_order(&self, in_blocks: &InBlocks) -> Result<usize, Busy> {
        let InBlocks { cut, epoch } = in_blocks;
        let needed = |range: &TimeRange| self.readers.any_before(*epoch, *range);
        if cut.ranges.iter().any(needed) {
            return Err(Busy);
        }
        {
            let _no_commit = self.commit.lock();
            self.late.extent.lock().since = None;
        }
        let (mut gone, mut left) = (0, None);
        self.each_series(|series| {
            gone += series.drop_late_up_to(cut.line.commit);
            if let Some(LateExtent { range, .. }) = series.late_extent() {
                left = super::widened(left, Some(range));
            }
        });
        {
            let _no_commit = self.commit.lock();
            let mut extent = self.late.extent.lock();
            extent.all = super::widened(left, extent.since);
        }
        Stats::sub(&self.stats.chunks, gone as u64);
        self.late.lost_in_blocks.fetch_max(cut.line.lost, Ordering::AcqRel);
        Ok(gone)
    }

    /// The first file of head chunks that has late samples.
    pub(crate) fn first_late_file(&self) -> Option<u32> {
        self.late.time_range()?;
        let mut first: Option<u32> = None;
        self.each_series(|series| {
            if let Some(LateExtent { first_file: Some(file), .. }) = series.late_extent() {
                first = Some(first.map_or(file, |first| first.min(file)));
            }
        });
        first
    }

    /// Visits all series that are there all the while.
    fn each_series(&self, mut visit: impl FnMut(&crate::head::series::MemSeries)) {
        let all: Vec<u32> = self.registry.postings().all().to_vec();
        for part in all.chunks(STRIDE) {
            let table = self.registry.table();
            part.iter().filter_map(|i| table.get(SeriesIndex(*i))).for_each(|series| visit(series));
        }
    }
}
