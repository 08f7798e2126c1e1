//! Lines that begin with `#`: comments, help texts, types, units, and the end mark of OpenMetrics.

use super::error::{Fault, ParseErrorKind};
use super::series::{unescape, unquote};
use super::{Entry, Parser, scan};
use skopos_model::MetricType;
use std::borrow::Cow;

impl<'a> Parser<'a> {
    /// A comment, help text or type of the classic format.
    pub(super) fn classic_comment(&mut self, start: usize) -> Result<Entry<'a>, Fault> {
        let line_end = memchr::memchr(b'\n', &self.input[start..]).map_or(self.input.len(), |at| start + at);
        let keyword_at = scan::blanks(self.input, start + 1);
        let keyword = self.input.get(keyword_at..keyword_at + 4).unwrap_or(b"");
        let name_at = scan::blanks(self.input, keyword_at + 4);
        // Without blanks around the keyword it is a comment like any other.
        let is_meta = keyword_at > start + 1 && name_at > keyword_at + 4;
        let entry = match keyword {
            b"HELP" | b"TYPE" if is_meta => self.classic_meta(keyword == b"HELP", name_at, line_end)?,
            _ => {
                self.at = (line_end + 1).min(self.input.len());
                if self.text(start, line_end).is_err() {
                    self.validate_from(self.at);
                }
                return Ok(Entry::Comment(&self.input[start..line_end]));
            }
        };
        self.at = (line_end + 1).min(self.input.len());
        Ok(entry)
    }

    fn classic_meta(&self, is_help: bool, name_at: usize, line_end: usize) -> Result<Entry<'a>, Fault> {
        let (name, name_end) = self.meta_name(name_at, line_end)?;
        let rest = self.text(name_end, line_end)?;
        // Whatever stands behind the name separates it from the text.
        let text = rest.char_indices().nth(1).map_or("", |(second, _)| &rest[second..]);
        if is_help {
            return Ok(Entry::Help { name, text: unescape(text, false) });
        }
        let metric_type = match text {
            "untyped" => MetricType::Unknown,
            "counter" => MetricType::Counter,
            "gauge" => MetricType::Gauge,
            "histogram" => MetricType::Histogram,
            "summary" => MetricType::Summary,
            _ => return Err(Fault::new(line_end - text.len(), ParseErrorKind::UnknownType)),
        };
        Ok(Entry::Type { name, metric_type })
    }

    /// A help text, type or unit of OpenMetrics; none at the end mark.
    pub(super) fn open_metrics_comment(&mut self, start: usize) -> Result<Option<Entry<'a>>, Fault> {
        let line = &self.input[start..];
        if let Some(rest) = line.strip_prefix(b"# EOF") {
            return match rest {
                b"" | b"\n" => Ok(None),
                _ => Err(Fault::new(start + 5, ParseErrorKind::DataAfterEof)),
            };
        }
        let keyword = line.get(..7).unwrap_or(line);
        if !matches!(keyword, b"# HELP " | b"# TYPE " | b"# UNIT ") {
            return Err(Fault::new(start, ParseErrorKind::ExpectedEntry));
        }
        let line_end = memchr::memchr(b'\n', line).map_or(self.input.len(), |at| start + at);
        let (name, name_end) = self.meta_name(start + 7, line_end)?;
        if self.input.get(name_end) != Some(&b' ') {
            return Err(Fault::new(name_end, ParseErrorKind::ExpectedMetaText));
        }
        if line_end == self.input.len() {
            return Err(Fault::new(line_end, ParseErrorKind::MissingEof));
        }
        let text = self.text(name_end + 1, line_end)?;
        self.at = line_end + 1;
        let fault = |kind| Err(Fault::new(name_end + 1, kind));
        Ok(Some(match keyword {
            b"# HELP " => Entry::Help { name, text: unescape(text, true) },
            b"# TYPE " => match MetricType::from_name(text).filter(|_| text != "untyped") {
                Some(metric_type) => Entry::Type { name, metric_type },
                None => return fault(ParseErrorKind::UnknownType),
            },
            _ => {
                let is_part = name.strip_suffix(text).is_some_and(|before| before.ends_with('_'));
                if !text.is_empty() && !is_part {
                    return fault(ParseErrorKind::ForeignUnit);
                }
                Entry::Unit { name, unit: text }
            }
        }))
    }

    /// The name behind a keyword, quoted or not, and where it ends.
    fn meta_name(&self, at: usize, line_end: usize) -> Result<(Cow<'a, str>, usize), Fault> {
        let missing = Fault::new(at, ParseErrorKind::ExpectedMetaName);
        if self.input.get(at) == Some(&b'"') {
            let end = scan::quoted(self.input, at, false)?;
            return Ok((unquote(self.text(at, end)?), end));
        }
        let end = scan::metric_name(self.input, at);
        if end == at || end > line_end {
            return Err(missing);
        }
        Ok((Cow::Borrowed(self.text(at, end)?), end))
    }
}
