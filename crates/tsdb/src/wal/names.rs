//! The names of series once more, beside the log (docs/formats/wal.md): so that damage to what names a series
//! there does not cost its samples in sound pages. Owns the directory `wal_names`; never fails a batch, as
//! the log has all of it.
//!
//! Its files have the numbers of the log's segments: a file is begun when a segment is, and gets the names of
//! series that are new while that one is written. Names are believed when the last numbers agree: another
//! program that wrote to the log began a segment, and may have given numbers of series that are named here.

use super::{
    checkpoint::{LiveSeries, remove_temporary},
    page::{Framable, frame},
    record::push_series,
    segment::{Listing, checkpoint_path, list, remove_up_to, segment_path},
    sequence::{Sequence, SequenceError},
};
use crate::{dirs::LateDir, options::WalCompression};
use skopos_base::fs::{File, Fs, OpenMode, SharedFs, append_all};
use skopos_base::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicU32, Ordering},
};
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// A record of names is ended at so many bytes: damage to a page costs all records that touch it.
const RECORD_BYTES: usize = 16 << 10;
/// Pages of a file: 128 MiB.
const SEGMENT_PAGES: u64 = 4096;

/// The directory of names in a data directory.
pub(crate) fn names_dir(dir: &Path) -> PathBuf {
    dir.join("wal_names")
}

/// What there is of names; none without their directory, or when they are not to be believed for `wal`.
pub(crate) fn list_names(fs: &dyn Fs, dir: &Path, wal: &Listing) -> io::Result<Option<Listing>> {
    let dir = names_dir(dir);
    if !fs.exists(&dir)? {
        return Ok(None);
    }
    let names = list(fs, &dir)?;
    // A start or a cut may have ended between the two.
    let is_empty = |log: &Listing| log.segments.last().is_some_and(|last| last.len == 0);
    let agree = names.next_index == wal.next_index
        || is_empty(&names) && names.next_index == wal.next_index + 1
        || is_empty(wal) && wal.next_index == names.next_index + 1;
    Ok(Some(names).filter(|_| agree))
}

/// The names of a log that is written.
#[derive(Debug)]
pub(crate) struct Names {
    fs: SharedFs,
    dir: PathBuf,
    late_dir: LateDir,
    compression: WalCompression,
    /// The segment of the log that the file goes with.
    index: AtomicU32,
    /// Whether names are missing, until all are written anew.
    lacks: AtomicBool,
    file: Mutex<Option<NamesFile>>,
    /// Held while all names are written.
    rewriting: Mutex<()>,
}

#[derive(Debug)]
struct NamesFile {
    file: Box<dyn File>,
    /// By which it is synchronised while it is written to.
    sync: Arc<Mutex<Box<dyn File>>>,
    len: u64,
    dirty: bool,
    out: Vec<u8>,
}

impl Names {
    /// Begins the names of a log whose segment `index` is about to begin, with those of `series`. They take
    /// the place of `before`, which were believed, or of whatever else is there. A failure is said, and no
    /// batch notices it.
    pub(crate) fn begin(
        fs: SharedFs,
        dir: &Path,
        compression: WalCompression,
        index: u32,
        before: Option<&Listing>,
        series: &LiveSeries<'_>,
    ) -> Self {
        let mut this = Self {
            fs,
            dir: names_dir(dir),
            late_dir: LateDir::default(),
            compression,
            index: AtomicU32::new(index),
            lacks: AtomicBool::new(false),
            file: Mutex::new(None),
            rewriting: Mutex::new(()),
        };
        let begun = this.replace_all(dir, index, before, series);
        // Where that cannot be asked, the names go without the directory until the next start.
        this.late_dir = LateDir::look(&*this.fs, &this.dir).unwrap_or_default();
        let begun = begun.and_then(|()| {
            *this.file.lock() = Some(this.begin_file(index)?);
            Ok(())
        });
        this.said(begun);
        this
    }

    fn replace_all(
        &self,
        above: &Path,
        index: u32,
        before: Option<&Listing>,
        series: &LiveSeries<'_>,
    ) -> Result<(), SequenceError> {
        let (fs, dir) = (&*self.fs, &self.dir);
        match before {
            // Of a start that ended before its segment of the log was there.
            Some(before) => {
                for empty in before.segments.iter().filter(|s| s.index >= index) {
                    fs.remove_file(&empty.path).map_err(SequenceError::new("removing", &empty.path))?;
                }
            }
            None => {
                if fs.exists(dir).map_err(SequenceError::new("looking for", dir))? {
                    fs.remove_dir_all(dir).map_err(SequenceError::new("removing", dir))?;
                }
                fs.create_dir_all(dir).map_err(SequenceError::new("making", dir))?;
                fs.sync_dir(above).map_err(SequenceError::new("synchronising", above))?;
            }
        }
        self.write_all(index, series)
    }

