//! Floats as Go's `strconv` writes them: shortest or with a precision, as `%e`, `%f`, `%g`, `%b` and `%x` do.
//! Knows no width and no sign but a minus.

/// The digits of a number, without zeros at the end, and where its point stands among them.
struct Digits {
    digits: Vec<u8>,
    point: i32,
}

/// A float by a verb of Go; without a precision it has as many digits as tell it from all others.
pub(super) fn float(value: f64, verb: char, precision: Option<usize>) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    let sign = if value.is_sign_negative() { "-" } else { "" };
    if value.is_infinite() {
        return format!("{}Inf", if sign.is_empty() { "+" } else { sign });
    }
    let value = value.abs();
    let shown = match verb {
        'b' => binary(value),
        'x' | 'X' => hexadecimal(value, precision),
        'e' | 'E' => exponential(value, precision),
        'f' | 'F' => match precision {
            Some(precision) => format!("{value:.precision$}"),
            None => format!("{value}"),
        },
        _ => general(value, precision),
    };
    let shown = if matches!(verb, 'E' | 'G' | 'X') { shown.to_uppercase() } else { shown };
    format!("{sign}{shown}")
}

fn digits(value: f64, precision: Option<usize>) -> Digits {
    let shown = match precision {
        Some(precision) => format!("{value:.*e}", precision.max(1) - 1),
        None => format!("{value:e}"),
    };
    let (mantissa, exponent) = shown.split_once('e').unwrap_or((&shown, "0"));
    let mut digits: Vec<u8> = mantissa.bytes().filter(u8::is_ascii_digit).collect();
    while digits.last() == Some(&b'0') {
        digits.pop();
    }
    let point = if digits.is_empty() { 0 } else { exponent.parse::<i32>().unwrap_or(0) + 1 };
    Digits { digits, point }
}

/// `d.dde±dd`, with at least two digits behind the `e`.
fn exponential(value: f64, precision: Option<usize>) -> String {
    let shown = match precision {
        Some(precision) => format!("{value:.precision$e}"),
        None => format!("{value:e}"),
    };
    let (mantissa, exponent) = shown.split_once('e').unwrap_or((&shown, "0"));
    format!("{mantissa}e{}", signed(exponent.parse().unwrap_or(0)))
}

fn signed(exponent: i32) -> String {
    format!("{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.unsigned_abs())
}

/// With an `e` only where the number is very small, or has more digits than the precision.
fn general(value: f64, precision: Option<usize>) -> String {
    /// Without a precision, numbers from a million on have an `e`.
    const SHORTEST: i32 = 6;
    let Digits { digits, point } = digits(value, precision);
    let count = digits.len() as i32;
    let most = match precision {
        None => SHORTEST,
        Some(precision) => {
            let precision = precision.max(1) as i32;
            if precision > count && count >= point { count } else { precision }
        }
    };
    let exponent = point - 1;
    if exponent < -4 || exponent >= most {
        exponential(value, Some(digits.len().max(1) - 1))
    } else {
        let behind = usize::try_from(count - point).unwrap_or(0);
        format!("{value:.behind$}")
    }
}

/// The bits of the mantissa as a number, and the power of two it is multiplied by.
fn binary(value: f64) -> String {
    let (mantissa, exponent) = parts(value);
    format!("{mantissa}p{}{}", if exponent < 0 { "" } else { "+" }, exponent)
}

fn parts(value: f64) -> (u64, i32) {
    const MANTISSA_BITS: u32 = 52;
    const BIAS: i32 = 1023;
    let bits = value.to_bits();
    let mantissa = bits & ((1 << MANTISSA_BITS) - 1);
    let exponent = (bits >> MANTISSA_BITS) as i32 & 0x7ff;
    let (mantissa, exponent) =
        if exponent == 0 { (mantissa, 1) } else { (mantissa | 1 << MANTISSA_BITS, exponent) };
    (mantissa, exponent - BIAS - MANTISSA_BITS as i32)
}

/// `0x1.8p+01`.
fn hexadecimal(value: f64, precision: Option<usize>) -> String {
    let (mut mantissa, mut exponent) = parts(value);
    if mantissa == 0 {
        exponent = 0;
    } else {
        // The first digit is 1, with 60 bits behind it.
        let shift = mantissa.leading_zeros() - 3;
        mantissa <<= shift;
        exponent += 60 - shift as i32;
    }
    if let Some(precision) = precision.filter(|precision| *precision < 15) {
        let dropped = 60 - 4 * precision as u32;
        let rest = mantissa & ((1 << dropped) - 1);
        mantissa >>= dropped;
        if rest > 1 << (dropped - 1) || rest == 1 << (dropped - 1) && mantissa & 1 == 1 {
            mantissa += 1;
        }
        mantissa <<= dropped;
        if mantissa >> 61 == 1 {
            mantissa >>= 1;
            exponent += 1;
        }
    }
    let mut behind = format!("{:015x}", mantissa & ((1 << 60) - 1));
    match precision {
        Some(precision) if precision < behind.len() => behind.truncate(precision),
        Some(precision) => behind.push_str(&"0".repeat(precision - behind.len())),
        None => behind.truncate(behind.trim_end_matches('0').len()),
    }
    let point = if behind.is_empty() { "" } else { "." };
    format!("0x{}{point}{behind}p{}", mantissa >> 60, signed(exponent))
}
