//! `Series` and `RawExemplar`: labels as they were written, decoded when asked for. Both are made by
//! the parser only, from text that is well formed.

use super::value;
use skopos_model::{Exemplar, Labels, LabelsBuilder, name::METRIC_NAME};
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

    /// The series that was written as `text`, which is what `as_str` gave of one, or what is written in the
    /// same way.
    pub const fn again(text: &'a str) -> Self {
        Self(text)
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
        let quoted = Pairs { rest: labels }.find(|pair| pair.value.is_none());
        quoted.map_or(Cow::Borrowed(""), |pair| text_of(pair.name))
    }

    /// Sets the metric's name and all labels in `builder`, which holds none of them yet.
    ///
    /// # Errors
    /// When a label stands twice, or stands in the builder already; some may be set then.
    pub fn labels_into(self, builder: &mut LabelsBuilder) -> Result<(), DuplicateLabel> {
        let (name, labels) = self.split();
        if !name.is_empty() {
            self.insert(builder, METRIC_NAME, name)?;
        }
        for pair in (Pairs { rest: labels }) {
            let Some(value) = pair.value else {
                self.insert(builder, METRIC_NAME, &text_of(pair.name))?;
                continue;
            };
            if pair.is_plain {
                self.insert(builder, pair.name, value)?;
            } else {
                self.insert(builder, &text_of(pair.name), &unescape(value, true))?;
            }
        }
        Ok(())
    }

    /// The value of the label `name`.
    pub fn label(self, name: &str) -> Option<Cow<'a, str>> {
        let (_, labels) = self.split();
        let pair = Pairs { rest: labels }.find(|pair| pair.value.is_some() && text_of(pair.name) == name)?;
        pair.value.map(|value| unescape(value, true))
    }

    /// Writes the series of the metric `name` that has the same labels but `without` to `out`.
    pub fn renamed_into(self, name: &str, without: &str, out: &mut String) {
        let (unquoted, labels) = self.split();
        let quoted = unquoted.is_empty();
        out.push_str(if quoted { "{\"" } else { "" });
        if quoted {
            escape_into(name, out);
            out.push('"');
        } else {
            out.push_str(name);
        }
        let mut before = if quoted { "," } else { "{" };
        for pair in (Pairs { rest: labels }) {
            let Some(value) = pair.value.filter(|_| text_of(pair.name) != without) else { continue };
            for part in [before, pair.name, "=\"", value, "\""] {
                out.push_str(part);
            }
            before = ",";
        }
        if quoted || before == "," {
            out.push('}');
        }
    }

    /// Whether the label `name` is written, be it with an empty value.
    pub fn has_label(self, name: &str) -> bool {
        let (_, labels) = self.split();
        Pairs { rest: labels }.any(|pair| pair.value.is_some() && text_of(pair.name) == name)
    }

    #[inline]
    fn insert(self, builder: &mut LabelsBuilder, name: &str, value: &str) -> Result<(), DuplicateLabel> {
        if builder.insert(name, value) { Ok(()) } else { Err(self.duplicate(name)) }
    }

    #[cold]
    fn duplicate(self, label: &str) -> DuplicateLabel {
        DuplicateLabel { series: self.0.to_owned(), label: label.to_owned() }
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

/// An exemplar as it was written: `{label="value"} 1.5 1700000000.123`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawExemplar<'a> {
    raw: &'a str,
    /// How many bytes the labels have.
    labels_len: usize,
}

impl<'a> RawExemplar<'a> {
    pub(super) const fn new(raw: &'a str, labels_len: usize) -> Self {
        Self { raw, labels_len }
    }

