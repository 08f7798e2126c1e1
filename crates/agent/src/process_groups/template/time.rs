//! When a process began, as Go's `time.Time` tells it: its methods, and its layouts
//! (`2006-01-02T15:04:05Z07:00`). Knows no zones but UTC and one that it is given.

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
pub(super) const METHODS: [&str; 18] = [
    "Day",
    "GoString",
    "Hour",
    "IsZero",
    "Local",
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

/// A time, and the zone that it is told in: nothing for UTC.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Time<'a> {
    /// Since the Unix epoch.
    pub(super) seconds: f64,
    pub(super) zone: Option<&'a TimeZone>,
}

/// A time as calendars and clocks of its zone show it.
struct Shown {
    date: DateTime,
    offset_s: i32,
    abbreviation: String,
}

/// A time in hundredths of a second since the Unix epoch: the kernel knows no more of a process.
fn hundredths(seconds: f64) -> i64 {
    (seconds * 100.0).round() as i64
}

impl Shown {
    fn of(at: &Time<'_>) -> Self {
        let hundredths = hundredths(at.seconds);
        let nanoseconds = hundredths.rem_euclid(100) as i32 * 10_000_000;
        let time = Timestamp::new(hundredths.div_euclid(100), nanoseconds).unwrap_or_default();
        match at.zone {
            // Where no zone is set, the system's is UTC.
            Some(zone) if !zone.is_unknown() => {
                let told = zone.to_offset_info(time);
                Self {
                    date: told.offset().to_datetime(time),
                    offset_s: told.offset().seconds(),
                    abbreviation: told.abbreviation().to_owned(),
                }
            }
            _ => Self {
                date: time.to_zoned(TimeZone::UTC).datetime(),
                offset_s: 0,
                abbreviation: "UTC".to_owned(),
            },
        }
    }

    /// How far the zone is from UTC: hours, then minutes and seconds if asked for.
    fn offset(&self, separator: &str, parts: usize) -> String {
        let size = self.offset_s.unsigned_abs();
        let all = [size / 3600, size / 60 % 60, size % 60].map(|part| format!("{part:02}"));
        let sign = if self.offset_s / 60 < 0 { '-' } else { '+' };
        format!("{sign}{}", all[..parts].join(separator))
    }

    /// The same, with a letter for none.
    fn offset_or_z(&self, separator: &str, parts: usize) -> String {
        if self.offset_s == 0 { "Z".to_owned() } else { self.offset(separator, parts) }
    }
}

/// As Go prints it.
pub(super) fn shown(at: &Time<'_>) -> String {
    format(at, DEFAULT)
}

/// What a method without arguments gives; `local` is the machine's zone.
pub(super) fn method<'a>(time: &Time<'a>, name: &str, local: &'a TimeZone) -> Option<Value<'a>> {
    let at = Shown::of(time).date;
    let hundredths = hundredths(time.seconds);
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
        "Local" => Value::Time(Time { zone: Some(local), ..*time }),
        "UTC" => Value::Time(Time { zone: None, ..*time }),
        "String" => Value::Text(Cow::Owned(shown(time))),
        "GoString" => Value::Text(Cow::Owned(go_string(time))),
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
pub(super) fn go_string(time: &Time<'_>) -> String {
    let at = Shown::of(time).date;
    format!(
        "time.Date({}, time.{}, {}, {}, {}, {}, {}, time.{})",
        at.year(),
        month(&at),
        at.day(),
        at.hour(),
        at.minute(),
        at.second(),
        at.subsec_nanosecond(),
        if time.zone.is_some() { "Local" } else { "UTC" }
    )
}

/// A time by a layout.
pub(super) fn format(time: &Time<'_>, layout: &str) -> String {
    let at = Shown::of(time);
    let mut shown = String::new();
    let mut rest = layout;
    while let Some(first) = rest.chars().next() {
        let length = match PARTS.iter().find(|(part, _)| begins_with(rest, part)) {
            Some((part, of)) => {
                shown.push_str(&of(&at));
                part.len()
            }
            None => match fraction(&at.date, rest) {
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
type Part = (&'static str, fn(&Shown) -> String);

/// Longer ones before those that they begin with.
const PARTS: [Part; 34] = [
    ("January", |at| month(&at.date).to_owned()),
    ("Jan", |at| month(&at.date)[..3].to_owned()),
    ("Monday", |at| day(&at.date).to_owned()),
    ("Mon", |at| day(&at.date)[..3].to_owned()),
    ("MST", |at| at.abbreviation.clone()),
    ("002", |at| format!("{:03}", at.date.date().day_of_year())),
    ("01", |at| format!("{:02}", at.date.month())),
    ("02", |at| format!("{:02}", at.date.day())),
    ("03", |at| format!("{:02}", hour_of_half(&at.date))),
    ("04", |at| format!("{:02}", at.date.minute())),
    ("05", |at| format!("{:02}", at.date.second())),
    ("06", |at| format!("{:02}", at.date.year().rem_euclid(100))),
    ("15", |at| format!("{:02}", at.date.hour())),
    ("1", |at| at.date.month().to_string()),
    ("2006", |at| format!("{:04}", at.date.year())),
    ("2", |at| at.date.day().to_string()),
    ("_2006", |at| format!("_{:04}", at.date.year())),
    ("__2", |at| format!("{:3}", at.date.date().day_of_year())),
    ("_2", |at| format!("{:2}", at.date.day())),
    ("3", |at| hour_of_half(&at.date).to_string()),
    ("4", |at| at.date.minute().to_string()),
    ("5", |at| at.date.second().to_string()),
    ("PM", |at| if at.date.hour() < 12 { "AM" } else { "PM" }.to_owned()),
    ("pm", |at| if at.date.hour() < 12 { "am" } else { "pm" }.to_owned()),
    ("-07:00:00", |at| at.offset(":", 3)),
    ("-07:00", |at| at.offset(":", 2)),
    ("-070000", |at| at.offset("", 3)),
    ("-0700", |at| at.offset("", 2)),
    ("-07", |at| at.offset("", 1)),
    ("Z07:00:00", |at| at.offset_or_z(":", 3)),
    ("Z070000", |at| at.offset_or_z("", 3)),
    ("Z07:00", |at| at.offset_or_z(":", 2)),
    ("Z0700", |at| at.offset_or_z("", 2)),
    ("Z07", |at| at.offset_or_z("", 1)),
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
