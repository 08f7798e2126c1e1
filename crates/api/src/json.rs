//! JSON of query results, written straight from the columns, and of everything else that answers. As in
//! Prometheus, `<`, `>` and `&` are escaped, except in labels.

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};
use skopos_model::{
    FloatHistogram, Labels, TimestampMs,
    float::{write_api, write_decimal, write_integer},
};
use std::io::{self, Write};

/// `{"name":"value",…}`
pub(crate) fn labels(out: &mut Vec<u8>, labels: &Labels) {
    out.push(b'{');
    for (i, (name, value)) in labels.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        raw(out, name);
        out.push(b':');
        raw(out, value);
    }
    out.push(b'}');
}

/// `[1435781451.781,"1.5"]`
pub(crate) fn point(out: &mut Vec<u8>, t: TimestampMs, v: f64) {
    out.push(b'[');
    timestamp(out, t);
    out.push(b',');
    value(out, v);
    out.push(b']');
}

/// `"1.5"`
pub(crate) fn value(out: &mut Vec<u8>, v: f64) {
    out.push(b'"');
    write_api(out, v);
    out.push(b'"');
}

/// `[3.5,"0.0000001"]`, a number that is of no series: never with an exponent.
pub(crate) fn scalar(out: &mut Vec<u8>, t: TimestampMs, v: f64) {
    out.push(b'[');
    short_timestamp(out, t);
    out.extend_from_slice(b",\"");
    write_decimal(out, v);
    out.extend_from_slice(b"\"]");
}

/// `[3.5,"text"]`
pub(crate) fn text(out: &mut Vec<u8>, t: TimestampMs, text: &str) {
    out.push(b'[');
    short_timestamp(out, t);
    out.push(b',');
    string(out, text);
    out.push(b']');
}

/// `[1435781451.781,{"count":"4","sum":"3.5","buckets":[[0,"0.5","1","4"]]}]`: of each bucket that is not
/// empty which of its ends belong to it, its ends and its count. No list where all are empty.
pub(crate) fn histogram(out: &mut Vec<u8>, t: TimestampMs, h: &FloatHistogram) {
    let number = |out: &mut Vec<u8>, v: f64| {
        out.push(b'"');
        write_api(out, v);
        out.push(b'"');
    };
    out.push(b'[');
    timestamp(out, t);
    out.extend_from_slice(b",{\"count\":");
    number(out, h.count);
    out.extend_from_slice(b",\"sum\":");
    number(out, h.sum);
    let mut buckets = Vec::new();
    h.view().buckets_into(&mut buckets);
    for (i, bucket) in buckets.iter().filter(|b| b.count != 0.0).enumerate() {
        out.extend_from_slice(if i == 0 { b",\"buckets\":[[" } else { b",[" });
        write!(out, "{}", bucket.bounds as u8).expect("invariant: writing to a Vec cannot fail");
        for v in [bucket.lower, bucket.upper, bucket.count] {
            out.push(b',');
            number(out, v);
        }
        out.push(b']');
    }
    let any = buckets.iter().any(|b| b.count != 0.0);
    out.extend_from_slice(if any { b"]}]" } else { b"}]" });
}

/// Seconds, with three decimals unless they are all zero.
pub(crate) fn timestamp(out: &mut Vec<u8>, t: TimestampMs) {
    let ms = t.as_ms();
    let (seconds, rest) = (ms / 1000, (ms % 1000).unsigned_abs() as u16);
    if ms < 0 && seconds == 0 {
        out.push(b'-');
    }
    write_integer(out, seconds);
    if rest > 0 {
        let digit = |n: u16| b'0' + (n % 10) as u8;
        out.extend_from_slice(&[b'.', digit(rest / 100), digit(rest / 10), digit(rest)]);
    }
}

/// Seconds, with as many decimals as it takes, as scalars and texts have them.
fn short_timestamp(out: &mut Vec<u8>, t: TimestampMs) {
    timestamp(out, t);
    if t.as_ms() % 1000 != 0 {
        while out.last() == Some(&b'0') {
            out.pop();
        }
    }
}

