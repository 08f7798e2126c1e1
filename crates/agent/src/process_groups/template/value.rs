//! `Value`: what stands in a template while it runs, and how it is written. It never fails.

use super::{
    Matches,
    float::float,
    time::{self, Time},
};
use std::{borrow::Cow, fmt};

/// A value, most of them parts of a process.
#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    /// A match that there is not, or nil.
    Nothing,
    Text(Cow<'a, str>),
    Int(i64),
    /// A number of another type of Go's, and the name that it is written by, if it has one.
    Named {
        number: i64,
        name: &'static str,
        kind: &'static str,
    },
    Float(f64),
    Bool(bool),
    List(&'a [String]),
    Map(&'a Matches),
    Time(Time<'a>),
    Process,
}

impl Value<'_> {
    /// Whether there is something: no zero, no empty text or list.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Nothing => false,
            Self::Text(text) => !text.is_empty(),
            Self::Int(number) | Self::Named { number, .. } => *number != 0,
            Self::Float(number) => *number != 0.0,
            Self::Bool(is_true) => *is_true,
            Self::List(list) => !list.is_empty(),
            Self::Map(map) => !map.is_empty(),
            Self::Time(_) | Self::Process => true,
        }
    }

    /// A whole number.
    pub(super) const fn whole(&self) -> Option<i64> {
        match self {
            Self::Int(number) | Self::Named { number, .. } => Some(*number),
            _ => None,
        }
    }

    /// What Go calls its type.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Nothing => "<nil>",
            Self::Text(_) => "string",
            Self::Int(_) => "int",
            Self::Named { kind, .. } => kind,
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
            Self::Named { name, .. } if !name.is_empty() => f.write_str(name),
            Self::Int(number) | Self::Named { number, .. } => write!(f, "{number}"),
            Self::Float(number) => f.write_str(&float(*number, 'g', None)),
            Self::Bool(is_true) => write!(f, "{is_true}"),
            Self::List(list) => write!(f, "[{}]", list.join(" ")),
            Self::Map(map) => {
                f.write_str("map[")?;
                for (at, (key, value)) in map.iter().enumerate() {
                    write!(f, "{}{key}:{value}", if at > 0 { " " } else { "" })?;
                }
                f.write_str("]")
            }
            Self::Time(at) => f.write_str(&time::shown(at)),
        }
    }
}
