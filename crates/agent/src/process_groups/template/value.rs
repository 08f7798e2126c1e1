//! `Value`: what stands in a template while it runs, and how it is written. It never fails.

use super::Matches;
use std::{borrow::Cow, fmt};

/// A value, most of them parts of a process.
#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    /// A match that there is not, or nil.
    Nothing,
    Text(Cow<'a, str>),
    Int(i64),
    Float(f64),
    Bool(bool),
    List(&'a [String]),
    Map(&'a Matches),
    /// A time, in seconds since the Unix epoch.
    Time(f64),
    Process,
}

impl Value<'_> {
    /// Whether there is something: no zero, no empty text or list.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Nothing => false,
            Self::Text(text) => !text.is_empty(),
            Self::Int(number) => *number != 0,
            Self::Float(number) => *number != 0.0,
            Self::Bool(is_true) => *is_true,
            Self::List(list) => !list.is_empty(),
            Self::Map(map) => !map.is_empty(),
            Self::Time(_) | Self::Process => true,
        }
    }

    /// What Go calls its type.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Nothing => "<nil>",
            Self::Text(_) => "string",
            Self::Int(_) => "int",
            Self::Float(_) => "float64",
            Self::Bool(_) => "bool",
            Self::List(_) => "[]string",
            Self::Map(_) => "map[string]string",
            Self::Time(_) => "time.Time",
            Self::Process => "*config.templateParams",
        }
    }
}

/// As an argument of a function is written; what is nothing has other words on a page.
impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing | Self::Process => f.write_str("<nil>"),
            Self::Text(text) => f.write_str(text),
            Self::Int(number) => write!(f, "{number}"),
            Self::Float(number) => write!(f, "{number}"),
            Self::Bool(is_true) => write!(f, "{is_true}"),
            Self::List(list) => write!(f, "[{}]", list.join(" ")),
            Self::Map(map) => {
                f.write_str("map[")?;
                for (at, (key, value)) in map.iter().enumerate() {
                    write!(f, "{}{key}:{value}", if at > 0 { " " } else { "" })?;
                }
                f.write_str("]")
            }
            Self::Time(seconds) => f.write_str(&time(*seconds)),
        }
    }
}

/// As Go prints a time of UTC: hundredths only where there are some.
fn time(seconds: f64) -> String {
    let hundredths = (seconds * 100.0).round() as i64;
    let (whole, part) = (hundredths.div_euclid(100), hundredths.rem_euclid(100));
    let at = jiff::Timestamp::from_second(whole).unwrap_or_default();
    let part = format!(".{part:02}");
    let part = part.trim_end_matches('0').trim_end_matches('.');
    format!("{}{part} +0000 UTC", at.strftime("%Y-%m-%d %H:%M:%S"))
}
