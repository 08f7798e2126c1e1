//! `benches.toml` read into types: what a bench is to reach. Never measures.

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// The file of goals, at the root of the repository.
pub(super) const FILE: &str = "benches.toml";

/// All goals.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Goals {
    #[serde(default)]
    pub(super) goal: Vec<Goal>,
}

/// What one bench is to reach: a rate or a time.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Goal {
    /// The bench's full name, as criterion prints it.
    pub(super) bench: String,
    /// Elements or bytes a second.
    pub(super) at_least_per_s: Option<f64>,
    /// Milliseconds an iteration.
    pub(super) at_most_ms: Option<f64>,
}

impl Goals {
    /// Reads the goals from the text of `benches.toml`.
    pub(super) fn parse(text: &str) -> Result<Goals> {
        let goals: Goals = toml::from_str(text).with_context(|| format!("{FILE} cannot be read"))?;
        for goal in &goals.goal {
            let is_one = goal.at_least_per_s.is_some() != goal.at_most_ms.is_some();
            ensure!(is_one, "{FILE}: goal `{}` needs either at_least_per_s or at_most_ms", goal.bench);
        }
        Ok(goals)
    }

    /// The goal of the bench with this full name.
    pub(super) fn of(&self, bench: &str) -> Option<&Goal> {
        self.goal.iter().find(|goal| goal.bench == bench)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo;

    #[test]
    fn a_goal_is_a_rate_or_a_time() {
        let goal = |rest: &str| Goals::parse(&format!("[[goal]]\nbench = \"a/b\"\n{rest}\n"));
        assert_eq!(goal("at_least_per_s = 3e7").unwrap().of("a/b").unwrap().at_least_per_s, Some(3e7));
        assert!(goal("at_most_ms = 250.0").unwrap().of("a").is_none());
        for bad in ["", "at_least_per_s = 1.0\nat_most_ms = 1.0", "at_most_s = 1.0"] {
            assert!(goal(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_repository_s_own_goals_can_be_read() {
        Goals::parse(&std::fs::read_to_string(repo::root().join(FILE)).unwrap()).unwrap();
    }
}
