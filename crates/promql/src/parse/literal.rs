//! Reads numbers, durations and strings: the forms of Go's literals, which PromQL has taken over.

/// Reads a number: decimal, hexadecimal (`0x1F`), octal (a leading zero), with `_` between digits,
/// with fraction and exponent. None when it has no such form or does not fit into a float.
pub(crate) fn number(text: &str) -> Option<f64> {
    if text.eq_ignore_ascii_case("inf") {
        return Some(f64::INFINITY);
    }
    if text.eq_ignore_ascii_case("nan") {
        return Some(f64::NAN);
    }
    if !underscores_separate_digits(text) {
        return None;
    }
    let plain = text.replace('_', "");
    if let Some(hex) = plain.strip_prefix("0x").or_else(|| plain.strip_prefix("0X")) {
        let digits_only = hex.bytes().all(|b| b.is_ascii_hexdigit());
        return i64::from_str_radix(hex, 16).ok().filter(|_| digits_only).map(|n| n as f64);
    }
    if plain.len() > 1
        && plain.starts_with('0')
        && plain.bytes().all(|b| matches!(b, b'0'..=b'7'))
        && let Ok(n) = i64::from_str_radix(&plain, 8)
    {
        return Some(n as f64);
    }
    // The standard library also reads words such as "infinity".
    if !plain.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-')) {
        return None;
    }
    plain.parse().ok().filter(|v: &f64| v.is_finite())
}

fn underscores_separate_digits(text: &str) -> bool {
    let bytes = text.as_bytes();
    let hex = matches!(bytes, [b'0', b'x' | b'X', ..]);
    let is_digit = |b: &u8| if hex { b.is_ascii_hexdigit() } else { b.is_ascii_digit() };
    bytes.iter().enumerate().filter(|(_, b)| **b == b'_').all(|(i, _)| {
        let before = i.checked_sub(1).and_then(|i| bytes.get(i));
        let after_prefix = hex && i == 2;
        (after_prefix || before.is_some_and(is_digit)) && bytes.get(i + 1).is_some_and(is_digit)
    })
}

/// What is wrong inside of a string, and at which byte of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct StringError {
    pub(crate) offset: usize,
    pub(crate) len: usize,
    pub(crate) message: String,
}

/// Reads a string with its quotes that is to be text.
pub(crate) fn string(quoted: &str) -> Result<String, StringError> {
    String::from_utf8(bytes(quoted)?).map_err(|_| StringError {
        offset: 0,
        len: quoted.len(),
        message: "string is not valid UTF-8: its escapes make bytes that are no characters".to_owned(),
    })
}

