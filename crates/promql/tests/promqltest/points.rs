//! Series and their points as the scripts write them: `name{label="value"} 1 2+3x4 _ stale`.

use crate::{
    histograms::{self, Written},
    memory::Sample,
};
use skopos_model::{Columns, DurationMs, Labels, TimestampMs, stale_nan};
use skopos_promql::parse_selector;

/// A sample.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Point {
    Float(f64),
    Histogram(Written),
}

/// A sample, and since when it was counted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Counted {
    pub(crate) point: Point,
    pub(crate) start: Option<TimestampMs>,
}

impl From<Point> for Counted {
    fn from(point: Point) -> Self {
        Self { point, start: None }
    }
}

impl Sample for Counted {
    fn push_to(&self, columns: &mut Columns, timestamp: TimestampMs) {
        match &self.point {
            Point::Float(v) => v.push_to(columns, timestamp),
            Point::Histogram(written) => columns.push_histogram(timestamp, &written.histogram),
        }
        if let Some(start) = self.start {
            columns.note_start(start);
        }
    }
}

/// A series with its points.
#[derive(Debug)]
pub(crate) struct Points {
    pub(crate) labels: Labels,
    pub(crate) values: Vec<Option<Point>>,
    /// Since when the samples were counted, in milliseconds from each; stands on a line of its own, which has
    /// no values.
    pub(crate) starts: Vec<Option<i64>>,
}

/// Reads a series and its points.
pub(crate) fn series(line: &str) -> Result<Points, String> {
    let (name, rest) = split_series(line)?;
    let labels = labels(name)?;
    let (values, starts) = match rest.strip_prefix("@st") {
        Some(rest) => (Vec::new(), starts(rest)?),
        None => (values(rest)?, Vec::new()),
    };
    Ok(Points { labels, values, starts })
}

/// The series and what stands behind it.
fn split_series(line: &str) -> Result<(&str, &str), String> {
    let mut quote = None;
    let mut braces = 0_u32;
    let mut chars = line.char_indices();
    while let Some((i, c)) = chars.next() {
        match (quote, c) {
            (Some('`'), '`') => quote = None,
            (Some(q), '\\') if q != '`' => _ = chars.next(),
            (Some(q), c) if c == q => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'' | '`') => quote = Some(c),
            (None, '{') => braces += 1,
            (None, '}') => {
                braces = braces.checked_sub(1).ok_or("unopened brace")?;
                if braces == 0 {
                    return Ok((&line[..=i], line[i + 1..].trim_start()));
                }
            }
            (None, '@') if braces == 0 => return Ok((&line[..i], &line[i..])),
            (None, c) if braces == 0 && c.is_whitespace() => {
                let rest = line[i..].trim_start();
                // A name may be parted from its braces.
                if rest.starts_with('{') && !rest.starts_with("{{") {
                    continue;
                }
                return Ok((&line[..i], rest));
            }
            (None, _) => {}
        }
    }
    Ok((line, ""))
}

/// Labels written as a selector of equalities, which may be empty.
fn labels(text: &str) -> Result<Labels, String> {
    const DUMMY: &str = "dummy";
    let of = |text: &str| parse_selector(text).map_err(|e| format!("{text}: {e}"));
    match of(text) {
        Ok(matchers) => Ok(Labels::from_pairs(matchers.iter().map(|m| (m.name(), m.value())))),
        // The parser wants something that is not empty.
        Err(_) => {
            let matchers = of(&format!("{DUMMY}{text}"))?;
            Ok(Labels::from_pairs(matchers.iter().map(|m| (m.name(), m.value()))).without_metric_name())
        }
    }
}

/// Reads a string literal.
pub(crate) fn string(text: &str) -> Result<String, String> {
    match skopos_promql::parse(text).map_err(|e| e.to_string())?.kind {
        skopos_promql::ast::ExprKind::String(text) => Ok(text.to_string()),
        _ => Err(format!("{text} is no string")),
    }
}

/// Reads a number.
pub(crate) fn number(text: &str) -> Option<f64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    let word = digits.eq_ignore_ascii_case("inf") || digits.eq_ignore_ascii_case("nan");
    let numeric = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    if word || numeric { digits.parse().ok().map(|v: f64| sign * v) } else { None }
}

fn values(text: &str) -> Result<Vec<Option<Point>>, String> {
    let mut values = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        // Braces hold white space, which does not end an item.
        let mut end = 0;
        while let Some(c) = rest[end..].chars().next().filter(|c| !c.is_whitespace()) {
            end += match rest[end..].find("}}") {
                Some(close) if rest[end..].starts_with("{{") => close + 2,
                _ => c.len_utf8(),
            };
        }
        let (item, behind) = rest.split_at(end);
        rest = behind.trim_start();
        let read = if item.starts_with("{{") {
            item_histograms(item, &mut values)
        } else {
            item_values(item, &mut values)
        };
        read.ok_or_else(|| format!("{item:?} is no point"))?;
    }
    Ok(values)
}

