//! Numbers as Go's `strconv` reads them, less the forms that the exposition formats refuse. Owns the
//! fast way for short decimals.

use super::error::{Fault, ParseErrorKind};
use skopos_model::TimestampMs;

/// The NaN that stands for every NaN that is read, as in Prometheus: the staleness marker is another.
const NORMAL_NAN_BITS: u64 = 0x7ff8_0000_0000_0001;
/// Whole numbers up to here are floats without loss.
const MAX_EXACT: u64 = 1 << 53;
/// Powers of ten that are floats without loss.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];
/// The same for whole numbers of up to eight digits.
const WHOLE_POWERS: [u64; 9] = [1, 10, 100, 1000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];
/// As many digits surely fit in 64 bits.
const MAX_DIGITS: usize = 19;

/// Reads the number at `at`, which ends before one of `ends` or at the end; gives it and where it
/// ends.
#[inline(always)]
pub(super) fn float(input: &[u8], at: usize, ends: &[u8]) -> Result<(f64, usize), Fault> {
    if let Some((value, end)) = short_decimal(input, at)
        && input.get(end).is_none_or(|b| ends.contains(b))
    {
        return Ok((value, end));
    }
    any_float(input, at, ends)
}

/// A time in seconds as milliseconds; none when it is no time, or beyond what 64 bits hold.
pub(super) fn millis_of_secs(secs: f64) -> Option<TimestampMs> {
    let ms = secs * 1000.0;
    (ms.abs() < 9.2e18).then_some(TimestampMs::new(ms as i64))
}

/// Reads digits as milliseconds.
pub(super) fn digits(input: &[u8], at: usize) -> Result<(i64, usize), Fault> {
    let mut end = at;
    while input.get(end).is_some_and(u8::is_ascii_digit) {
        end += 1;
    }
    let text = std::str::from_utf8(&input[at..end]).unwrap_or("");
    match text.parse() {
        Ok(ms) => Ok((ms, end)),
        Err(_) => Err(Fault::new(at, ParseErrorKind::BadTimestamp)),
    }
}

/// Reads a decimal whose digits and whose power of ten are both floats without loss, so that one
/// rounding gives the nearest float (W. Clinger, "How to read floating point numbers accurately",
/// PLDI 1990). None for all others and for what is no number.
#[inline(always)]
fn short_decimal(input: &[u8], start: usize) -> Option<(f64, usize)> {
    let mut at = start;
    let negative = input.get(at) == Some(&b'-');
    if negative || input.get(at) == Some(&b'+') {
        at += 1;
    }
    let digits_at = at;
    let mut mantissa = 0;
    at = push_digits(input, at, &mut mantissa);
    let mut digits = at - digits_at;
    let mut exponent = 0;
    if input.get(at) == Some(&b'.') {
        let fraction_at = at + 1;
        at = push_digits(input, fraction_at, &mut mantissa);
        digits += at - fraction_at;
        exponent = -((at - fraction_at) as i32);
    }
    if digits == 0 || digits > MAX_DIGITS || mantissa > MAX_EXACT {
        return None;
    }
    if matches!(input.get(at), Some(b'e' | b'E')) {
        at += 1;
        let minus = input.get(at) == Some(&b'-');
        if minus || input.get(at) == Some(&b'+') {
            at += 1;
        }
        let written_at = at;
        let mut written = 0;
        at = push_digits(input, at, &mut written);
        if !(1..=3).contains(&(at - written_at)) {
            return None;
        }
        exponent += if minus { -(written as i32) } else { written as i32 };
    }
    let power = *POWERS.get(exponent.unsigned_abs() as usize)?;
    let value = mantissa as f64;
    let value = if exponent < 0 { value / power } else { value * power };
    Some((if negative { -value } else { value }, at))
}

/// Appends the digits from `at` on to `number`, which wraps beyond `MAX_DIGITS`; gives where they end.
#[inline(always)]
fn push_digits(input: &[u8], mut at: usize, number: &mut u64) -> usize {
    while let Some(eight) = input.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*eight);
        let others = not_digits(word);
        if others == 0 {
            *number = number.wrapping_mul(WHOLE_POWERS[8]).wrapping_add(eight_digits(word));
            at += 8;
            continue;
        }
        // Fewer than eight are shifted to where the last of eight would stand.
        let count = others.trailing_zeros() / 8;
        if count > 0 {
            let last = eight_digits(word << (64 - 8 * count));
            *number = number.wrapping_mul(WHOLE_POWERS[count as usize]).wrapping_add(last);
        }
        return at + count as usize;
    }
    while let Some(digit) = input.get(at).map(|b| b.wrapping_sub(b'0'))
        && digit < 10
    {
        *number = number.wrapping_mul(10).wrapping_add(u64::from(digit));
        at += 1;
    }
    at
}

