//! All entries of all files at the start. What stands behind damage goes, in its file and in later ones, as
//! the samples are in the WAL and chunks of a series must have no gap; what is read after it is sound.

use super::{
    ChunkFile, ChunkMeta, HeadChunks,
    buffer::{Buffer, ChunkPlace},
    format::{Entry, EntryError, HEADER_SIZE, Order, check_header, extent, parse_entry},
    max_of, read_at,
    writer::Writer,
};
use crate::{dirs::LateDir, error::OpenError, head::out_of_order::cut::LateCut};
use skopos_base::fs::{File, Fs, OpenMode, SharedFs};
use skopos_base::sync::{
    Mutex, RwLock,
    atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// So many bytes are read at a time.
const WINDOW_BYTES: usize = 1 << 20;

/// The chunks of all files, by series.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(super) in_order: Vec<(u64, ChunkMeta)>,
    pub(super) out_of_order: Vec<(u64, ChunkMeta)>,
    /// Files that were found damaged or out of sequence.
    pub(crate) damaged_files: u64,
}

impl Loaded {
    /// The chunks of a series in the order in which they were put.
    pub(crate) fn chunks(&self, wal_ref: u64, order: Order) -> impl Iterator<Item = ChunkMeta> {
        let all = match order {
            Order::InOrder => &self.in_order,
            Order::OutOfOrder => &self.out_of_order,
        };
        let from = all.partition_point(|(r, _)| *r < wal_ref);
        all[from..].iter().take_while(move |(r, _)| *r == wal_ref).map(|(_, meta)| *meta)
    }

    /// Forgets the chunks of series.
    pub(crate) fn forget(&mut self, wal_refs: &BTreeSet<u64>) {
        self.in_order.retain(|(wal_ref, _)| !wal_refs.contains(wal_ref));
        self.out_of_order.retain(|(wal_ref, _)| !wal_refs.contains(wal_ref));
    }

    /// Passes over the late chunks that blocks have.
    pub(crate) fn pass_over(&mut self, late_cut: Option<LateCut>) {
        if let Some(LateCut { head_chunks, .. }) = late_cut {
            self.out_of_order.retain(|(_, chunk)| chunk.place() >= head_chunks);
        }
    }

    /// All chunks with the numbers of their series.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, ChunkMeta)> {
        self.in_order.iter().chain(&self.out_of_order).copied()
    }

    fn push(&mut self, entry: &Entry<'_>, at: ChunkPlace, len: usize) {
        let all = match entry.order {
            Order::InOrder => &mut self.in_order,
            Order::OutOfOrder => &mut self.out_of_order,
        };
        all.push((entry.wal_ref, ChunkMeta::new(entry, at, len)));
    }
}

/// What opening a directory of head chunks gives.
#[derive(Debug)]
pub(crate) struct OpenedChunks {
    pub(crate) chunks: HeadChunks,
    /// What its files have.
    pub(crate) loaded: Loaded,
}

/// A file found on disk.
struct ListedFile {
    index: u32,
    path: PathBuf,
}

/// Where a file stops being sound, and why.
struct Damage {
    good_end: u64,
    reason: EntryError,
}

impl HeadChunks {
    /// Reads all entries of the directory. It may be missing on a full disk, and is made with the first file.
    ///
    /// # Errors
    /// When the system refuses. Damage is no error.
    pub(crate) fn open(fs: &SharedFs, dir: &Path, max_file_bytes: u32) -> Result<OpenedChunks, OpenError> {
        let late_dir = LateDir::look(&**fs, dir).map_err(OpenError::io("looking for", dir))?;
        let found = if late_dir.is_missing() { Ok(Vec::new()) } else { list(&**fs, dir) };
        let found = found.map_err(OpenError::io("listing", dir))?;
        let mut loaded = Loaded::default();
        let mut files = BTreeMap::new();
        let mut bad_from = found.len();
        for (i, ListedFile { index, path }) in found.iter().enumerate() {
            let in_sequence = i == 0 || found[i - 1].index.checked_add(1) == Some(*index);
            if !in_sequence {
                tracing::warn!(file = %path.display(), "head chunk files before this one are missing");
                bad_from = i;
                break;
            }
            let file = fs.open(path, OpenMode::Read).map_err(OpenError::io("opening", path))?;
            let mut max_ms = i64::MIN;
            let read = read_entries(&*file, |offset, entry, len| {
                max_ms = max_of(max_ms, entry.max);
                loaded.push(entry, ChunkPlace { file: *index, offset }, len);
            });
            let damage = read.map_err(OpenError::io("reading", path))?.err();
            let good_end = damage.as_ref().map(|d| d.good_end);
            if let Some(Damage { good_end, reason }) = damage {
                tracing::warn!(
                    file = %path.display(), offset = good_end, %reason,
                    "a head chunk file is damaged here; the rest is read from the WAL"
                );
                bad_from = i + usize::from(good_end > HEADER_SIZE as u64);
            }
            if good_end.is_none_or(|end| end > HEADER_SIZE as u64) {
                let known = ChunkFile { path: path.clone(), file, max_ms: AtomicI64::new(max_ms) };
                files.insert(*index, Arc::new(known));
            }
            if let Some(good_end) = good_end {
                loaded.damaged_files += 1;
                remove(&**fs, dir, &found[bad_from..])?;
                if bad_from > i {
                    cut_off(&**fs, path, good_end)?;
                }
                break;
            }
        }
        if loaded.damaged_files == 0 && bad_from < found.len() {
            loaded.damaged_files += 1;
            remove(&**fs, dir, &found[bad_from..])?;
        }
        loaded.in_order.sort_by_key(|(wal_ref, _)| *wal_ref);
        loaded.out_of_order.sort_by_key(|(wal_ref, _)| *wal_ref);
        let next = files.last_key_value().map_or(1, |(index, _)| index + 1);
        let writer = Writer::new(files.keys().copied());
        let chunks = Self {
            fs: Arc::clone(fs),
            dir: dir.to_owned(),
            late_dir,
            max_file_bytes,
            files: RwLock::new(files),
            buffer: Mutex::new(Buffer::new(next)),
            written: AtomicU64::new(ChunkPlace { file: next, offset: 0 }.number()),
            waiting: AtomicUsize::new(0),
            refused: AtomicBool::new(false),
            writer: Mutex::new(writer),
        };
        Ok(OpenedChunks { chunks, loaded })
    }
}

