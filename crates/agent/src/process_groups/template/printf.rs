//! Values by a format, as Go's `fmt.Sprintf` writes them: all of its flags, widths, precisions, indexes and
//! verbs, for what templates have. What does not fit is written as there: `%!d(string=a)`.

use super::{
    float::float,
    quote::{self, Kept, fits_backquotes, quoted, quoted_char},
    time,
    value::Value,
};

/// A width or precision is no more.
const MAX_WIDTH: usize = 1000;
/// What is larger is no width to Go, either.
const MAX_NUMBER: u64 = 1_000_000;

/// A `%` and what stands behind it, but for the verb.
#[derive(Clone, Default)]
struct Spec {
    left: bool,
    zeros: bool,
    plus: bool,
    sharp: bool,
    blank: bool,
    /// As a program of Go would write it: `%#v`.
    of_program: bool,
    /// Without the words that some numbers have.
    plain: bool,
    width: usize,
    precision: Option<usize>,
}

/// A format while it is followed.
struct Format<'f, 'a> {
    rest: &'f str,
    arguments: &'f [Value<'a>],
    /// The argument that is next.
    next: usize,
    /// Some index was written.
    is_reordered: bool,
    /// The index at hand is none of an argument.
    is_bad: bool,
    shown: String,
}

pub(super) fn printf(format: &str, arguments: &[Value<'_>]) -> String {
    let mut format =
        Format { rest: format, arguments, next: 0, is_reordered: false, is_bad: false, shown: String::new() };
    while let Some((text, behind)) = format.rest.split_once('%') {
        format.shown.push_str(text);
        format.rest = behind;
        format.verb();
    }
    format.shown.push_str(format.rest);
    if !format.is_reordered && format.next < arguments.len() {
        let extra: Vec<String> =
            arguments[format.next..].iter().map(|value| Spec::default().typed(value)).collect();
        format.shown.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    format.shown
}

impl Format<'_, '_> {
    /// Follows what stands behind a `%`.
    fn verb(&mut self) {
        let mut spec = Spec::default();
        self.is_bad = false;
        while let Some(flag) = self.rest.chars().next().filter(|c| "#0+- ".contains(*c)) {
            self.rest = &self.rest[1..];
            match flag {
                '#' => spec.sharp = true,
                '0' => spec.zeros = !spec.left,
                '+' => spec.plus = true,
                '-' => (spec.left, spec.zeros) = (true, false),
                _ => spec.blank = true,
            }
        }
        let mut is_indexed = self.index();
        if self.take('*') {
            match self.whole() {
                Some(width) => {
                    spec.width = (width.unsigned_abs() as usize).min(MAX_WIDTH);
                    if width < 0 {
                        (spec.left, spec.zeros) = (true, false);
                    }
                }
                None => self.shown.push_str("%!(BADWIDTH)"),
            }
            is_indexed = false;
        } else if let Some(width) = self.number() {
            spec.width = width;
            // A width behind an index is none.
            self.is_bad |= is_indexed;
        }
        // A point that ends the format is its verb.
        if self.rest != "." && self.take('.') {
            self.is_bad |= is_indexed;
            is_indexed = self.index();
            if self.take('*') {
                match self.whole() {
                    Some(precision @ 0..) => spec.precision = Some((precision as usize).min(MAX_WIDTH)),
                    Some(_) | None => self.shown.push_str("%!(BADPREC)"),
                }
                is_indexed = false;
            } else {
                spec.precision = Some(self.number().unwrap_or(0));
            }
        }
        if !is_indexed {
            self.index();
        }
        let Some(verb) = self.rest.chars().next() else {
            self.shown.push_str("%!(NOVERB)");
            return;
        };
        self.rest = &self.rest[verb.len_utf8()..];
        let written = match self.arguments.get(self.next) {
            _ if verb == '%' => "%".into(),
            _ if self.is_bad => format!("%!{verb}(BADINDEX)"),
            None => format!("%!{verb}(MISSING)"),
            Some(argument) => {
                self.next += 1;
                if verb == 'v' {
                    // These two mean something else here, and a plus of a number is lost.
                    (spec.of_program, spec.sharp, spec.plus) = (spec.sharp, false, false);
                }
                spec.write(verb, argument)
            }
        };
        self.shown.push_str(&written);
    }

    fn take(&mut self, sign: char) -> bool {
        let behind = self.rest.strip_prefix(sign);
        self.rest = behind.unwrap_or(self.rest);
        behind.is_some()
    }

    fn number(&mut self) -> Option<usize> {
        // Nothing is read behind a number that is much too large.
        let (number, behind) = number(self.rest).unwrap_or_default();
        self.rest = behind;
        number.map(|number| usize::try_from(number).map_or(MAX_WIDTH, |number| number.min(MAX_WIDTH)))
    }

    /// The next argument as a width or precision.
    fn whole(&mut self) -> Option<i64> {
        let argument = self.arguments.get(self.next)?;
        self.next += 1;
        argument.whole().filter(|number| number.unsigned_abs() <= MAX_NUMBER)
    }

    /// `[n]` makes the n-th argument the next one. Whether there was one.
    fn index(&mut self) -> bool {
        let Some(inside) = self.rest.strip_prefix('[') else { return false };
        self.is_reordered = true;
        let Some((inside, behind)) = inside.split_once(']').filter(|_| inside.len() > 1) else {
            self.is_bad = true;
            self.rest = inside;
            return false;
        };
        self.rest = behind;
        let index = number(inside).ok().and_then(|(number, behind)| number.filter(|_| behind.is_empty()));
        match index.and_then(|index| usize::try_from(index).ok()) {
            Some(index) if (1..=self.arguments.len()).contains(&index) => {
                self.next = index - 1;
                true
            }
            found => {
                self.is_bad = true;
                found.is_some()
            }
        }
    }
}

/// A number has more digits than one of `MAX_NUMBER` can have.
struct TooLarge;

/// The number that a text begins with, if it does, and what stands behind it.
fn number(text: &str) -> Result<(Option<u64>, &str), TooLarge> {
    let mut number = None;
    let mut rest = text;
    while let Some(digit) = rest.chars().next().and_then(|c| c.to_digit(10)) {
        let before = number.unwrap_or(0);
        if before > MAX_NUMBER {
            return Err(TooLarge);
        }
        number = Some(before * 10 + u64::from(digit));
        rest = &rest[1..];
    }
    Ok((number, rest))
}

impl Spec {
    fn write(&self, verb: char, value: &Value<'_>) -> String {
        let written = match (verb, value) {
            ('T' | 'v', Value::Nothing) => Some(self.padded("<nil>")),
            ('T', value) => Some(self.text(value.kind())),
            (_, Value::Text(text)) => self.of_text(verb, text),
            ('v' | 's' | 'q' | 'x' | 'X', Value::Named { name, .. })
                if !(name.is_empty() || self.of_program || self.plain) =>
            {
                self.of_text(verb, name)
            }
            (_, Value::Int(number)) => self.of_whole(verb, *number),
            ('v', Value::Named { number, kind: "uint8", .. }) if self.of_program => {
                Self { sharp: true, ..self.clone() }.of_whole('x', *number)
            }
            (_, Value::Named { number, .. }) => self.of_whole(verb, *number),
            (_, Value::Float(number)) => self.of_float(verb, *number),
            ('t' | 'v', Value::Bool(is_true)) => Some(self.padded(if *is_true { "true" } else { "false" })),
            ('v', Value::Time(at)) if self.of_program => Some(self.text(&time::go_string(at))),
            ('v' | 's' | 'q' | 'x' | 'X', Value::Time(at)) => self.of_text(verb, &time::shown(at)),
            // This verb is for errors alone.
            ('w', _) => None,
            (_, Value::List(list)) => Some(self.list(verb, list)),
            (_, Value::Map(map)) => {
                let of = |text: &str| self.write(verb, &Value::Text(text.into()));
                let all: Vec<String> =
                    map.iter().map(|(key, value)| format!("{}:{}", of(key), of(value))).collect();
                Some(match self.of_program {
                    true => format!("map[string]string{{{}}}", all.join(", ")),
                    false => format!("map[{}]", all.join(" ")),
                })
            }
            _ => None,
        };
        written.unwrap_or_else(|| {
            let plain = Self { plain: true, ..self.clone() };
            format!("%!{verb}({})", plain.typed(value))
        })
    }

    /// A value with its type.
    fn typed(&self, value: &Value<'_>) -> String {
        match value {
            Value::Nothing => "<nil>".into(),
            other => format!("{}={}", other.kind(), self.write('v', other)),
        }
    }

    fn list(&self, verb: char, list: &[String]) -> String {
        let all: Vec<String> = list.iter().map(|text| self.write(verb, &Value::Text(text.into()))).collect();
        match self.of_program {
            true => format!("[]string{{{}}}", all.join(", ")),
            false => format!("[{}]", all.join(" ")),
        }
    }

    fn of_text(&self, verb: char, text: &str) -> Option<String> {
        let kept = if self.plus { Kept::Ascii } else { Kept::Visible };
        match verb {
            'v' if self.of_program => Some(self.padded(&quoted(self.cut(text), Kept::Visible))),
            'v' | 's' => Some(self.text(text)),
            'q' => {
                let text = self.cut(text);
                let is_raw = self.sharp && fits_backquotes(text);
                Some(self.padded(&if is_raw { format!("`{text}`") } else { quoted(text, kept) }))
            }
            'x' | 'X' => Some(self.padded(&self.bytes(verb, text))),
            _ => None,
        }
    }

    /// The bytes of a text in hexadecimal.
    fn bytes(&self, verb: char, text: &str) -> String {
        let prefix = if self.sharp { if verb == 'x' { "0x" } else { "0X" } } else { "" };
        let most = self.precision.unwrap_or(text.len());
        let digits = text.bytes().take(most).map(|byte| match verb {
            'x' => format!("{byte:02x}"),
            _ => format!("{byte:02X}"),
        });
        if self.blank {
            let all: Vec<String> = digits.map(|digits| format!("{prefix}{digits}")).collect();
            return all.join(" ");
        }
        let all: String = digits.collect();
        if all.is_empty() { all } else { format!("{prefix}{all}") }
    }

    fn of_whole(&self, verb: char, number: i64) -> Option<String> {
        let character =
            || u32::try_from(number).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER);
        let size = number.unsigned_abs();
        Some(match verb {
            'v' | 'd' => self.digits(number, "", &size.to_string()),
            'b' => self.digits(number, if self.sharp { "0b" } else { "" }, &format!("{size:b}")),
            'o' | 'O' => self.octal(verb, number),
            'x' => self.digits(number, if self.sharp { "0x" } else { "" }, &format!("{size:x}")),
            'X' => self.digits(number, if self.sharp { "0X" } else { "" }, &format!("{size:X}")),
            'c' => self.padded(character().encode_utf8(&mut [0; 4])),
            'q' => {
                self.padded(&quoted_char(character(), if self.plus { Kept::Ascii } else { Kept::Visible }))
            }
            'U' => {
                let least = self.precision.unwrap_or(0).max(4);
                let shown = format!("U+{:0least$X}", number as u64);
                let of = u32::try_from(number).ok().and_then(char::from_u32);
                let of = of.filter(|c| self.sharp && quote::is_visible(*c));
                let plain = Self { zeros: false, ..self.clone() };
                plain.padded(&of.map_or(shown.clone(), |c| format!("{shown} '{c}'")))
            }
            _ => return None,
        })
    }

    fn octal(&self, verb: char, number: i64) -> String {
        let mut digits = format!("{:o}", number.unsigned_abs());
        // The zero in front is one of the digits that were asked for.
        let padded = self.with_zeros(number, &digits);
        if self.sharp && !padded.starts_with('0') {
            digits = format!("0{padded}");
        }
        self.digits(number, if verb == 'O' { "0o" } else { "" }, &digits)
    }

    /// The digits with as many zeros in front as the precision, or else the width, asks for.
    fn with_zeros(&self, number: i64, digits: &str) -> String {
        let has_sign = number < 0 || self.plus || self.blank;
        let least = match self.precision {
            Some(precision) => precision,
            None if self.zeros => self.width.saturating_sub(usize::from(has_sign)),
            None => 0,
        };
        format!("{digits:0>least$}")
    }

    fn digits(&self, number: i64, prefix: &str, digits: &str) -> String {
        let plain = Self { zeros: false, ..self.clone() };
        if self.precision == Some(0) && number == 0 {
            return plain.padded("");
        }
        let digits = self.with_zeros(number, digits);
        plain.padded(&format!("{}{prefix}{digits}", self.sign(number < 0)))
    }

    fn sign(&self, is_negative: bool) -> &'static str {
        match (is_negative, self.plus, self.blank) {
            (true, ..) => "-",
            (false, true, _) => "+",
            (false, false, true) => " ",
            (false, false, false) => "",
        }
    }

    fn of_float(&self, verb: char, number: f64) -> Option<String> {
        let (of, precision) = match verb {
            'v' => ('g', self.precision),
            'b' | 'g' | 'G' | 'x' | 'X' => (verb, self.precision),
            'e' | 'E' | 'f' | 'F' => (verb, Some(self.precision.unwrap_or(6))),
            _ => return None,
        };
        let shown = float(number, of, precision);
        let is_negative = shown.starts_with('-');
        let digits = shown.trim_start_matches(['-', '+']);
        if !number.is_finite() {
            let plain = Self { zeros: false, ..self.clone() };
            let sign = if number.is_infinite() || self.plus || self.blank {
                self.sign_of_odd(is_negative)
            } else {
                ""
            };
            return Some(plain.padded(&format!("{sign}{digits}")));
        }
        let digits =
            if self.sharp && of != 'b' { sharpened(digits, of, precision) } else { digits.to_owned() };
        let sign = self.sign(is_negative);
        if self.zeros && !self.left {
            let least = self.width.saturating_sub(sign.len());
            return Some(format!("{sign}{digits:0>least$}"));
        }
        Some(self.padded(&format!("{sign}{digits}")))
    }

    /// What is infinite has a sign always.
    fn sign_of_odd(&self, is_negative: bool) -> &'static str {
        match self.sign(is_negative) {
            "" => "+",
            sign => sign,
        }
    }

    fn text(&self, text: &str) -> String {
        self.padded(self.cut(text))
    }

    /// As many characters as the precision says.
    fn cut<'a>(&self, text: &'a str) -> &'a str {
        let end = self.precision.and_then(|most| text.char_indices().nth(most));
        end.map_or(text, |(end, _)| &text[..end])
    }

    fn padded(&self, text: &str) -> String {
        let missing = self.width.saturating_sub(text.chars().count());
        match (self.left, self.zeros) {
            (true, _) => format!("{text}{}", " ".repeat(missing)),
            (false, true) => format!("{}{text}", "0".repeat(missing)),
            (false, false) => format!("{}{text}", " ".repeat(missing)),
        }
    }
}

/// A float with a point always, and for `%g` with all of its digits.
fn sharpened(shown: &str, verb: char, precision: Option<usize>) -> String {
    let is_hexadecimal = matches!(verb, 'x' | 'X');
    let ends: &[char] = if is_hexadecimal { &['p', 'P'] } else { &['e', 'E'] };
    let (mut digits, tail) = match shown.find(ends) {
        Some(at) => (shown[..at].to_owned(), &shown[at..]),
        None => (shown.to_owned(), ""),
    };
    let mut missing = match verb {
        'g' | 'G' | 'x' => precision.unwrap_or(6),
        _ => 0,
    };
    let significant = digits.trim_start_matches(['0', '.']).chars().filter(|c| *c != '.').count();
    missing = missing.saturating_sub(significant);
    if !digits.contains('.') {
        if digits == "0" {
            missing = missing.saturating_sub(1);
        }
        digits.push('.');
    }
    digits.push_str(&"0".repeat(missing));
    digits + tail
}
