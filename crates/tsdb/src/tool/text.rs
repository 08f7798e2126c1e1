//! Samples and figures as lines of text, in the forms that promtool has. Decides nothing.

use skopos_chunk::ChunkValue;
use skopos_model::{
    FloatHistogram, Histogram, Labels, Layout, Span, float::write_shortest, histogram::absolute,
    histogram::bucket_indexes, is_stale_nan, name::is_classic_label_name, name::is_classic_metric_name,
};
use std::{fmt::Write as _, io::Write as _};

/// The label that names the metric.
const METRIC_NAME: &str = "__name__";

/// Appends `labels value time` and a line end: one sample of `dump`.
pub fn write_dump_line(out: &mut Vec<u8>, series: &str, timestamp_ms: i64, value: &ChunkValue) {
    out.extend_from_slice(series.as_bytes());
    out.push(b' ');
    match value {
        ChunkValue::Float(v) => write_shortest(out, *v),
        ChunkValue::Histogram(h) => write_histogram(out, h),
        ChunkValue::FloatHistogram(h) => write_float_histogram(out, h),
    }
    writeln!(out, " {timestamp_ms}").expect("invariant: writing to a Vec cannot fail");
}

/// Appends one sample of `dump-openmetrics`; nothing for what OpenMetrics cannot say: native histograms and
/// staleness markers.
pub fn write_open_metrics_line(out: &mut Vec<u8>, series: &str, timestamp_ms: i64, value: &ChunkValue) {
    let ChunkValue::Float(v) = value else { return };
    if is_stale_nan(*v) {
        return;
    }
    out.extend_from_slice(series.as_bytes());
    out.push(b' ');
    write_shortest(out, *v);
    let sign = if timestamp_ms < 0 { "-" } else { "" };
    let ms = timestamp_ms.unsigned_abs();
    writeln!(out, " {sign}{}.{:03}", ms / 1000, ms % 1000).expect("invariant: writing to a Vec cannot fail");
}

/// Labels as `dump` writes them: `{__name__="up", job="a"}`.
pub fn dump_labels(labels: &Labels) -> String {
    let mut out = "{".to_owned();
    for (i, (name, value)) in labels.iter().enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        if is_classic_label_name(name) {
            out.push_str(name);
        } else {
            push_quoted(&mut out, name);
        }
        out.push('=');
        push_quoted(&mut out, value);
    }
    out.push('}');
    out
}

/// Labels as OpenMetrics writes them: `up{job="a"}`.
pub fn open_metrics_labels(labels: &Labels) -> String {
    let mut out = String::new();
    let name = labels.metric_name().unwrap_or_default();
    let plain = is_classic_metric_name(name);
    let mut inside = Vec::new();
    if plain {
        out.push_str(name);
    } else if !name.is_empty() {
        let mut text = String::new();
        push_escaped(&mut text, name);
        inside.push(text);
    }
    for (name, value) in labels.iter().filter(|(n, _)| *n != METRIC_NAME) {
        let mut text = String::new();
        if is_classic_label_name(name) {
            text.push_str(name);
        } else {
            push_escaped(&mut text, name);
        }
        text.push('=');
        push_escaped(&mut text, value);
        inside.push(text);
    }
    if !inside.is_empty() {
        let _ = write!(out, "{{{}}}", inside.join(","));
    }
    out
}

/// A text in quotes with the escapes of OpenMetrics.
fn push_escaped(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// A text in quotes with the escapes of the language Go, in which promtool writes.
fn push_quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            ' '..='~' => out.push(c),
            '\0'..='\u{7f}' => drop(write!(out, "\\x{:02x}", u32::from(c))),
            c if is_printable(c) => out.push(c),
            '\u{80}'..='\u{ffff}' => drop(write!(out, "\\u{:04x}", u32::from(c))),
            c => drop(write!(out, "\\U{:08x}", u32::from(c))),
        }
    }
    out.push('"');
}

/// Whether a character is shown as it is. Behind a letter, a combining mark is.
fn is_printable(c: char) -> bool {
    let mut buffer = [b'a'; 5];
    let len = 1 + c.encode_utf8(&mut buffer[1..]).len();
    let text = std::str::from_utf8(&buffer[..len]).expect("invariant: two characters are text");
    text.escape_debug().nth(1) == Some(c)
}

