//! `SourceError`: why a source did not tell its targets. It keeps those that it had, and is asked again.

use std::path::PathBuf;

/// See above.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// No answer came.
    #[error("{url}: {reason}")]
    Request {
        /// Who was asked, without a query.
        url: String,
        /// What went wrong.
        reason: String,
    },
    /// The answer says that there is none.
    #[error("{url}: answered with status {status}")]
    Status {
        /// Who was asked.
        url: String,
        /// The status.
        status: u16,
    },
    /// The answer, or file, is too long.
    #[error("{what} has more than {limit} bytes")]
    TooLong {
        /// Which one.
        what: String,
        /// The most.
        limit: usize,
    },
    /// There are too many targets.
    #[error("there are {found} targets, the limit is {limit}: divide them among several entries")]
    TooManyTargets {
        /// So many.
        found: usize,
        /// The most.
        limit: usize,
    },
    /// The answer, or file, is not what it should be.
    #[error("{what}: {reason}")]
    Content {
        /// Which one.
        what: String,
        /// What is wrong.
        reason: String,
    },
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Something that the configuration names cannot be used.
    #[error("{0}")]
    Setup(String),
}

impl SourceError {
    pub(crate) fn content(what: impl Into<String>, reason: &dyn std::fmt::Display) -> Self {
        Self::Content { what: what.into(), reason: reason.to_string() }
    }
}
