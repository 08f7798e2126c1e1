//! When a process began, as Go's `time.Time` of UTC tells it: its methods, and its layouts
//! (`2006-01-02T15:04:05Z07:00`). Knows no other zone.

use super::value::Value;
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use std::borrow::Cow;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
/// How Go writes a time where no layout is given.
const DEFAULT: &str = "2006-01-02 15:04:05.999999999 -0700 MST";

/// The methods that take nothing.
pub(super) const METHODS: [&str; 17] = [
    "Day",
    "GoString",
    "Hour",
    "IsZero",
    "Minute",
    "Month",
    "Nanosecond",
    "Second",
    "String",
    "UTC",
    "Unix",
    "UnixMicro",
    "UnixMilli",
    "UnixNano",
    "Weekday",
    "Year",
    "YearDay",
];
/// The method that takes a layout.
pub(super) const FORMAT: &str = "Format";

/// A time in hundredths of a second since the Unix epoch: the kernel knows no more of a process.
fn hundredths(seconds: f64) -> i64 {
    (seconds * 100.0).round() as i64
}

fn date(seconds: f64) -> DateTime {
    let hundredths = hundredths(seconds);
    let nanoseconds = hundredths.rem_euclid(100) as i32 * 10_000_000;
    let at = Timestamp::new(hundredths.div_euclid(100), nanoseconds).unwrap_or_default();
    at.to_zoned(TimeZone::UTC).datetime()
}

/// As Go prints it.
pub(super) fn shown(seconds: f64) -> String {
    format(seconds, DEFAULT)
}

/// What a method without arguments gives.
pub(super) fn method(seconds: f64, name: &str) -> Option<Value<'static>> {
    let at = date(seconds);
    let hundredths = hundredths(seconds);
    Some(match name {
        "Year" => Value::Int(at.year().into()),
        "Month" => named(at.month().into(), month(&at), "time.Month"),
        "Day" => Value::Int(at.day().into()),
        "Hour" => Value::Int(at.hour().into()),
        "Minute" => Value::Int(at.minute().into()),
        "Second" => Value::Int(at.second().into()),
        "Nanosecond" => Value::Int(at.subsec_nanosecond().into()),
        "YearDay" => Value::Int(at.date().day_of_year().into()),
        "Weekday" => named(at.weekday().to_sunday_zero_offset().into(), day(&at), "time.Weekday"),
        "Unix" => int64(hundredths.div_euclid(100)),
        "UnixMilli" => int64(hundredths.saturating_mul(10)),
        "UnixMicro" => int64(hundredths.saturating_mul(10_000)),
        "UnixNano" => int64(hundredths.saturating_mul(10_000_000)),
        "IsZero" => Value::Bool(false),
        "UTC" => Value::Time(seconds),
        "String" => Value::Text(Cow::Owned(shown(seconds))),
        "GoString" => Value::Text(Cow::Owned(go_string(seconds))),
        _ => return None,
    })
}

/// A number of Go's type for seconds and their parts.
fn int64(number: i64) -> Value<'static> {
    named(number, "", "int64")
}

fn named(number: i64, name: &'static str, kind: &'static str) -> Value<'static> {
    Value::Named { number, name, kind }
}

/// As a program of Go would write it.
pub(super) fn go_string(seconds: f64) -> String {
    let at = date(seconds);
    format!(
        "time.Date({}, time.{}, {}, {}, {}, {}, {}, time.UTC)",
        at.year(),
        month(&at),
        at.day(),
        at.hour(),
        at.minute(),
        at.second(),
        at.subsec_nanosecond()
    )
}

/// A time by a layout.
pub(super) fn format(seconds: f64, layout: &str) -> String {
    let at = date(seconds);
    let mut shown = String::new();
    let mut rest = layout;
    while let Some(first) = rest.chars().next() {
        let length = match PARTS.iter().find(|(part, _)| begins_with(rest, part)) {
            Some((part, of)) => {
                shown.push_str(&of(&at));
                part.len()
            }
            None => match fraction(&at, rest) {
                Some((fraction, length)) => {
                    shown.push_str(&fraction);
                    length
                }
                None => {
                    shown.push(first);
                    first.len_utf8()
                }
            },
        };
        rest = &rest[length..];
    }
    shown
}

