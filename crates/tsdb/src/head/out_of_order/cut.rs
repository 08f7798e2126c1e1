//! Late samples into blocks: what is to be cut, and what goes from the head once blocks have it. Never stops
//! ingestion: what comes meanwhile is cut the next time.

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
};
use skopos_model::TimestampMs;
use skopos_storage::TimeRange;
use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
};

/// Series looked at before the table is let go.
const STRIDE: usize = 256;

/// The late samples that the head had at one moment, in closed chunks.
#[derive(Debug)]
pub(crate) struct OutOfOrderCut {
    /// Their chunks stand before this place.
    place: ChunkPlace,
    /// The segments of the write-behind log up to this one have no other samples.
    last_segment: Option<u32>,
    /// The log had lost so many records.
    lost: u64,
    ranges: Vec<TimeRange>,
}

/// The same, in blocks that queries read.
#[derive(Debug)]
pub(crate) struct InBlocks {
    cut: OutOfOrderCut,
    /// Readers that began before this do not know the blocks.
    epoch: u64,
}

impl OutOfOrderCut {
    /// The blocks that they belong to: aligned, each as long as the shortest block, both ends included.
    pub(crate) fn ranges(&self) -> &[TimeRange] {
        &self.ranges
    }
}

impl Head {
    /// What there is to be cut into blocks; none when the head has no late samples.
    pub(crate) fn cut_out_of_order(&self) -> Option<OutOfOrderCut> {
        self.late.time_range()?;
        let log = self.late.log.get();
        let last_segment = log.and_then(|log| match log.cut_segment() {
            Ok(last) => last,
            Err(error) => {
                tracing::warn!(%error, "the write-behind log stays as it is until the next compaction");
                None
            }
        });
        // What a commit under way has logged before is in memory now.
        drop(self.commit.lock());
        let lost = self.late.lost.load(Ordering::Acquire);
        let mut marks = Vec::new();
        let visible = self.readers.visible();
        self.readers.copy_marks(&mut marks);
        let view = CommitView { id: visible + 1, marks: &marks, ..self.replay_view() };
        let mut closed = Vec::new();
        self.each_series(|series| {
            series.close_late(view, &mut closed);
        });
        Stats::add(&self.stats.chunks, closed.len() as u64);
        let place = self.chunks.next_place();
        // Nor do chunks before that place have a sample of a batch that is not visible.
        drop(self.commit.lock());
        let block_ms = view.block_ms;
        let mut starts = BTreeSet::new();
        self.each_series(|series| {
            series.each_late_span(place, |span| {
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
        Some(OutOfOrderCut { place, last_segment, lost, ranges: starts.into_iter().map(range).collect() })
    }

    /// The late samples of one of the cut's ranges, as chunks that do not overlap and do not reach beyond it.
    pub(crate) fn out_of_order_querier(
        self: &Arc<Self>,
        cut: &OutOfOrderCut,
        range: TimeRange,
    ) -> HeadQuerier {
        HeadQuerier::new(self, range).only(Which::LateBefore(cut.place))
    }

    /// To be called when the cut is in blocks that later queries read.
    pub(crate) fn out_of_order_in_blocks(&self, cut: OutOfOrderCut) -> InBlocks {
        InBlocks { cut, epoch: self.readers.begin_epoch() }
    }

    /// Drops from the head, and from the write-behind log, what is in blocks; how many chunks.
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
            gone += series.drop_late_before(cut.place);
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
        self.late.lost_in_blocks.fetch_max(cut.lost, Ordering::AcqRel);
        if let (Some(log), Some(last)) = (self.late.log.get(), cut.last_segment) {
            log.remove_up_to(last);
        }
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
