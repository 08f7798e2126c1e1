//! JSON of query results, written straight from the columns.

use skopos_model::{Labels, TimestampMs, float::write_api};
use std::io::Write;

/// `{"name":"value",…}`
pub(crate) fn labels(out: &mut Vec<u8>, labels: &Labels) {
    out.push(b'{');
    for (i, (name, value)) in labels.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        string(out, name);
        out.push(b':');
        string(out, value);
    }
    out.push(b'}');
}

/// `[1435781451.781,"1.5"]`
pub(crate) fn point(out: &mut Vec<u8>, t: TimestampMs, v: f64) {
    out.push(b'[');
    timestamp(out, t);
    out.extend_from_slice(b",\"");
    write_api(out, v);
    out.extend_from_slice(b"\"]");
}

/// Seconds, with three decimals unless they are all zero.
pub(crate) fn timestamp(out: &mut Vec<u8>, t: TimestampMs) {
    let ms = t.as_ms();
    if ms < 0 {
        out.push(b'-');
    }
    let (seconds, rest) = (ms.unsigned_abs() / 1000, ms.unsigned_abs() % 1000);
    let written = if rest == 0 { write!(out, "{seconds}") } else { write!(out, "{seconds}.{rest:03}") };
    written.expect("invariant: writing to a Vec cannot fail");
}

/// A JSON string. Besides what JSON demands, `<`, `>` and `&` are escaped, as Prometheus does.
pub(crate) fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut plain_from = 0;
    for (i, c) in text.char_indices() {
        let needs_escape = matches!(c, '"' | '\\' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}') || c < ' ';
        if !needs_escape {
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
        ] {
            assert_eq!(written(|o| point(o, TimestampMs::new(ms), v)), text);
        }
    }

    #[test]
    fn strings_are_read_back_by_any_reader() {
        for text in ["", "plain", "a\"b\\c", "\n\r\t\u{1}\u{7f}", "<a href='x'>&</a>", "ü→𝄞\u{2028}"] {
            let json = written(|o| string(o, text));
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
            assert!(!json.contains('<'));
        }
    }
}
