//! `RangeSource`: who evaluates an expression over a time that has passed. Owns no network and no storage.

use skopos_model::{FloatHistogram, Labels, TimestampMs};
use skopos_promql::{EvalError, Steps, ast::Expr};

/// A series of an answer, its samples in the order of time.
#[derive(Clone, Debug, PartialEq)]
pub struct AnswerSeries {
    /// What identifies it.
    pub labels: Labels,
    /// At steps of the query.
    pub samples: Vec<(TimestampMs, AnswerValue)>,
}

/// A value of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum AnswerValue {
    /// A float.
    Float(f64),
    /// A native histogram.
    Histogram(Box<FloatHistogram>),
}

/// What a range query gives.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// All series.
    pub series: Vec<AnswerSeries>,
    /// What the one who asked should know.
    pub warnings: Vec<String>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The address, or what is sent with it, cannot be used.
    #[error("{0}")]
    Invalid(String),
    /// The server was not reached, or ended before its answer did.
    #[error("{url} does not answer: {reason}")]
    Connection {
        /// Whom we asked.
        url: String,
        /// What the system said.
        reason: String,
    },
    /// The server answered that it does not answer.
    #[error("{url} refused the query with status {status}: {reason}")]
    Refused {
        /// Whom we asked.
        url: String,
        /// The status of HTTP.
        status: u16,
        /// What the server says.
        reason: String,
    },
    /// What came is no answer of such a server.
    #[error("the answer of {url} is not understood: {reason}")]
    Answer {
        /// Whom we asked.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The value has native histograms. An answer in JSON has of them the buckets that count something, by
    /// their bounds: neither other custom bounds nor the width of an empty zero bucket, so that what would be
    /// recorded is not what the rule gives.
    #[error(
        "the value of {labels} is a native histogram: such a rule is not filled in over a server, whose \
         JSON leaves out the bounds of empty buckets; fill it in over a data directory, with --db, or take \
         the rule out of the file"
    )]
    Histogram {
        /// The series.
        labels: Labels,
    },
    /// The expression has no value over this storage.
    #[error(transparent)]
    Evaluation(#[from] EvalError),
}

/// Evaluates expressions over a time that has passed.
pub trait RangeSource {
    /// The values of `expr` at all steps.
    ///
    /// # Errors
    /// When there is no answer, or one that does not say all that is to be recorded.
    fn range(&mut self, expr: &Expr, steps: Steps) -> Result<Answer, SourceError>;
}