/// `_`, `-30s`, `-1mx3` (four), `-30s-1mx2` (three).
fn starts(text: &str) -> Result<Vec<Option<i64>>, String> {
    let mut starts = Vec::new();
    for item in text.split_whitespace() {
        let wrong = || format!("{item:?} is no start");
        let (what, times) = match item.rsplit_once('x') {
            Some((what, times)) => (what, times.parse::<usize>().map_err(|_| wrong())?),
            None => (item, 0),
        };
        if what == "_" {
            starts.resize(starts.len() + times.max(1), None);
            continue;
        }
        let sign = what[1..].find(['+', '-']).map(|at| at + 1);
        let (first, step) = what.split_at(sign.unwrap_or(what.len()));
        let mut at = signed_duration(first).ok_or_else(wrong)?;
        let step = if step.is_empty() { 0 } else { signed_duration(step).ok_or_else(wrong)? };
        for _ in 0..=times {
            starts.push(Some(at));
            at += step;
        }
    }
    Ok(starts)
}

/// Milliseconds.
fn signed_duration(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits == "0" {
        return Some(0);
    }
    Some(sign * DurationMs::parse(digits).ok()?.as_ms())
}

/// `{{…}}`, `{{…}}x5`, `{{…}}+{{…}}x3`, `{{…}}-{{…}}x3`.
fn item_histograms(item: &str, values: &mut Vec<Option<Point>>) -> Option<()> {
    let (first, mut rest) = item.strip_prefix("{{")?.split_once("}}")?;
    let mut value = histograms::parse(first)?;
    let mut step = None;
    let subtracts = rest.starts_with('-');
    if let Some(more) = rest.strip_prefix(['+', '-']) {
        let (text, behind) = more.strip_prefix("{{")?.split_once("}}")?;
        step = Some(histograms::parse(text)?);
        rest = behind;
    }
    let again = match rest.strip_prefix('x') {
        Some(times) => times.parse::<usize>().ok()?,
        None if rest.is_empty() => 0,
        None => return None,
    };
    for _ in 0..=again {
        values.push(Some(Point::Histogram(value.clone())));
        if let Some(step) = &step {
            let added = if subtracts {
                value.histogram.subtract(&step.histogram.view())
            } else {
                value.histogram.add(&step.histogram.view())
            };
            added.ok()?;
        }
    }
    Some(())
}

/// `5`, `_`, `stale`, `_x3` (three), `5x3`, `5+1x3` and `5-1x3` (four each).
fn item_values(item: &str, values: &mut Vec<Option<Point>>) -> Option<()> {
    let (what, times) = match item.rsplit_once('x') {
        Some((what, times)) => (what, Some(times.parse::<usize>().ok()?)),
        None => (item, None),
    };
    if what == "_" {
        values.extend(std::iter::repeat_n(None, times.unwrap_or(1)));
        return Some(());
    }
    let again = times.unwrap_or(0);
    if what == "stale" {
        values.extend(std::iter::repeat_n(Some(Point::Float(stale_nan())), again + 1));
        return Some(());
    }
    let (mut value, step) = match number(what) {
        Some(value) => (value, 0.0),
        None => {
            // The sign that parts value and step is not the first character and not an exponent's.
            let bytes = what.as_bytes();
            let at = (1..bytes.len())
                .find(|i| matches!(bytes[*i], b'+' | b'-') && !matches!(bytes[i - 1], b'e' | b'E'))?;
            (number(&what[..at])?, number(&what[at..])?)
        }
    };
    for _ in 0..=again {
        values.push(Some(Point::Float(value)));
        value += step;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_read_as_the_scripts_mean_them() {
        let float = |v: Option<Point>| match v {
            Some(Point::Float(v)) => v,
            Some(Point::Histogram(h)) => h.histogram.count,
            None => -99.0,
        };
        let got = |text| values(text).unwrap().into_iter().map(float).collect::<Vec<_>>();
        assert_eq!(got("{{count:3}} 5 {{count:4 sum:1}}+{{count:2}}x2 _"), [3.0, 5.0, 4.0, 6.0, 8.0, -99.0]);
        assert_eq!(got("5 2+3x2 1-2x3"), [5.0, 2.0, 5.0, 8.0, 1.0, -1.0, -3.0, -5.0]);
        assert_eq!(got("4x3 _ _x2 1e-3+1e3x1"), [4.0, 4.0, 4.0, 4.0, -99.0, -99.0, -99.0, 0.001, 1000.001]);
        assert_eq!(got("-1-1x1 Inf -Inf"), [-1.0, -2.0, f64::INFINITY, f64::NEG_INFINITY]);
        assert!(got("stale NaN").into_iter().all(f64::is_nan));
        assert!(values("5y").is_err());
    }

    #[test]
    fn series_are_parted_from_their_points() {
        for (line, labels, rest) in [
            ("up 1 2", "up", "1 2"),
            ("up{a=\"b c}\"} 1", "up{a=\"b c}\"}", "1"),
            ("up {a='b'}\t1", "up {a='b'}", "1"),
            ("{} {{count:1}}", "{}", "{{count:1}}"),
            ("up {{count:1}}", "up", "{{count:1}}"),
            ("{\"a.b\", c=`d`} 5", "{\"a.b\", c=`d`}", "5"),
            ("up@st -1m", "up", "@st -1m"),
            ("up{a=\"b\"}@st -1m", "up{a=\"b\"}", "@st -1m"),
        ] {
            assert_eq!(split_series(line).unwrap(), (labels, rest));
        }
        assert_eq!(series("{} 1").unwrap().labels, Labels::empty());
        assert_eq!(series("up{a=\"\"} 1").unwrap().labels.metric_name(), Some("up"));
    }
}
