//! `TextWriter`: writes metric families in either text format into a buffer that the caller keeps.
//! Never sorts and never looks for series that stand twice: that is the caller's order.

use crate::Format;
use foldhash::HashSet;
use skopos_model::name::{BUCKET_LABEL, is_classic_label_name, is_classic_metric_name};
use skopos_model::{MetricType, TimestampMs, float};
use std::io::Write;

/// A family or sample that cannot be written; nothing of it is in the buffer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// All samples of a family stand together, so its name may be used once.
    #[error("metric family {name:?} is begun twice; write all its samples in one go")]
    FamilyRepeated {
        /// The family's name.
        name: String,
    },
    /// A metric or a label without a name.
    #[error("a {what} name is empty (metric family {family:?}); give it one")]
    EmptyName {
        /// What has no name.
        what: &'static str,
        /// The family that is being written.
        family: String,
    },
    /// A sample before any family.
    #[error("sample with the suffix {suffix:?} stands before any metric family; begin its family first")]
    NoFamily {
        /// The sample's suffix.
        suffix: String,
    },
    /// A sample that metrics of this type do not have.
    #[error("metric family {family:?} is a {metric_type}: it has no samples with the suffix {suffix:?}")]
    ForeignSuffix {
        /// The family's name.
        family: String,
        /// The family's type.
        metric_type: MetricType,
        /// The sample's suffix.
        suffix: String,
    },
}

/// Labels that were written once, for series that are written again and again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PreparedLabels(Vec<u8>);

impl PreparedLabels {
    /// The labels in the order given. Each name may stand once; one without a name is left out.
    pub fn new<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut text = Vec::new();
        for (name, value) in labels.into_iter().filter(|(name, _)| !name.is_empty()) {
            if !text.is_empty() {
                text.push(b',');
            }
            push_label(&mut text, name, &[value]);
        }
        Self(text)
    }
}

/// Writes metric families: `family`, then its samples, and `finish` at the end.
///
/// Names are those of the classic format: a counter is called `requests_total`. In OpenMetrics the
/// family's name loses this suffix, and a counter's sample that lacks it gets it. Where the shorter
/// name is another family's already, as with the gauge `x` and the counter `x_total`, the counter is
/// written as of unknown type, with its whole name; begin the gauge first.
#[derive(Debug)]
pub struct TextWriter<'a> {
    out: &'a mut Vec<u8>,
    format: Format,
    /// The current family.
    name: String,
    metric_type: MetricType,
    /// Whether `name` must be written in quotes.
    quoted: bool,
    /// Where the current family's head begins, until it has a sample: it is taken back otherwise.
    unused_head: Option<usize>,
    seen: HashSet<String>,
}

impl<'a> TextWriter<'a> {
    /// Writes behind what stands in `out`.
    pub fn new(format: Format, out: &'a mut Vec<u8>) -> Self {
        Self {
            out,
            format,
            name: String::new(),
            metric_type: MetricType::Unknown,
            quoted: false,
            unused_head: None,
            seen: HashSet::default(),
        }
    }

    /// Begins a family. One that gets no sample leaves nothing in the buffer; one without a help text has no
    /// line for it.
    ///
    /// # Errors
    /// When the name is empty, or was begun before: the family before it is then no longer open.
    pub fn family(&mut self, name: &str, metric_type: MetricType, help: &str) -> Result<(), WriteError> {
        self.drop_unused_head();
        self.name.clear();
        if name.is_empty() {
            return Err(WriteError::EmptyName { what: "metric", family: String::new() });
        }
        let short_name = family_name(name, metric_type, self.format);
        let is_taken = short_name != name && self.seen.contains(short_name);
        let (written_name, metric_type) =
            if is_taken { (name, MetricType::Unknown) } else { (short_name, metric_type) };
        if !self.seen.insert(written_name.to_owned()) {
            return Err(WriteError::FamilyRepeated { name: name.to_owned() });
        }
        self.name.push_str(name);
        self.metric_type = metric_type;
        self.quoted = !is_classic_metric_name(name);
        self.unused_head = Some(self.out.len());
        if !help.is_empty() {
            self.write_head("HELP", |out, format| push_help(out, help, format));
        }
        self.write_head("TYPE", |out, format| {
            out.extend_from_slice(type_name(metric_type, format).as_bytes());
        });
        Ok(())
    }

