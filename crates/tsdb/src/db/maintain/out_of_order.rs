//! Samples out of order from the head to blocks of their own, which may overlap others; compaction makes
//! one of those. As in Prometheus they follow when the head was cut. Never drops from the head what a
//! reader needs.

use super::{MaintainError, Maintained, State};
use crate::{
    block::{BlockError, BlockId, BlockMeta, Compaction, FROM_OUT_OF_ORDER},
    compact::{BlockTimes, NewBlock},
    db::{
        Core,
        note::{self, LateBlock, LateNote, There},
    },
    head::out_of_order::cut::{LateCut, OutOfOrderCut},
};
use skopos_storage::TimeRange;
use std::{collections::BTreeSet, path::PathBuf};

impl Core {
    /// Makes blocks of the head's samples out of order when that is due, and drops what blocks have.
    pub(super) fn cut_out_of_order(
        &self,
        state: &mut State,
        done: &mut Maintained,
    ) -> Result<(), MaintainError> {
        self.drop_out_of_order(state)?;
        state.out_of_order_due |= done.cut + done.truncated > 0;
        if !state.out_of_order_due || state.out_of_order.is_some() {
            return Ok(());
        }
        if let Some(cut) = self.head.cut_out_of_order(&self.wal)? {
            let mut made = Vec::new();
            for range in cut.ranges() {
                made.extend(self.out_of_order_block(&cut, *range, state)?);
            }
            done.out_of_order += made.len();
            let in_blocks = self.head.out_of_order_in_blocks(cut);
            state.note_late = Some(self.late_note(in_blocks.late_cut(), made, state)?);
            state.out_of_order = Some(in_blocks);
            self.drop_out_of_order(state)?;
        }
        state.out_of_order_due = false;
        Ok(())
    }

    /// Drops from the head what is in blocks, once no start reads it again and no reader is in the way.
    fn drop_out_of_order(&self, state: &mut State) -> Result<(), MaintainError> {
        let Some(in_blocks) = &state.out_of_order else { return Ok(()) };
        if let Some(late_note) = &state.note_late {
            note::write(&*self.env.fs, &self.dir, late_note)?;
            self.head.shorten_behind(in_blocks)?;
            state.late_noted = state.note_late.take();
            state.late_noted_owed = false;
        }
        if let Ok(chunks) = self.head.drop_out_of_order(in_blocks) {
            tracing::info!(chunks, "dropped samples out of order from the head that are in blocks");
            state.out_of_order = None;
        }
        Ok(())
    }

    /// What is to be noted: of older blocks those whose samples the WAL may have still.
    fn late_note(&self, cut: LateCut, made: Vec<BlockId>, state: &State) -> Result<LateNote, MaintainError> {
        let first = self.wal.first_segment().map_err(BlockError::io("listing", self.wal.dir()))?;
        let older = state.late_noted.iter().flat_map(|noted| &noted.blocks).copied();
        let made = made.into_iter().map(|ulid| LateBlock { ulid, wal_segment: cut.wal.segment });
        Ok(LateNote { cut, blocks: older.filter(|block| block.wal_segment >= first).chain(made).collect() })
    }

    /// Notes that blocks which are about to go are not missed, as far as no block that stays has their
    /// samples. A full disk takes the note once they are gone: until then a start reads such samples again,
    /// which loses nothing.
    pub(super) fn do_not_miss(&self, gone: &BTreeSet<BlockId>, new: Option<&BlockMeta>, state: &mut State) {
        let (gone, read): (Vec<_>, Vec<_>) =
            self.blocks.metas().into_iter().partition(|meta| gone.contains(&meta.ulid));
        let mut staying = There::default().and(read.into_iter().chain(new.cloned()));
        state.blocks.add_hidden(&mut staying);
        if let Some(noted) = &mut state.note_late {
            noted.forget_gone(&gone, &staying);
        }
        let Some(noted) = &mut state.late_noted else { return };
        state.late_noted_owed |= noted.forget_gone(&gone, &staying);
        if let Err(error) = self.note_not_missed(state) {
            tracing::warn!(%error, "samples out of order that are deleted would be back after a restart now");
        }
    }

    /// Has the disk take what it did not take of `do_not_miss`.
    pub(super) fn note_not_missed(&self, state: &mut State) -> Result<(), MaintainError> {
        if let Some(noted) = state.late_noted.as_ref().filter(|_| state.late_noted_owed) {
            note::write(&*self.env.fs, &self.dir, noted)?;
            state.late_noted_owed = false;
        }
        Ok(())
    }

