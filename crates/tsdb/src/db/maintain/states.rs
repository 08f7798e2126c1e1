//! `BlockStates`: which blocks of the data directory are not simply read, and what each of them is: one thing
//! at a time. Changes no file.

use super::retention::bytes_of;
use crate::{
    block::{BlockError, BlockId, BlockMeta, META_FILE},
    db::{
        blocks::{Fault, Unreadable},
        note::There,
    },
};
use skopos_base::fs::Fs;
use skopos_storage::TimeRange;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

/// What a block may be. One without a state is read, and may be compacted and removed.
#[derive(Debug)]
pub(super) enum BlockState {
    /// It is read since it was found with so many bytes. Somebody may still be writing it: it is not
    /// compacted, and what it was made of stays, until a pass finds it as long as it was.
    Settling { bytes: u64 },
    /// It cannot be read as it is now; one that was read before is read on as it was then. It is looked at
    /// again when it has changed, and never removed.
    Unreadable(UnreadableBlock),
    /// It is read no more, and is to be removed.
    Unwanted,
}

/// A block that could not be read.
#[derive(Debug)]
pub(super) struct UnreadableBlock {
    /// How long it was then: another attempt is made when that has changed, …
    pub(super) bytes: u64,
    /// … or when it was the system that refused.
    pub(super) refused: bool,
    samples: Samples,
    /// Nobody is writing it any more, and it is a block: one without `meta.json` is none yet.
    pub(super) is_missed: bool,
    pub(super) block: Unreadable,
}

/// What became of the samples of a block that could not be read.
#[derive(Debug)]
enum Samples {
    /// It is damaged.
    Lost,
    /// They are there, and cannot be read now. This is known of the block.
    Hidden(Option<Box<BlockMeta>>),
}

impl UnreadableBlock {
    pub(super) fn new(fs: &dyn Fs, dir: &Path, id: BlockId, error: &BlockError) -> Self {
        let meta = BlockMeta::read(fs, dir).ok();
        let range = meta.as_ref().map_or(TimeRange::ALL, BlockMeta::range);
        let parents = meta.iter().flat_map(|m| &m.compaction.parents).map(|p| p.ulid).collect();
        let block = Unreadable { id, dir: dir.to_owned(), range, parents, fault: Fault::of(error, dir) };
        let refused = matches!(error, BlockError::Io { .. });
        let samples =
            if error.leaves_the_block_whole() { Samples::Hidden(meta.map(Box::new)) } else { Samples::Lost };
        Self { bytes: bytes_of(fs, dir).unwrap_or(0), refused, samples, is_missed: false, block }
    }

    pub(super) fn settle(&mut self, fs: &dyn Fs) {
        self.is_missed = fs.exists(&self.block.dir.join(META_FILE)).unwrap_or(true);
    }
}

/// See above.
#[derive(Debug, Default)]
pub(crate) struct BlockStates(BTreeMap<BlockId, BlockState>);

impl BlockStates {
    pub(super) fn get_mut(&mut self, id: BlockId) -> Option<&mut BlockState> {
        self.0.get_mut(&id)
    }

    /// Gives a block a state, in the place of the one that it had.
    pub(super) fn set(&mut self, id: BlockId, state: BlockState) -> Option<BlockState> {
        self.0.insert(id, state)
    }

    /// From now on the block is like all others.
    pub(super) fn clear(&mut self, id: BlockId) {
        self.0.remove(&id);
    }

    /// Notes, when the database is opened, a block that could not be read; that was said.
    pub(in crate::db) fn found_unreadable(&mut self, fs: &dyn Fs, dir: &Path, id: BlockId, e: &BlockError) {
        let mut found = UnreadableBlock::new(fs, dir, id, e);
        found.settle(fs);
        self.0.insert(id, BlockState::Unreadable(found));
    }

    fn unreadable(&self) -> impl Iterator<Item = &UnreadableBlock> {
        self.0.values().filter_map(|state| match state {
            BlockState::Unreadable(found) => Some(found),
            BlockState::Settling { .. } | BlockState::Unwanted => None,
        })
    }

    /// Adds the blocks whose samples are there and cannot be read now.
    pub(in crate::db) fn add_hidden(&self, there: &mut There) {
        for found in self.unreadable() {
            if let Samples::Hidden(meta) = &found.samples {
                there.add(meta.as_deref().cloned());
            }
        }
    }

    /// How many cannot be read.
    pub(super) fn count_unreadable(&self) -> u64 {
        self.unreadable().count() as u64
    }

    /// The blocks without which an answer is wrong. Of those that queries read, `read`, it is none: each is
    /// read on as it was when it was opened.
    pub(in crate::db) fn missed(&self, read: &BTreeSet<BlockId>) -> Vec<Unreadable> {
        let missed = self.unreadable().filter(|found| found.is_missed && !read.contains(&found.block.id));
        missed.map(|found| found.block.clone()).collect()
    }

