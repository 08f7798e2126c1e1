//! `Parser`: reads an exposition entry by entry, borrowing the input. Never allocates for a sample,
//! never looks for series that stand twice, and never guesses: what it accepts is what Prometheus
//! accepts, with the differences that `docs/formats/exposition.md` names.

mod error;
mod known;
mod meta;
mod scan;
mod series;
mod value;

pub use error::{ParseError, ParseErrorKind};
pub use known::MetaLines;
pub use series::{DuplicateLabel, RawExemplar, Series, escape_into};

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

/// Reads the entries of one exposition. Ends behind the last entry or behind the first error, unless its line
/// is passed over then.
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
    /// Whether something follows that is not in `input`.
    more_follows: bool,
    done: bool,
    /// Where the entry began that cannot be read.
    failed_at: usize,
    /// A line's begin from which lines are counted, and how many stand before it.
    counted_from: usize,
    lines_before: usize,
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
            more_follows: false,
            done: false,
            failed_at: 0,
            counted_from: 0,
            lines_before: 0,
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

    /// Says that the input ends behind a line, and that further lines of the body may follow: so that it
    /// ends there is no error.
    #[must_use]
    pub const fn with_more_to_come(mut self) -> Self {
        self.more_follows = true;
        self
    }

    /// Where the next entry begins; behind an error in a quoted text, the entry that has it.
    pub const fn position(&self) -> usize {
        self.at
    }

    /// Whether the end mark of OpenMetrics was read. Means nothing behind an error.
    pub const fn is_at_end_mark(&self) -> bool {
        self.done
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
            let sample = self.rest_of_sample(start, end);
            return Some(self.give_sample(start, sample));
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
    #[inline(always)]
    fn text(&self, start: usize, end: usize) -> Result<&'a str, Fault> {
        match self.valid.get(start - self.valid_from..end - self.valid_from) {
            Some(text) => Ok(text),
            None => Err(Fault::new(self.valid_from + self.valid.len(), ParseErrorKind::InvalidUtf8)),
        }
    }

    /// Makes the item of the sample that began at `start`. Items are made in one place each, at the
    /// end, so that they are written once, where the caller wants them.
    #[inline(always)]
    fn give_sample(
        &mut self,
        start: usize,
        sample: Result<Sample<'a>, Fault>,
    ) -> Result<Entry<'a>, ParseError> {
        match sample {
            Ok(sample) if self.at - start <= self.max_line_bytes => Ok(Entry::Sample(sample)),
            Ok(_) => Err(self.fail(start, self.too_long(start))),
            Err(fault) => Err(self.fail(start, fault)),
        }
    }

    #[cold]
    const fn too_long(&self, start: usize) -> Fault {
        Fault::new(start, ParseErrorKind::LineTooLong { max: self.max_line_bytes })
    }

    /// Ends reading with an error of the entry that began at `start`.
    #[cold]
    fn fail(&mut self, start: usize, fault: Fault) -> ParseError {
        self.done = true;
        self.failed_at = start;
        let mut error = fault.locate(self.input, self.counted_from);
        error.line += self.lines_before;
        error
    }

    /// Behind an error: goes on with the line that follows the one where what cannot be read began.
    #[cold]
    pub fn pass_over_line(&mut self) {
        let end = memchr::memchr(b'\n', &self.input[self.failed_at..]).map(|end| self.failed_at + end + 1);
        self.at = end.unwrap_or(self.input.len());
        self.lines_before += memchr::memchr_iter(b'\n', &self.input[self.counted_from..self.at]).count();
        self.counted_from = self.at;
        if self.at > self.valid_from + self.valid.len() {
            self.validate_from(self.at);
        }
        self.done = false;
    }

    /// The next entry of the classic format.
    fn next_classic(&mut self) -> Option<Result<Entry<'a>, ParseError>> {
        let start = loop {
            match self.input.get(self.at)? {
                b'\n' | b' ' | b'\t' => self.at += 1,
                b'#' => return Some(self.classic_comment()),
                _ => break self.at,
            }
        };
        let sample = self.classic_sample(start);
        Some(self.give_sample(start, sample))
    }

    /// The next entry of OpenMetrics.
    fn next_open_metrics(&mut self) -> Option<Result<Entry<'a>, ParseError>> {
        if self.input.get(self.at) == Some(&b'#') {
            return self.open_metrics_comment();
        }
        let start = self.at;
        if self.more_follows && start == self.input.len() {
            return None;
        }
        let sample = self.open_metrics_sample(start);
        Some(self.give_sample(start, sample))
    }

    #[inline(always)]
    fn classic_sample(&mut self, start: usize) -> Result<Sample<'a>, Fault> {
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

    #[inline(always)]
    fn open_metrics_sample(&mut self, start: usize) -> Result<Sample<'a>, Fault> {
        if start == self.input.len() {
            return Err(Fault::new(start, ParseErrorKind::MissingEof));
        }
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
    #[inline(always)]
    fn rest_of_sample(&mut self, start: usize, end: usize) -> Result<Sample<'a>, Fault> {
        let series = Series::new(self.text(start, end)?);
        let (value, timestamp, exemplar) = match self.format {
            Format::Text => {
                let (value, timestamp) = self.classic_rest(end)?;
                (value, timestamp, None)
            }
            Format::OpenMetrics => self.open_metrics_rest(end)?,
        };
        Ok(Sample { series, value, timestamp, exemplar })
    }

    #[inline(always)]
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

    #[inline(always)]
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
            (_, at) = self.spaced_float(labels_end, ParseErrorKind::ExpectedValue)?;
            if self.input.get(at) == Some(&b' ') {
                (_, at) = self.spaced_seconds(at)?;
            }
            exemplar = Some(RawExemplar::new(self.text(start, at)?, labels_end - start));
        }
        match self.input.get(at) {
            Some(b'\n') => self.at = at + 1,
            None => return Err(Fault::new(at, ParseErrorKind::MissingEof)),
            Some(_) => return Err(Fault::new(at, ParseErrorKind::ExpectedLineEnd)),
        }
        Ok((value, timestamp, exemplar))
    }

    /// A space and a number.
    #[inline(always)]
    fn spaced_float(&self, at: usize, missing: ParseErrorKind) -> Result<(f64, usize), Fault> {
        if self.input.get(at) != Some(&b' ') {
            return Err(Fault::new(at, missing));
        }
        value::float(self.input, at + 1, b" \n")
    }

    /// A space and a time in seconds.
    fn spaced_seconds(&self, at: usize) -> Result<(TimestampMs, usize), Fault> {
        let (secs, end) = self.spaced_float(at, ParseErrorKind::BadTimestamp)?;
        match value::millis_of_secs(secs) {
            Some(timestamp) => Ok((timestamp, end)),
            None => Err(Fault::new(at + 1, ParseErrorKind::BadTimestamp)),
        }
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