/// A JSON string, in which what could be taken for HTML or ends a line of JavaScript is escaped.
pub(crate) fn string(out: &mut Vec<u8>, text: &str) {
    quoted(out, text, |c| demanded(c) || beyond(c));
}

/// A JSON string with no more escapes than JSON demands.
fn raw(out: &mut Vec<u8>, text: &str) {
    quoted(out, text, demanded);
}

/// JSON demands its escape.
fn demanded(c: char) -> bool {
    matches!(c, '"' | '\\') || c < ' '
}

/// It is escaped though JSON does not demand it.
fn beyond(c: char) -> bool {
    matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}')
}

/// Any value that serialises, its strings escaped as `string` does.
pub(crate) fn to_writer<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) -> serde_json::Result<()> {
    value.serialize(&mut Serializer::with_formatter(out, Escaping))
}

/// The same as text.
pub(crate) fn to_vec<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    to_writer(&mut out, value).expect("invariant: texts and numbers serialise");
    out
}

/// Escapes also what JSON does not demand.
struct Escaping;

impl Formatter for Escaping {
    /// As Go writes floats into JSON: whole ones without a point, and exponents without a zero before them.
    fn write_f64<W: Write + ?Sized>(&mut self, writer: &mut W, v: f64) -> io::Result<()> {
        let mut text = Vec::with_capacity(24);
        write_api(&mut text, v);
        if let [.., b'e', b'-', b'0', _] = text[..] {
            text.remove(text.len() - 2);
        }
        writer.write_all(&text)
    }

    fn write_string_fragment<W: Write + ?Sized>(&mut self, writer: &mut W, text: &str) -> io::Result<()> {
        let mut plain = text;
        while let Some((i, c)) = plain.char_indices().find(|(_, c)| beyond(*c)) {
            writer.write_all(&plain.as_bytes()[..i])?;
            write!(writer, "\\u{:04x}", u32::from(c))?;
            plain = &plain[i + c.len_utf8()..];
        }
        writer.write_all(plain.as_bytes())
    }
}

