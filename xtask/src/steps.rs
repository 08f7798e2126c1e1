//! A run of named steps: each says its name and how long it took, the first failure ends the run.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// The steps that were done so far.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    done: Vec<(&'static str, Duration)>,
}

impl Steps {
    /// Runs `step` under `name`; its error names the step.
    pub(crate) fn run(&mut self, name: &'static str, step: impl FnOnce() -> Result<()>) -> Result<()> {
        println!("== {name}");
        let started = Instant::now();
        step().with_context(|| {
            format!("step `{name}` failed after {:.1} s", started.elapsed().as_secs_f64())
        })?;
        let took = started.elapsed();
        println!("== {name}: ok, {:.1} s\n", took.as_secs_f64());
        self.done.push((name, took));
        Ok(())
    }

    /// A table of all steps and their sum.
    pub(crate) fn summary(&self) -> String {
        let row = |name: &str, took: Duration| format!("{name:<28} {:>8.1} s\n", took.as_secs_f64());
        let rows: String = self.done.iter().map(|&(name, took)| row(name, took)).collect();
        let sum = self.done.iter().map(|&(_, took)| took).sum();
        format!("{rows}{}", row(&format!("{} steps, all passed", self.done.len()), sum))
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn the_summary_lists_what_passed_and_the_failure_names_its_step() {
        let mut steps = Steps::default();
        steps.run("first", || Ok(())).unwrap();
        let error = steps.run("second", || Err(anyhow!("broken"))).unwrap_err();
        assert!(format!("{error:#}").starts_with("step `second` failed after 0.0 s: broken"), "{error:#}");
        let summary = steps.summary();
        assert!(summary.starts_with("first ") && summary.contains("1 steps, all passed"), "{summary}");
        assert!(!summary.contains("second"));
    }
}
