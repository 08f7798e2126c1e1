//! Reads the corpus of queries of death: `queries.txt`, whose head says its form. Runs nothing.

use skopos_model::{DurationMs, TimestampMs};
use skopos_promql::Steps;

/// The times at which a query is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grid {
    Instant,
    Hour,
    Fine,
    Millions,
    Billions,
    Endless,
}

impl Grid {
    /// None at one time alone.
    pub(crate) fn steps(self) -> Option<Steps> {
        let (start, end, step) = match self {
            Self::Instant => return None,
            Self::Hour => (0, 3_600_000, 60_000),
            Self::Fine => (0, 3_600_000, 1000),
            Self::Millions => (0, 3_600_000, 1),
            Self::Billions => (0, 3_600_000_000, 1),
            Self::Endless => (-9_000_000_000_000, 9_000_000_000_000, 1),
        };
        let time = TimestampMs::new;
        Some(Steps { start: time(start), end: time(end), step: DurationMs::from_ms(step) })
    }
}

/// A query and how it ends.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) grid: Grid,
    pub(crate) outcomes: Vec<String>,
    pub(crate) query: String,
    written: String,
}

impl Case {
    pub(crate) fn instant(query: &str) -> Self {
        let (grid, query) = (Grid::Instant, query.to_owned());
        Self { grid, outcomes: Vec::new(), written: query.clone(), query }
    }

    pub(crate) fn may_end_with(&self, outcome: &str) -> bool {
        let evaluated = !matches!(outcome, "parse" | "invalid");
        let cut_off = outcome == "time" && self.outcomes != ["parse"];
        cut_off || self.outcomes.iter().any(|o| o == outcome || o == "ends" && evaluated)
    }

    /// The line of the corpus.
    pub(crate) fn shown(&self) -> &str {
        &self.written
    }
}

/// All cases.
pub(crate) fn read() -> Vec<Case> {
    let text = include_str!("queries.txt");
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with("# "));
    lines.map(case).collect()
}

fn case(line: &str) -> Case {
    let mut parts = line.splitn(3, " | ");
    let mut part = || parts.next().unwrap_or_else(|| panic!("a part is missing: {line}"));
    let grid = match part() {
        "instant" => Grid::Instant,
        "hour" => Grid::Hour,
        "fine" => Grid::Fine,
        "millions" => Grid::Millions,
        "billions" => Grid::Billions,
        "endless" => Grid::Endless,
        other => panic!("{other} is no grid: {line}"),
    };
    let outcomes = part().split(',').map(str::to_owned).collect();
    Case { grid, outcomes, query: expanded(part()), written: line.to_owned() }
}

/// The text with every `{N * text}` written out.
fn expanded(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.push(escaped(&mut chars)),
            '{' => {
                let mut inside = String::new();
                loop {
                    match chars.next().expect("a brace is closed") {
                        '}' => break,
                        '\\' => inside.push(escaped(&mut chars)),
                        c => inside.push(c),
                    }
                }
                let (count, what) = inside.split_once(" * ").expect("a count and a text");
                let count = count.parse().expect("a count");
                out.extend(std::iter::repeat_n(what, count));
            }
            c => out.push(c),
        }
    }
    out
}

fn escaped(chars: &mut std::str::Chars<'_>) -> char {
    match chars.next().expect("something behind a backslash") {
        'n' => '\n',
        c => c,
    }
}
