//! `BlockError`: why a block cannot be read or written. Every variant is a decision for the caller.

use skopos_storage::QueryError;
use std::{
    io,
    path::{Path, PathBuf},
};

/// Why a block cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum BlockError {
    /// The system did not let us read or write. It may be tried again.
    #[error("block: {doing} {} failed: {source}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The bytes are damaged: the block has to come from another copy, or be set aside.
    #[error("block is corrupt: {} at byte {offset}: {reason}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong there.
        reason: String,
    },
    /// A version of the format that this program does not know.
    #[error("block is newer than this program: {} is of the unknown version {version}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// The version it names.
        version: u64,
    },
    /// What was to be written makes no sound block. Nothing of it stays.
    #[error("block {} not written: {reason}", path.display())]
    Refused {
        /// The block's directory.
        path: PathBuf,
        /// What is wrong with the input.
        reason: String,
    },
    /// The budget of the request ended the work.
    #[error(transparent)]
    Budget(QueryError),
}

impl BlockError {
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }

    pub(crate) fn corrupt(path: &Path, offset: u64, reason: impl Into<String>) -> Self {
        Self::Corrupt { path: path.to_owned(), offset, reason: reason.into() }
    }

    /// Whether it says nothing against the block: it may be read later, as it is. Not so where a file of it
    /// is missing.
    pub(crate) fn leaves_the_block_whole(&self) -> bool {
        match self {
            Self::Io { source, .. } => source.kind() != io::ErrorKind::NotFound,
            Self::Version { .. } => true,
            Self::Corrupt { .. } | Self::Refused { .. } | Self::Budget(_) => false,
        }
    }

    pub(crate) fn refused(path: &Path, reason: impl Into<String>) -> Self {
        Self::Refused { path: path.to_owned(), reason: reason.into() }
    }
}

impl From<BlockError> for QueryError {
    fn from(e: BlockError) -> Self {
        match e {
            BlockError::Io { path, source, .. } => Self::Io { path, source },
            BlockError::Corrupt { path, offset, reason } => Self::Corrupt { path, offset, reason },
            BlockError::Version { path, version } => {
                Self::Corrupt { path, offset: 0, reason: format!("version {version} is unknown here") }
            }
            BlockError::Refused { path, reason } => Self::Corrupt { path, offset: 0, reason },
            BlockError::Budget(e) => e,
        }
    }
}

impl From<QueryError> for BlockError {
    fn from(e: QueryError) -> Self {
        match e {
            QueryError::Io { path, source } => Self::Io { doing: "reading", path, source },
            QueryError::Corrupt { path, offset, reason } => Self::Corrupt { path, offset, reason },
            other => Self::Budget(other),
        }
    }
}
