//! The files of a WAL: numbered segments, and the checkpoint that stands for those before it.

use super::snapshot::Position;
use skopos_base::fs::{DirEntry, Fs};
use std::{
    io,
    path::{Path, PathBuf},
};

const CHECKPOINT_PREFIX: &str = "checkpoint.";
/// What an unfinished checkpoint's name ends in.
pub(crate) const TEMPORARY_SUFFIX: &str = ".tmp";

/// From this number on a file or checkpoint counts only when it follows another one: no log grows so long,
/// and a stray file of the largest number would leave none for the next segment.
const FAR: u32 = 1 << 31;
/// The largest number of a segment. None could follow a larger one.
pub(crate) const MAX_INDEX: u32 = u32::MAX - 1;

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
    /// Directories with the names of checkpoints that have no segment: they are passed over.
    pub(crate) empty_checkpoints: Vec<PathBuf>,
    /// Files and checkpoints of numbers that no log reaches: they are passed over.
    strays: Vec<PathBuf>,
}

/// What a log has to begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begins {
    /// With segment 0, or behind a checkpoint.
    AtTheStart,
    /// Anywhere: whole segments are removed.
    Anywhere,
}

/// A file or directory that is not as it should be, or behind which something is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Misplaced {
    pub(crate) path: PathBuf,
    /// What is wrong, and what to do.
    pub(crate) reason: &'static str,
}

impl Listing {
    /// Whether a log that ended there is still there, as far as its last segment tells.
    pub(crate) fn reaches(&self, end: Position) -> bool {
        self.segments.iter().any(|s| s.index == end.segment && s.len >= end.offset)
    }

    /// Whether all that is to be read has not a byte.
    pub(crate) fn has_no_byte(&self) -> bool {
        self.checkpoint.iter().chain(&self.segments).all(|segment| segment.len == 0)
    }

    /// What is missing from the log, and what stands in it that is none of it. A server and `verify` say it
    /// in the same words.
    pub(crate) fn misplaced(&self, begins: Begins) -> Vec<Misplaced> {
        let mut out = Vec::new();
        let mut say = |path: &Path, reason| out.push(Misplaced { path: path.to_owned(), reason });
        for path in &self.empty_checkpoints {
            say(path, "a checkpoint without a segment is passed over: restore its files, or remove it");
        }
        for path in &self.strays {
            say(path, "no log has this number: it is not read; move it away");
        }
        let behind_checkpoint = self.checkpoint_index.map(|last| last + 1);
        let first = (begins == Begins::AtTheStart).then_some(0);
        let mut expected = behind_checkpoint.or(first);
        for segment in &self.segments {
            if expected.is_some_and(|e| e != segment.index) {
                let reason = match expected {
                    Some(0) => {
                        "the checkpoint or the segments before this one are missing: what they had beyond \
                         blocks is lost; restore them from a copy"
                    }
                    e if e == behind_checkpoint => {
                        "segments between the checkpoint and this one are missing: what they had beyond \
                         blocks is lost; restore them from a copy"
                    }
                    _ => {
                        "WAL segments before this one are missing: what they had beyond blocks is lost; \
                         restore them from a copy"
                    }
                };
                say(&segment.path, reason);
            }
            expected = Some(segment.index.saturating_add(1));
        }
        if let (Some(last), true) = (self.checkpoint.first(), self.segments.is_empty()) {
            say(
                last.path.parent().unwrap_or(&last.path),
                "no segment follows the checkpoint: what came behind it is lost beyond blocks; restore the \
                 segments from a copy",
            );
        }
        out
    }
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
    let mut listing = Listing::default();
    let all = segments_of(dir, &entries);
    let mut checkpoints: Vec<_> = entries
        .iter()
        .filter(|e| e.is_dir)
        .filter_map(|e| Some((e.name.strip_prefix(CHECKPOINT_PREFIX).and_then(parse_index)?, &e.name)))
        .collect();
    checkpoints.sort_unstable_by(|a, b| b.cmp(a));
    for (index, name) in checkpoints {
        let path = dir.join(name);
        let segments = segments_in(fs, &path)?;
        if segments.is_empty() {
            listing.empty_checkpoints.push(path);
        } else if index >= FAR && !all.iter().any(|s| s.index == index + 1) {
            listing.strays.push(path);
        } else if listing.checkpoint_index.is_none() {
            (listing.checkpoint_index, listing.checkpoint) = (Some(index), segments);
        }
    }
    let mut last = listing.checkpoint_index;
    for segment in all {
        if segment.index >= FAR && last.is_none_or(|last| last + 1 < segment.index) {
            listing.strays.push(segment.path);
            continue;
        }
        last = last.max(Some(segment.index));
        if listing.checkpoint_index.is_none_or(|index| segment.index > index) {
            listing.segments.push(segment);
        }
    }
    listing.next_index = last.map_or(0, |last| last + 1);
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

/// The number in a name of digits alone.
fn parse_index(name: &str) -> Option<u32> {
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    name.parse().ok().filter(|i| *i <= MAX_INDEX)
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
