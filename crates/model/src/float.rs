//! Floats in text: written as Go's `strconv` writes them, which the field's formats are defined by.

/// From this decimal exponent on, the shortest form is written with an exponent.
const SHORTEST_EXPONENT_LIMIT: i32 = 6;
/// The most digits that tell a float from all others.
const DIGITS_MAX: usize = 17;

/// Appends `v` in the form of the exposition formats and label values (Go's `'g'` with the shortest
/// digits): `1`, `0.25`, `1e+06`, `NaN`, `+Inf`.
pub fn write_shortest(out: &mut Vec<u8>, v: f64) {
    // Small whole numbers are most of what is ever written; they need no search for digits.
    if v == v.trunc() && v.abs() < 1e6 && (v != 0.0 || v.is_sign_positive()) {
        write_integer(out, v as i64);
        return;
    }
    write_with(out, v, |exponent| !(-4..SHORTEST_EXPONENT_LIMIT).contains(&exponent));
}

/// Appends `v` in the form of the labels `le` and `quantile` (of OpenMetrics): the shortest, with `.0` behind
/// what would look like a whole number: `1.0`, `0.25`, `1e+06`, `+Inf`.
pub fn write_bound(out: &mut Vec<u8>, v: f64) {
    let from = out.len();
    write_shortest(out, v);
    if v.is_finite() && !out[from..].iter().any(|b| matches!(b, b'.' | b'e')) {
        out.extend_from_slice(b".0");
    }
}

/// Appends `v` in the form of the query API's JSON: decimals without an exponent between 1e-6 and
/// 1e21, else with one.
pub fn write_api(out: &mut Vec<u8>, v: f64) {
    let abs = v.abs();
    if (1.0..1e15).contains(&abs) && v == v.trunc() {
        write_integer(out, v as i64);
    } else if (1e-4..1e15).contains(&abs) {
        // No whole number: as it is found, it has its point where it belongs and no exponent.
        out.extend_from_slice(zmij::Buffer::new().format_finite(v).as_bytes());
    } else {
        let is_decimal = (1e-6..1e21).contains(&abs);
        write_with(out, v, |_| !is_decimal);
    }
}

/// Appends `v` in decimals without an exponent, whatever its size (Go's `'f'` with the shortest digits).
pub fn write_decimal(out: &mut Vec<u8>, v: f64) {
    write_with(out, v, |_| false);
}

/// Appends a whole number in decimal digits.
pub fn write_integer(out: &mut Vec<u8>, n: i64) {
    if n < 0 {
        out.push(b'-');
    }
    let mut rest = n.unsigned_abs();
    let mut digits = [b'0'; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] += (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
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
        let found = Shortest::of(v);
        if v < 0.0 {
            out.push(b'-');
        }
        if with_exponent(found.exponent) { found.write_exponential(out) } else { found.write_decimal(out) }
    }
}

/// The shortest digits that read back as a float, the first and the last of them not 0, and the decimal
/// exponent of the first.
struct Shortest {
    digits: [u8; DIGITS_MAX],
    len: usize,
    exponent: i32,
}

impl Shortest {
    /// Those of a finite number that is not 0.
    fn of(v: f64) -> Self {
        let mut buffer = zmij::Buffer::new();
        let text = buffer.format_finite(v.abs());
        let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
        let exponent: i32 = exponent.parse().expect("invariant: an exponent is a whole number");
        let mut found = Self { digits: [b'0'; DIGITS_MAX], len: 0, exponent };
        // How many digits stand before the point, or less where zeros follow it.
        let mut before = mantissa.bytes().position(|b| b == b'.').unwrap_or(mantissa.len()) as i32;
        for digit in mantissa.bytes().filter(|b| *b != b'.') {
            if found.len == 0 && digit == b'0' {
                before -= 1;
            } else if found.len < DIGITS_MAX {
                found.digits[found.len] = digit;
                found.len += 1;
            }
        }
        found.exponent += before - 1;
        while found.len > 1 && found.digits[found.len - 1] == b'0' {
            found.len -= 1;
        }
        found
    }

    /// `1.5e+06`
    fn write_exponential(&self, out: &mut Vec<u8>) {
        out.push(self.digits[0]);
        if self.len > 1 {
            out.push(b'.');
            out.extend_from_slice(&self.digits[1..self.len]);
        }
        out.extend_from_slice(if self.exponent < 0 { b"e-" } else { b"e+" });
        if self.exponent.abs() < 10 {
            out.push(b'0');
        }
        write_integer(out, i64::from(self.exponent.abs()));
    }

