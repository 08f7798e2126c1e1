//! What can go wrong at the seams. Each variant is a decision for the caller.

use skopos_model::{DurationMs, Labels, TimestampMs};
use std::path::PathBuf;

/// Why one sample was not taken. The rest of its batch is not affected.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AppendError {
    /// The series already has a later sample.
    #[error("out of order: the series already has a sample at {newest}, this one is of {timestamp}")]
    OutOfOrder {
        /// Of the refused sample.
        timestamp: TimestampMs,
        /// Of the newest sample that the series has.
        newest: TimestampMs,
    },
    /// The series already has another value at that time.
    #[error("duplicate: the series already has another value at {timestamp}")]
    Duplicate {
        /// Of both samples.
        timestamp: TimestampMs,
    },
    /// The timestamp is outside of what storage accepts.
    #[error("timestamp {timestamp} is out of bounds: {min} to {max} is accepted")]
    OutOfBounds {
        /// Of the refused sample.
        timestamp: TimestampMs,
        /// The earliest accepted.
        min: TimestampMs,
        /// The latest accepted.
        max: TimestampMs,
    },
    /// The series already has a later sample, and this one is older than samples out of order may be.
    #[error("too old: samples out of order are taken from {oldest} on, this one is of {timestamp}")]
    TooOld {
        /// Of the refused sample.
        timestamp: TimestampMs,
        /// The earliest that is taken out of order.
        oldest: TimestampMs,
        /// How long before the newest sample of all that is.
        window: DurationMs,
    },
    /// A reference that this storage never gave out, or gave out in a batch that was dropped, without labels
    /// beside it.
    #[error("series reference {0} is unknown: send the labels")]
    UnknownRef(u64),
    /// The labels identify nothing.
    #[error("series {labels} cannot be stored: {reason}")]
    InvalidLabels {
        /// As given.
        labels: Labels,
        /// What is wrong with them.
        reason: &'static str,
    },
    /// The histogram is none: what about it is wrong.
    #[error("histogram cannot be stored: {0}")]
    InvalidHistogram(String),
    /// The exemplar is older than others of its series, or longer than one may be.
    #[error("exemplar is not kept: {0}")]
    Exemplar(&'static str),
    /// A named limit was reached.
    #[error("limit {limit} of {max}{} reached", unit(limit))]
    Limit {
        /// The limit's name in the configuration.
        limit: &'static str,
        /// Its value.
        max: u64,
    },
    /// This storage does not keep values of that kind.
    #[error("{0} are not kept by this storage")]
    Unsupported(&'static str),
}

/// Why a batch was not committed. Nothing of it is visible.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The disk did not take it (full, for instance): a later batch may succeed.
    #[error("batch not written to {path}: {source}; nothing of it was stored, later batches are tried again")]
    Retry {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The storage takes no more batches until it is opened again.
    #[error("storage at {path} has halted and takes no batches: {reason}")]
    Halt {
        /// The file or directory.
        path: PathBuf,
        /// What happened, and what is to be done.
        reason: String,
    },
}

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The request makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// A named limit was reached.
    #[error(
        "query needs more than {limit} = {max}{}: narrow its time range or selectors, or raise the limit",
        unit(limit)
    )]
    Limit {
        /// The limit's name as the flag is called.
        limit: &'static str,
        /// Its value.
        max: u64,
    },
    /// It took too long.
    #[error("query timed out after {0}")]
    Timeout(skopos_model::DurationMs),
    /// Whoever asked has gone.
    #[error("query was cancelled")]
    Cancelled,
    /// Stored bytes are damaged.
    #[error("{path} is corrupt at byte {offset}: {reason}")]
    Corrupt {
        /// The file, or the part of memory.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong there.
        reason: String,
    },
    /// The system failed to read.
    #[error("reading {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// What a limit is counted in, where its number alone does not say it.
fn unit(limit: &str) -> &'static str {
    if ["memory", "bytes"].iter().any(|word| limit.contains(word)) { " bytes" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_memory_say_their_unit() {
        for (limit, said) in [
            ("storage.memory-budget", "limit storage.memory-budget of 7 bytes reached"),
            ("max-label-bytes (tsdb)", "limit max-label-bytes (tsdb) of 7 bytes reached"),
            ("storage.tsdb.max-series", "limit storage.tsdb.max-series of 7 reached"),
        ] {
            assert_eq!(AppendError::Limit { limit, max: 7 }.to_string(), said);
        }
        let said = QueryError::Limit { limit: "query.max-memory", max: 7 }.to_string();
        assert!(said.starts_with("query needs more than query.max-memory = 7 bytes: "), "{said}");
        let said = QueryError::Limit { limit: "query.max-samples", max: 7 }.to_string();
        assert!(said.starts_with("query needs more than query.max-samples = 7: "), "{said}");
    }
}