/// Reads a string with its quotes: escapes as in Go, none between backquotes.
pub(crate) fn bytes(quoted: &str) -> Result<Vec<u8>, StringError> {
    let quote = quoted.as_bytes()[0];
    let inner = &quoted[1..quoted.len() - 1];
    if quote == b'`' || !inner.contains('\\') {
        return Ok(inner.as_bytes().to_owned());
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut at = 0;
    while at < inner.len() {
        let rest = &inner[at..];
        match rest.find('\\') {
            None => {
                out.extend_from_slice(rest.as_bytes());
                break;
            }
            Some(n) => {
                out.extend_from_slice(&rest.as_bytes()[..n]);
                at += n;
            }
        }
        let len = escape(&inner[at..], quote, &mut out).map_err(|(len, message)| StringError {
            offset: at + 1,
            len,
            message,
        })?;
        at += len;
    }
    Ok(out)
}

/// Reads the escape that `text` begins with; gives its length, or length and message of the error.
fn escape(text: &str, quote: u8, out: &mut Vec<u8>) -> Result<usize, (usize, String)> {
    let c = text[1..].chars().next().unwrap_or('\\');
    let simple = match c {
        'a' => Some(7),
        'b' => Some(8),
        'f' => Some(12),
        'n' => Some(b'\n'),
        'r' => Some(b'\r'),
        't' => Some(b'\t'),
        'v' => Some(11),
        '\\' => Some(b'\\'),
        c if c == char::from(quote) => Some(quote),
        _ => None,
    };
    if let Some(b) = simple {
        out.push(b);
        return Ok(2);
    }
    let (skip, digits, radix) = match c {
        '0'..='7' => (1, 3, 8),
        'x' => (2, 2, 16),
        'u' => (2, 4, 16),
        'U' => (2, 8, 16),
        _ => return Err((1 + c.len_utf8(), format!("unknown escape sequence \\{c}"))),
    };
    let len = skip + digits;
    let value = text
        .get(skip..len)
        .filter(|t| t.chars().all(|c| c.is_digit(radix)))
        .and_then(|t| u32::from_str_radix(t, radix).ok())
        .ok_or_else(|| (skip, format!("escape sequence \\{c} needs {digits} digits of base {radix}")))?;
    match c {
        'u' | 'U' => {
            let ch = char::from_u32(value)
                .ok_or_else(|| (len, "escape sequence is no Unicode character".to_owned()))?;
            out.extend_from_slice(ch.encode_utf8(&mut [0; 4]).as_bytes());
        }
        _ => {
            let byte = u8::try_from(value).map_err(|_| {
                (len, "escape sequence is larger than a byte: the largest is \\377".to_owned())
            })?;
            out.push(byte);
        }
    }
    Ok(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_forms_of_go() {
        for (text, want) in [
            ("1", Some(1.0)),
            ("12.34e6", Some(12_340_000.0)),
            ("12.34e+6", Some(12_340_000.0)),
            ("12.34e-6", Some(0.000_012_34)),
            (".5", Some(0.5)),
            ("5.", Some(5.0)),
            ("1.e3", Some(1000.0)),
            ("0x1F", Some(31.0)),
            ("0XfF", Some(255.0)),
            ("0x_1f", Some(31.0)),
            ("0x1e5", Some(485.0)),
            ("010", Some(8.0)),
            ("08", Some(8.0)),
            ("00_8", Some(8.0)),
            ("1_000.5", Some(1000.5)),
            ("1_000_000", Some(1_000_000.0)),
            ("18446744073709551616", Some(18_446_744_073_709_551_616.0)),
            ("iNf", Some(f64::INFINITY)),
            ("1_", None),
            ("1__0", None),
            ("1_.5", None),
            ("1._5", None),
            ("1_e5", None),
            ("1e", None),
            ("1e999", None),
            ("1.2.3", None),
            ("0x", None),
            ("0x1.8", None),
            ("0xffffffffffffffffff", None),
            ("0b1", None),
            ("1e1.5", None),
            ("12abc", None),
        ] {
            assert_eq!(number(text), want, "{text}");
        }
        assert!(number("nAN").unwrap().is_nan());
    }

    #[test]
    fn strings_have_the_escapes_of_go() {
        for (text, want) in [
            (r#""""#, Ok("")),
            (r#""a'b""#, Ok("a'b")),
            (r#"'a"b'"#, Ok("a\"b")),
            (r"`a\nb`", Ok("a\\nb")),
            (r#""\a\b\f\n\r\t\v\\\"""#, Ok("\x07\x08\x0c\n\r\t\x0b\\\"")),
            (r"'\''", Ok("'")),
            (r#""\101\x41\u0041\U00000041""#, Ok("AAAA")),
            (r#""\xc3\xbc ü \U0001F600""#, Ok("ü ü 😀")),
            (r#""\'""#, Err((1, 2))),
            (r#""ab\q""#, Err((3, 2))),
            (r#""\ü""#, Err((1, 3))),
            (r#""\x4""#, Err((1, 2))),
            (r#""\xü""#, Err((1, 2))),
            (r#""\400""#, Err((1, 4))),
            (r#""\ud800""#, Err((1, 6))),
            (r#""\UFFFFFFFF""#, Err((1, 10))),
            (r#""\xff""#, Err((0, 6))),
        ] {
            let got = string(text).map_err(|e| (e.offset, e.len));
            assert_eq!(got, want.map(str::to_owned), "{text}");
        }
    }
}