    /// Writes a sample of the current family: its name with `suffix` (`_bucket`, `_sum`, `_count`, or
    /// none), its labels (each name once), its value.
    ///
    /// # Errors
    /// When the current family has no such samples, or a label has no name.
    pub fn sample(&mut self, suffix: &str, labels: &[(&str, &str)], value: f64) -> Result<(), WriteError> {
        self.start_sample(suffix, &[], labels)?;
        float::write_shortest(self.out, value);
        self.out.push(b'\n');
        Ok(())
    }

    /// Writes a sample without a suffix, with `prepared` in front of `labels`. The prepared labels must be
    /// none that the format writes in its own way (`le`, `quantile`).
    ///
    /// # Errors
    /// As `sample`.
    pub fn sample_prepared(
        &mut self,
        prepared: &PreparedLabels,
        labels: &[(&str, &str)],
        value: f64,
    ) -> Result<(), WriteError> {
        self.start_sample("", &prepared.0, labels)?;
        float::write_shortest(self.out, value);
        self.out.push(b'\n');
        Ok(())
    }

    /// Writes a sample with the time of its observation; see `sample`.
    ///
    /// # Errors
    /// As `sample`.
    pub fn sample_at(
        &mut self,
        suffix: &str,
        labels: &[(&str, &str)],
        value: f64,
        at: TimestampMs,
    ) -> Result<(), WriteError> {
        self.start_sample(suffix, &[], labels)?;
        float::write_shortest(self.out, value);
        self.out.push(b' ');
        push_timestamp(self.out, at, self.format);
        self.out.push(b'\n');
        Ok(())
    }

    /// Hands out what is written and leaves the buffer as if empty, so that a long page can be sent while it
    /// is written.
    pub fn take(&mut self) -> Vec<u8> {
        let head = self.unused_head.map(|start| self.out.split_off(start));
        self.unused_head = head.is_some().then_some(0);
        std::mem::replace(self.out, head.unwrap_or_default())
    }

    /// Ends the exposition: OpenMetrics says so.
    pub fn finish(mut self) {
        self.drop_unused_head();
        if self.format == Format::OpenMetrics {
            self.out.extend_from_slice(b"# EOF\n");
        }
    }

    fn drop_unused_head(&mut self) {
        if let Some(start) = self.unused_head.take() {
            self.out.truncate(start);
        }
    }

    fn write_head(&mut self, keyword: &str, text: impl FnOnce(&mut Vec<u8>, Format)) {
        let out = &mut *self.out;
        out.extend_from_slice(b"# ");
        out.extend_from_slice(keyword.as_bytes());
        out.push(b' ');
        let family = family_name(&self.name, self.metric_type, self.format);
        if self.quoted {
            push_quoted(out, &[family]);
        } else {
            out.extend_from_slice(family.as_bytes());
        }
        out.push(b' ');
        text(out, self.format);
        out.push(b'\n');
    }

    /// Checks a sample and writes all of it that stands before the value.
    fn start_sample(
        &mut self,
        suffix: &str,
        prepared: &[u8],
        labels: &[(&str, &str)],
    ) -> Result<(), WriteError> {
        if self.name.is_empty() {
            return Err(WriteError::NoFamily { suffix: suffix.to_owned() });
        }
        if !has_suffix(self.metric_type, suffix) {
            let (family, suffix) = (self.name.clone(), suffix.to_owned());
            return Err(WriteError::ForeignSuffix { family, metric_type: self.metric_type, suffix });
        }
        if labels.iter().any(|(name, _)| name.is_empty()) {
            return Err(WriteError::EmptyName { what: "label", family: self.name.clone() });
        }
        self.unused_head = None;
        let open_metrics = self.format == Format::OpenMetrics;
        let family = family_name(&self.name, self.metric_type, self.format);
        let own_suffix = if open_metrics { own_suffix(self.metric_type) } else { "" };
        let out = &mut *self.out;
        let has_labels = !labels.is_empty() || !prepared.is_empty();
        if self.quoted {
            out.push(b'{');
            push_quoted(out, &[family, own_suffix, suffix]);
        } else {
            for part in [family, own_suffix, suffix] {
                out.extend_from_slice(part.as_bytes());
            }
            if has_labels {
                out.push(b'{');
            }
        }
        if self.quoted && !prepared.is_empty() {
            out.push(b',');
        }
        out.extend_from_slice(prepared);
        for (i, (name, value)) in labels.iter().enumerate() {
            if i > 0 || self.quoted || !prepared.is_empty() {
                out.push(b',');
            }
            // OpenMetrics writes bounds and quantiles as floats.
            let is_bound = open_metrics && is_bound(self.metric_type, name);
            let float_end = if is_bound && is_whole(value) { ".0" } else { "" };
            push_label(out, name, &[value, float_end]);
        }
        if self.quoted || has_labels {
            out.push(b'}');
        }
        out.push(b' ');
        Ok(())
    }
}