/// What stands in a layout for a part of the time.
type Part = (&'static str, fn(&DateTime) -> String);

/// Longer ones before those that they begin with.
const PARTS: [Part; 34] = [
    ("January", |at| month(at).to_owned()),
    ("Jan", |at| month(at)[..3].to_owned()),
    ("Monday", |at| day(at).to_owned()),
    ("Mon", |at| day(at)[..3].to_owned()),
    ("MST", |_| "UTC".to_owned()),
    ("002", |at| format!("{:03}", at.date().day_of_year())),
    ("01", |at| format!("{:02}", at.month())),
    ("02", |at| format!("{:02}", at.day())),
    ("03", |at| format!("{:02}", hour_of_half(at))),
    ("04", |at| format!("{:02}", at.minute())),
    ("05", |at| format!("{:02}", at.second())),
    ("06", |at| format!("{:02}", at.year().rem_euclid(100))),
    ("15", |at| format!("{:02}", at.hour())),
    ("1", |at| at.month().to_string()),
    ("2006", |at| format!("{:04}", at.year())),
    ("2", |at| at.day().to_string()),
    ("_2006", |at| format!("_{:04}", at.year())),
    ("__2", |at| format!("{:3}", at.date().day_of_year())),
    ("_2", |at| format!("{:2}", at.day())),
    ("3", |at| hour_of_half(at).to_string()),
    ("4", |at| at.minute().to_string()),
    ("5", |at| at.second().to_string()),
    ("PM", |at| if at.hour() < 12 { "AM" } else { "PM" }.to_owned()),
    ("pm", |at| if at.hour() < 12 { "am" } else { "pm" }.to_owned()),
    ("-07:00:00", |_| "+00:00:00".to_owned()),
    ("-07:00", |_| "+00:00".to_owned()),
    ("-070000", |_| "+000000".to_owned()),
    ("-0700", |_| "+0000".to_owned()),
    ("-07", |_| "+00".to_owned()),
    ("Z07:00:00", |_| "Z".to_owned()),
    ("Z070000", |_| "Z".to_owned()),
    ("Z07:00", |_| "Z".to_owned()),
    ("Z0700", |_| "Z".to_owned()),
    ("Z07", |_| "Z".to_owned()),
];

/// Short names are parts of words where a small letter follows.
fn begins_with(layout: &str, part: &str) -> bool {
    let Some(behind) = layout.strip_prefix(part) else { return false };
    !matches!(part, "Jan" | "Mon") || !behind.starts_with(|c: char| c.is_ascii_lowercase())
}

fn month(at: &DateTime) -> &'static str {
    MONTHS[at.month() as usize - 1]
}

fn day(at: &DateTime) -> &'static str {
    DAYS[at.weekday().to_sunday_zero_offset() as usize]
}

fn hour_of_half(at: &DateTime) -> i8 {
    match at.hour() % 12 {
        0 => 12,
        hour => hour,
    }
}

/// `.000` and `,000` are parts of a second; with nines, without zeros at the end.
fn fraction(at: &DateTime, layout: &str) -> Option<(String, usize)> {
    let rest = layout.strip_prefix(['.', ','])?;
    let digit = rest.chars().next().filter(|c| matches!(c, '0' | '9'))?;
    let count = rest.chars().take_while(|c| *c == digit).count();
    if rest[count..].starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let mut shown = format!("{:09}", at.subsec_nanosecond());
    shown.truncate(count);
    if digit == '9' {
        shown.truncate(shown.trim_end_matches('0').len());
    }
    let sign = if shown.is_empty() { "" } else { &layout[..1] };
    Some((format!("{sign}{shown}"), 1 + count))
}
