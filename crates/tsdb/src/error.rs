//! `OpenError`: why a database cannot be opened.

use std::{io, path::PathBuf};

/// Why a database cannot be opened. Damage in the WAL is no reason: it costs what is damaged and is logged.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process, or this one, has it open.
    #[error("database at {path} is in use: {source}")]
    Locked {
        /// The data directory.
        path: PathBuf,
        /// Who holds the lock, as far as one can tell.
        source: io::Error,
    },
    /// The system did not let us read or write.
    #[error("database cannot be opened: {doing} {path} failed: {source}; check the disk and the permissions")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The disk takes no closed chunks, and no more of them may wait in memory.
    #[error(
        "database cannot be opened: the disk refuses closed chunks in {path}, and {bytes} bytes of them \
         wait in memory, of at most {max} (limit storage.tsdb.max-unwritten-chunk-bytes); nothing is lost, \
         the WAL has all of it: make room on the disk, or raise the limit, and start again"
    )]
    ChunksRefused {
        /// The directory of closed chunks.
        path: PathBuf,
        /// How many bytes wait.
        bytes: usize,
        /// How many may.
        max: usize,
    },
}

impl OpenError {
    pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }
}
