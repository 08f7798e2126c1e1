//! `CompactError`: why blocks were not compacted. Every variant is a decision for the caller. In all of
//! them the sources are what they were, but for a mark in their metas.

use crate::block::BlockError;
use skopos_storage::QueryError;
use std::path::{Path, PathBuf};

/// Why blocks were not compacted.
#[derive(Debug, thiserror::Error)]
pub enum CompactError {
    /// Whoever asked for it wants to end.
    #[error("compaction was stopped")]
    Stopped,
    /// A source cannot be read: it is marked, and not compacted again.
    #[error("block {} cannot be compacted: {source}; it is left out from now on", block.display())]
    Corrupt {
        /// Its directory.
        block: PathBuf,
        /// What is wrong with it.
        source: BlockError,
    },
    /// The sources make no sound block together: all are marked, and not compacted again.
    #[error("blocks cannot be compacted: {0}; they are left out from now on")]
    Refused(BlockError),
    /// The disk did not let us read or write: to be tried again.
    #[error("compaction failed and will be tried again: {0}")]
    Retry(BlockError),
}

impl CompactError {
    /// What an error in reading from one of the directories `sources`, or in writing what was read, means.
    pub(super) fn of<'a>(error: BlockError, mut sources: impl Iterator<Item = &'a Path>) -> Self {
        match error {
            BlockError::Corrupt { ref path, .. } | BlockError::Version { ref path, .. } => {
                match sources.find(|dir| path.starts_with(dir)) {
                    Some(block) => Self::Corrupt { block: block.to_owned(), source: error },
                    None => Self::Refused(error),
                }
            }
            BlockError::Budget(QueryError::Cancelled) => Self::Stopped,
            BlockError::Refused { .. } => Self::Refused(error),
            BlockError::Io { .. } | BlockError::Budget(_) => Self::Retry(error),
        }
    }
}
