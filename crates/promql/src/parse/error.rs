//! Why a text is no query, and where. Owns the wording of positions, not of the reasons.

use crate::ast::Span;
use std::fmt;

/// Why a text is no query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// What is wrong.
    pub reason: Reason,
    /// The part of the text that it is about; empty where something is missing.
    pub span: Span,
    /// The line of the part's beginning, from 1.
    pub line: u32,
    /// The character of the part's beginning in its line, from 1.
    pub column: u32,
}

/// A named limit that a text can reach. They bound the stack and what is held before a query runs, and are no
/// flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "their names say it")]
pub enum TextLimit {
    Length,
    Nesting,
    Depth,
    Matchers,
    List,
    Regexes,
}

impl TextLimit {
    /// Its name, as documents and metrics have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Length => "query.max-length",
            Self::Nesting => "query.max-nesting",
            Self::Depth => "query.max-depth",
            Self::Matchers => "query.max-matchers",
            Self::List => "query.max-list",
            Self::Regexes => "query.max-regexes",
        }
    }
}

/// What is wrong with a text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// It does not follow the grammar.
    #[error("{0}")]
    Syntax(String),
    /// It follows the grammar and makes no sense: types, arguments, modifiers.
    #[error("{0}")]
    Meaning(String),
    /// There is no such function.
    #[error("unknown function with name {name:?}{}", nearest_hint(.nearest))]
    UnknownFunction {
        /// As written.
        name: String,
        /// What may have been meant.
        nearest: Option<&'static str>,
    },
    /// The query ended while it was read.
    #[error("{0}, while its regular expressions were compiled")]
    Ended(String),
    /// A named limit was reached.
    #[error(
        "the query exceeds the limit of {max} {what} ({}): split it into several queries",
        .limit.as_str()
    )]
    Limit {
        /// Which.
        limit: TextLimit,
        /// What is counted.
        what: &'static str,
        /// The most that is allowed.
        max: usize,
    },
}

fn nearest_hint(nearest: &Option<&'static str>) -> String {
    nearest.map_or_else(String::new, |name| format!(", did you mean {name:?}?"))
}

impl ParseError {
    /// The named limit that the text reached, if that is what is wrong.
    pub fn limit(&self) -> Option<&'static str> {
        match &self.reason {
            Reason::Limit { limit, .. } => Some(limit.as_str()),
            _ => None,
        }
    }

    /// An error about the part `span` of `text`.
    pub(crate) fn new(text: &str, span: Span, reason: Reason) -> Self {
        let (line, column) = line_and_column(text, span.start);
        Self { reason, span, line, column }
    }
}

/// Line and column of a byte, both from 1. Columns count characters.
fn line_and_column(text: &str, offset: u32) -> (u32, u32) {
    let mut offset = text.len().min(offset as usize);
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    let before = &text[..offset];
    let line_start = before.rfind('\n').map_or(0, |i| i + 1);
    let lines = before.bytes().filter(|b| *b == b'\n').count();
    let columns = before[line_start..].chars().count();
    let fits = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    (fits(lines).saturating_add(1), fits(columns).saturating_add(1))
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: parse error: {}", self.line, self.column, self.reason)
    }
}

impl std::error::Error for ParseError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_lines_and_characters() {
        for (text, offset, at) in [
            ("", 0, (1, 1)),
            ("a +", 3, (1, 4)),
            ("a +\n  b )", 8, (2, 5)),
            ("\"ü\" )", 5, (1, 5)),
            ("a\n", 2, (2, 1)),
            ("a", 99, (1, 2)),
        ] {
            assert_eq!(line_and_column(text, offset), at, "{text:?} at {offset}");
        }
    }
}
