//! What templates can call. A call that makes no sense gives nothing, which ends the name.

use super::{printf::printf, quote, value::Value};
use std::{borrow::Cow, cmp::Ordering};

/// A function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    And,
    Or,
    Not,
    Len,
    Index,
    Slice,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    Print,
    Println,
    Printf,
    Html,
    Js,
    UrlQuery,
}

/// Each function, its name, and how many arguments it takes.
const ALL: [(&str, Function, usize, usize); 18] = [
    ("and", Function::And, 1, usize::MAX),
    ("or", Function::Or, 1, usize::MAX),
    ("not", Function::Not, 1, 1),
    ("len", Function::Len, 1, 1),
    ("index", Function::Index, 1, usize::MAX),
    ("slice", Function::Slice, 1, 3),
    ("eq", Function::Eq, 2, usize::MAX),
    ("ne", Function::Ne, 2, 2),
    ("lt", Function::Lt, 2, 2),
    ("le", Function::Le, 2, 2),
    ("gt", Function::Gt, 2, 2),
    ("ge", Function::Ge, 2, 2),
    ("print", Function::Print, 0, usize::MAX),
    ("println", Function::Println, 0, usize::MAX),
    ("printf", Function::Printf, 1, usize::MAX),
    ("html", Function::Html, 0, usize::MAX),
    ("js", Function::Js, 0, usize::MAX),
    ("urlquery", Function::UrlQuery, 0, usize::MAX),
];

impl Function {
    pub(super) fn named(name: &str) -> Result<Self, String> {
        let found = ALL.iter().find(|(known, ..)| *known == name).map(|(_, function, ..)| *function);
        found.ok_or_else(|| {
            let known: Vec<&str> = ALL.iter().map(|(known, ..)| *known).collect();
            format!("{name} is not a function here; there are {}", known.join(", "))
        })
    }

    /// Whether it takes so many arguments.
    pub(super) fn takes(self, count: usize) -> Result<(), String> {
        let Some((name, _, least, most)) = ALL.iter().find(|(_, function, ..)| *function == self) else {
            return Ok(());
        };
        if (*least..=*most).contains(&count) {
            return Ok(());
        }
        Err(if least == most {
            format!("{name} takes {least} arguments, not {count}")
        } else {
            format!("{name} takes {least} or more arguments, not {count}")
        })
    }

    /// What it gives; `and` and `or` are decided where their arguments are computed.
    pub(super) fn call<'a>(self, arguments: &[Value<'a>]) -> Option<Value<'a>> {
        let compared = |wanted: fn(Ordering) -> bool| {
            let [a, b] = arguments else { return None };
            Some(Value::Bool(wanted(order(a, b)?)))
        };
        match self {
            Self::And | Self::Or => arguments.last().cloned(),
            Self::Not => Some(Value::Bool(!arguments.first()?.is_true())),
            Self::Len => Some(Value::Int(match arguments.first()? {
                Value::Text(text) => text.len(),
                Value::List(list) => list.len(),
                Value::Map(map) => map.len(),
                _ => return None,
            } as i64)),
            Self::Index => {
                arguments[1..].iter().try_fold(arguments.first()?.clone(), |of, at| index(&of, at))
            }
            Self::Slice => slice(arguments),
            Self::Eq => {
                let (first, others) = arguments.split_first()?;
                others.iter().try_fold(false, |found, other| Some(found || is_equal(first, other)?))
            }
            .map(Value::Bool),
            Self::Ne => {
                let [a, b] = arguments else { return None };
                Some(Value::Bool(!is_equal(a, b)?))
            }
            Self::Lt => compared(Ordering::is_lt),
            Self::Le => compared(Ordering::is_le),
            Self::Gt => compared(Ordering::is_gt),
            Self::Ge => compared(Ordering::is_ge),
            Self::Print => Some(Value::Text(Cow::Owned(print(arguments)))),
            Self::Println => {
                let shown: Vec<String> = arguments.iter().map(ToString::to_string).collect();
                Some(Value::Text(Cow::Owned(shown.join(" ") + "\n")))
            }
            Self::Html => Some(Value::Text(Cow::Owned(quote::html(&on_page(arguments))))),
            Self::Js => Some(Value::Text(Cow::Owned(quote::js(&on_page(arguments))))),
            Self::UrlQuery => Some(Value::Text(Cow::Owned(quote::query(&on_page(arguments))))),
            Self::Printf => {
                let (Value::Text(format), rest) = arguments.split_first()? else { return None };
                Some(Value::Text(Cow::Owned(printf(format, rest))))
            }
        }
    }
}

fn index<'a>(of: &Value<'a>, at: &Value<'a>) -> Option<Value<'a>> {
    match (of, at) {
        (Value::List(list), at) => {
            let path = list.get(usize::try_from(at.whole()?).ok()?)?;
            Some(Value::Text(Cow::Borrowed(path)))
        }
        (Value::Text(text), at) => {
            let byte = *text.as_bytes().get(usize::try_from(at.whole()?).ok()?)?;
            Some(Value::Named { number: byte.into(), name: "", kind: "uint8" })
        }
        // What a map does not have is empty here, other than as a field.
        (Value::Map(map), Value::Text(key)) => {
            Some(Value::Text(Cow::Borrowed(map.get(&**key).map_or("", String::as_str))))
        }
        _ => None,
    }
}

fn slice<'a>(arguments: &[Value<'a>]) -> Option<Value<'a>> {
    let (of, bounds) = arguments.split_first()?;
    let bound = |at: usize| match bounds.get(at) {
        None => Some(None),
        Some(bound) => Some(Some(usize::try_from(bound.whole()?).ok()?)),
    };
    let (from, to) = (bound(0)?.unwrap_or(0), bound(1)?);
    match of {
        Value::Text(text) => {
            let to = to.unwrap_or(text.len());
            // Go cuts characters in two; half a character is no text.
            text.get(from..to).map(|part| Value::Text(Cow::Owned(part.to_owned())))
        }
        Value::List(list) => Some(Value::List(list.get(from..to.unwrap_or(list.len()))?)),
        _ => None,
    }
}

fn is_equal(a: &Value<'_>, b: &Value<'_>) -> Option<bool> {
    match (a, b) {
        (Value::Nothing, Value::Nothing) => Some(true),
        (Value::Nothing, _) | (_, Value::Nothing) => Some(false),
        (Value::Bool(a), Value::Bool(b)) => Some(a == b),
        (Value::Time(a), Value::Time(b)) => Some(a == b),
        _ => Some(order(a, b)?.is_eq()),
    }
}

fn order(a: &Value<'_>, b: &Value<'_>) -> Option<Ordering> {
    match (a, b) {
        (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b),
        (a, b) => Some(a.whole()?.cmp(&b.whole()?)),
    }
}

/// As `print`, for what is escaped: what is nothing has its words as on a page, and counts as a text.
fn on_page(arguments: &[Value<'_>]) -> String {
    let worded: Vec<Value<'_>> = arguments
        .iter()
        .map(|value| match value {
            Value::Nothing => Value::Text(Cow::Borrowed("<no value>")),
            other => other.clone(),
        })
        .collect();
    print(&worded)
}

/// A blank stands between two of which neither is a text.
fn print(arguments: &[Value<'_>]) -> String {
    let mut shown = String::new();
    let mut before_is_text = true;
    for argument in arguments {
        let is_text = matches!(argument, Value::Text(_));
        if !before_is_text && !is_text {
            shown.push(' ');
        }
        shown.push_str(&argument.to_string());
        before_is_text = is_text;
    }
    shown
}