    /// The exemplar as it was written.
    pub const fn as_str(self) -> &'a str {
        self.raw
    }

    /// The exemplar decoded. Of a label that stands twice the last value counts.
    pub fn decode(self) -> Exemplar {
        let pairs = Pairs { rest: self.raw.get(1..).unwrap_or("") };
        let labels = pairs.filter_map(|pair| Some((text_of(pair.name), unescape(pair.value?, true))));
        let mut numbers = self.raw.get(self.labels_len..).unwrap_or("").split_ascii_whitespace();
        let mut number = || value::float(numbers.next()?.as_bytes(), 0, b"").ok().map(|(v, _)| v);
        // The parser has read both numbers before.
        let value = number().expect("invariant: an exemplar has a value");
        let timestamp = number().and_then(value::millis_of_secs);
        Exemplar { labels: Labels::from_pairs(labels), value, timestamp }
    }
}

/// A label as it was written.
struct Pair<'a> {
    /// The name, with quotes if it has some.
    name: &'a str,
    /// What stands between the value's quotes; none behind the metric's name.
    value: Option<&'a str>,
    /// Whether neither has anything to decode.
    is_plain: bool,
}

/// Iterates over a label list from behind its opening brace. Ends where it is not well formed.
struct Pairs<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Pairs<'a> {
    type Item = Pair<'a>;

    #[inline]
    fn next(&mut self) -> Option<Pair<'a>> {
        let bytes = self.rest.as_bytes();
        let blanks = |mut at: usize| {
            while matches!(bytes.get(at), Some(b' ' | b'\t')) {
                at += 1;
            }
            at
        };
        let name_at = blanks(0);
        let mut is_plain = true;
        let name_end = match bytes.get(name_at)? {
            b'}' => return None,
            b'"' => {
                is_plain = false;
                closing_quote(bytes, name_at + 1).0 + 1
            }
            _ => {
                let mut end = name_at;
                while !matches!(bytes.get(end)?, b'=' | b' ' | b'\t') {
                    end += 1;
                }
                end
            }
        };
        let name = self.rest.get(name_at..name_end)?;
        let mut end = blanks(name_end);
        let mut value = None;
        if bytes.get(end) == Some(&b'=') {
            let value_at = blanks(end + 1) + 1;
            let (value_end, has_escapes) = closing_quote(bytes, value_at);
            value = Some(self.rest.get(value_at..value_end)?);
            is_plain &= !has_escapes;
            end = blanks(value_end + 1);
        }
        if bytes.get(end) == Some(&b',') {
            end += 1;
        }
        self.rest = self.rest.get(end..)?;
        Some(Pair { name, value, is_plain })
    }
}

/// Where the quote stands that closes the text which begins at `at`, and whether the text has
/// escapes.
#[inline]
fn closing_quote(text: &[u8], mut at: usize) -> (usize, bool) {
    let mut has_escapes = false;
    while let Some(b) = text.get(at).filter(|b| **b != b'"') {
        has_escapes |= *b == b'\\';
        at += if *b == b'\\' { 2 } else { 1 };
    }
    (at, has_escapes)
}

/// A name as it was meant.
#[inline]
pub(super) fn text_of(name: &str) -> Cow<'_, str> {
    match name.strip_prefix('"') {
        Some(quoted) => unescape(quoted.strip_suffix('"').unwrap_or(quoted), true),
        None => Cow::Borrowed(name),
    }
}

/// Appends a name or value as it stands between quotes.
pub fn escape_into(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some(at) = rest.find(['\\', '"', '\n']) {
        out.push_str(&rest[..at]);
        out.push_str(match rest.as_bytes()[at] {
            b'\\' => "\\\\",
            b'"' => "\\\"",
            _ => "\\n",
        });
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
}

/// Replaces `\\`, `\n` and, where `quotes` says so, `\"`. Any other backslash stands for itself.
#[inline]
pub(super) fn unescape(text: &str, quotes: bool) -> Cow<'_, str> {
    match memchr::memchr(b'\\', text.as_bytes()) {
        Some(first) => Cow::Owned(unescape_from(text, first, quotes)),
        None => Cow::Borrowed(text),
    }
}

#[cold]
fn unescape_from(text: &str, first: usize, quotes: bool) -> String {
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
    out
}