    /// Writes the names of all series anew, in the place of those before segment `index` of the log, which is
    /// under way.
    pub(crate) fn rewrite(&self, index: u32, series: &LiveSeries<'_>) {
        self.follow(index);
        let written = self.write_all(index, series);
        if written.is_ok() && self.file.lock().is_some() {
            self.lacks.store(false, Ordering::Release);
        }
        self.said(written);
    }

    fn write_all(&self, index: u32, series: &LiveSeries<'_>) -> Result<(), SequenceError> {
        let _one_at_a_time = self.rewriting.lock();
        let Some(last) = index.checked_sub(1) else { return Ok(()) };
        let (fs, dir, compression) = (&*self.fs, &checkpoint_path(&self.dir, last), self.compression);
        if fs.exists(dir).map_err(SequenceError::new("looking for", dir))? {
            return Ok(());
        }
        remove_temporary(fs, &self.dir).map_err(SequenceError::new("cleaning", &self.dir))?;
        Sequence { fs, dir, segment_pages: SEGMENT_PAGES, compression }.write(|out| {
            let (mut record, mut result) = (Vec::new(), Ok(()));
            series(&mut |wal_ref, labels| {
                push_series(&mut record, wal_ref, labels);
                if record.len() >= RECORD_BYTES {
                    if result.is_ok() {
                        result = out.push(&record);
                    }
                    record.clear();
                }
            });
            result?;
            if record.is_empty() { Ok(()) } else { out.push(&record) }
        })?;
        remove_up_to(fs, &self.dir, last).map_err(SequenceError::new("shortening", &self.dir))
    }

    /// Writes a record of new series, before the log has it.
    pub(crate) fn log(&self, record: Framable<'_>) {
        let mut file = self.file.lock();
        let Some(open) = &mut *file else { return };
        open.out.clear();
        frame(&mut open.out, open.len, record);
        let Err(source) = append_all(&mut *open.file, &open.out) else {
            open.len += open.out.len() as u64;
            open.dirty = true;
            return;
        };
        if open.file.truncate(open.len).is_err() {
            *file = None;
        }
        self.said(Err(SequenceError::new("writing", &self.dir)(source)));
    }

    /// Begins the next file when the log has begun a segment.
    #[inline]
    pub(crate) fn follow(&self, index: u32) {
        if index > self.index.load(Ordering::Relaxed) {
            self.begin_next(index);
        }
    }

    #[cold]
    fn begin_next(&self, index: u32) {
        self.sync();
        let mut file = self.file.lock();
        if self.index.fetch_max(index, Ordering::Relaxed) < index {
            let begun = self.begin_file(index);
            let (next, begun) = begun.map_or_else(|e| (None, Err(e)), |next| (Some(next), Ok(())));
            *file = next;
            drop(file);
            self.said(begun);
        }
    }

    fn begin_file(&self, index: u32) -> Result<NamesFile, SequenceError> {
        let path = segment_path(&self.dir, index);
        let open = || {
            let file = self.late_dir.create_file(&*self.fs, &path)?;
            let handle = self.fs.open(&path, OpenMode::Append)?;
            self.fs.sync_dir(&self.dir)?;
            Ok(NamesFile { file, sync: Arc::new(Mutex::new(handle)), len: 0, dirty: false, out: Vec::new() })
        };
        open().map_err(SequenceError::new("making", &path))
    }

    /// Makes what was logged durable.
    pub(crate) fn sync(&self) {
        let handle = {
            let mut file = self.file.lock();
            let Some(open) = file.as_mut().filter(|open| open.dirty) else { return };
            open.dirty = false;
            Arc::clone(&open.sync)
        };
        let synced = handle.lock().sync();
        let Err(source) = synced else { return };
        let mut file = self.file.lock();
        // Nobody knows what of it is on the disk.
        if file.as_ref().is_some_and(|open| Arc::ptr_eq(&open.sync, &handle)) {
            *file = None;
        }
        drop(file);
        self.said(Err(SequenceError::new("synchronising", &self.dir)(source)));
    }

    /// Says once that names are missing.
    fn said(&self, result: Result<(), SequenceError>) {
        if let Err(error) = result
            && !self.lacks.swap(true, Ordering::AcqRel)
        {
            tracing::warn!(
                %error,
                "the second copy of the series' names is not complete until the WAL is made shorter: no \
                 sample is lost, but damage to the WAL may cost more than a page until then"
            );
        }
    }
}