    /// Those that settle.
    pub(super) fn settling(&self) -> BTreeSet<BlockId> {
        let settles = |state: &BlockState| matches!(state, BlockState::Settling { .. });
        self.0.iter().filter(|(_, state)| settles(state)).map(|(id, _)| *id).collect()
    }

    /// Whether a block has no state.
    pub(super) fn is_plain(&self, id: BlockId) -> bool {
        !self.0.contains_key(&id)
    }

    /// Whether somebody may still be writing the block.
    pub(super) fn is_unsettled(&self, id: BlockId) -> bool {
        matches!(self.0.get(&id), Some(BlockState::Settling { .. } | BlockState::Unreadable(_)))
    }

    /// Whether a block on disk is to be looked at, given whether it is read.
    pub(super) fn is_to_be_opened(&self, id: BlockId, is_read: bool) -> bool {
        match self.0.get(&id) {
            None => !is_read,
            Some(BlockState::Settling { .. } | BlockState::Unreadable(_)) => true,
            Some(BlockState::Unwanted) => false,
        }
    }

    /// Forgets what others took away.
    pub(super) fn keep_those_of(&mut self, on_disk: &BTreeSet<BlockId>) {
        self.0.retain(|id, state| on_disk.contains(id) || matches!(state, BlockState::Unwanted));
    }

    /// Blocks that are not read any more: they are to be removed.
    pub(super) fn unwant(&mut self, ids: impl IntoIterator<Item = BlockId>) {
        self.0.extend(ids.into_iter().map(|id| (id, BlockState::Unwanted)));
    }

    /// Hands out the blocks that are to be removed; forgets those of which `removed` says that they are.
    pub(super) fn each_unwanted(&mut self, mut removed: impl FnMut(BlockId) -> bool) {
        self.0.retain(|id, state| !matches!(state, BlockState::Unwanted) || !removed(*id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> BlockId {
        format!("01M81B0AMHB2FKH8RB1T7ERA2{n}").parse().expect("it is one")
    }

    fn found() -> BlockState {
        let fs = skopos_base::sim::SimFs::new(1);
        let error = BlockError::refused(Path::new("/b"), "damaged");
        BlockState::Unreadable(UnreadableBlock::new(&fs, Path::new("/b"), id(1), &error))
    }

    #[test]
    fn a_damaged_block_is_missed_once_nobody_writes_it_unless_it_is_read_on() {
        let (none, it) = (BTreeSet::new(), BTreeSet::from([id(1)]));
        let mut states = BlockStates::default();
        states.set(id(1), found());
        assert!(states.missed(&none).is_empty(), "somebody may be copying it");
        if let Some(BlockState::Unreadable(found)) = states.get_mut(id(1)) {
            found.is_missed = true;
        }
        assert_eq!(states.missed(&none).len(), 1);
        assert!(states.missed(&it).is_empty());
        assert_eq!(states.missed(&BTreeSet::from([id(2)])).len(), 1);
        assert_eq!(states.count_unreadable(), 1, "it is counted all the same");
    }

    /// What holds of a block in each of its states, and in none.
    #[test]
    fn a_block_has_one_state_that_says_all_of_it() {
        let make: [fn() -> Option<BlockState>; 4] = [
            || None,
            || Some(BlockState::Settling { bytes: 7 }),
            || Some(found()),
            || Some(BlockState::Unwanted),
        ];
        for (from, make_from) in make.iter().enumerate() {
            for (to, make_to) in make.iter().enumerate() {
                let mut states = BlockStates::default();
                for state in [make_from(), make_to()] {
                    match state {
                        Some(BlockState::Unwanted) => states.unwant([id(1)]),
                        Some(state) => drop(states.set(id(1), state)),
                        None => states.clear(id(1)),
                    }
                }
                let said = (
                    states.is_plain(id(1)),
                    states.is_unsettled(id(1)),
                    states.settling().len(),
                    states.count_unreadable(),
                    [true, false].map(|is_read| states.is_to_be_opened(id(1), is_read)),
                );
                let expected = [
                    (true, false, 0, 0, [false, true]),
                    (false, true, 1, 0, [true, true]),
                    (false, true, 0, 1, [true, true]),
                    (false, false, 0, 0, [false, false]),
                ];
                assert_eq!(said, expected[to], "{from} to {to}");
                let mut asked = 0;
                states.each_unwanted(|_| {
                    asked += 1;
                    false
                });
                assert_eq!(asked, usize::from(to == 3));
                states.keep_those_of(&BTreeSet::new());
                assert_eq!(states.is_plain(id(1)), to != 3, "what is to be removed is, wherever it is");
                states.each_unwanted(|_| true);
                assert!(states.is_plain(id(1)));
            }
        }
    }
}
