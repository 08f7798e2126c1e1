//! Lines that begin with `#`: comments, help texts, types, units, and the end mark of OpenMetrics.

use super::error::{Fault, ParseError, ParseErrorKind};
use super::series::{text_of, unescape};
use super::{Entry, Parser, scan};
use crate::Format;
use skopos_model::MetricType;
use std::borrow::Cow;

/// What a line says, still as it was written.
enum Meta<'a> {
    Help { name: &'a str, text: &'a str, has_escapes: bool },
    Type { name: &'a str, metric_type: MetricType },
    Unit { name: &'a str, unit: &'a str },
    Comment(&'a [u8]),
}

impl<'a> Parser<'a> {
    /// A comment, help text or type of the classic format.
    pub(super) fn classic_comment(&mut self) -> Result<Entry<'a>, ParseError> {
        let start = self.at;
        let meta = self.classic_line(start);
        self.give_meta(start, meta)
    }

    /// A help text, type or unit of OpenMetrics; none at the end mark.
    pub(super) fn open_metrics_comment(&mut self) -> Option<Result<Entry<'a>, ParseError>> {
        let start = self.at;
        if matches!(&self.input[start..], b"# EOF" | b"# EOF\n") {
            self.done = true;
            return None;
        }
        let meta = self.open_metrics_line(start);
        Some(self.give_meta(start, meta))
    }

    #[inline(always)]
    fn give_meta(&mut self, start: usize, meta: Result<Meta<'a>, Fault>) -> Result<Entry<'a>, ParseError> {
        let with_quotes = self.format == Format::OpenMetrics;
        let meta = match meta {
            Ok(meta) if self.at - start <= self.max_line_bytes => meta,
            Ok(_) => return Err(self.fail(start, self.too_long(start))),
            Err(fault) => return Err(self.fail(start, fault)),
        };
        Ok(match meta {
            Meta::Help { name, text, has_escapes: false } => {
                Entry::Help { name: text_of(name), text: Cow::Borrowed(text) }
            }
            Meta::Help { name, text, .. } => {
                Entry::Help { name: text_of(name), text: unescape(text, with_quotes) }
            }
            Meta::Type { name, metric_type } => Entry::Type { name: text_of(name), metric_type },
            Meta::Unit { name, unit } => Entry::Unit { name: text_of(name), unit },
            Meta::Comment(text) => Entry::Comment(text),
        })
    }

    #[inline(always)]
    fn classic_line(&mut self, start: usize) -> Result<Meta<'a>, Fault> {
        let keyword_at = scan::blanks(self.input, start + 1);
        let keyword = self.input.get(keyword_at..keyword_at + 4).unwrap_or(b"");
        let is_help = keyword == b"HELP";
        // Without blanks around the keyword it is a comment like any other.
        if keyword_at > start + 1 && (is_help || keyword == b"TYPE") {
            let name_at = scan::blanks(self.input, keyword_at + 4);
            if name_at > keyword_at + 4 {
                return self.classic_meta(is_help, name_at);
            }
        }
        let line_end = self.line_end(start);
        self.at = (line_end + 1).min(self.input.len());
        if self.text(start, line_end).is_err() {
            self.validate_from(self.at);
        }
        Ok(Meta::Comment(&self.input[start..line_end]))
    }

    #[inline(always)]
    fn classic_meta(&mut self, is_help: bool, name_at: usize) -> Result<Meta<'a>, Fault> {
        let name_end = self.meta_name(name_at)?;
        let (line_end, has_escapes) = self.text_end(name_end);
        self.at = (line_end + 1).min(self.input.len());
        let name = self.text(name_at, name_end)?;
        let rest = self.text(name_end, line_end)?;
        // Whatever stands behind the name separates it from the text.
        let mut behind = rest.chars();
        behind.next();
        let text = behind.as_str();
        if is_help {
            return Ok(Meta::Help { name, text, has_escapes });
        }
        let metric_type = match text {
            "untyped" => MetricType::Unknown,
            "counter" => MetricType::Counter,
            "gauge" => MetricType::Gauge,
            "histogram" => MetricType::Histogram,
            "summary" => MetricType::Summary,
            _ => return Err(Fault::new(line_end - text.len(), ParseErrorKind::UnknownType)),
        };
        Ok(Meta::Type { name, metric_type })
    }

    #[inline(always)]
    fn open_metrics_line(&mut self, start: usize) -> Result<Meta<'a>, Fault> {
        let line = &self.input[start..];
        let keyword = line.get(..7).unwrap_or(line);
        if !matches!(keyword, b"# HELP " | b"# TYPE " | b"# UNIT ") {
            return match line.strip_prefix(b"# EOF") {
                Some(_) => Err(Fault::new(start + 5, ParseErrorKind::DataAfterEof)),
                None => Err(Fault::new(start, ParseErrorKind::ExpectedEntry)),
            };
        }
        let name_at = start + keyword.len();
        let name_end = self.meta_name(name_at)?;
        let (line_end, has_escapes) = self.text_end(name_end);
        if self.input.get(name_end) != Some(&b' ') {
            return Err(Fault::new(name_end, ParseErrorKind::ExpectedMetaText));
        }
        if line_end == self.input.len() {
            return Err(Fault::new(line_end, ParseErrorKind::MissingEof));
        }
        let name = self.text(name_at, name_end)?;
        let text = self.text(name_end + 1, line_end)?;
        self.at = line_end + 1;
        let fault = |kind| Err(Fault::new(name_end + 1, kind));
        match keyword {
            b"# HELP " => Ok(Meta::Help { name, text, has_escapes }),
            b"# TYPE " => match MetricType::from_name(text).filter(|_| text != "untyped") {
                Some(metric_type) => Ok(Meta::Type { name, metric_type }),
                None => fault(ParseErrorKind::UnknownType),
            },
            _ => {
                let unquoted = text_of(name);
                let is_part = unquoted.strip_suffix(text).is_some_and(|before| before.ends_with('_'));
                if text.is_empty() || is_part {
                    Ok(Meta::Unit { name, unit: text })
                } else {
                    fault(ParseErrorKind::ForeignUnit)
                }
            }
        }
    }

    #[inline(always)]
    fn line_end(&self, at: usize) -> usize {
        memchr::memchr(b'\n', &self.input[at..]).map_or(self.input.len(), |len| at + len)
    }

    /// Where the line ends, and whether there is a backslash before.
    #[inline(always)]
    fn text_end(&self, at: usize) -> (usize, bool) {
        match memchr::memchr2(b'\n', b'\\', &self.input[at..]) {
            Some(len) if self.input[at + len] == b'\n' => (at + len, false),
            Some(len) => (self.line_end(at + len), true),
            None => (self.input.len(), false),
        }
    }

    /// Where the name behind a keyword ends, quoted or not.
    #[inline(always)]
    fn meta_name(&self, at: usize) -> Result<usize, Fault> {
        if self.input.get(at) == Some(&b'"') {
            return scan::quoted(self.input, at, false);
        }
        let end = scan::metric_name(self.input, at);
        if end == at { Err(Fault::new(at, ParseErrorKind::ExpectedMetaName)) } else { Ok(end) }
    }
}
