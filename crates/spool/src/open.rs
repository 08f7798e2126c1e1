//! From a directory to a queue: which records are whole, where readers are, what is left over. Changes
//! nothing but what no reader could use.

use crate::{
    position::{self, Position},
    segment::{self, Found, Segment},
};
use skopos_base::fs::{File, FileLock, Fs, OpenMode, SharedFs, or_here};
use std::{collections::VecDeque, io, path::Path, path::PathBuf};

/// The lock of a directory.
const LOCK: &str = "lock";

/// Why a queue cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("{} is in use by another process", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// A file of the directory is none that this version reads.
    #[error("{} has no records that this version reads: move it away", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The system refused something.
    #[error("{}: {source}", path.display())]
    System {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl OpenError {
    fn system(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::System { path, source }
    }
}

/// What was found.
pub(crate) struct Opened {
    pub(crate) lock: Box<dyn FileLock>,
    /// By growing numbers.
    pub(crate) segments: VecDeque<Segment>,
    /// The place of each reader, and the number that it wants next.
    pub(crate) readers: Vec<(Position, u64)>,
    /// The number of the next record.
    pub(crate) next: u64,
}

/// Opens the directory, which is made where there is none, for these readers.
pub(crate) fn open(fs: &SharedFs, dir: &Path, names: &[String]) -> Result<Opened, OpenError> {
    fs.create_dir_all(dir).and_then(|()| sync_above(&**fs, dir)).map_err(OpenError::system(dir))?;
    let lock = fs.lock(&dir.join(LOCK)).map_err(|e| match e.kind() {
        io::ErrorKind::WouldBlock => OpenError::InUse { path: dir.to_owned() },
        _ => OpenError::system(dir)(e),
    })?;
    let mut segments = segments(&**fs, dir, names)?;
    let load = |name: &String| Position::load(fs, dir, name).map_err(OpenError::system(dir));
    let loaded = names.iter().map(load).collect::<Result<Vec<_>, _>>()?;
    let oldest = segments.front().map(|s| s.first);
    let behind_all = segments.back().map_or(1, |s| s.next);
    // A reader may have had records that never came to the disk: their numbers are not given again.
    let next = loaded.iter().filter_map(|(_, at)| *at).fold(behind_all, u64::max);
    let at = |wanted: Option<u64>| match oldest {
        Some(oldest) => wanted.unwrap_or(oldest).max(oldest),
        None => next,
    };
    let readers: Vec<_> = loaded.into_iter().map(|(place, wanted)| (place, at(wanted))).collect();
    // What a loss of power brought back although all readers were past it, but the newest record: whoever
    // fills the queue may want to know how far it was.
    while segments.len() > 1
        && let Some(oldest) = segments.front()
        && readers.iter().all(|(_, at)| *at >= oldest.next)
    {
        let _left = fs.remove_file(&segment::path(dir, oldest.first));
        segments.pop_front();
    }
    Ok(Opened { lock, segments, readers, next })
}

/// Makes the names of a directory and of those above it durable, as far as this user may.
fn sync_above(fs: &dyn Fs, dir: &Path) -> io::Result<()> {
    dir.ancestors().skip(1).try_for_each(|above| {
        fs.sync_dir(&or_here(above)).or_else(|e| {
            use io::ErrorKind::{InvalidInput, PermissionDenied, ReadOnlyFilesystem, Unsupported};
            let kinds = [InvalidInput, PermissionDenied, ReadOnlyFilesystem, Unsupported];
            if kinds.contains(&e.kind()) { Ok(()) } else { Err(e) }
        })
    })
}

/// Says that a file has more than its whole records.
fn tell_rest(path: &Path, file: &dyn File, offset: u64) {
    let bytes = file.len().map_or(0, |len| len.saturating_sub(offset));
    if bytes > 0 {
        tracing::warn!(
            path = %path.display(),
            offset,
            bytes,
            "what stands there in the queue is no whole record and is passed over: a crash or damage left it",
        );
    }
}

/// All segments with whole records; files that have none go, and so do places of readers of other names.
fn segments(fs: &dyn Fs, dir: &Path, names: &[String]) -> Result<VecDeque<Segment>, OpenError> {
    let mut found: VecDeque<Segment> = VecDeque::new();
    for entry in fs.read_dir(dir).map_err(OpenError::system(dir))? {
        let path = dir.join(&entry.name);
        if let Some(name) = position::reader(&entry.name) {
            if !names.iter().any(|known| known == name) {
                let _left = fs.remove_file(&path);
            }
            continue;
        }
        let Some(first) = segment::number(&entry.name).filter(|_| !entry.is_dir) else { continue };
        let file = fs.open(&path, OpenMode::Read).map_err(OpenError::system(&path))?;
        match segment::look(&*file, first).map_err(OpenError::system(&path))? {
            Found::Foreign => return Err(OpenError::Foreign { path }),
            Found::Nothing => {
                tell_rest(&path, &*file, segment::FIRST_RECORD);
                drop(file);
                let _left = fs.remove_file(&path);
            }
            // A record whose synchronisation failed may stand in two: the later one counts.
            Found::Records(segment) => {
                tell_rest(&path, &*file, segment.bytes);
                if let Some(before) = found.back_mut() {
                    before.next = before.next.min(segment.first);
                }
                found.push_back(segment);
            }
        }
    }
    Ok(found)
}