    /// `1500000`, `0.00015`
    fn write_decimal(&self, out: &mut Vec<u8>) {
        let digits = &self.digits[..self.len];
        if self.exponent < 0 {
            out.extend_from_slice(b"0.");
            out.resize(out.len() + self.exponent.unsigned_abs() as usize - 1, b'0');
            out.extend_from_slice(digits);
            return;
        }
        let whole = self.exponent as usize + 1;
        if let Some((before, behind)) = digits.split_at_checked(whole).filter(|parts| !parts.1.is_empty()) {
            out.extend_from_slice(before);
            out.push(b'.');
            out.extend_from_slice(behind);
        } else {
            out.extend_from_slice(digits);
            out.resize(out.len() + whole - digits.len(), b'0');
        }
    }
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
    fn bounds_are_never_written_as_whole_numbers() {
        for (v, text) in [
            (1.0, "1.0"),
            (0.0, "0.0"),
            (-3.0, "-3.0"),
            (0.5, "0.5"),
            (1e6, "1e+06"),
            (100.0, "100.0"),
            (f64::INFINITY, "+Inf"),
            (f64::NAN, "NaN"),
        ] {
            let mut out = b"x".to_vec();
            write_bound(&mut out, v);
            assert_eq!(out, format!("x{text}").into_bytes());
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
            // Half-way between two: the even one.
            (2f64.powi(-25), "2.9802322387695312e-08"),
            (-2.5, "-2.5"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(api(v), text);
        }
        for (v, text) in [
            (1e21, "1000000000000000000000"),
            (-1.5e-7, "-0.00000015"),
            (-0.0, "-0"),
            (0.1, "0.1"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            let mut out = Vec::new();
            write_decimal(&mut out, v);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }

    /// The same forms by the standard library's search for digits.
    fn by_the_book(v: f64, with_exponent: impl Fn(i32) -> bool) -> String {
        let text = format!("{v:e}");
        let (digits, exponent) = text.split_once('e').unwrap();
        let exponent: i32 = exponent.parse().unwrap();
        if with_exponent(exponent) {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        } else {
            format!("{v}")
        }
    }

    /// Whether two forms of as many digits are equally near, the even one of which Go writes.
    fn is_tie(v: f64) -> bool {
        let digits = |text: &str| text.split('e').next().unwrap().bytes().filter(u8::is_ascii_digit).count();
        let (shortest, exact) = (format!("{v:e}"), format!("{v:.40e}"));
        let rest: String = exact.split('e').next().unwrap().chars().filter(char::is_ascii_digit).collect();
        rest[digits(&shortest)..].trim_end_matches('0') == "5"
    }

    fn check(v: f64) {
        let is_decimal = (1e-6..1e21).contains(&v.abs());
        let got = (to_shortest_string(v), api(v));
        let book = (by_the_book(v, |e| !(-4..6).contains(&e)), by_the_book(v, |_| !is_decimal));
        assert!(got == book || is_tie(v), "{got:?} and {book:?}");
    }

    #[test]
    fn digits_are_those_that_the_standard_library_finds() {
        for power in -330..=308 {
            let v: f64 = format!("1e{power}").parse().unwrap();
            for near in [v, v.next_up(), v.next_down(), 9.5 * v, v / 3.0] {
                if near != 0.0 && near.is_finite() {
                    check(near);
                    check(-near);
                }
            }
        }
        for bits in (0..2046).map(|exponent: u64| exponent << 52) {
            for v in [bits.max(1), bits + 1, bits | ((1 << 52) - 1)].map(f64::from_bits) {
                check(v);
            }
        }
        let seed: u64 = 0x9E37_79B9_7F4A_7C15;
        println!("seed {seed:#x}");
        let mut x = seed;
        for _ in 0..10_000 {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            // Any bits, sums of money, shares, and rates.
            let whole = (x >> 24) as f64;
            for v in [f64::from_bits(x), whole / 100.0, 1.0 / whole.max(1.0), whole / 285.0, whole * 1e5] {
                if v.is_finite() && v != 0.0 {
                    check(v);
                }
            }
        }
    }

    #[test]
    fn whole_numbers_are_written_as_they_are() {
        for n in [0, 1, -1, 9, 10, -10, 99, 100, 1_435_781_451, i64::MAX, i64::MIN] {
            let mut out = Vec::new();
            write_integer(&mut out, n);
            assert_eq!(String::from_utf8(out).unwrap(), n.to_string());
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