fn quoted(out: &mut Vec<u8>, text: &str, needs_escape: impl Fn(char) -> bool) {
    out.push(b'"');
    let mut plain_from = 0;
    for (i, c) in text.char_indices() {
        if !needs_escape(c) {
            continue;
        }
        out.extend_from_slice(&text.as_bytes()[plain_from..i]);
        plain_from = i + c.len_utf8();
        match c {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            c => write!(out, "\\u{:04x}", u32::from(c)).expect("invariant: writing to a Vec cannot fail"),
        }
    }
    out.extend_from_slice(&text.as_bytes()[plain_from..]);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use skopos_model::{Layout, Span};

    fn written(f: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        f(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn points_are_as_prometheus_writes_them() {
        for (ms, v, text) in [
            (1_435_781_451_781, 1.0, r#"[1435781451.781,"1"]"#),
            (1_435_781_451_000, f64::NAN, r#"[1435781451,"NaN"]"#),
            (-1_500, f64::INFINITY, r#"[-1.500,"+Inf"]"#),
            (50, -0.25, r#"[0.050,"-0.25"]"#),
            (-50, 1e-7, r#"[-0.050,"1e-07"]"#),
            (-1_000, 1e21, r#"[-1,"1e+21"]"#),
            (0, 0.1, r#"[0,"0.1"]"#),
        ] {
            assert_eq!(written(|o| point(o, TimestampMs::new(ms), v)), text);
        }
    }

    #[test]
    fn numbers_and_texts_of_no_series_have_forms_of_their_own() {
        for (ms, v, text) in [
            (3_500, 1e-7, r#"[3.5,"0.0000001"]"#),
            (-1_250, 1e21, r#"[-1.25,"1000000000000000000000"]"#),
            (10_000, f64::NAN, r#"[10,"NaN"]"#),
            (-50, 0.5, r#"[-0.05,"0.5"]"#),
            (1_435_781_451_781, -0.0, r#"[1435781451.781,"-0"]"#),
        ] {
            assert_eq!(written(|o| scalar(o, TimestampMs::new(ms), v)), text);
        }
        assert_eq!(written(|o| super::text(o, TimestampMs::new(2_100), "<a>")), r#"[2.1,"\u003ca\u003e"]"#);
    }

    #[test]
    fn histograms_are_as_prometheus_writes_them() {
        let spans = vec![Span { offset: 0, length: 3 }];
        let layout = Layout { zero_threshold: 0.25, positive_spans: spans, ..Layout::default() };
        let mut h = FloatHistogram {
            layout,
            count: 6.0,
            sum: -0.5,
            zero_count: 1.0,
            positive_buckets: vec![2.0, 0.0, 3.0],
            ..FloatHistogram::default()
        };
        h.layout.negative_spans = vec![Span { offset: 1, length: 1 }];
        h.negative_buckets = vec![4.5];
        let at = TimestampMs::new(1_500);
        assert_eq!(
            written(|o| histogram(o, at, &h)),
            r#"[1.500,{"count":"6","sum":"-0.5","buckets":[[1,"-2","-1","4.5"],[3,"-0.25","0.25","1"],"#
                .to_owned()
                + r#"[0,"0.5","1","2"],[0,"2","4","3"]]}]"#
        );
        h = FloatHistogram { sum: f64::NAN, ..FloatHistogram::default() };
        assert_eq!(written(|o| histogram(o, at, &h)), r#"[1.500,{"count":"0","sum":"NaN"}]"#);
        let layout = Layout {
            schema: -53,
            custom_bounds: vec![5.0],
            positive_spans: vec![Span { offset: 0, length: 2 }],
            ..Layout::default()
        };
        h = FloatHistogram { layout, positive_buckets: vec![1.0, 1.0], ..FloatHistogram::default() };
        let custom = written(|o| histogram(o, at, &h));
        assert!(custom.ends_with(r#""buckets":[[3,"-Inf","5","1"],[0,"5","+Inf","1"]]}]"#), "{custom}");
    }

    #[test]
    fn strings_are_read_back_by_any_reader() {
        for text in ["", "plain", "a\"b\\c", "\n\r\t\u{1}\u{7f}", "<a href='x'>&</a>", "ü→𝄞\u{2028}"] {
            let json = written(|o| string(o, text));
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
            assert!(!json.contains('<'));
            let json = written(|o| to_writer(o, text).unwrap());
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
            assert!(!json.contains('<'));
            let json = written(|o| raw(o, text));
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
            assert!(!json.contains("\\u003c") && !json.contains("\\u2028"));
        }
    }

    #[test]
    fn floats_are_as_go_writes_them() {
        for (v, text) in
            [(0.0, "0"), (1.0, "1"), (0.25, "0.25"), (1e-7, "1e-7"), (2.5e-12, "2.5e-12"), (1e21, "1e+21")]
        {
            assert_eq!(written(|o| to_writer(o, &v).unwrap()), text);
        }
    }

    #[test]
    fn labels_alone_have_no_escapes_for_html() {
        let series = Labels::from_pairs([("l", "x<y>&z\u{2028}\"")]);
        assert_eq!(written(|o| labels(o, &series)), "{\"l\":\"x<y>&z\u{2028}\\\"\"}");
        let escaped = "\"a\\u003cb\\u003e\\u0026c\\u2028\\\"\"";
        let text = "a<b>&c\u{2028}\"";
        assert_eq!(written(|o| string(o, text)), escaped);
        assert_eq!(written(|o| to_writer(o, text).unwrap()), escaped);
        assert_eq!(String::from_utf8(to_vec(&[text])).unwrap(), format!("[{escaped}]"));
    }
}