/// The high bit of each byte that is no digit.
#[inline(always)]
const fn not_digits(word: u64) -> u64 {
    let word = word ^ 0x3030_3030_3030_3030;
    (((word & 0x7f7f_7f7f_7f7f_7f7f) + 0x7676_7676_7676_7676) | word) & 0x8080_8080_8080_8080
}

/// The number of eight digits, the first of which is the lowest byte: neighbours are joined to pairs,
/// pairs to fours, fours to the whole. Zero bytes count as the digit 0.
#[inline(always)]
const fn eight_digits(word: u64) -> u64 {
    let word = word & 0x0f0f_0f0f_0f0f_0f0f;
    let word = word.wrapping_mul(2561) >> 8;
    let word = (word & 0x00ff_00ff_00ff_00ff).wrapping_mul(6_553_601) >> 16;
    (word & 0x0000_ffff_0000_ffff).wrapping_mul(42_949_672_960_001) >> 32
}

/// Reads a number of any form.
#[cold]
#[inline(never)]
fn any_float(input: &[u8], at: usize, ends: &[u8]) -> Result<(f64, usize), Fault> {
    let rest = input.get(at..).unwrap_or(&[]);
    let len = rest.iter().position(|b| ends.contains(b)).unwrap_or(rest.len());
    if len == 0 {
        return Err(Fault::new(at, ParseErrorKind::ExpectedValue));
    }
    let value = std::str::from_utf8(&rest[..len]).ok().and_then(parse_any);
    value.map(|v| (v, at + len)).ok_or(Fault::new(at, ParseErrorKind::BadNumber))
}

/// Rust reads what Go reads, with three differences: Go has no signed NaN, and takes what is too
/// large for an error; its hexadecimal forms are refused by the formats.
fn parse_any(text: &str) -> Option<f64> {
    let value: f64 = text.parse().ok()?;
    let unsigned = text.strip_prefix(['+', '-']);
    if value.is_nan() {
        return unsigned.is_none().then(|| f64::from_bits(NORMAL_NAN_BITS));
    }
    let is_word = unsigned.unwrap_or(text).starts_with(['i', 'I']);
    (value.is_finite() || is_word).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<f64> {
        let line = format!("{text} 7\n");
        let (value, end) = float(line.as_bytes(), 0, b" \n").ok()?;
        assert_eq!(end, text.len());
        assert_eq!(float(text.as_bytes(), 0, b" \n").map(|(v, _)| v.to_bits()), Ok(value.to_bits()));
        Some(value)
    }

    #[test]
    fn numbers_are_read_as_go_reads_them() {
        for text in [
            "0",
            "-0",
            "1",
            "+1",
            "-1",
            "5.",
            ".5",
            "-.5",
            "1e5",
            "1E5",
            "1e+05",
            "1.5e-05",
            "12345678",
            "123456789012345678",
            "1234567890123456789",
            "12345678901234567890123",
            "0.1",
            "0.30000000000000004",
            "9007199254740992",
            "9007199254740993",
            "1e22",
            "1e23",
            "1e-22",
            "1e-23",
            "5e-324",
            "1e-400",
            "1.7976931348623157e+308",
            "0.000000000000000000000000000001",
            "1e0000000001",
            "7.424100000000001e-05",
            "00000000000000000000001",
            "2.5769803776e+10",
            "Inf",
            "+Inf",
            "-inf",
            "iNfInItY",
        ] {
            let expected: f64 = text.parse().unwrap();
            assert_eq!(read(text).map(f64::to_bits), Some(expected.to_bits()), "{text}");
        }
        for text in ["NaN", "nan", "nAN"] {
            assert_eq!(read(text).map(f64::to_bits), Some(NORMAL_NAN_BITS), "{text}");
        }
    }

    #[test]
    fn what_go_or_the_formats_refuse_is_refused() {
        for text in [
            "", "-", "+", ".", "e5", "1e", "1e+", "--1", "1_000", "0x10", "0x1p-3", "0X1P3", "1e400",
            "-1e400", "+NaN", "-nan", "true", "1,5", "1z", "infinit", "\u{661}", "1\t2", "1\r",
        ] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }

    #[test]
    fn random_floats_come_back() {
        let mut x: u64 = 0x2545_F491_4F6C_DD1D;
        for _ in 0..20_000 {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            for v in [f64::from_bits(x), (x % 1_000_000_000) as f64 / 1000.0, (x >> 20) as f64] {
                if v.is_finite() {
                    for text in [format!("{v}"), format!("{v:e}")] {
                        assert_eq!(read(&text).map(f64::to_bits), Some(v.to_bits()), "{text}");
                    }
                }
            }
        }
    }
}
