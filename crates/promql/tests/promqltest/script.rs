//! The language of the acceptance scripts: text to commands. Runs nothing.

use crate::points::{self, Points};
use regex::Regex;
use skopos_model::{DurationMs, TimestampMs};
use std::sync::LazyLock;

/// A command and the line that it begins on, from 1.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) line: usize,
    pub(crate) kind: Kind,
}

#[derive(Debug)]
pub(crate) enum Kind {
    /// Drops all samples.
    Clear,
    /// Adds samples.
    Load(Load),
    /// Asks and compares.
    Eval(Eval),
}

#[derive(Debug)]
pub(crate) struct Load {
    /// From one point of a series to the next.
    pub(crate) interval: DurationMs,
    /// Classic histograms are loaded as native ones too.
    pub(crate) with_nhcb: bool,
    pub(crate) series: Vec<Points>,
}

#[derive(Debug)]
pub(crate) struct Eval {
    pub(crate) query: String,
    pub(crate) when: When,
    pub(crate) expected: Expected,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum When {
    At(TimestampMs),
    Range { start: TimestampMs, end: TimestampMs, step: DurationMs },
}

/// What must come out.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    /// The query fails, with such a message.
    pub(crate) fail: Option<Text>,
    pub(crate) ordered: bool,
    pub(crate) warn: Vec<Text>,
    pub(crate) info: Vec<Text>,
    pub(crate) no_warn: bool,
    pub(crate) no_info: bool,
    /// Samples of an instant query that yields a range vector lie at these times.
    pub(crate) times: Option<(TimestampMs, DurationMs)>,
    pub(crate) string: Option<String>,
    pub(crate) scalar: Option<f64>,
    pub(crate) series: Vec<Points>,
}

/// A condition on a message.
#[derive(Debug)]
pub(crate) enum Text {
    Any,
    Exactly(String),
    Like(Regex),
}

impl Text {
    pub(crate) fn matches(&self, message: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exactly(text) => text == message,
            Self::Like(regex) => regex.is_match(message),
        }
    }
}

static INSTANT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^eval(?:_(fail|warn|ordered|info))?\s+instant\s+(?:at\s+(\S+)\s+)?(.+)$").expect("a regex")
});
static RANGE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^eval(?:_(fail|warn|info))?\s+range\s+from\s+(\S+)\s+to\s+(\S+)\s+step\s+(\S+)\s+(.+)$")
        .expect("a regex")
});
static EXPECT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^expect\s+(ordered|fail|warn|no_warn|info|no_info)(?:\s+(regex|msg):(.+))?$")
        .expect("a regex")
});
static EXPECT_TIMES: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^expect\s+range\s+vector\s+from\s+(\S+)\s+to\s+(\S+)\s+step\s+(\S+)$").expect("a regex")
});

/// Reads a script. Comments are empty lines, and an empty line ends a command.
pub(crate) fn parse(text: &str) -> Result<Vec<Command>, String> {
    let lines: Vec<&str> =
        text.lines().map(str::trim).map(|l| if l.starts_with('#') { "" } else { l }).collect();
    let mut commands = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let head = lines[at];
        let line = at + 1;
        at += 1;
        if head.is_empty() {
            continue;
        }
        let mut body = &lines[at..];
        body = &body[..body.iter().position(|l| l.is_empty()).unwrap_or(body.len())];
        let kind = if head == "clear" {
            body = &[];
            Kind::Clear
        } else if head.starts_with("load") {
            Kind::Load(load(head, body).map_err(|e| format!("line {line}: {e}"))?)
        } else {
            Kind::Eval(eval(head, body).map_err(|e| format!("line {line}: {e}"))?)
        };
        at += body.len();
        commands.push(Command { line, kind });
    }
    Ok(commands)
}

fn load(head: &str, body: &[&str]) -> Result<Load, String> {
    let (word, interval) = head.split_once(char::is_whitespace).ok_or("load without interval")?;
    let series = body.iter().map(|line| points::series(line)).collect::<Result<_, _>>()?;
    Ok(Load { interval: duration(interval.trim())?, with_nhcb: word == "load_with_nhcb", series })
}

fn eval(head: &str, body: &[&str]) -> Result<Eval, String> {
    let (word, when, query) = if let Some(c) = INSTANT.captures(head) {
        let at = c.get(2).map_or(Ok(TimestampMs::new(0)), |t| time(t.as_str()))?;
        (c.get(1), When::At(at), c[3].to_owned())
    } else if let Some(c) = RANGE.captures(head) {
        let when = When::Range { start: time(&c[2])?, end: time(&c[3])?, step: duration(&c[4])? };
        (c.get(1), when, c[5].to_owned())
    } else {
        return Err(format!("no command: {head}"));
    };
    let mut expected = Expected::default();
    match word.map(|w| w.as_str()) {
        Some("fail") => expected.fail = Some(Text::Any),
        Some("warn") => expected.warn.push(Text::Any),
        Some("info") => expected.info.push(Text::Any),
        Some("ordered") => expected.ordered = true,
        _ => {}
    }
    for line in body {
        expectation(line, &mut expected).map_err(|e| format!("{line}: {e}"))?;
    }
    Ok(Eval { query, when, expected })
}

fn expectation(line: &str, expected: &mut Expected) -> Result<(), String> {
    if let Some(message) = line.strip_prefix("expected_fail_message ") {
        expected.fail = Some(Text::Exactly(message.trim().to_owned()));
    } else if let Some(regex) = line.strip_prefix("expected_fail_regexp ") {
        expected.fail = Some(Text::Like(Regex::new(regex.trim()).map_err(|e| e.to_string())?));
    } else if let Some(text) = line.strip_prefix("expect string ") {
        expected.string = Some(points::string(text.trim())?);
    } else if let Some(c) = EXPECT_TIMES.captures(line) {
        expected.times = Some((time(&c[1])?, duration(&c[3])?));
    } else if let Some(c) = EXPECT.captures(line) {
        let text = match (c.get(2).map(|m| m.as_str()), c.get(3).map(|m| m.as_str().trim())) {
            (Some("msg"), Some(text)) => Text::Exactly(text.to_owned()),
            (Some(_), Some(text)) => Text::Like(Regex::new(text).map_err(|e| e.to_string())?),
            _ => Text::Any,
        };
        match &c[1] {
            "ordered" => expected.ordered = true,
            "fail" => expected.fail = Some(text),
            "warn" => expected.warn.push(text),
            "info" => expected.info.push(text),
            "no_warn" => expected.no_warn = true,
            _ => expected.no_info = true,
        }
    } else if line.starts_with("expect ") {
        return Err("no expectation".to_owned());
    } else if let Some(v) = points::number(line) {
        expected.scalar = Some(v);
    } else {
        expected.series.push(points::series(line)?);
    }
    Ok(())
}

fn duration(text: &str) -> Result<DurationMs, String> {
    match text.parse::<f64>() {
        Ok(seconds) => Ok(DurationMs::from_ms((seconds * 1000.0).round() as i64)),
        Err(_) => DurationMs::parse(text).map_err(|e| e.to_string()),
    }
}

fn time(text: &str) -> Result<TimestampMs, String> {
    Ok(TimestampMs::new(duration(text)?.as_ms()))
}
