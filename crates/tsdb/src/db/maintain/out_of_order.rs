//! Samples out of order from the head to blocks of their own, which may overlap others; compaction makes
//! one of those. As in Prometheus they follow when the head was cut. Never drops from the head what a
//! reader needs.

use super::{MaintainError, Maintained, State};
use crate::{
    block::{Compaction, FROM_OUT_OF_ORDER},
    compact::NewBlock,
    db::Core,
    head::out_of_order::cut::OutOfOrderCut,
};
use skopos_model::TimestampMs;
use skopos_storage::TimeRange;
use std::path::PathBuf;

impl Core {
    /// Makes blocks of the head's samples out of order when that is due, and drops what blocks have.
    pub(super) fn cut_out_of_order(
        &self,
        state: &mut State,
        done: &mut Maintained,
    ) -> Result<(), MaintainError> {
        self.drop_out_of_order(state);
        state.out_of_order_due |= done.cut + done.truncated > 0;
        if !state.out_of_order_due || state.out_of_order.is_some() {
            return Ok(());
        }
        if let Some(cut) = self.head.cut_out_of_order() {
            // A power loss must not leave a part of a batch in a block that the log has lost.
            self.head.sync(&self.wal)?;
            for range in cut.ranges() {
                done.out_of_order += usize::from(self.out_of_order_block(&cut, *range, state)?);
            }
            state.out_of_order = Some(self.head.out_of_order_in_blocks(cut));
            self.drop_out_of_order(state);
        }
        state.out_of_order_due = false;
        Ok(())
    }

    /// Drops from the head what is in blocks, once no reader is in the way.
    fn drop_out_of_order(&self, state: &mut State) {
        let Some(in_blocks) = &state.out_of_order else { return };
        if let Ok(chunks) = self.head.drop_out_of_order(in_blocks) {
            tracing::info!(chunks, "dropped samples out of order from the head that are in blocks");
            state.out_of_order = None;
        }
    }

    /// Writes the samples of `range` as a block that queries read; false when there is no sample.
    fn out_of_order_block(
        &self,
        cut: &OutOfOrderCut,
        range: TimeRange,
        state: &mut State,
    ) -> Result<bool, MaintainError> {
        let late = self.head.out_of_order_querier(cut, range);
        let symbols = late.symbols();
        let source = self.behind_blocks(late, range);
        let end = TimestampMs::new(range.max.as_ms().saturating_add(1));
        let hints = vec![FROM_OUT_OF_ORDER.to_owned()];
        let new = NewBlock {
            sources: vec![(PathBuf::from("head"), Box::new(source))],
            symbols,
            times: (range.min, end),
            compaction: Compaction { level: 1, hints, ..Compaction::default() },
            stop: &*self.stop,
        };
        let Some(meta) = self.counted(self.compactor().write(new))? else { return Ok(false) };
        self.publish(Some(&meta), state)?;
        tracing::info!(
            block = %meta.ulid, min_time = %meta.min_time, max_time = %meta.max_time,
            series = meta.stats.num_series, samples = meta.stats.num_samples,
            "made a block of samples out of order"
        );
        Ok(true)
    }
}