/// What a file was found to be.
pub(crate) struct CheckedFile {
    pub(crate) path: PathBuf,
    /// Its chunks with the numbers of their series.
    pub(crate) chunks: Vec<(u64, ChunkMeta)>,
    /// Where and why it stops being sound.
    pub(crate) damage: Option<(u64, String)>,
}

/// Reads all files of the directory and changes none.
pub(crate) fn check(fs: &dyn Fs, dir: &Path, mut each: impl FnMut(CheckedFile)) -> io::Result<()> {
    for ListedFile { index, path } in list(fs, dir)? {
        let file = fs.open(&path, OpenMode::Read)?;
        let mut chunks = Vec::new();
        let read = read_entries(&*file, |offset, entry, len| {
            chunks.push((entry.wal_ref, ChunkMeta::new(entry, ChunkPlace { file: index, offset }, len)));
        })?;
        let damage = read.err().map(|d| (d.good_end, d.reason.to_string()));
        each(CheckedFile { path, chunks, damage });
    }
    Ok(())
}

/// From this number on a file counts only when it follows another one: no head comes so far, and a stray file
/// of the largest number would leave none for the next.
const FAR: u32 = 1 << 31;

/// The files by number, without strays.
fn list(fs: &dyn Fs, dir: &Path) -> io::Result<Vec<ListedFile>> {
    let entries = fs.read_dir(dir)?;
    let mut found: Vec<ListedFile> = entries
        .iter()
        .filter(|e| !e.is_dir && e.name.bytes().all(|b| b.is_ascii_digit()))
        .filter_map(|e| {
            let index = e.name.parse().ok().filter(|index| *index < u32::MAX)?;
            Some(ListedFile { index, path: dir.join(&e.name) })
        })
        .collect();
    found.sort_by_key(|f| f.index);
    let mut last = None;
    found.retain(|f| {
        let counts = f.index < FAR || last.is_some_and(|last: u32| last + 1 == f.index);
        last = if counts { Some(f.index) } else { last };
        counts
    });
    Ok(found)
}

/// Removes files from the last one on, so that no gap is ever there.
fn remove(fs: &dyn Fs, dir: &Path, files: &[ListedFile]) -> Result<(), OpenError> {
    for file in files.iter().rev() {
        fs.remove_file(&file.path).map_err(OpenError::io("removing", &file.path))?;
    }
    fs.sync_dir(dir).map_err(OpenError::io("synchronising", dir))
}

/// Cuts a file that stays back to its sound beginning.
fn cut_off(fs: &dyn Fs, path: &Path, good_end: u64) -> Result<(), OpenError> {
    let mut file = fs.open(path, OpenMode::Append).map_err(OpenError::io("opening", path))?;
    file.truncate(good_end).map_err(OpenError::io("truncating", path))?;
    file.sync().map_err(OpenError::io("synchronising", path))
}

/// Hands out the entries of a file, with where they begin and how long they are, up to its end or to the
/// first damage.
fn read_entries(
    file: &dyn File,
    mut each: impl FnMut(u32, &Entry<'_>, usize),
) -> io::Result<Result<(), Damage>> {
    let file_len = file.len()?;
    let damage = |good_end, reason| Ok(Err(Damage { good_end, reason }));
    let mut window = Vec::new();
    read_at(file, 0, HEADER_SIZE, &mut window)?;
    if let Err(reason) = check_header(&window) {
        return damage(0, reason);
    }
    let (mut start, mut at) = (HEADER_SIZE as u64, 0);
    window.clear();
    loop {
        let offset = start + at as u64;
        if offset >= file_len {
            return Ok(Ok(()));
        }
        let Ok(place) = u32::try_from(offset) else { return damage(offset, EntryError::TooLong(file_len)) };
        match parse_entry(&window[at..]) {
            Ok((entry, len)) => {
                each(place, &entry, len);
                at += len;
            }
            Err(EntryError::Truncated) if start + (window.len() as u64) < file_len => {
                let needed = extent(&window[at..]).map_or(0, |(_, len)| len);
                let left = usize::try_from(file_len - offset).unwrap_or(usize::MAX);
                read_at(file, offset, needed.max(WINDOW_BYTES).min(left), &mut window)?;
                (start, at) = (offset, 0);
                if window.len() < left.min(needed.max(1)) {
                    return damage(offset, EntryError::Truncated);
                }
            }
            // Files that were made longer in advance end in zeros.
            Err(_) if is_zeros(file, offset)? => return Ok(Ok(())),
            Err(reason) => return damage(offset, reason),
        }
    }
}

fn is_zeros(file: &dyn File, mut offset: u64) -> io::Result<bool> {
    let mut part = Vec::new();
    loop {
        read_at(file, offset, 64 << 10, &mut part)?;
        if part.is_empty() {
            return Ok(true);
        }
        if part.iter().any(|b| *b != 0) {
            return Ok(false);
        }
        offset += part.len() as u64;
    }
}
