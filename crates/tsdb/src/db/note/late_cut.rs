//! `late_cut.json`: which late samples of the WAL, and which chunks of such samples in `chunks_head`, are in
//! blocks, and in which. Where one of those is gone and in no other, as when somebody moved it away, nothing
//! is passed over; nor of a log that somebody began anew, which has lower numbers than the note.

use super::{Note, VERSION, checksum, read, there::There, write};
use crate::{
    block::{BlockError, BlockId, BlockMeta},
    error::OpenError,
    head::out_of_order::cut::{LateCut, LateInBlocks},
    head_chunks::ChunkPlace,
    wal::{segment::Listing, snapshot::Position},
};
use serde::{Deserialize, Serialize};
use skopos_base::fs::Fs;
use std::{collections::BTreeSet, io, path::Path};

/// Notes that late samples are taken, of which blocks have none yet, where there is no note.
pub(crate) fn begin_late(fs: &dyn Fs, dir: &Path) -> Result<(), BlockError> {
    let path = dir.join(LateNote::FILE);
    if fs.exists(&path).map_err(BlockError::io("looking for", &path))? {
        return Ok(());
    }
    let cut = LateCut { wal: Position { segment: 0, offset: 0 }, head_chunks: ChunkPlace::of_number(0) };
    write(fs, dir, &LateNote { cut, blocks: Vec::new() })
}

/// Whether late samples were ever taken in a directory: what is late in the WAL of another one was overtaken,
/// and never stored.
pub(crate) fn late_was_taken(fs: &dyn Fs, dir: &Path) -> io::Result<bool> {
    Ok(fs.exists(&dir.join(LateNote::FILE))? || fs.exists(&dir.join("wbl"))?)
}

/// A block of late samples, as it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LateBlock {
    pub(crate) ulid: BlockId,
    /// The segment of the WAL in which its cut ended: none behind it has its samples.
    pub(crate) wal_segment: u32,
}

/// What is noted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LateNote {
    pub(crate) cut: LateCut,
    /// Those whose samples the WAL may have still.
    pub(crate) blocks: Vec<LateBlock>,
}

/// The file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Content {
    version: u64,
    wal_segment: u32,
    wal_offset: u64,
    /// The file in the upper half, the offset in the lower one, as Prometheus counts chunks.
    head_chunk: u64,
    blocks: Vec<LateBlock>,
    /// Of all before: of a block the upper half of the ULID, the lower one and the segment.
    crc32c: u32,
}

impl Content {
    fn checksum(&self) -> u32 {
        let mut numbers = vec![self.version, u64::from(self.wal_segment), self.wal_offset, self.head_chunk];
        for LateBlock { ulid, wal_segment } in &self.blocks {
            let bits = ulid.bits();
            numbers.extend([(bits >> 64) as u64, bits as u64, u64::from(*wal_segment)]);
        }
        checksum(&numbers)
    }
}

impl Note for LateNote {
    const FILE: &'static str = "late_cut.json";
    type Content = Content;

    fn to_content(&self) -> Content {
        let LateCut { wal: Position { segment: wal_segment, offset: wal_offset }, head_chunks } = self.cut;
        let (head_chunk, blocks) = (head_chunks.number(), self.blocks.clone());
        let content = Content { version: VERSION, wal_segment, wal_offset, head_chunk, blocks, crc32c: 0 };
        Content { crc32c: content.checksum(), ..content }
    }

    fn of_content(content: &Content) -> Option<Self> {
        let Content { version, wal_segment: segment, wal_offset: offset, head_chunk, .. } = *content;
        let sound = version == VERSION && content.crc32c == content.checksum();
        let head_chunks = ChunkPlace::of_number(head_chunk);
        let cut = LateCut { wal: Position { segment, offset }, head_chunks };
        sound.then(|| Self { cut, blocks: content.blocks.clone() })
    }
}

impl LateNote {
    /// Whether blocks have what it speaks of, as far as the WAL from this segment on may have it still.
    fn is_in(&self, there: &There, first_segment: u32) -> bool {
        let sources = sources(there.known().iter());
        let mut needed = self.blocks.iter().filter(|block| block.wal_segment >= first_segment);
        there.may_have_anything() || needed.all(|block| sources.contains(&block.ulid))
    }

    /// Forgets the blocks of which nothing is left in those that stay, as this program takes `gone` away;
    /// whether there were any.
    pub(crate) fn forget_gone(&mut self, gone: &[BlockMeta], staying: &There) -> bool {
        let (gone, left) = (sources(gone.iter()), sources(staying.known().iter()));
        let may_stay = |block: &LateBlock| staying.may_have_anything() && !gone.contains(&block.ulid);
        let before = self.blocks.len();
        self.blocks.retain(|block| left.contains(&block.ulid) || may_stay(block));
        self.blocks.len() < before
    }
}

/// The blocks whose samples are in others, and those themselves.
fn sources<'a>(blocks: impl Iterator<Item = &'a BlockMeta>) -> BTreeSet<BlockId> {
    blocks.flat_map(|meta| meta.compaction.sources.iter().copied().chain([meta.ulid])).collect()
}

