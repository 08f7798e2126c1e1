//! Floats in text: written as Go's `strconv` writes them, which the field's formats are defined by.

use std::io::Write;

/// From this decimal exponent on, the shortest form is written with an exponent.
const SHORTEST_EXPONENT_LIMIT: i32 = 6;

/// Appends `v` in the form of the exposition formats and label values (Go's `'g'` with the shortest
/// digits): `1`, `0.25`, `1e+06`, `NaN`, `+Inf`.
pub fn write_shortest(out: &mut Vec<u8>, v: f64) {
    // Small whole numbers are most of what is ever written; they need no search for digits.
    if v == v.trunc() && v.abs() < 1e6 && (v != 0.0 || v.is_sign_positive()) {
        push_display(out, format_args!("{}", v as i64));
        return;
    }
    write_with(out, v, |exponent| !(-4..SHORTEST_EXPONENT_LIMIT).contains(&exponent));
}

/// Appends `v` in the form of the query API's JSON: decimals without an exponent between 1e-6 and
/// 1e21, else with one.
pub fn write_api(out: &mut Vec<u8>, v: f64) {
    let abs = v.abs();
    // Whole numbers need no search for digits, and others not a second one for their exponent.
    if (1.0..1e15).contains(&abs) && v == v.trunc() {
        push_display(out, format_args!("{}", v as i64));
    } else if (1e-6..1e21).contains(&abs) {
        push_display(out, format_args!("{v}"));
    } else {
        write_with(out, v, |_| true);
    }
}

/// The shortest form of `v` as a string of its own.
pub fn to_shortest_string(v: f64) -> String {
    let mut out = Vec::with_capacity(24);
    write_shortest(&mut out, v);
    String::from_utf8(out).expect("invariant: only ASCII is written")
}

fn write_with(out: &mut Vec<u8>, v: f64, with_exponent: impl Fn(i32) -> bool) {
    if v.is_nan() {
        out.extend_from_slice(b"NaN");
    } else if v.is_infinite() {
        out.extend_from_slice(if v > 0.0 { b"+Inf" } else { b"-Inf" });
    } else if v == 0.0 {
        out.extend_from_slice(if v.is_sign_negative() { b"-0" } else { b"0" });
    } else {
        let start = out.len();
        push_display(out, format_args!("{v:e}"));
        let e = start + out[start..].iter().position(|b| *b == b'e').expect("invariant: {:e} writes an e");
        let exponent: i32 = std::str::from_utf8(&out[e + 1..])
            .ok()
            .and_then(|digits| digits.parse().ok())
            .expect("invariant: {:e} writes a whole exponent");
        if with_exponent(exponent) {
            out.truncate(e);
            let sign = if exponent < 0 { '-' } else { '+' };
            push_display(out, format_args!("e{sign}{:02}", exponent.unsigned_abs()));
        } else {
            out.truncate(start);
            push_display(out, format_args!("{v}"));
        }
    }
}

fn push_display(out: &mut Vec<u8>, args: std::fmt::Arguments<'_>) {
    out.write_fmt(args).expect("invariant: writing to a Vec cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(v: f64) -> String {
        let mut out = Vec::new();
        write_api(&mut out, v);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn shortest_form_is_that_of_go() {
        for (v, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-17.0, "-17"),
            (0.25, "0.25"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (999_999.0, "999999"),
            (1e6, "1e+06"),
            (123_456_789.0, "1.23456789e+08"),
            (123_456.5, "123456.5"),
            (1_234_567.5, "1.2345675e+06"),
            (1e100, "1e+100"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(to_shortest_string(v), text);
        }
    }

    #[test]
    fn api_form_is_that_of_prometheus() {
        for (v, text) in [
            (0.0, "0"),
            (1e6, "1000000"),
            (123_456_789.25, "123456789.25"),
            (-17.0, "-17"),
            (-0.0, "-0"),
            (999_999_999_999_999.0, "999999999999999"),
            (1e15, "1000000000000000"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1e-6, "0.000001"),
            (1e-7, "1e-07"),
            (-2.5, "-2.5"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(api(v), text);
        }
    }

    #[test]
    fn both_forms_read_back_to_the_same_bits() {
        let mut x: u64 = 0x9E37_79B9_7F4A_7C15;
        for _ in 0..10_000 {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            let v = f64::from_bits(x);
            if v.is_nan() {
                continue;
            }
            assert_eq!(to_shortest_string(v).parse::<f64>().unwrap().to_bits(), x);
            assert_eq!(api(v).parse::<f64>().unwrap().to_bits(), x);
        }
    }
}
