//! `IntakeError`: why nothing of a request was taken. Each variant is a decision for the sender.

use crate::WireError;
use skopos_proto::ProtoError;
use skopos_storage::CommitError;

/// Why nothing of a request was taken.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// It can never be taken: sending it again is of no use.
    #[error("{0}")]
    Invalid(String),
    /// It is larger than one may be.
    #[error("the {what} is longer than {max} bytes (--{limit}): send less at a time, or raise the limit")]
    TooLong {
        /// What of it.
        what: &'static str,
        /// The limit's name.
        limit: &'static str,
        /// Its value.
        max: usize,
    },
    /// All requests together hold as much as they may: this one may be taken later.
    #[error("requests hold {max} bytes already (--{limit}): send it again later")]
    Busy {
        /// The limit's name.
        limit: &'static str,
        /// Its value.
        max: usize,
    },
    /// Some of a long one was taken before.
    #[error("{why}; what was sent up to line {lines} is stored, {stored} samples of it")]
    Partly {
        /// Lines that are stored.
        lines: usize,
        /// Samples of them.
        stored: u64,
        /// Why no more was taken.
        why: Box<IntakeError>,
    },
    /// Storage did not take it.
    #[error(transparent)]
    Storage(#[from] CommitError),
}

impl From<WireError> for IntakeError {
    fn from(e: WireError) -> Self {
        Self::Invalid(format!("the body is no message of the kind that its content type names: {e}"))
    }
}

impl From<ProtoError> for IntakeError {
    fn from(e: ProtoError) -> Self {
        match e {
            ProtoError::TooLong { max, .. } => {
                Self::TooLong { what: "body, unpacked,", limit: crate::limits::DECODED_BYTES, max }
            }
            e => Self::Invalid(e.to_string()),
        }
    }
}
