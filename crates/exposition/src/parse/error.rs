//! `ParseError`: what is wrong with an exposition, where, and what to do. Owns the search for the
//! line, which nobody pays for until an error occurs.

/// How much of the input an error shows.
const EXCERPT_CHARS: usize = 24;

/// An exposition that cannot be read. What stands before `line` was read well.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {kind}; found {found}")]
pub struct ParseError {
    /// The line, counted from 1.
    pub line: usize,
    /// The byte in the line, counted from 1.
    pub column: usize,
    /// What is wrong.
    pub kind: ParseErrorKind,
    /// What stands there.
    pub found: String,
}

impl ParseError {
    /// The entry at the beginning of `line` has more than `max` bytes.
    pub fn too_long(line: usize, max: usize, begins: &[u8]) -> Self {
        Self { line, column: 1, kind: ParseErrorKind::LineTooLong { max }, found: excerpt(begins) }
    }

    /// Something stands behind the end mark of OpenMetrics, whose line is `line`.
    pub fn behind_end_mark(line: usize) -> Self {
        Self { line, column: 6, kind: ParseErrorKind::DataAfterEof, found: excerpt(b"\n") }
    }

    /// The same error in a body that has so many lines before the input.
    #[must_use]
    pub const fn behind_lines(mut self, lines: usize) -> Self {
        self.line += lines;
        self
    }
}

/// What is wrong with an exposition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseErrorKind {
    /// A line begins with neither a metric name, `{` nor `#`; OpenMetrics has no empty lines.
    #[error("a line begins with a metric name, `{{` or `#`")]
    ExpectedEntry,
    /// Between braces stands something that is neither a label's name nor their end.
    #[error("expected a label name or `}}`; names of other characters than a-z, 0-9 and _ are quoted")]
    ExpectedLabelName,
    /// A label's name is not followed by `=`.
    #[error("expected `=` behind the label name")]
    ExpectedEquals,
    /// A label's value is not quoted.
    #[error("expected a label value in double quotes")]
    ExpectedLabelValue,
    /// A quoted text has no end.
    #[error("quoted text has no closing quote; write line breaks as \\n and quotes as \\\"")]
    UnclosedQuote,
    /// Labels are not separated.
    #[error("expected `,` or `}}` behind the label value")]
    ExpectedComma,
    /// A second metric name, or one where none may stand.
    #[error("a quoted metric name stands here, but there is one already, or none is allowed")]
    UnexpectedName,
    /// Labels without a metric name.
    #[error("series has no metric name; write it before `{{` or as the first quoted text behind it")]
    MissingName,
    /// No value behind the series or the exemplar's labels.
    #[error("expected a value, after a single space in OpenMetrics")]
    ExpectedValue,
    /// A value that is no number, or does not fit in 64 bits.
    #[error("expected a decimal number, NaN, +Inf or -Inf within the range of 64-bit floats")]
    BadNumber,
    /// A time that is none.
    #[error("expected a timestamp (milliseconds in the classic format, seconds in OpenMetrics)")]
    BadTimestamp,
    /// Something behind the end of an entry.
    #[error("expected the end of the line behind the value and timestamp")]
    ExpectedLineEnd,
    /// A `HELP`, `TYPE` or `UNIT` without a name.
    #[error("expected a metric name behind HELP, TYPE or UNIT")]
    ExpectedMetaName,
    /// A `HELP`, `TYPE` or `UNIT` without a text.
    #[error("expected a space and a text behind the metric name")]
    ExpectedMetaText,
    /// A type that the format does not have.
    #[error("unknown metric type (classic: counter, gauge, histogram, summary, untyped)")]
    UnknownType,
    /// A unit that the metric's name does not end in.
    #[error("the unit is not the last part of the metric name; OpenMetrics wants `NAME_UNIT`")]
    ForeignUnit,
    /// Text that is not UTF-8.
    #[error("text is not valid UTF-8")]
    InvalidUtf8,
    /// An entry longer than the limit.
    #[error("entry is longer than the limit of {max} bytes")]
    LineTooLong {
        /// The limit.
        max: usize,
    },
    /// OpenMetrics without its end mark: the body is cut off.
    #[error("the exposition does not end with `# EOF`; it was cut off, or is not OpenMetrics")]
    MissingEof,
    /// Something behind the end mark of OpenMetrics.
    #[error("expected nothing behind `# EOF`")]
    DataAfterEof,
}

/// An error at a byte of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    at: usize,
    kind: ParseErrorKind,
}

impl Fault {
    #[cold]
    pub(super) const fn new(at: usize, kind: ParseErrorKind) -> Self {
        Self { at, kind }
    }

    /// The error; lines are counted from the byte `from` on, at which one begins.
    #[cold]
    pub(super) fn locate(self, input: &[u8], from: usize) -> ParseError {
        let (before, rest) = input.split_at(self.at.min(input.len()));
        let before = &before[from.min(before.len())..];
        let line_start = memchr::memrchr(b'\n', before).map_or(0, |at| at + 1);
        ParseError {
            line: memchr::memchr_iter(b'\n', before).count() + 1,
            column: before.len() - line_start + 1,
            kind: self.kind,
            found: excerpt(rest),
        }
    }
}

fn excerpt(rest: &[u8]) -> String {
    if rest.is_empty() {
        return "the end".to_owned();
    }
    // Four bytes are the longest character.
    let text = String::from_utf8_lossy(&rest[..rest.len().min(4 * EXCERPT_CHARS)]);
    let line = text.split('\n').next().unwrap_or("");
    if line.is_empty() {
        return "the end of the line".to_owned();
    }
    let short: String = line.chars().take(EXCERPT_CHARS).collect();
    let more = if short.len() < line.len() { "…" } else { "" };
    format!("{short:?}{more}")
}
