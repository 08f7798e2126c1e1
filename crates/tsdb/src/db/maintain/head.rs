//! From the head to blocks: a block is cut, published, and only then its samples go from the head and from
//! the log. Never loses what a reader needs: while one is in the way, the head keeps its samples.

use super::{MaintainError, Maintained, State};
use crate::{
    block::Compaction,
    compact::{BlockTimes, NewBlock},
    db::{
        Core,
        note::{self, HeadCut},
    },
    head::{chunk_set::Which, querier::HeadQuerier},
    stats::Stats,
};
use skopos_model::TimestampMs;
use skopos_storage::TimeRange;
use std::path::PathBuf;

impl Core {
    /// Cuts blocks while the head has some to cut, and drops what they have.
    pub(super) fn cut_head(&self, state: &mut State, done: &mut Maintained) -> Result<(), MaintainError> {
        self.note_cut(state)?;
        loop {
            if !self.truncate_head(state, done) {
                return Ok(());
            }
            // Before late samples are cut, which takes its time: where there are none, none is to be hidden.
            self.head.forget_deleted(&self.wal)?;
            let Some(range) = self.head.cuttable() else { break };
            let mut end = TimestampMs::new(range.max.as_ms().saturating_add(1));
            if self.cut_block(range, state)? {
                done.cut += 1;
            } else {
                end = self.head.empty_until(end);
            }
            (state.truncate_head, state.note_cut) = (Some(end), Some(end));
            self.note_cut(state)?;
        }
        self.truncate_log(state, done)
    }

    /// Notes what blocks have of the log, so that the next start passes it over.
    fn note_cut(&self, state: &mut State) -> Result<(), MaintainError> {
        if let Some(until) = state.note_cut {
            let own = self.head.options.min_block_duration;
            let block = Some(state.shortest_block.map_or(own, |before| own.min(before)));
            note::write(&*self.env.fs, &self.dir, &HeadCut { until, block })?;
            state.note_cut = None;
        }
        Ok(())
    }

    /// Writes the samples of `range` as a block that queries read; false when there is no sample.
    fn cut_block(&self, range: TimeRange, state: &mut State) -> Result<bool, MaintainError> {
        let end = TimestampMs::new(range.max.as_ms().saturating_add(1));
        self.head.refuse_before(end);
        // Entered before the symbols are gathered: no series gets samples of the range any more.
        let source = HeadQuerier::new(&self.head, range).only(Which::InOrder);
        // A block is durable at once: of no batch may it have a part whose rest a power loss takes.
        self.head.sync(&self.wal)?;
        let symbols = source.symbols();
        // What blocks have is not seen, also where they end in the middle of a range.
        let start = source.range().min.min(end);
        let source = self.behind_blocks(source, range);
        let new = NewBlock {
            sources: vec![(PathBuf::from("head"), Box::new(source))],
            symbols,
            times: BlockTimes { min: start, end },
            compaction: Compaction { level: 1, ..Compaction::default() },
            stop: &*self.stop,
        };
        let started = self.env.clock.monotonic();
        let Some(meta) = self.counted(self.compactor().write(new))? else { return Ok(false) };
        self.publish(Some(&meta), state)?;
        let seconds = self.env.clock.monotonic().saturating_sub(started).as_secs_f64();
        tracing::info!(
            block = %meta.ulid, min_time = %meta.min_time, max_time = %meta.max_time,
            series = meta.stats.num_series, samples = meta.stats.num_samples,
            seconds,
            "cut a block from the head"
        );
        Ok(true)
    }

    /// Drops from the head what is in blocks. False while a reader is in the way.
    fn truncate_head(&self, state: &mut State, done: &mut Maintained) -> bool {
        let Some(time) = state.truncate_head else { return true };
        match self.head.truncate_before(time) {
            Ok(truncated) => {
                state.truncate_head = None;
                state.truncate_log = Some(time);
                Stats::add(&self.stats.head_truncations_total, 1);
                done.truncated += 1;
                tracing::info!(
                    before = %time, chunks = truncated.chunks, series = truncated.series.len(),
                    head_chunk_files = truncated.files, "dropped from the head what is in blocks"
                );
                true
            }
            Err(_busy) => false,
        }
    }

    /// Shortens the log once the head is shorter.
    fn truncate_log(&self, state: &mut State, done: &mut Maintained) -> Result<(), MaintainError> {
        let Some(time) = state.truncate_log else { return Ok(()) };
        if self.truncate_wal(time)?.is_some() {
            done.checkpoints += 1;
        }
        state.truncate_log = None;
        Ok(())
    }
}
