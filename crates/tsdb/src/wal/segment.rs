//! The files of a WAL: numbered segments, and the checkpoint that stands for those before it.

use skopos_base::fs::{DirEntry, Fs};
use std::{
    io,
    path::{Path, PathBuf},
};

const CHECKPOINT_PREFIX: &str = "checkpoint.";
/// What an unfinished checkpoint's name ends in.
pub(crate) const TEMPORARY_SUFFIX: &str = ".tmp";

/// A segment found on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentFile {
    pub(crate) index: u32,
    pub(crate) path: PathBuf,
    pub(crate) len: u64,
}

/// What a WAL directory holds, in the order in which it is to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    /// The last segment that the newest checkpoint stands for, if there is one.
    pub(crate) checkpoint_index: Option<u32>,
    /// Of that checkpoint.
    pub(crate) checkpoint: Vec<SegmentFile>,
    /// Those that the checkpoint does not stand for.
    pub(crate) segments: Vec<SegmentFile>,
    /// The number that the next segment gets.
    pub(crate) next_index: u32,
}

/// The path of segment `index`.
pub(crate) fn segment_path(dir: &Path, index: u32) -> PathBuf {
    dir.join(format!("{index:08}"))
}

/// The path of the checkpoint that stands for all segments up to `last`.
pub(crate) fn checkpoint_path(dir: &Path, last: u32) -> PathBuf {
    dir.join(format!("{CHECKPOINT_PREFIX}{last:08}"))
}

/// Removes the segments up to `last`, and the checkpoints before the one that stands for them. The first
/// ones first: so what is left has no gap.
pub(crate) fn remove_up_to(fs: &dyn Fs, dir: &Path, last: u32) -> io::Result<()> {
    let entries = fs.read_dir(dir)?;
    for segment in segments_of(dir, &entries).iter().filter(|s| s.index <= last) {
        fs.remove_file(&segment.path)?;
    }
    for entry in entries.iter().filter(|e| e.is_dir) {
        let index = entry.name.strip_prefix(CHECKPOINT_PREFIX).and_then(parse_index);
        if index.is_some_and(|i| i < last) {
            fs.remove_dir_all(&dir.join(&entry.name))?;
        }
    }
    Ok(())
}

/// The bytes of all segments and checkpoints.
pub(crate) fn byte_len(fs: &dyn Fs, dir: &Path) -> io::Result<u64> {
    let mut len = 0;
    for entry in fs.read_dir(dir)? {
        len += if entry.is_dir { byte_len(fs, &dir.join(&entry.name))? } else { entry.len };
    }
    Ok(len)
}

/// Lists what is to be replayed.
pub(crate) fn list(fs: &dyn Fs, dir: &Path) -> io::Result<Listing> {
    let entries = fs.read_dir(dir)?;
    let checkpoint = entries.iter().filter(|e| e.is_dir).filter_map(|e| {
        let index = e.name.strip_prefix(CHECKPOINT_PREFIX).and_then(parse_index)?;
        Some((index, &e.name))
    });
    let checkpoint = checkpoint.max();
    let all = segments_of(dir, &entries);
    let next_index = all.last().map(|s| s.index).max(checkpoint.map(|c| c.0)).map_or(0, |i| i + 1);
    let checkpoint_index = checkpoint.map(|c| c.0);
    let mut listing = Listing { next_index, checkpoint_index, ..Listing::default() };
    listing.segments = all.into_iter().filter(|s| checkpoint.is_none_or(|c| s.index > c.0)).collect();
    if let Some((_, name)) = checkpoint {
        let dir = dir.join(name);
        listing.checkpoint = segments_in(fs, &dir)?;
    }
    Ok(listing)
}

/// The segments of a directory of them.
pub(crate) fn segments_in(fs: &dyn Fs, dir: &Path) -> io::Result<Vec<SegmentFile>> {
    Ok(segments_of(dir, &fs.read_dir(dir)?))
}

fn segments_of(dir: &Path, entries: &[DirEntry]) -> Vec<SegmentFile> {
    let mut segments: Vec<_> = entries
        .iter()
        .filter(|e| !e.is_dir)
        .filter_map(|e| {
            let index = parse_index(&e.name)?;
            Some(SegmentFile { index, path: dir.join(&e.name), len: e.len })
        })
        .collect();
    segments.sort_by_key(|s| s.index);
    segments
}

/// The number in a name of digits alone. The largest number is refused: none could follow it.
fn parse_index(name: &str) -> Option<u32> {
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    name.parse().ok().filter(|i| *i < u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_digits_are_a_segment() {
        for (name, index) in [
            ("00000000", Some(0)),
            ("00000017", Some(17)),
            ("000001", Some(1)),
            ("123456789", Some(123_456_789)),
            ("", None),
            ("00000001.tmp", None),
            ("+1", None),
            ("4294967295", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(parse_index(name), index, "{name}");
        }
        assert_eq!(segment_path(Path::new("d"), 3), Path::new("d/00000003"));
    }
}
