//! `Series` and `RawExemplar`: labels as they were written, decoded when asked for. Both are made by
//! the parser only, from text that is well formed.

use skopos_model::{Exemplar, Labels, LabelsBuilder, TimestampMs, name::METRIC_NAME};
use std::{borrow::Cow, fmt};

/// A series as it was written: `name{label="value"}`. The same bytes always mean the same labels, so
/// they can be the key of a cache.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Series<'a>(&'a str);

/// A series has two labels of one name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("series {series} has the label {label:?} twice; each label may stand once")]
pub struct DuplicateLabel {
    /// The series as it was written.
    pub series: String,
    /// The label's name.
    pub label: String,
}

impl<'a> Series<'a> {
    pub(super) const fn new(raw: &'a str) -> Self {
        Self(raw)
    }

    /// The series as it was written.
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// The bytes of the series as it was written.
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0.as_bytes()
    }

    /// The metric's name.
    pub fn metric_name(self) -> Cow<'a, str> {
        let (name, labels) = self.split();
        if !name.is_empty() {
            return Cow::Borrowed(name);
        }
        let quoted = Pairs { rest: labels }.find_map(|(name, value)| value.is_none().then_some(name));
        quoted.map_or(Cow::Borrowed(""), text_of)
    }

    /// Sets the metric's name and all labels in `builder`, which holds none of them yet.
    ///
    /// # Errors
    /// When a label stands twice, or stands in the builder already; some may be set then.
    pub fn labels_into(self, builder: &mut LabelsBuilder) -> Result<(), DuplicateLabel> {
        let (name, labels) = self.split();
        if !name.is_empty() {
            self.set(builder, METRIC_NAME, name)?;
        }
        for (name, value) in (Pairs { rest: labels }) {
            match value {
                Some(value) => self.set(builder, &text_of(name), &unescape(value, true))?,
                None => self.set(builder, METRIC_NAME, &text_of(name))?,
            }
        }
        Ok(())
    }

    /// Whether the label `name` is written, be it with an empty value.
    pub fn has_label(self, name: &str) -> bool {
        let (_, labels) = self.split();
        Pairs { rest: labels }.any(|(n, value)| value.is_some() && text_of(n) == name)
    }

    fn set(self, builder: &mut LabelsBuilder, name: &str, value: &str) -> Result<(), DuplicateLabel> {
        if builder.get(name).is_some() {
            return Err(DuplicateLabel { series: self.0.to_owned(), label: name.to_owned() });
        }
        builder.set(name, value);
        Ok(())
    }

    /// The name before the brace, and what stands behind the brace.
    fn split(self) -> (&'a str, &'a str) {
        match memchr::memchr(b'{', self.0.as_bytes()) {
            Some(open) => (self.0[..open].trim_ascii_end(), &self.0[open + 1..]),
            None => (self.0, ""),
        }
    }
}

impl fmt::Debug for Series<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0, f)
    }
}

/// An exemplar whose labels stand as they were written.
#[derive(Clone, Copy, Debug)]
pub struct RawExemplar<'a> {
    labels: &'a str,
    /// The observed value.
    pub value: f64,
    /// When it was observed, when the target says so.
    pub timestamp: Option<TimestampMs>,
}

/// Equal when all parts are; NaN equals NaN.
impl PartialEq for RawExemplar<'_> {
    fn eq(&self, other: &Self) -> bool {
        (self.labels, self.timestamp) == (other.labels, other.timestamp)
            && self.value.to_bits() == other.value.to_bits()
    }
}

impl<'a> RawExemplar<'a> {
    pub(super) const fn new(labels: &'a str, value: f64, timestamp: Option<TimestampMs>) -> Self {
        Self { labels, value, timestamp }
    }

    /// The exemplar with its labels decoded. Of a label that stands twice the last value counts.
    pub fn decode(&self) -> Exemplar {
        let pairs = Pairs { rest: &self.labels[1..] };
        let labels = pairs.filter_map(|(name, value)| Some((text_of(name), unescape(value?, true))));
        Exemplar { labels: Labels::from_pairs(labels), value: self.value, timestamp: self.timestamp }
    }
}

/// Iterates over a label list from behind its opening brace: names, quoted or not, and what stands
/// between the values' quotes. A name without a value is the metric's. Ends where the list is not
/// well formed.
struct Pairs<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a str, Option<&'a str>);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest.trim_ascii_start();
        let name_end = match rest.as_bytes().first()? {
            b'}' => return None,
            b'"' => closing_quote(rest.as_bytes(), 1) + 1,
            _ => rest.bytes().position(|b| matches!(b, b'=' | b' ' | b'\t'))?,
        };
        let (name, rest) = rest.split_at_checked(name_end)?;
        let mut rest = rest.trim_ascii_start();
        let mut value = None;
        if let Some(behind) = rest.strip_prefix('=') {
            let quoted = behind.trim_ascii_start();
            let end = closing_quote(quoted.as_bytes(), 1);
            value = Some(quoted.get(1..end)?);
            rest = quoted.get(end + 1..)?.trim_ascii_start();
        }
        self.rest = rest.strip_prefix(',').unwrap_or(rest);
        Some((name, value))
    }
}

/// Where the quote stands that closes the text which begins at `at`.
fn closing_quote(text: &[u8], mut at: usize) -> usize {
    while let Some(b) = text.get(at).filter(|b| **b != b'"') {
        at += if *b == b'\\' { 2 } else { 1 };
    }
    at
}

/// A name as it was meant.
fn text_of(name: &str) -> Cow<'_, str> {
    if name.starts_with('"') { unquote(name) } else { Cow::Borrowed(name) }
}

/// What stands between quotes, without escapes.
pub(super) fn unquote(quoted: &str) -> Cow<'_, str> {
    unescape(quoted.get(1..quoted.len() - 1).unwrap_or(""), true)
}

/// Replaces `\\`, `\n` and, where `quotes` says so, `\"`. Any other backslash stands for itself.
pub(super) fn unescape(text: &str, quotes: bool) -> Cow<'_, str> {
    let Some(first) = memchr::memchr(b'\\', text.as_bytes()) else { return Cow::Borrowed(text) };
    let mut out = String::with_capacity(text.len());
    out.push_str(&text[..first]);
    let mut chars = text[first..].chars();
    while let Some(c) = chars.next() {
        let replaced = match (c, chars.as_str().as_bytes().first()) {
            ('\\', Some(b'\\')) => '\\',
            ('\\', Some(b'n')) => '\n',
            ('\\', Some(b'"')) if quotes => '"',
            _ => {
                out.push(c);
                continue;
            }
        };
        out.push(replaced);
        chars.next();
    }
    Cow::Owned(out)
}
