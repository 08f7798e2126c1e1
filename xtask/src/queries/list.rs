//! Which questions are asked, over which times of which data. Never asks them.

use anyhow::{Context, Result};

const DASHBOARD: &str = include_str!("dashboard.txt");
const HEAVY: &str = include_str!("heavy.txt");
const HOUR_S: i64 = 3600;

/// One question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Question {
    /// Dashboard or heavy.
    pub(super) group: &'static str,
    pub(super) name: &'static str,
    pub(super) expr: &'static str,
    /// How long before the end of the data it begins.
    pub(super) window_s: i64,
    pub(super) step_s: i64,
}

impl Question {
    /// The question and its window, as tables have it.
    pub(super) fn title(&self) -> String {
        format!("{} {} {}h", self.group, self.name, self.window_s / HOUR_S)
    }

    /// The name of a file for its answer.
    pub(super) fn file(&self) -> String {
        format!("{}.json", self.title().replace(' ', "-"))
    }
}

/// The questions about the data of `hours` hours: heavy ones over all of it, and where `dashboards` is meant
/// those of dashboards over an hour, a day and a week.
pub(super) fn questions(hours: i64, asks: Asks) -> Result<Vec<Question>> {
    let mut all = Vec::new();
    if asks == Asks::Everything {
        for (window, step_s) in [(1, 15), (24, 120), (7 * 24, 600)] {
            all.extend(lines("dashboard", DASHBOARD, window, step_s)?);
        }
    }
    let step_s = if hours > 24 { 600 } else { 120 };
    all.extend(lines("heavy", HEAVY, hours, step_s)?);
    Ok(all)
}

/// What is asked about a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asks {
    Everything,
    HeavyAlone,
}

fn lines(group: &'static str, text: &'static str, hours: i64, step_s: i64) -> Result<Vec<Question>> {
    let question = |line: &'static str| {
        let (name, expr) = line.split_once(": ").with_context(|| format!("`{line}` has no name"))?;
        Ok(Question { group, name, expr, window_s: hours * HOUR_S, step_s })
    };
    text.lines().map(question).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn there_are_36_of_dashboards_and_15_heavy_ones_and_each_has_a_file_of_its_own() {
        let all = questions(168, Asks::Everything).unwrap();
        let files: HashSet<String> = all.iter().map(Question::file).collect();
        assert_eq!((all.len(), files.len()), (36 + 15, 36 + 15));
        assert_eq!(questions(24, Asks::HeavyAlone).unwrap().len(), 15);
        assert!(questions(24, Asks::HeavyAlone).unwrap().iter().all(|q| q.step_s == 120));
    }
}