    /// Writes the samples of `range` as a block that queries read; none when there is no sample.
    fn out_of_order_block(
        &self,
        cut: &OutOfOrderCut,
        range: TimeRange,
        state: &mut State,
    ) -> Result<Option<BlockId>, MaintainError> {
        let late = self.head.out_of_order_querier(cut, range);
        let symbols = late.symbols();
        let source = self.behind_blocks(late, range);
        let hints = vec![FROM_OUT_OF_ORDER.to_owned()];
        let new = NewBlock {
            sources: vec![(PathBuf::from("head"), Box::new(source))],
            symbols,
            times: BlockTimes::of(range),
            compaction: Compaction { level: 1, hints, ..Compaction::default() },
            stop: &*self.stop,
        };
        let Some(meta) = self.counted(self.compactor().write(new))? else { return Ok(None) };
        self.publish(Some(&meta), state)?;
        tracing::info!(
            block = %meta.ulid, min_time = %meta.min_time, max_time = %meta.max_time,
            series = meta.stats.num_series, samples = meta.stats.num_samples,
            "made a block of samples out of order"
        );
        Ok(Some(meta.ulid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Db, Options, head::querier::HeadQuerier};
    use skopos_base::{Env, sim::SimWorld};
    use skopos_model::{DurationMs, Labels, TimestampMs};
    use skopos_storage::{
        Append, Appendable, ChunkQuerier, QueryBudget, QueryLimits, SelectRequest, SeriesId, Shard,
    };
    use std::{path::Path, sync::Arc};

    const DIR: &str = "/data";

    fn opened(env: &Env) -> Db {
        let options = Options {
            out_of_order_window: DurationMs::from_secs(3600),
            maintenance_interval: DurationMs::from_secs(3600),
            ..Options::default()
        };
        Db::open(Path::new(DIR), options, env).unwrap()
    }

    fn put(db: &Db, times_s: impl IntoIterator<Item = i64>) {
        let labels = Labels::from_pairs([("__name__", "m")]);
        let mut appender = db.appender();
        for t in times_s {
            let at = TimestampMs::new(t * 1000);
            appender.append(&Append::float(SeriesId::Labels(&labels), at, 0.5)).unwrap();
        }
        appender.commit().unwrap();
    }

    /// How many samples chunks have.
    fn samples(env: &Env, chunks: &HeadQuerier) -> usize {
        let budget = QueryBudget::new(QueryLimits::default(), Arc::clone(&env.clock));
        let request = SelectRequest { matchers: &[], range: TimeRange::ALL, shard: Shard::WHOLE, budget };
        let mut set = chunks.select_chunks(&request).unwrap();
        let mut found = 0;
        while let Some(series) = set.next_series().unwrap() {
            for chunk in &series.chunks {
                found += skopos_chunk::SampleIter::new(chunk.encoding, &chunk.bytes).count();
            }
        }
        found
    }

    /// What is committed while the cut is under way is no part of it: neither of its blocks, nor of what goes
    /// from the head, nor of what a start passes over.
    #[test]
    fn a_cut_ends_with_a_commit_wherever_its_samples_are() {
        for (before, behind) in [(20, 5), (20, 12), (20, 40), (31, 1), (32, 1), (33, 64), (70, 70)] {
            let world = SimWorld::new(5);
            world.run(|env| {
                let db = opened(env);
                let (head, wal) = (&db.core.head, &db.core.wal);
                put(&db, [1000]);
                put(&db, (0..before).map(|k| 2 * k));
                let line = head.draw_line(wal).unwrap();
                put(&db, (0..behind).map(|k| 2 * k + 1));
                let cut = head.close_late(line);
                assert_eq!(cut.ranges().len(), 1);
                assert_eq!(samples(env, &head.out_of_order_querier(&cut, cut.ranges()[0])), before as usize);
                let in_blocks = head.out_of_order_in_blocks(cut);
                let noted = LateNote { cut: in_blocks.late_cut(), blocks: Vec::new() };
                note::write(&*env.fs, Path::new(DIR), &noted).unwrap();
                head.shorten_behind(&in_blocks).unwrap();
                head.drop_out_of_order(&in_blocks).unwrap();
                let left = |db: &Db| samples(env, &HeadQuerier::new(&db.core.head, TimeRange::ALL));
                assert_eq!(left(&db), 1 + behind as usize, "{before}, {behind}: in memory");
                db.sync().unwrap();
                let (killed, closed) = (world.fs().process_crash(), (world.fs()));
                SimWorld::with_fs(6, killed).run(|env| {
                    let db = opened(env);
                    let left = samples(env, &HeadQuerier::new(&db.core.head, TimeRange::ALL));
                    assert_eq!(left, 1 + behind as usize, "{before}, {behind}: killed");
                });
                db.close().unwrap();
                let closed = closed.process_crash();
                SimWorld::with_fs(7, closed).run(|env| {
                    let db = opened(env);
                    let left = samples(env, &HeadQuerier::new(&db.core.head, TimeRange::ALL));
                    assert_eq!(left, 1 + behind as usize, "{before}, {behind}: closed");
                });
            });
        }
    }
}
