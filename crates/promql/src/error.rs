//! Why an expression has no value. Parse errors are the parser's own.

use crate::ast::Span;
use skopos_model::Labels;
use skopos_storage::QueryError;
use std::fmt;

/// Why an expression could not be evaluated. Each variant but `Storage` and `Panicked` is the query's own
/// fault.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// The storage failed, or a limit, the time or the patience of the one who asked ran out.
    #[error(transparent)]
    Storage(#[from] QueryError),
    /// The expression or its time range makes no sense.
    #[error("{message}")]
    Invalid {
        /// What is wrong.
        message: String,
        /// Which part of the expression.
        span: Span,
    },
    /// The one side of a join is not one.
    #[error(
        "found duplicate series for the match group {} on the {side} hand-side of the operation: \
         [{}, {}];many-to-many matching not allowed: matching labels must be unique on one side",
        Braced(group),
        Braced(first),
        Braced(second)
    )]
    ManyToMany {
        /// The labels by which the sides are matched.
        group: Labels,
        /// `left` or `right`.
        side: &'static str,
        /// One of the series.
        first: Labels,
        /// Another.
        second: Labels,
        /// Which part of the expression.
        span: Span,
    },
    /// Several series of the left side meet one of the right side.
    #[error("multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)")]
    ManyToOne {
        /// Which part of the expression.
        span: Span,
    },
    /// Several results of a join would have the same labels.
    #[error("multiple matches for labels: grouping labels must ensure unique matches")]
    GroupingNotUnique {
        /// Which part of the expression.
        span: Span,
    },
    /// A thread that helped the query panicked.
    #[error("a thread of the query panicked, which is a defect of the program: {0}")]
    Panicked(String),
    /// Two series of a result have the same labels at one time.
    #[error("vector cannot contain metrics with the same labelset")]
    SameLabelset {
        /// Which part of the expression.
        span: Span,
    },
}

/// Labels with all of them inside of the braces, as clients of Prometheus know this message.
struct Braced<'a>(&'a Labels);

impl fmt::Display for Braced<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, (name, value)) in self.0.iter().enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            write!(f, "{comma}{name}={value:?}")?;
        }
        f.write_str("}")
    }
}

impl EvalError {
    /// Which part of the expression is to blame, where it is one.
    pub fn span(&self) -> Option<Span> {
        match self {
            Self::Storage(_) | Self::Panicked(_) => None,
            Self::Invalid { span, .. }
            | Self::ManyToMany { span, .. }
            | Self::ManyToOne { span }
            | Self::GroupingNotUnique { span }
            | Self::SameLabelset { span } => Some(*span),
        }
    }
}
