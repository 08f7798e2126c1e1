//! `SeriesText`: the series of metrics in protocol buffers, written as the text formats write them, so that
//! they are known again by comparing. The labels are written once for each metric, the bounds of buckets once
//! for a family. Reads no bytes.

use skopos_exposition::escape_into;
use skopos_model::{
    float::write_bound,
    name::{is_classic_label_name, is_classic_metric_name},
};

/// See above.
#[derive(Debug, Default)]
pub(crate) struct SeriesText {
    /// What stands before the suffix of the metric's name.
    name: String,
    /// The name stands in quotes within the braces.
    is_quoted: bool,
    /// The labels of the metric, without braces.
    labels: String,
    /// Bounds as labels have them, in the order of their buckets.
    bounds: Vec<(u64, Box<str>)>,
    text: String,
}

/// A label that tells the series of one metric from each other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    /// `le` or `quantile`.
    pub(crate) label: &'static str,
    /// Which of them it is, from zero.
    pub(crate) place: usize,
    pub(crate) value: f64,
}

impl SeriesText {
    /// Begins a family.
    pub(crate) fn begin(&mut self, name: &str) {
        self.is_quoted = !is_classic_metric_name(name);
        self.name.clear();
        if self.is_quoted {
            self.name.push_str("{\"");
            escape_into(name, &mut self.name);
        } else {
            self.name.push_str(name);
        }
    }

    /// Begins a metric.
    pub(crate) fn begin_metric(&mut self) {
        self.labels.clear();
    }

    /// Adds a label of the metric.
    #[inline]
    pub(crate) fn label(&mut self, name: &str, value: &str) {
        let out = &mut self.labels;
        if !out.is_empty() {
            out.push(',');
        }
        if is_classic_label_name(name) {
            out.push_str(name);
        } else {
            out.push('"');
            escape_into(name, out);
            out.push('"');
        }
        out.push_str("=\"");
        escape_into(value, out);
        out.push('"');
    }

    /// The text of one of the metric's series.
    #[inline]
    pub(crate) fn series(&mut self, suffix: &str, bound: Option<Bound>) -> &str {
        let bound = bound.map(|bound| (bound.label, self.bound(bound)));
        let (text, has_labels) = (&mut self.text, bound.is_some() || !self.labels.is_empty());
        text.clear();
        text.push_str(&self.name);
        text.push_str(suffix);
        match (self.is_quoted, has_labels) {
            (false, false) => return text,
            (false, true) => text.push('{'),
            (true, false) => text.push('"'),
            (true, true) => text.push_str("\","),
        }
        text.push_str(&self.labels);
        if let Some((label, place)) = bound {
            if !self.labels.is_empty() {
                text.push(',');
            }
            for part in [label, "=\"", &self.bounds[place].1, "\""] {
                text.push_str(part);
            }
        }
        text.push('}');
        text
    }

    /// Where the text of this bound stands.
    fn bound(&mut self, Bound { place, value, .. }: Bound) -> usize {
        let place = place.min(self.bounds.len());
        if self.bounds.get(place).is_none_or(|(bits, _)| *bits != value.to_bits()) {
            let mut out = Vec::with_capacity(24);
            write_bound(&mut out, value);
            let text = String::from_utf8(out).expect("invariant: numbers are ASCII").into_boxed_str();
            self.bounds.truncate(place);
            self.bounds.push((value.to_bits(), text));
        }
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skopos_exposition::{Entry, Format, Parser};

    #[test]
    fn series_are_written_as_text_formats_write_them() {
        let le = |place, value| Some(Bound { label: "le", place, value });
        for (name, labels, suffix, bound, expected) in [
            ("up", &[][..], "", None, "up"),
            ("up", &[("a", "b"), ("c", "")], "_sum", None, r#"up_sum{a="b",c=""}"#),
            ("up", &[("a", "b")], "_bucket", le(0, 1.0), r#"up_bucket{a="b",le="1.0"}"#),
            ("up", &[], "_bucket", le(0, 0.25), r#"up_bucket{le="0.25"}"#),
            ("up", &[], "_bucket", le(7, f64::INFINITY), r#"up_bucket{le="+Inf"}"#),
            ("a.b", &[], "_count", None, r#"{"a.b_count"}"#),
            ("a\"b", &[("c.d", "e\\\nf\"")], "", None, r#"{"a\"b","c.d"="e\\\nf\""}"#),
        ] {
            let mut text = SeriesText::default();
            text.begin(name);
            text.begin_metric();
            labels.iter().for_each(|(name, value)| text.label(name, value));
            assert_eq!(text.series(suffix, bound), expected);
            let line = format!("{expected} 1\n");
            let entry = Parser::new(Format::Text, line.as_bytes()).next();
            let Some(Ok(Entry::Sample(sample))) = entry else { panic!("no series: {line}") };
            assert_eq!(sample.series.as_str(), expected);
            assert_eq!(sample.series.metric_name(), format!("{name}{suffix}"));
        }
    }
}