/// Appends a histogram of whole counts.
fn write_histogram(out: &mut Vec<u8>, h: &Histogram) {
    let put = |out: &mut Vec<u8>, count: i64| {
        write!(out, "{count}").expect("invariant: writing to a Vec cannot fail");
    };
    write!(out, "{{count:{}, sum:", h.count).expect("invariant: writing to a Vec cannot fail");
    write_shortest(out, h.sum);
    let negative: Vec<_> =
        bucket_indexes(&h.layout.negative_spans).zip(absolute(&h.negative_deltas)).collect();
    for (index, count) in negative.into_iter().rev().filter(|(_, c)| *c != 0) {
        write_negative(out, &h.layout, index);
        put(out, count);
    }
    if h.zero_count != 0 {
        write_zero(out, &h.layout);
        write!(out, "{}", h.zero_count).expect("invariant: writing to a Vec cannot fail");
    }
    for (index, count) in bucket_indexes(&h.layout.positive_spans).zip(absolute(&h.positive_deltas)) {
        if count != 0 {
            write_positive(out, &h.layout, index);
            put(out, count);
        }
    }
    out.push(b'}');
}

/// Appends a histogram of float counts.
fn write_float_histogram(out: &mut Vec<u8>, h: &FloatHistogram) {
    out.extend_from_slice(b"{count:");
    write_shortest(out, h.count);
    out.extend_from_slice(b", sum:");
    write_shortest(out, h.sum);
    let negative: Vec<_> = bucket_indexes(&h.layout.negative_spans).zip(&h.negative_buckets).collect();
    for (index, count) in negative.into_iter().rev().filter(|(_, c)| **c != 0.0) {
        write_negative(out, &h.layout, index);
        write_shortest(out, *count);
    }
    if h.zero_count != 0.0 {
        write_zero(out, &h.layout);
        write_shortest(out, h.zero_count);
    }
    for (index, count) in bucket_indexes(&h.layout.positive_spans).zip(&h.positive_buckets) {
        if *count != 0.0 {
            write_positive(out, &h.layout, index);
            write_shortest(out, *count);
        }
    }
    out.push(b'}');
}

fn write_bucket(out: &mut Vec<u8>, brackets: [u8; 2], lower: f64, upper: f64) {
    out.extend_from_slice(b", ");
    out.push(brackets[0]);
    write_shortest(out, lower);
    out.push(b',');
    write_shortest(out, upper);
    out.push(brackets[1]);
    out.push(b':');
}

fn write_zero(out: &mut Vec<u8>, layout: &Layout) {
    write_bucket(out, *b"[]", -layout.zero_threshold, layout.zero_threshold);
}

fn write_negative(out: &mut Vec<u8>, layout: &Layout, index: i64) {
    write_bucket(out, *b"[)", -bound(layout.schema, index), -bound(layout.schema, index - 1));
}

fn write_positive(out: &mut Vec<u8>, layout: &Layout, index: i64) {
    if !layout.has_custom_bounds() {
        return write_bucket(out, *b"(]", bound(layout.schema, index - 1), bound(layout.schema, index));
    }
    let bounds = &layout.custom_bounds;
    let at = |i: i64| usize::try_from(i).ok().and_then(|i| bounds.get(i)).copied();
    let (lower, upper) = (at(index - 1).unwrap_or(f64::NEG_INFINITY), at(index).unwrap_or(f64::INFINITY));
    // The first bucket takes in the values below all bounds, minus infinity among them.
    let open = if index == 0 { b'[' } else { b'(' };
    write_bucket(out, [open, b']'], lower, upper);
}

/// The upper bound of an exponential bucket: 2^(index × 2^-schema); the last one that is finite is the
/// greatest float.
fn bound(schema: i32, index: i64) -> f64 {
    if schema <= 0 {
        let exponent = index.saturating_mul(1 << schema.unsigned_abs().min(31));
        return power_of_two(exponent, if exponent == 1024 { f64::MAX } else { 1.0 });
    }
    let steps = 1i64 << schema.min(31);
    let (whole, part) = (index.div_euclid(steps), index.rem_euclid(steps));
    if whole == 1024 && part == 0 {
        return f64::MAX;
    }
    power_of_two(whole, (part as f64 / steps as f64).exp2())
}

