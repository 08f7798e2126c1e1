//! Reads numbers, durations and strings: the forms of Go's literals, which PromQL has taken over.

/// Why a text is no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoNumber {
    /// It has no form of one.
    Form,
    /// It has, and is larger than all of its form.
    OutOfRange,
}

/// The largest number that is not written in hexadecimal digits, and the largest that is.
const LARGEST: (&str, &str) = ("1.7976931348623157e308", "0x7fffffffffffffff");

impl NoNumber {
    /// What is said about `text`.
    pub(crate) fn message(self, text: &str) -> String {
        match self {
            Self::Form => {
                format!("bad number or duration syntax: {text:?}, expected such as 1.5e3, 0x1F or 5m")
            }
            Self::OutOfRange => {
                let largest = if hex_digits(text).is_some() { LARGEST.1 } else { LARGEST.0 };
                format!("number out of range: {text:?}, the largest is {largest}; Inf is beyond all")
            }
        }
    }
}

/// Reads a number: decimal, hexadecimal (`0x1F`), octal (a leading zero), with `_` between digits,
/// with fraction and exponent.
pub(crate) fn number(text: &str) -> Result<f64, NoNumber> {
    if text.eq_ignore_ascii_case("inf") {
        return Ok(f64::INFINITY);
    }
    if text.eq_ignore_ascii_case("nan") {
        return Ok(f64::NAN);
    }
    if !underscores_separate_digits(text) {
        return Err(NoNumber::Form);
    }
    let plain = text.replace('_', "");
    if let Some(hex) = hex_digits(&plain) {
        if hex.is_empty() || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(NoNumber::Form);
        }
        return i64::from_str_radix(hex, 16).map(|n| n as f64).map_err(|_| NoNumber::OutOfRange);
    }
    if plain.len() > 1
        && plain.starts_with('0')
        && plain.bytes().all(|b| matches!(b, b'0'..=b'7'))
        && let Ok(n) = i64::from_str_radix(&plain, 8)
    {
        return Ok(n as f64);
    }
    // The standard library also reads words such as "infinity".
    if !plain.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-')) {
        return Err(NoNumber::Form);
    }
    match plain.parse::<f64>() {
        Ok(v) if v.is_finite() => Ok(v),
        Ok(_) => Err(NoNumber::OutOfRange),
        Err(_) => Err(NoNumber::Form),
    }
}

fn hex_digits(text: &str) -> Option<&str> {
    text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))
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
        use NoNumber::{Form, OutOfRange};
        for (text, want) in [
            ("1", Ok(1.0)),
            ("12.34e6", Ok(12_340_000.0)),
            ("12.34e+6", Ok(12_340_000.0)),
            ("12.34e-6", Ok(0.000_012_34)),
            (".5", Ok(0.5)),
            ("5.", Ok(5.0)),
            ("1.e3", Ok(1000.0)),
            ("0x1F", Ok(31.0)),
            ("0XfF", Ok(255.0)),
            ("0x_1f", Ok(31.0)),
            ("0x1e5", Ok(485.0)),
            ("010", Ok(8.0)),
            ("08", Ok(8.0)),
            ("00_8", Ok(8.0)),
            ("1_000.5", Ok(1000.5)),
            ("1_000_000", Ok(1_000_000.0)),
            ("18446744073709551616", Ok(18_446_744_073_709_551_616.0)),
            ("iNf", Ok(f64::INFINITY)),
            ("1_", Err(Form)),
            ("1__0", Err(Form)),
            ("1_.5", Err(Form)),
            ("1._5", Err(Form)),
            ("1_e5", Err(Form)),
            ("1e", Err(Form)),
            ("1e999", Err(OutOfRange)),
            ("1.2.3", Err(Form)),
            ("0x", Err(Form)),
            ("0x1.8", Err(Form)),
            ("0xffffffffffffffff", Err(OutOfRange)),
            ("0b1", Err(Form)),
            ("1.8e308", Err(OutOfRange)),
            ("1e308", Ok(1e308)),
            ("1e-400", Ok(0.0)),
            ("0e999", Ok(0.0)),
            ("0x7fff_ffff_ffff_ffff", Ok(9_223_372_036_854_775_807.0)),
            ("0777777777777777777777777", Ok(777_777_777_777_777_777_777_777.0)),
            ("0xg", Err(Form)),
            ("1e1.5", Err(Form)),
            ("12abc", Err(Form)),
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
