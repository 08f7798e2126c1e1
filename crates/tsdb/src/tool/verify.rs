//! Reads everything in a data directory and says what is damaged, with file and offset. Changes nothing and
//! goes on behind damage.

use super::{
    listing::block_dirs,
    verify_block::verify_block,
    verify_names::{SeenNames, each_copied_name},
};
use crate::{
    block::{BlockDir, BlockError},
    db::{
        BEHIND_UNFINISHED,
        note::{self, HeadCut, LateNote, Note},
    },
    head_chunks::{self, UnnamedChunks},
    wal::{
        reader::{Item, SegmentReader},
        record::check_record,
        segment::{self, Begins, Misplaced, SegmentFile},
    },
};
use skopos_base::fs::{Fs, OpenMode};
use std::{
    io,
    path::{Path, PathBuf},
};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Samples are lost or would be answered wrongly.
    Damage,
    /// What is there contradicts itself. All of it is read, and nothing is missing for that alone.
    Contradiction,
    /// What an end without notice leaves, without loss: it goes with the next start of a server.
    Leftover,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The file or directory.
    pub path: PathBuf,
    /// Where in it, in bytes, where that is known.
    pub offset: Option<u64>,
    /// What is wrong.
    pub reason: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = match self.severity {
            Severity::Damage => "damaged",
            Severity::Contradiction => "contradictory",
            Severity::Leftover => "left over",
        };
        write!(f, "{what}: {}", self.path.display())?;
        if let Some(offset) = self.offset {
            write!(f, " at byte {offset}")?;
        }
        write!(f, ": {}", self.reason)
    }
}

impl Finding {
    pub(super) fn damage(path: &Path, offset: impl Into<Option<u64>>, reason: impl Into<String>) -> Self {
        let (severity, offset) = (Severity::Damage, offset.into());
        Self { severity, path: path.to_owned(), offset, reason: reason.into() }
    }

    pub(super) fn contradiction(path: &Path, reason: impl Into<String>) -> Self {
        Self { severity: Severity::Contradiction, ..Self::damage(path, None, reason) }
    }

    pub(super) fn leftover(path: &Path, offset: impl Into<Option<u64>>, reason: impl Into<String>) -> Self {
        Self { severity: Severity::Leftover, ..Self::damage(path, offset, reason) }
    }

    /// Whether something is not sound, as opposed to what the next start of a server clears away.
    pub fn is_damage(&self) -> bool {
        self.severity != Severity::Leftover
    }

    /// What an error says of a file.
    pub(super) fn of(error: BlockError, dir: &Path) -> Self {
        match error {
            BlockError::Corrupt { path, offset, reason } => Self::damage(&path, offset, reason),
            BlockError::Io { doing, path, source } => {
                Self::damage(&path, None, format!("{doing} failed: {source}"))
            }
            other => Self::damage(dir, None, other.to_string()),
        }
    }
}

/// What was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// All that is not as it should be.
    pub findings: Vec<Finding>,
    /// Blocks.
    pub blocks: usize,
    /// Series of all blocks.
    pub series: u64,
    /// Samples of all blocks, deleted ones among them.
    pub samples: u64,
    /// Records of the logs.
    pub records: u64,
    /// Chunks of the head's files.
    pub head_chunks: u64,
}

impl Verified {
    /// Whether anything is damaged.
    pub fn is_damaged(&self) -> bool {
        self.findings.iter().any(Finding::is_damage)
    }
}

/// Reads the data directory `dir`.
///
/// # Errors
/// When it cannot be listed. All else is a finding.
pub fn verify(fs: &dyn Fs, dir: &Path) -> io::Result<Verified> {
    let mut out = Verified::default();
    out.findings.extend(leftovers(fs, dir)?);
    for block in block_dirs(fs, dir)? {
        let checked = verify_block(fs, &block);
        out.blocks += 1;
        out.series += checked.series;
        out.samples += checked.samples;
        out.findings.extend(checked.findings);
    }
    out.findings.extend(verify_notes(fs, dir)?);
    verify_head(fs, dir, &mut out)?;
    Ok(out)
}

/// Reads what the head is read back from.
pub(super) fn verify_head(fs: &dyn Fs, dir: &Path, out: &mut Verified) -> io::Result<()> {
    let names = verify_logs(fs, dir, out)?;
    let chunks = dir.join("chunks_head");
    if fs.exists(&chunks)? {
        verify_head_chunks(fs, dir, &names, out)?;
    }
    Ok(())
}

/// The notes of what blocks have of the head's files and logs that are damaged.
pub(super) fn verify_notes(fs: &dyn Fs, dir: &Path) -> io::Result<Vec<Finding>> {
    let mut found = Vec::new();
    let mut look = |damaged: bool, file: &str, reason: &'static str| {
        found.extend(damaged.then(|| Finding::damage(&dir.join(file), None, reason)));
    };
    look(
        note::is_damaged::<HeadCut>(fs, dir)?,
        HeadCut::FILE,
        "the note of what blocks have of the log is damaged: the whole log is read, and no sample is lost; a \
         server writes it anew with the next block, `repair` removes it",
    );
    look(
        note::is_damaged::<LateNote>(fs, dir)?,
        LateNote::FILE,
        "the note of which samples out of order blocks have is damaged: all of the log are read, and none is \
         lost, but what was deleted of them may be back; a server writes it anew with the next block of such \
         samples, `repair` removes it",
    );
    Ok(found)
}

