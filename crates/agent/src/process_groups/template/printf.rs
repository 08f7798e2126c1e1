//! Values by a format, as Go's `fmt.Sprintf` writes them: `%s`, `%v`, `%q`, `%d`, `%x`, `%t`, `%f`, with
//! width, precision, `-` and `0`. What does not fit is written as there: `%!d(string=a)`.

use super::value::Value;
use std::iter::Peekable;

/// A width or precision is no more.
const MAX_WIDTH: usize = 1000;

/// A `%` and what stands behind it, but for the verb.
#[derive(Default)]
struct Spec {
    left: bool,
    zeros: bool,
    plus: bool,
    width: usize,
    precision: Option<usize>,
}

pub(super) fn printf(format: &str, arguments: &[Value<'_>]) -> String {
    let mut shown = String::new();
    let mut arguments = arguments.iter();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            shown.push(c);
            continue;
        }
        let spec = Spec::read(&mut chars);
        match chars.next() {
            None => shown.push_str("%!(NOVERB)"),
            Some('%') => shown.push('%'),
            Some(verb) => match arguments.next() {
                None => shown.push_str(&format!("%!{verb}(MISSING)")),
                Some(argument) => shown.push_str(&spec.write(verb, argument)),
            },
        }
    }
    let extra: Vec<String> = arguments.map(typed).collect();
    if !extra.is_empty() {
        shown.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    shown
}

/// A value with its type.
fn typed(value: &Value<'_>) -> String {
    match value {
        Value::Nothing => "<nil>".into(),
        other => format!("{}={other}", other.kind()),
    }
}

impl Spec {
    fn read(chars: &mut Peekable<std::str::Chars<'_>>) -> Self {
        let mut spec = Self::default();
        while let Some(flag) = chars.next_if(|c| matches!(c, '-' | '0' | '+' | ' ' | '#')) {
            match flag {
                '-' => spec.left = true,
                '0' => spec.zeros = true,
                '+' => spec.plus = true,
                _ => {}
            }
        }
        spec.width = number(chars).unwrap_or(0);
        if chars.next_if_eq(&'.').is_some() {
            spec.precision = Some(number(chars).unwrap_or(0));
        }
        spec
    }

    fn write(&self, verb: char, value: &Value<'_>) -> String {
        let sign = |negative: bool| match (negative, self.plus) {
            (true, _) => "-",
            (false, true) => "+",
            (false, false) => "",
        };
        match (verb, value) {
            ('v', Value::Int(number)) | ('d', Value::Int(number)) => {
                self.padded_number(sign(*number < 0), &number.unsigned_abs().to_string())
            }
            ('x', Value::Int(number)) => {
                self.padded_number(sign(*number < 0), &format!("{:x}", number.unsigned_abs()))
            }
            ('f', Value::Float(number)) => {
                let digits = format!("{:.*}", self.precision.unwrap_or(6), number.abs());
                self.padded_number(sign(number.is_sign_negative()), &digits)
            }
            ('v' | 'g', Value::Float(number)) => {
                self.padded_number(sign(number.is_sign_negative()), &number.abs().to_string())
            }
            ('t' | 'v', Value::Bool(_)) => self.padded(&value.to_string()),
            ('s' | 'v', Value::Text(text)) => self.padded(self.cut(text)),
            ('q', Value::Text(text)) => self.padded(&format!("{:?}", self.cut(text))),
            ('x', Value::Text(text)) => {
                self.padded(&text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>())
            }
            ('q', Value::List(list)) => {
                let quoted: Vec<String> = list.iter().map(|text| format!("{text:?}")).collect();
                self.padded(&format!("[{}]", quoted.join(" ")))
            }
            ('s' | 'v', Value::List(_) | Value::Map(_) | Value::Time(_)) => self.padded(&value.to_string()),
            ('v', Value::Nothing) => self.padded("<nil>"),
            _ => format!("%!{verb}({})", typed(value)),
        }
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

    /// Zeros stand behind the sign.
    fn padded_number(&self, sign: &str, digits: &str) -> String {
        if self.zeros && !self.left {
            let missing = self.width.saturating_sub(sign.len() + digits.len());
            return format!("{sign}{}{digits}", "0".repeat(missing));
        }
        self.padded(&format!("{sign}{digits}"))
    }
}

fn number(chars: &mut Peekable<std::str::Chars<'_>>) -> Option<usize> {
    let mut number = None;
    while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
        chars.next();
        number = Some((number.unwrap_or(0) * 10 + digit as usize).min(MAX_WIDTH));
    }
    number
}
