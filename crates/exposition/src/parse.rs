//! `Parser`: reads an exposition entry by entry, borrowing the input. Never allocates for a sample,
//! never looks for series that stand twice, and never guesses: what it accepts is what Prometheus
//! accepts, with the differences that `docs/formats/exposition.md` names.

mod error;
mod meta;
mod scan;
mod series;
mod value;

pub use error::{ParseError, ParseErrorKind};
pub use series::{DuplicateLabel, RawExemplar, Series};

use crate::Format;
use error::Fault;
use scan::NameRule;
use skopos_model::{MetricType, TimestampMs};
use std::borrow::Cow;

/// The longest entry that is read unless the caller says otherwise. Real ones have some hundred
/// bytes; the limit keeps a broken target from filling the store with one label.
pub const DEFAULT_MAX_LINE_BYTES: usize = 1 << 20;

/// One entry of an exposition.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry<'a> {
    /// What a metric family means, in words.
    Help {
        /// The family's name.
        name: Cow<'a, str>,
        /// The text, without escapes.
        text: Cow<'a, str>,
    },
    /// The type of a metric family.
    Type {
        /// The family's name.
        name: Cow<'a, str>,
        /// The type.
        metric_type: MetricType,
    },
    /// The unit of a metric family (OpenMetrics).
    Unit {
        /// The family's name.
        name: Cow<'a, str>,
        /// The unit; empty for none.
        unit: &'a str,
    },
    /// A comment that means nothing, from its `#` to the end of the line (classic format). It need
    /// not be UTF-8.
    Comment(&'a [u8]),
    /// A sample.
    Sample(Sample<'a>),
}

/// A value of a series.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    /// The series as it was written; decoded when asked for.
    pub series: Series<'a>,
    /// The value. A NaN is always the same one, never the staleness marker.
    pub value: f64,
    /// When it was observed, when the target says so.
    pub timestamp: Option<TimestampMs>,
    /// An observation behind the value (OpenMetrics).
    pub exemplar: Option<RawExemplar<'a>>,
}

/// Equal when all parts are; NaN equals NaN.
impl PartialEq for Sample<'_> {
    fn eq(&self, other: &Self) -> bool {
        (self.series, self.timestamp, self.exemplar) == (other.series, other.timestamp, other.exemplar)
            && self.value.to_bits() == other.value.to_bits()
    }
}

/// Reads the entries of one exposition. Ends behind the last entry or behind the first error.
#[derive(Clone, Debug)]
pub struct Parser<'a> {
    format: Format,
    input: &'a [u8],
    /// The next byte to read.
    at: usize,
    /// The input from `valid_from` on, as far as it is UTF-8.
    valid: &'a str,
    valid_from: usize,
    max_line_bytes: usize,
    done: bool,
}

impl<'a> Parser<'a> {
    /// Reads `input`, the whole body of a response.
    pub fn new(format: Format, input: &'a [u8]) -> Self {
        let mut parser = Self {
            format,
            input,
            at: 0,
            valid: "",
            valid_from: 0,
            max_line_bytes: DEFAULT_MAX_LINE_BYTES,
            done: false,
        };
        parser.validate_from(0);
        parser
    }

    /// Refuses entries of more than `max` bytes.
    #[must_use]
    pub const fn with_max_line_bytes(mut self, max: usize) -> Self {
        self.max_line_bytes = max;
        self
    }