/// Whether samples of a type have a suffix.
fn has_suffix(metric_type: MetricType, suffix: &str) -> bool {
    match metric_type {
        MetricType::Histogram => matches!(suffix, "_bucket" | "_sum" | "_count"),
        MetricType::GaugeHistogram => matches!(suffix, "_bucket" | "_gsum" | "_gcount"),
        MetricType::Summary => matches!(suffix, "" | "_sum" | "_count"),
        _ => suffix.is_empty(),
    }
}

/// The suffix that OpenMetrics keeps out of a family's name.
const fn own_suffix(metric_type: MetricType) -> &'static str {
    match metric_type {
        MetricType::Counter => "_total",
        MetricType::Info => "_info",
        _ => "",
    }
}

fn family_name(name: &str, metric_type: MetricType, format: Format) -> &str {
    match format {
        Format::Text => name,
        Format::OpenMetrics => name.strip_suffix(own_suffix(metric_type)).unwrap_or(name),
    }
}

/// The name of a type; the classic format has no word for some.
const fn type_name(metric_type: MetricType, format: Format) -> &'static str {
    match (format, metric_type) {
        (Format::Text, MetricType::Info | MetricType::StateSet) => "gauge",
        (Format::Text, MetricType::Unknown | MetricType::GaugeHistogram) => "untyped",
        _ => metric_type.as_str(),
    }
}

fn is_bound(metric_type: MetricType, label: &str) -> bool {
    match metric_type {
        MetricType::Histogram | MetricType::GaugeHistogram => label == BUCKET_LABEL,
        MetricType::Summary => label == "quantile",
        _ => false,
    }
}

fn is_whole(value: &str) -> bool {
    let digits = value.strip_prefix('-').unwrap_or(value);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

fn push_help(out: &mut Vec<u8>, help: &str, format: Format) {
    push_escaped(out, help, format == Format::OpenMetrics);
}

fn push_label(out: &mut Vec<u8>, name: &str, value: &[&str]) {
    if is_classic_label_name(name) {
        out.extend_from_slice(name.as_bytes());
    } else {
        push_quoted(out, &[name]);
    }
    out.push(b'=');
    push_quoted(out, value);
}

fn push_quoted(out: &mut Vec<u8>, parts: &[&str]) {
    out.push(b'"');
    for part in parts {
        push_escaped(out, part, true);
    }
    out.push(b'"');
}

/// Writes `text` with backslashes and line breaks escaped, and quotes where `quotes` says so.
fn push_escaped(out: &mut Vec<u8>, text: &str, quotes: bool) {
    let mut rest = text.as_bytes();
    while let Some(at) = memchr::memchr3(b'\\', b'\n', b'"', rest) {
        out.extend_from_slice(&rest[..at]);
        match rest[at] {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'"' if !quotes => out.push(b'"'),
            escaped => out.extend_from_slice(&[b'\\', escaped]),
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

fn push_timestamp(out: &mut Vec<u8>, at: TimestampMs, format: Format) {
    let ms = at.as_ms();
    let written = match format {
        Format::Text => write!(out, "{ms}"),
        Format::OpenMetrics => {
            let sign = if ms < 0 { "-" } else { "" };
            write!(out, "{sign}{}.{:03}", ms.unsigned_abs() / 1000, ms.unsigned_abs() % 1000)
        }
    };
    written.expect("invariant: writing to a Vec cannot fail");
}

#[cfg(test)]
mod tests;
