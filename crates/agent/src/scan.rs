//! Reading bytes of the kernel: lines, fields, numbers, lists of CPUs. All functions take any bytes
//! and never panic.

use std::borrow::Cow;

/// Linux can be built for no more CPUs than this.
pub(crate) const MAX_CPUS: usize = 8192;

/// The lines of `data`, without their line feeds.
pub(crate) fn lines(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(data);
    std::iter::from_fn(move || {
        let data = rest?;
        match memchr::memchr(b'\n', data) {
            Some(end) => {
                rest = Some(&data[end + 1..]);
                Some(&data[..end])
            }
            None => rest.take(),
        }
    })
}

/// The fields of a line: what stands between blanks and tabs.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a>(&'a [u8]);

/// The fields of `line`.
pub(crate) const fn fields(line: &[u8]) -> Fields<'_> {
    Fields(line)
}

impl<'a> Fields<'a> {
    /// The next field as a whole number.
    pub(crate) fn number(&mut self) -> Option<u64> {
        self.next().and_then(number)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let start = self.0.iter().position(|b| !b.is_ascii_whitespace())?;
        let tail = &self.0[start..];
        let len = tail.iter().position(u8::is_ascii_whitespace).unwrap_or(tail.len());
        self.0 = &tail[len..];
        Some(&tail[..len])
    }
}

/// `text` as a whole number: digits only, no more than 64 bits.
pub(crate) fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    let mut value: u64 = 0;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    Some(value)
}

/// `text` as a whole number that may be below zero.
pub(crate) fn signed(text: &[u8]) -> Option<i64> {
    match text.strip_prefix(b"-") {
        Some(digits) => 0_i64.checked_sub_unsigned(number(digits)?),
        None => i64::try_from(number(text)?).ok(),
    }
}

/// `text` as a number of hexadecimal digits.
pub(crate) fn hexadecimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 16 {
        return None;
    }
    text.iter().try_fold(0, |value, byte| Some(value << 4 | u64::from(char::from(*byte).to_digit(16)?)))
}

/// `text` as a decimal fraction: digits and a point, nothing else.
pub(crate) fn decimal(text: &[u8]) -> Option<f64> {
    if !text.iter().all(|b| b.is_ascii_digit() || *b == b'.') {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// `text` before and after the first `separator`, neither with white space around it.
pub(crate) fn split_at(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(separator, text)?;
    Some((text[..at].trim_ascii(), text[at + 1..].trim_ascii()))
}

/// Bytes as text. What is not UTF-8 is replaced, since a label's value has to be text.
pub(crate) fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// Whether `text` can stand in a metric's name.
pub(crate) fn is_name(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_')
}

/// A list of CPUs as the kernel writes it: `0-3,8,10-11`. `None` when it is not one.
pub(crate) fn cpu_list(text: &[u8]) -> Option<Vec<usize>> {
    let mut cpus = Vec::new();
    for part in text.trim_ascii().split(|b| *b == b',').filter(|part| !part.is_empty()) {
        let (first, last) = match split_at(part, b'-') {
            Some((first, last)) => (number(first)?, number(last)?),
            None => (number(part)?, number(part)?),
        };
        if first > last || last >= MAX_CPUS as u64 || cpus.len() > MAX_CPUS {
            return None;
        }
        cpus.extend(first as usize..=last as usize);
    }
    Some(cpus)
}

/// `text` as a decimal fraction that may be below zero.
pub(crate) fn signed_decimal(text: &[u8]) -> Option<f64> {
    match text.strip_prefix(b"-") {
        Some(text) => decimal(text).map(|value| -value),
        None => decimal(text),
    }
}

/// `text` as a whole number that is hexadecimal behind `0x`, and may be below zero.
pub(crate) fn integer(text: &[u8]) -> Option<f64> {
    match text.strip_prefix(b"0x") {
        Some(digits) => hexadecimal(digits).map(|value| value as f64),
        None => match text.strip_prefix(b"-") {
            Some(digits) => number(digits).map(|value| -(value as f64)),
            None => number(text).map(|value| value as f64),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_digits_only() {
        for (text, value) in [
            ("0", Some(0)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            ("12a", None),
        ] {
            assert_eq!(number(text.as_bytes()), value, "{text:?}");
        }
        for (text, value) in [
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775807", Some(i64::MAX)),
            ("9223372036854775808", None),
            ("-1", Some(-1)),
            ("--1", None),
            ("-", None),
        ] {
            assert_eq!(signed(text.as_bytes()), value, "{text:?}");
        }
        for (text, value) in
            [("ffffffffffffffff", Some(u64::MAX)), ("0010A", Some(266)), ("", None), ("0x1", None)]
        {
            assert_eq!(hexadecimal(text.as_bytes()), value, "{text:?}");
        }
        for (text, value) in
            [("0.07", Some(0.07)), ("12", Some(12.0)), ("inf", None), ("1e9", None), ("", None)]
        {
            assert_eq!(decimal(text.as_bytes()), value, "{text:?}");
        }
    }

    #[test]
    fn numbers_below_zero_and_of_base_16() {
        for (text, value) in
            [("-12.5", Some(-12.5)), ("3", Some(3.0)), ("--3", None), ("-", None), ("", None), ("+3", None)]
        {
            assert_eq!(signed_decimal(text.as_bytes()), value, "{text:?}");
        }
        for (text, value) in
            [("0x1003", Some(4099.0)), ("-1", Some(-1.0)), ("07", Some(7.0)), ("1.5", None), ("0x", None)]
        {
            assert_eq!(integer(text.as_bytes()), value, "{text:?}");
        }
    }

    #[test]
    fn lists_of_cpus() {
        for (text, cpus) in [
            ("\n", Some(vec![])),
            ("0-1\n", Some(vec![0, 1])),
            ("0,2-3,8", Some(vec![0, 2, 3, 8])),
            ("3-1", None),
            ("0-99999999", None),
            ("a", None),
        ] {
            assert_eq!(cpu_list(text.as_bytes()), cpus, "{text:?}");
        }
    }

    #[test]
    fn fields_are_split_at_blanks_and_tabs() {
        let mut f = fields(b"  cpu0\t1  22 rest of it ");
        assert_eq!(f.next(), Some(&b"cpu0"[..]));
        assert_eq!(f.number(), Some(1));
        assert_eq!(f.number(), Some(22));
        assert_eq!(f.clone().count(), 3);
        assert_eq!(lines(b"a\n\nb").collect::<Vec<_>>(), [&b"a"[..], b"", b"b"]);
    }
}