    /// Reads the next entry as `next` does, faster if it is a sample of the series that was written
    /// as `expected`: then the series is compared instead of being read.
    ///
    /// `expected` has to be what `Series::as_bytes` gave for a sample of the same format.
    #[inline]
    pub fn next_expecting(&mut self, expected: &[u8]) -> Option<Result<Entry<'a>, ParseError>> {
        let start = self.at;
        let end = start + expected.len();
        // A brace may still follow blanks in the classic format: then the series goes on.
        if !expected.is_empty()
            && !self.done
            && self.input[start..].starts_with(expected)
            && self.input.get(end) == Some(&b' ')
            && self.input.get(end + 1).is_some_and(|b| !matches!(b, b'{' | b' ' | b'\t'))
        {
            let result = self.rest_of_sample(start, end);
            return Some(self.finish(start, result));
        }
        self.next()
    }

    fn validate_from(&mut self, at: usize) {
        let rest = &self.input[at..];
        self.valid_from = at;
        self.valid = match std::str::from_utf8(rest) {
            Ok(valid) => valid,
            Err(e) => std::str::from_utf8(&rest[..e.valid_up_to()]).unwrap_or(""),
        };
    }

    /// The input from `start` to `end` as text.
    #[inline]
    fn text(&self, start: usize, end: usize) -> Result<&'a str, Fault> {
        match self.valid.get(start - self.valid_from..end - self.valid_from) {
            Some(text) => Ok(text),
            None => Err(Fault::new(self.valid_from + self.valid.len(), ParseErrorKind::InvalidUtf8)),
        }
    }

    /// Turns the result for the entry that began at `start` into what the caller sees.
    #[inline]
    fn finish(&mut self, start: usize, result: Result<Entry<'a>, Fault>) -> Result<Entry<'a>, ParseError> {
        let checked = match result {
            Ok(entry) if self.at - start <= self.max_line_bytes => return Ok(entry),
            Ok(_) => Err(Fault::new(start, ParseErrorKind::LineTooLong { max: self.max_line_bytes })),
            Err(fault) => Err(fault),
        };
        self.done = true;
        checked.map_err(|fault| fault.locate(self.input))
    }

    /// The next entry of the classic format.
    fn next_classic(&mut self) -> Option<Result<Entry<'a>, ParseError>> {
        loop {
            let start = self.at;
            let result = match *self.input.get(start)? {
                b'\n' | b' ' | b'\t' => {
                    self.at += 1;
                    continue;
                }
                b'#' => self.classic_comment(start),
                _ => self.classic_sample(start),
            };
            return Some(self.finish(start, result));
        }
    }

    /// The next entry of OpenMetrics.
    fn next_open_metrics(&mut self) -> Option<Result<Entry<'a>, ParseError>> {
        let start = self.at;
        let result = match self.input.get(start) {
            None => Err(Fault::new(start, ParseErrorKind::MissingEof)),
            Some(b'#') => match self.open_metrics_comment(start) {
                Ok(Some(entry)) => Ok(entry),
                Ok(None) => {
                    self.done = true;
                    return None;
                }
                Err(fault) => Err(fault),
            },
            Some(_) => self.open_metrics_sample(start),
        };
        Some(self.finish(start, result))
    }

    #[inline]
    fn classic_sample(&mut self, start: usize) -> Result<Entry<'a>, Fault> {
        let name_end = scan::metric_name(self.input, start);
        let open = scan::blanks(self.input, name_end);
        let has_labels = self.input.get(open) == Some(&b'{');
        let end = match (name_end > start, has_labels) {
            (true, true) => scan::labels::<false>(self.input, open + 1, NameRule::Given)?,
            (false, true) => scan::labels::<false>(self.input, open + 1, NameRule::Wanted)?,
            (true, false) => name_end,
            (false, false) => return Err(Fault::new(start, ParseErrorKind::ExpectedEntry)),
        };
        self.rest_of_sample(start, end)
    }

    #[inline]
    fn open_metrics_sample(&mut self, start: usize) -> Result<Entry<'a>, Fault> {
        let name_end = scan::metric_name(self.input, start);
        let has_labels = self.input.get(name_end) == Some(&b'{');
        let end = match (name_end > start, has_labels) {
            (true, true) => scan::labels::<true>(self.input, name_end + 1, NameRule::Given)?,
            (false, true) => scan::labels::<true>(self.input, name_end + 1, NameRule::Wanted)?,
            (true, false) => name_end,
            (false, false) => return Err(Fault::new(start, ParseErrorKind::ExpectedEntry)),
        };
        self.rest_of_sample(start, end)
    }

    /// Reads what stands behind the series that goes from `start` to `end`.
    #[inline]
    fn rest_of_sample(&mut self, start: usize, end: usize) -> Result<Entry<'a>, Fault> {
        let series = Series::new(self.text(start, end)?);
        let (value, timestamp, exemplar) = match self.format {
            Format::Text => {
                let (value, timestamp) = self.classic_rest(end)?;
                (value, timestamp, None)
            }
            Format::OpenMetrics => self.open_metrics_rest(end)?,
        };
        Ok(Entry::Sample(Sample { series, value, timestamp, exemplar }))
    }

    #[inline]
    fn classic_rest(&mut self, end: usize) -> Result<(f64, Option<TimestampMs>), Fault> {
        let (value, end) = value::float(self.input, scan::blanks(self.input, end), b"{ \t\n")?;
        let mut at = scan::blanks(self.input, end);
        let mut timestamp = None;
        if self.input.get(at).is_some_and(u8::is_ascii_digit) {
            let (ms, end) = value::digits(self.input, at)?;
            timestamp = Some(TimestampMs::new(ms));
            at = scan::blanks(self.input, end);
        }
        // The last line may lack its end.
        match self.input.get(at) {
            Some(b'\n') => self.at = at + 1,
            None => self.at = at,
            Some(_) => return Err(Fault::new(at, ParseErrorKind::ExpectedLineEnd)),
        }
        Ok((value, timestamp))
    }

    #[inline]
    fn open_metrics_rest(
        &mut self,
        end: usize,
    ) -> Result<(f64, Option<TimestampMs>, Option<RawExemplar<'a>>), Fault> {
        let (value, mut at) = self.spaced_float(end, ParseErrorKind::ExpectedValue)?;
        let mut timestamp = None;
        if self.input.get(at) == Some(&b' ') && !self.input[at..].starts_with(b" # {") {
            let (ms, end) = self.spaced_seconds(at)?;
            timestamp = Some(ms);
            at = end;
        }
        let mut exemplar = None;
        if self.input[at..].starts_with(b" # {") {
            let start = at + 3;
            let labels_end = scan::labels::<true>(self.input, start + 1, NameRule::Forbidden)?;
            let (value, mut end) = self.spaced_float(labels_end, ParseErrorKind::ExpectedValue)?;
            let mut timestamp = None;
            if self.input.get(end) == Some(&b' ') {
                let (ms, timestamp_end) = self.spaced_seconds(end)?;
                timestamp = Some(ms);
                end = timestamp_end;
            }
            exemplar = Some(RawExemplar::new(self.text(start, labels_end)?, value, timestamp));
            at = end;
        }
        match self.input.get(at) {
            Some(b'\n') => self.at = at + 1,
            None => return Err(Fault::new(at, ParseErrorKind::MissingEof)),
            Some(_) => return Err(Fault::new(at, ParseErrorKind::ExpectedLineEnd)),
        }
        Ok((value, timestamp, exemplar))
    }

    /// A space and a number.
    #[inline]
    fn spaced_float(&self, at: usize, missing: ParseErrorKind) -> Result<(f64, usize), Fault> {
        if self.input.get(at) != Some(&b' ') {
            return Err(Fault::new(at, missing));
        }
        value::float(self.input, at + 1, b" \n")
    }

    /// A space and a time in seconds.
    fn spaced_seconds(&self, at: usize) -> Result<(TimestampMs, usize), Fault> {
        let (secs, end) = self.spaced_float(at, ParseErrorKind::BadTimestamp)?;
        let ms = secs * 1000.0;
        // Beyond 2^63 there are no milliseconds; NaN is no time either.
        if ms.is_nan() || ms.abs() >= 9.2e18 {
            return Err(Fault::new(at + 1, ParseErrorKind::BadTimestamp));
        }
        Ok((TimestampMs::new(ms as i64), end))
    }
}

impl<'a> Iterator for Parser<'a> {
    type Item = Result<Entry<'a>, ParseError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        match self.format {
            Format::Text => self.next_classic(),
            Format::OpenMetrics => self.next_open_metrics(),
        }
    }
}

impl std::iter::FusedIterator for Parser<'_> {}
