//! Notes beside the blocks: what of the head's files and logs blocks have that queries read already, as this
//! program has cut the head. They alone say what a start passes over: what a block's own times say is no
//! proof, as a backfilled or copied block has times too and none of the log's samples. A note never says more
//! than what blocks have. Without it, or with a damaged one, all is read, which costs time and may bring back
//! what was deleted; what was deleted while the head had it stays so, and what came late into such a span is
//! hidden.
//!
//! - `head_cut`: samples in order; `late_cut`: late ones. `there`: which blocks there are to be noted of.

mod head_cut;
mod late_cut;
mod there;

pub(crate) use head_cut::{HeadCut, hide_deleted, passed_over};
pub(crate) use late_cut::{LateBlock, LateNote, begin_late, late_was_taken, let_go, of_this_directory};
pub(crate) use there::There;

use crate::{
    block::{BlockError, replace},
    error::OpenError,
};
use serde::{Serialize, de::DeserializeOwned};
use skopos_base::{
    crc::crc32c,
    fs::{Fs, OpenMode, read_all},
};
use std::{io, path::Path};

const VERSION: u64 = 1;
/// More bytes than any sound one has.
const MAX_BYTES: u64 = 1 << 20;

/// A note, as a file has it.
pub(crate) trait Note: Sized {
    /// Its name in the data directory.
    const FILE: &'static str;
    type Content: Serialize + DeserializeOwned;

    fn to_content(&self) -> Self::Content;

    /// None when the content was not written so.
    fn of_content(content: &Self::Content) -> Option<Self>;
}

/// Of numbers, each as eight bytes with the lowest first.
fn checksum(numbers: &[u64]) -> u32 {
    let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
    crc32c(&bytes)
}

/// Leaves a note durably.
pub(crate) fn write<N: Note>(fs: &dyn Fs, dir: &Path, note: &N) -> Result<(), BlockError> {
    let bytes = serde_json::to_vec(&note.to_content()).expect("invariant: its members are numbers");
    replace(fs, dir, N::FILE, &bytes)
}

/// What was noted; none when nothing was, or when it cannot be trusted.
pub(crate) fn read<N: Note>(fs: &dyn Fs, dir: &Path) -> Result<Option<N>, OpenError> {
    let path = dir.join(N::FILE);
    let failed = || OpenError::io("reading", &path);
    let note = match bytes(fs, &path).map_err(failed())? {
        None => return Ok(None),
        Some(bytes) => parse(&bytes),
    };
    if note.is_none() {
        tracing::warn!(
            path = %path.display(),
            "the note of what blocks have is damaged: all of the log is read; what came late into a deleted \
             span and is in no block yet is not seen"
        );
    }
    Ok(note)
}

/// Whether something was noted that cannot be trusted.
pub(crate) fn is_damaged<N: Note>(fs: &dyn Fs, dir: &Path) -> io::Result<bool> {
    Ok(bytes(fs, &dir.join(N::FILE))?.is_some_and(|bytes| parse::<N>(&bytes).is_none()))
}

/// What a file has, if it is there; nothing of one that is too long.
fn bytes(fs: &dyn Fs, path: &Path) -> io::Result<Option<Vec<u8>>> {
    if !fs.exists(path)? {
        return Ok(None);
    }
    let too_long = fs.open(path, OpenMode::Read)?.len()? > MAX_BYTES;
    if too_long { Ok(Some(Vec::new())) } else { read_all(fs, path).map(Some) }
}

fn parse<N: Note>(bytes: &[u8]) -> Option<N> {
    N::of_content(&serde_json::from_slice(bytes).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        block::BlockId, head::out_of_order::cut::LateCut, head_chunks::ChunkPlace, wal::snapshot::Position,
    };
    use skopos_base::{fs::append_all, sim::SimWorld};
    use skopos_model::{DurationMs, TimestampMs};
    use std::fmt::Debug;

    fn comes_back_and_a_damaged_one_is_none<N: Note + PartialEq + Debug>(notes: &[N]) {
        SimWorld::new(1).run(|env| {
            let (fs, dir) = (&*env.fs, Path::new("/data"));
            fs.create_dir_all(dir).unwrap();
            assert!(read::<N>(fs, dir).unwrap().is_none() && !is_damaged::<N>(fs, dir).unwrap());
            for note in notes {
                write(fs, dir, note).unwrap();
                assert_eq!(read(fs, dir).unwrap().as_ref(), Some(note));
            }
            let note = notes.last().unwrap();
            let path = dir.join(N::FILE);
            let sound = read_all(fs, &path).unwrap();
            let flipped = (0..sound.len() * 8).map(|bit| {
                let mut bytes = sound.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                bytes
            });
            let cut = (0..sound.len()).map(|len| sound[..len].to_vec());
            for bytes in flipped.chain(cut).chain([vec![b'1'; MAX_BYTES as usize + 1]]) {
                fs.remove_file(&path).unwrap();
                let mut file = fs.open(&path, OpenMode::CreateNew).unwrap();
                append_all(&mut *file, &bytes).unwrap();
                // A space may become another character that means nothing.
                let found = read::<N>(fs, dir).unwrap();
                assert!(found.as_ref().is_none_or(|found| found == note), "{bytes:?}");
                assert_eq!(found.is_none(), is_damaged::<N>(fs, dir).unwrap());
            }
        });
    }

    /// As files have them.
    #[test]
    fn every_version_of_a_note_is_read() {
        let (until, block) = (TimestampMs::new(1_700_000_000_000), Some(DurationMs::from_ms(7_200_000)));
        for (bytes, note) in [
            (
                r#"{"version":1,"cut_until_ms":1700000000000,"crc32c":619004903}"#,
                HeadCut { until, block: None },
            ),
            (
                r#"{"version":2,"cut_until_ms":1700000000000,"block_ms":7200000,"crc32c":1263636300}"#,
                HeadCut { until, block },
            ),
        ] {
            assert_eq!(parse::<HeadCut>(bytes.as_bytes()), Some(note));
            assert_eq!(serde_json::to_string(&note.to_content()).unwrap(), bytes);
        }
    }

    #[test]
    fn a_note_comes_back_and_a_damaged_one_is_none() {
        let times = [i64::MIN, -1, 0, i64::MAX, 1_700_000_000_000].map(TimestampMs::new);
        let blocks = [None, Some(7_200_000)].map(|block| block.map(DurationMs::from_ms));
        let cuts = times.map(|until| blocks.map(|block| HeadCut { until, block }));
        comes_back_and_a_damaged_one_is_none(cuts.as_flattened());
        let cuts = [(0, 0, 0, 0), (u32::MAX, u64::MAX, u64::MAX, 3), (7, 32_768, 5 << 32 | 8, 2)];
        comes_back_and_a_damaged_one_is_none(&cuts.map(|(segment, offset, number, blocks)| {
            LateNote {
                cut: LateCut {
                    wal: Position { segment, offset },
                    head_chunks: ChunkPlace::of_number(number),
                },
                blocks: (0..blocks)
                    .map(|i| LateBlock { ulid: BlockId::new(u128::MAX >> (3 + 9 * i)), wal_segment: 5 + i })
                    .collect(),
            }
        }));
    }
}