/// `factor` × 2^`exponent`, also where the power alone is no float.
fn power_of_two(exponent: i64, factor: f64) -> f64 {
    if factor == f64::MAX {
        return factor;
    }
    let exponent = exponent.clamp(-2200, 2200) as i32;
    factor * 2f64.powi(exponent / 2) * 2f64.powi(exponent - exponent / 2)
}

/// A time span as the language Go writes it: `1h46m0.001s`, `250ms`, `0s`.
pub fn go_duration(ms: i64) -> String {
    let (sign, ms) = (if ms < 0 { "-" } else { "" }, ms.unsigned_abs());
    if ms == 0 {
        return "0s".to_owned();
    }
    if ms < 1000 {
        return format!("{sign}{ms}ms");
    }
    let (hours, minutes) = (ms / 3_600_000, ms / 60_000 % 60);
    let mut out = sign.to_owned();
    if hours > 0 {
        let _ = write!(out, "{hours}h");
    }
    if hours > 0 || minutes > 0 {
        let _ = write!(out, "{minutes}m");
    }
    let (seconds, rest) = (ms / 1000 % 60, ms % 1000);
    let fraction = format!("{rest:03}");
    let fraction = fraction.trim_end_matches('0');
    let _ =
        if fraction.is_empty() { write!(out, "{seconds}s") } else { write!(out, "{seconds}.{fraction}s") };
    out
}

/// A number of bytes in all its units: `4KiB1019B`.
pub fn human_bytes(bytes: u64) -> String {
    let mut out = String::new();
    for (shift, unit) in
        [(60, "EiB"), (50, "PiB"), (40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB"), (0, "B")]
    {
        let count = if shift == 60 { bytes >> 60 } else { bytes >> shift & 1023 };
        if count > 0 {
            let _ = write!(out, "{count}{unit}");
        }
    }
    if out.is_empty() { "0B".to_owned() } else { out }
}

/// How many buckets a histogram of this layout has.
pub(crate) fn buckets_of(layout: &Layout) -> u64 {
    let count = |spans: &[Span]| skopos_model::histogram::bucket_count(spans);
    count(&layout.positive_spans) + count(&layout.negative_spans)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_time_and_sizes_are_written_as_promtool_does() {
        for (ms, text) in [
            (0, "0s"),
            (250, "250ms"),
            (1500, "1.5s"),
            (3_120_501, "52m0.501s"),
            (6_360_001, "1h46m0.001s"),
            (7_200_000, "2h0m0s"),
            (-60_000, "-1m0s"),
        ] {
            assert_eq!(go_duration(ms), text);
        }
        for (bytes, text) in [(0, "0B"), (5115, "4KiB1019B"), (1 << 20, "1MiB"), (u64::MAX >> 3, "1EiB")] {
            assert!(human_bytes(bytes).starts_with(text), "{bytes}: {}", human_bytes(bytes));
        }
    }

    #[test]
    fn texts_are_quoted_as_promtool_does() {
        let labels = Labels::from_pairs([("a", "x \"y\" \\ \n ü \u{1}\u{a0}e\u{301}\u{200b}"), ("b.c", "d")]);
        let text = "{a=\"x \\\"y\\\" \\\\ \\n ü \\x01\\u00a0e\u{301}\\u200b\", \"b.c\"=\"d\"}";
        assert_eq!(dump_labels(&labels), text);
        let labels = Labels::from_pairs([("__name__", "m"), ("a", "\"\n")]);
        assert_eq!(open_metrics_labels(&labels), "m{a=\"\\\"\\n\"}");
    }

    #[test]
    fn bounds_are_powers_of_two() {
        for (schema, index, expected) in [
            (0, 0, 1.0),
            (0, 3, 8.0),
            (-2, 1, 16.0),
            (1, 1, std::f64::consts::SQRT_2),
            (1, -2, 0.5),
            (0, 1024, f64::MAX),
            (3, 8 * 1024, f64::MAX),
            (0, -1074, 5e-324),
        ] {
            assert_eq!(bound(schema, index), expected, "schema {schema}, index {index}");
        }
    }
}
