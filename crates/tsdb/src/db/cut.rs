//! `head_cut.json`: up to where this program has cut the head of a directory into blocks. It alone says what
//! of the log is passed over at a start: what a block's own times say is no proof, as a backfilled or copied
//! block has times too and none of the log's samples. Never says more than what blocks have that queries read
//! already; without the file, or with a damaged one, the whole log is read, which costs time and loses
//! nothing.

use super::blocks::covered_until;
use crate::{
    block::{Block, BlockError, BlockMeta, replace},
    error::OpenError,
    head::Head,
    intervals::Interval,
};
use serde::{Deserialize, Serialize};
use skopos_base::{
    crc::crc32c,
    fs::{Fs, OpenMode, read_all},
};
use skopos_model::TimestampMs;
use std::{io, path::Path, sync::Arc};

/// The file's name in the data directory.
pub(crate) const HEAD_CUT_FILE: &str = "head_cut.json";
const VERSION: u64 = 1;
/// More bytes than any sound one has.
const MAX_BYTES: u64 = 4096;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeadCut {
    version: u64,
    /// The log's samples in order of before this time are in blocks.
    cut_until_ms: i64,
    /// Of both numbers before, each as eight bytes with the lowest first.
    crc32c: u32,
}

fn checksum(cut_until_ms: i64) -> u32 {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&VERSION.to_le_bytes());
    bytes[8..].copy_from_slice(&cut_until_ms.to_le_bytes());
    crc32c(&bytes)
}

/// Notes durably that blocks have what the log has before `time`.
pub(crate) fn write(fs: &dyn Fs, dir: &Path, time: TimestampMs) -> Result<(), BlockError> {
    let cut_until_ms = time.as_ms();
    let cut = HeadCut { version: VERSION, cut_until_ms, crc32c: checksum(cut_until_ms) };
    let bytes = serde_json::to_vec(&cut).expect("invariant: its members are numbers");
    replace(fs, dir, HEAD_CUT_FILE, &bytes)
}

/// What was noted; none when nothing was, or when it cannot be trusted.
pub(crate) fn read(fs: &dyn Fs, dir: &Path) -> Result<Option<TimestampMs>, OpenError> {
    let path = dir.join(HEAD_CUT_FILE);
    if !fs.exists(&path).map_err(OpenError::io("looking for", &path))? {
        return Ok(None);
    }
    let failed = || OpenError::io("reading", &path);
    let file = fs.open(&path, OpenMode::Read).map_err(failed())?;
    let time = if file.len().map_err(failed())? > MAX_BYTES {
        None
    } else {
        parse(&read_all(fs, &path).map_err(failed())?)
    };
    if time.is_none() {
        tracing::warn!(
            path = %path.display(),
            "the note of what blocks have of the log is damaged: the whole log is read; nothing is lost"
        );
    }
    Ok(time)
}

/// Whether something was noted that cannot be trusted.
pub(crate) fn is_damaged(fs: &dyn Fs, dir: &Path) -> io::Result<bool> {
    let path = dir.join(HEAD_CUT_FILE);
    if !fs.exists(&path)? {
        return Ok(false);
    }
    let too_long = fs.open(&path, OpenMode::Read)?.len()? > MAX_BYTES;
    Ok(too_long || parse(&read_all(fs, &path)?).is_none())
}

fn parse(bytes: &[u8]) -> Option<TimestampMs> {
    let cut: HeadCut = serde_json::from_slice(bytes).ok()?;
    let sound = cut.version == VERSION && cut.crc32c == checksum(cut.cut_until_ms);
    sound.then_some(TimestampMs::new(cut.cut_until_ms))
}

/// The time up to which the log's samples in order are in blocks, by what was noted and by what blocks there
/// are: somebody may have taken away the blocks that the note speaks of.
pub(crate) fn passed_over(noted: Option<TimestampMs>, metas: &[BlockMeta]) -> Option<TimestampMs> {
    noted.zip(covered_until(metas)).map(|(noted, covered)| noted.min(covered))
}

/// Hides from the head what is deleted from blocks: a log that is read although blocks have its samples, as
/// that of another program, would bring back what was deleted there.
pub(crate) fn hide_deleted(
    head: &Head,
    blocks: &[Arc<Block>],
    passed_over: Option<TimestampMs>,
) -> Result<(), BlockError> {
    let from_ms = passed_over.map_or(i64::MIN, TimestampMs::as_ms);
    for block in blocks {
        let (meta, tombstones) = (block.meta(), block.tombstones());
        let last_ms = block.range().max.as_ms();
        if meta.is_out_of_order() || tombstones.is_empty() || last_ms < from_ms {
            continue;
        }
        for series in tombstones.series() {
            let Some(deleted) = tombstones.get(series) else { continue };
            let Some(index) = head.registry.index_of(&block.labels_of(series)?) else { continue };
            for span in deleted.as_slice() {
                if let Some(span) = Interval::new(span.min_ms.max(from_ms), span.max_ms.min(last_ms)) {
                    head.tombstones.add(index, span);
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use skopos_base::{fs::append_all, sim::SimWorld};

    #[test]
    fn a_note_comes_back_and_a_damaged_one_is_none() {
        SimWorld::new(1).run(|env| {
            let (fs, dir) = (&*env.fs, Path::new("/data"));
            fs.create_dir_all(dir).unwrap();
            assert_eq!(read(fs, dir).unwrap(), None);
            for time in [i64::MIN, -1, 0, 1_700_000_000_000, i64::MAX].map(TimestampMs::new) {
                write(fs, dir, time).unwrap();
                assert_eq!(read(fs, dir).unwrap(), Some(time));
            }
            let time = TimestampMs::new(1_700_000_000_000);
            write(fs, dir, time).unwrap();
            let path = dir.join(HEAD_CUT_FILE);
            let sound = read_all(fs, &path).unwrap();
            let flipped = (0..sound.len() * 8).map(|bit| {
                let mut bytes = sound.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                bytes
            });
            let cut = (0..sound.len()).map(|len| sound[..len].to_vec());
            for bytes in flipped.chain(cut).chain([vec![b'1'; 5000]]) {
                fs.remove_file(&path).unwrap();
                let mut file = fs.open(&path, OpenMode::CreateNew).unwrap();
                append_all(&mut *file, &bytes).unwrap();
                // A space may become another character that means nothing.
                assert!(read(fs, dir).unwrap().is_none_or(|t| t == time), "{bytes:?}");
            }
        });
    }
}