/// Takes the blocks from the note of which nothing is left in those that stay, before the others go for good.
/// To be called with what a note that is believed may speak of. Returns why the disk did not take it.
///
/// # Errors
/// When the note cannot be read.
pub(crate) fn let_go(
    fs: &dyn Fs,
    dir: &Path,
    gone: &[BlockMeta],
    staying: &There,
) -> Result<Option<BlockError>, OpenError> {
    let Some(mut noted) = read::<LateNote>(fs, dir)? else { return Ok(None) };
    let all = staying.clone().and(gone.iter().cloned());
    if !(noted.is_in(&all, 0) && noted.forget_gone(gone, staying)) {
        return Ok(None);
    }
    Ok(write(fs, dir, &noted).err())
}

/// What a start finds noted.
pub(crate) enum Noted {
    /// Nothing, or of another log.
    Nothing,
    /// This, which log and blocks go with.
    Believed(LateNote),
    /// Something that is damaged, or speaks of a block that is gone.
    Doubted,
}

impl Noted {
    /// What blocks have by it.
    pub(crate) fn in_blocks(&self) -> LateInBlocks {
        match self {
            Self::Nothing => LateInBlocks::Nothing,
            Self::Believed(noted) => LateInBlocks::Cut(noted.cut),
            Self::Doubted => LateInBlocks::Gone,
        }
    }

    /// The note that goes on.
    pub(crate) fn believed(self) -> Option<LateNote> {
        match self {
            Self::Believed(noted) => Some(noted),
            Self::Nothing | Self::Doubted => None,
        }
    }
}

/// What was noted, and whether it is to be believed beside this log and these blocks.
pub(crate) fn of_this_directory(
    fs: &dyn Fs,
    dir: &Path,
    wal: &Listing,
    blocks: &There,
) -> Result<Noted, OpenError> {
    let path = dir.join(LateNote::FILE);
    let Some(noted) = read::<LateNote>(fs, dir)? else {
        let is_there = fs.exists(&path).map_err(OpenError::io("looking for", &path))?;
        return Ok(if is_there { Noted::Doubted } else { Noted::Nothing });
    };
    let first_segment = wal.segments.first().map_or(wal.next_index, |segment| segment.index);
    if !noted.is_in(blocks, first_segment) {
        tracing::warn!(
            path = %path.display(),
            "a block of samples out of order is gone: what the log still has of such samples is read again"
        );
        return Ok(Noted::Doubted);
    }
    let Position { segment, offset } = noted.cut.wal;
    // Either end may be gone: older segments go, and an empty one may not have outlived a power loss.
    let is_gone = wal.segments.iter().all(|s| s.index != segment);
    let was_there = wal.next_index > segment || wal.next_index == segment && offset == 0;
    if wal.reaches(noted.cut.wal) || is_gone && was_there {
        return Ok(Noted::Believed(noted));
    }
    tracing::warn!(path = %path.display(), "the note speaks of another WAL: it is not believed");
    // The WAL will reach as far one day. A disk that refuses this refuses the WAL too.
    if let Err(error) = fs.remove_file(&path).and_then(|()| fs.sync_dir(dir)) {
        tracing::warn!(path = %path.display(), %error, "it was not removed");
    }
    Ok(Noted::Nothing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::Compaction;
    use skopos_model::TimestampMs;

    #[test]
    fn a_block_is_missed_unless_one_that_is_there_has_it_or_may_have_it() {
        let id = |n| BlockId::new(n);
        let block = |n, sources: &[u128]| {
            let sources = sources.iter().map(|n| id(*n)).collect();
            let compaction = Compaction { sources, ..Compaction::default() };
            BlockMeta::new(id(n), TimestampMs::new(0), TimestampMs::new(1), compaction)
        };
        let cut = LateCut { wal: Position { segment: 0, offset: 0 }, head_chunks: ChunkPlace::of_number(0) };
        let blocks = [1, 2].map(|n| LateBlock { ulid: id(n), wal_segment: 0 }).to_vec();
        let mut noted = LateNote { cut, blocks };
        let is_in = |there: &There| noted.is_in(there, 0);
        assert!(is_in(&There::default().and([block(1, &[1]), block(2, &[2])])));
        assert!(is_in(&There::default().and([block(3, &[2, 1])])));
        assert!(!is_in(&There::default().and([block(2, &[2])])));
        let mut hidden = There::default().and([block(2, &[2])]);
        hidden.add(None);
        assert!(is_in(&hidden), "what nobody can read now may have it");
        assert!(noted.is_in(&There::default(), 1), "the log has nothing of it any more");
        assert!(!noted.forget_gone(&[], &hidden) && noted.forget_gone(&[block(1, &[1])], &hidden));
        assert_eq!(noted.blocks.iter().map(|block| block.ulid).collect::<Vec<_>>(), [id(2)]);
    }
}