/// Directories that something unfinished left.
pub(super) fn leftovers(fs: &dyn Fs, dir: &Path) -> io::Result<Vec<Finding>> {
    let mut found = Vec::new();
    let mut look = |dir: &Path, is_left: &dyn Fn(&str) -> bool| -> io::Result<()> {
        for entry in fs.read_dir(dir)?.iter().filter(|e| e.is_dir && is_left(&e.name)) {
            found.push(Finding::leftover(&dir.join(&entry.name), None, "something that was not finished"));
        }
        Ok(())
    };
    look(dir, &|name| {
        BlockDir::of(name) == Some(BlockDir::Leftover)
            || name.starts_with("chunk_snapshot.") && name.ends_with(".tmp")
            || name == BEHIND_UNFINISHED
    })?;
    for log in ["wal", "wbl", "wal_names"] {
        let log = dir.join(log);
        if fs.exists(&log)? {
            look(&log, &|name| name.starts_with("checkpoint.") && name.ends_with(".tmp"))?;
        }
    }
    Ok(found)
}

/// Reads the logs; what they name.
pub(super) fn verify_logs(fs: &dyn Fs, dir: &Path, out: &mut Verified) -> io::Result<SeenNames> {
    let mut names = SeenNames::new(fs, dir)?;
    for (log, begins) in
        [("wal", Some(Begins::AtTheStart)), ("wbl", Some(Begins::Anywhere)), ("wal_names", None)]
    {
        let log = dir.join(log);
        if fs.exists(&log)? {
            let mut see = |record: &[u8]| {
                if begins == Some(Begins::AtTheStart) {
                    names.see(record);
                }
            };
            verify_log(fs, &log, begins, &mut see, out)?;
        }
    }
    names.finish(fs, dir, out)?;
    Ok(names)
}

/// Reads a log; `begins` is none where nothing is missing when a file is. `see` gets every record.
fn verify_log(
    fs: &dyn Fs,
    dir: &Path,
    begins: Option<Begins>,
    see: &mut dyn FnMut(&[u8]),
    out: &mut Verified,
) -> io::Result<()> {
    let listing = segment::list(fs, dir)?;
    for segment in &listing.checkpoint {
        verify_segment(fs, segment, IsLast::No, see, out)?;
    }
    for Misplaced { path, reason } in begins.map(|begins| listing.misplaced(begins)).unwrap_or_default() {
        out.findings.push(Finding::damage(&path, None, reason));
    }
    for segment in &listing.segments {
        let is_last = if listing.segments.last() == Some(segment) { IsLast::Yes } else { IsLast::No };
        verify_segment(fs, segment, is_last, see, out)?;
    }
    Ok(())
}

/// Whether a crash may have torn the end of a segment.
#[derive(Clone, Copy, PartialEq, Eq)]
enum IsLast {
    Yes,
    No,
}

fn verify_segment(
    fs: &dyn Fs,
    segment: &SegmentFile,
    is_last: IsLast,
    see: &mut dyn FnMut(&[u8]),
    out: &mut Verified,
) -> io::Result<()> {
    let file = fs.open(&segment.path, OpenMode::Read)?;
    let mut reader = SegmentReader::new(&*file);
    let from = out.findings.len();
    loop {
        match reader.next()? {
            None => break,
            Some(Item::Record(offset, record)) => {
                out.records += 1;
                see(record);
                if let Err(e) = check_record(record) {
                    out.findings.push(Finding::damage(&segment.path, offset, e.to_string()));
                }
            }
            Some(Item::Fault(fault)) => {
                out.findings.push(Finding::damage(&segment.path, fault.offset, fault.reason));
            }
        }
    }
    let good_end = reader.good_end();
    for finding in &mut out.findings[from..] {
        if is_last == IsLast::Yes && finding.offset.is_some_and(|o| o >= good_end) {
            finding.severity = Severity::Leftover;
            finding.reason = format!("the log ends in an unfinished record: {}", finding.reason);
        }
    }
    Ok(())
}

/// Where the last segment of a log is to be cut, if its end is torn.
pub(super) fn torn_end(fs: &dyn Fs, dir: &Path) -> io::Result<Option<(PathBuf, u64)>> {
    let Some(last) = segment::list(fs, dir)?.segments.pop() else { return Ok(None) };
    let mut out = Verified::default();
    verify_segment(fs, &last, IsLast::Yes, &mut |_| (), &mut out)?;
    let torn =
        out.findings.iter().filter(|f| f.severity == Severity::Leftover).filter_map(|f| f.offset).min();
    let file = fs.open(&last.path, OpenMode::Read)?;
    let mut reader = SegmentReader::new(&*file);
    while reader.next()?.is_some() {}
    Ok(torn.map(|_| (last.path, reader.good_end())))
}

fn verify_head_chunks(fs: &dyn Fs, dir: &Path, names: &SeenNames, out: &mut Verified) -> io::Result<()> {
    let chunks_dir = dir.join("chunks_head");
    let mut unnamed = UnnamedChunks::default();
    head_chunks::check(fs, &chunks_dir, |file| {
        out.head_chunks += file.chunks.len() as u64;
        for (wal_ref, chunk) in file.chunks.iter().filter(|(r, c)| names.lacks(*r, c.range().max)) {
            unnamed.add(*wal_ref, chunk.range(), chunk.samples());
        }
        if let Some((offset, reason)) = file.damage {
            out.findings.push(Finding::damage(&file.path, offset, reason));
        }
    })?;
    if unnamed.chunks() > 0 {
        each_copied_name(fs, dir, |wal_ref| unnamed.forget(wal_ref))?;
        let reason = unnamed.reason();
        out.findings.extend(reason.map(|reason| Finding::damage(&chunks_dir, None, reason)));
    }
    Ok(())
}
