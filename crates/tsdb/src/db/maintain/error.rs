//! `MaintainError`: why a pass of maintenance did not do all that was due. What it had not done is as it was
//! before, and is tried again.

use crate::{block::BlockError, compact::CompactError, wal::checkpoint::CheckpointError};
use skopos_storage::{CommitError, QueryError};

/// Why a pass of maintenance did not do all that was due.
#[derive(Debug, thiserror::Error)]
pub enum MaintainError {
    /// A block was not written.
    #[error(transparent)]
    Compact(#[from] CompactError),
    /// The log was not shortened.
    #[error("the log was not shortened: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The log is not durable.
    #[error("samples are not durable in the log: {0}")]
    Log(#[from] CommitError),
    /// A block was not opened or not removed.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// The series of the head could not be found.
    #[error("the head cannot be read: {0}")]
    Head(#[from] QueryError),
}

impl MaintainError {
    /// Whether whoever asked for it wants to end.
    pub(crate) fn is_stopped(&self) -> bool {
        matches!(self, Self::Compact(CompactError::Stopped))
    }
}
