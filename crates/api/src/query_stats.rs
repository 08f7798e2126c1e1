//! `Stats`: how long a query took, and how many samples it read, for clients that ask by `stats`.

use crate::{json, params::Params, parts::Parts, reply::ApiError, writing::Writing};
use serde::Serialize;
use serde_json::json;
use skopos_model::TimestampMs;
use skopos_promql::{Engine, OperatorStats, QueriedSamples, QueryResult, Steps, queries::Samples};
use skopos_storage::{QueryBudget, SampleCounts};
use std::{io::Write as _, time::Duration};

/// Where a client wants to read what each operator did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OperatorsWanted {
    in_stats: bool,
    explained: bool,
}

impl OperatorsWanted {
    pub(crate) fn of(params: &Params) -> Self {
        let explained = matches!(params.get("explain"), Some("1" | "true"));
        Self { in_stats: params.get("stats") == Some("all"), explained }
    }

    /// The engine that says it, if it is wanted anywhere.
    pub(crate) fn engine(self, engine: Engine) -> Engine {
        if self.in_stats || self.explained { engine.profiling() } else { engine }
    }
}

/// Writes the operators in the order of the plan's tree.
fn write_operators(writing: &mut Writing<'_>, operators: &[OperatorStats]) -> Result<(), ApiError> {
    writing.out.push(b'[');
    for (i, o) in operators.iter().enumerate() {
        let numbers = json!({
            "depth": o.depth,
            "node": o.node,
            "operator": o.operator,
            "steps": o.steps,
            "seriesExpected": o.series_expected,
            "seriesRead": o.series_read,
            "samplesFetched": o.samples_fetched,
            "samplesQueried": o.samples_queried,
            "rows": o.rows,
            "seconds": o.took.as_secs_f64(),
        });
        writing.out.extend_from_slice(if i == 0 { b"" } else { b"," });
        let numbers = numbers.to_string();
        writing.out.extend_from_slice(numbers.trim_end_matches('}').as_bytes());
        writing.out.extend_from_slice(b",\"samplesQueriedPerStep\":");
        write_list(writing, &o.samples_queried_per_step, |out, _, n| write_number(out, n))?;
        writing.out.push(b'}');
    }
    writing.out.push(b']');
    Ok(())
}

/// After so many numbers it is looked whether the answer may go on.
const NUMBERS_AT_ONCE: usize = 1024;

/// Writes a list of what `write` makes of each of `numbers` and its index.
fn write_list(
    writing: &mut Writing<'_>,
    numbers: &[u64],
    write: impl Fn(&mut Vec<u8>, usize, u64),
) -> Result<(), ApiError> {
    writing.out.push(b'[');
    for (k, n) in numbers.iter().enumerate() {
        if k % NUMBERS_AT_ONCE == 0 {
            writing.more()?;
        }
        if k > 0 {
            writing.out.push(b',');
        }
        write(&mut writing.out, k, *n);
    }
    writing.out.push(b']');
    Ok(())
}

fn write_number(out: &mut Vec<u8>, n: u64) {
    write!(out, "{n}").expect(WRITING);
}

/// What is told of every query.
#[derive(Serialize)]
pub(crate) struct Numbers {
    timings: Timings,
    samples: Totals,
}

/// Seconds.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Timings {
    eval_total_time: f64,
    result_sort_time: f64,
    query_preparation_time: f64,
    inner_eval_time: f64,
    exec_queue_time: f64,
    exec_total_time: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Totals {
    total_queryable_samples: u64,
    samples_read: u64,
    peak_samples: u64,
}

const WRITING: &str = "invariant: writing to a Vec cannot fail";

/// When the parts of a query began and ended.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    wanted: bool,
    /// What each operator did: for `stats=all` among the statistics, for `explain=1` beside them.
    operators: OperatorsWanted,
    asked: Duration,
    /// It had its place among those that run.
    ran: Duration,
    /// Its text was read.
    began: Duration,
    ended: Duration,
    /// What it looked at and read.
    samples: QueriedSamples,
    /// Where each step stands, if they are told.
    steps: Option<Steps>,
    peak: u64,
}

impl Stats {
    /// The query, which was `asked` at that time of the clock, has its place.
    pub(crate) fn runs(parts: &Parts, params: &Params, (asked, steps): (Duration, Steps)) -> Self {
        let ran = parts.clock.monotonic();
        let operators = OperatorsWanted::of(params);
        let (wanted, steps) = (params.get("stats").is_some(), Some(steps));
        Self { wanted, operators, asked, ran, began: ran, ended: ran, steps, ..Self::default() }
    }

    /// Evaluation begins.
    pub(crate) fn evaluates(&mut self, parts: &Parts) {
        self.began = parts.clock.monotonic();
    }

    /// Evaluation ended, having used so much. Of what has no result it is known how far it came.
    pub(crate) fn evaluated(&mut self, parts: &Parts, budget: &QueryBudget, result: Option<&QueryResult>) {
        let SampleCounts { looked_at, read } = budget.sample_counts();
        let so_far = || QueriedSamples { total: looked_at, read, ..QueriedSamples::default() };
        self.samples = result.map_or_else(so_far, |result| result.samples.clone());
        self.peak = budget.samples_peak();
        self.ended = parts.clock.monotonic();
    }

    /// Writes the members behind the result that are wanted.
    pub(crate) fn write(
        &self,
        operators: &[OperatorStats],
        writing: &mut Writing<'_>,
    ) -> Result<(), ApiError> {
        if self.operators.explained {
            writing.out.extend_from_slice(b",\"explain\":");
            write_operators(writing, operators)?;
        }
        if !self.wanted {
            return Ok(());
        }
        let Numbers { timings, samples } = self.numbers();
        writing.out.extend_from_slice(b",\"stats\":{\"timings\":");
        writing.out.extend_from_slice(&json::to_vec(&timings));
        writing.out.extend_from_slice(b",\"samples\":{");
        if self.operators.in_stats {
            writing.out.extend_from_slice(b"\"totalQueryableSamplesPerStep\":");
            self.write_per_step(writing, &self.samples.per_step)?;
            writing.out.push(b',');
        }
        write!(writing.out, "\"totalQueryableSamples\":{},", samples.total_queryable_samples).expect(WRITING);
        if self.operators.in_stats {
            writing.out.extend_from_slice(b"\"samplesReadPerStep\":");
            self.write_per_step(writing, &self.samples.read_per_step)?;
            writing.out.push(b',');
        }
        write!(
            writing.out,
            "\"samplesRead\":{},\"peakSamples\":{}}}",
            samples.samples_read, samples.peak_samples
        )
        .expect(WRITING);
        if self.operators.in_stats {
            writing.out.extend_from_slice(b",\"operators\":");
            write_operators(writing, operators)?;
        }
        writing.out.push(b'}');
        Ok(())
    }

    /// How long it took, waiting included.
    pub(crate) fn took(&self) -> Duration {
        self.ended.saturating_sub(self.asked)
    }

    /// Its samples.
    pub(crate) fn samples(&self) -> Samples {
        Samples { queried: self.samples.total, read: self.samples.read }
    }

    /// As Prometheus writes it. Sorting is a part of evaluation.
    pub(crate) fn numbers(&self) -> Numbers {
        let between = |from: Duration, to: Duration| to.saturating_sub(from).as_secs_f64();
        Numbers {
            timings: Timings {
                eval_total_time: between(self.ran, self.ended),
                result_sort_time: 0.0,
                query_preparation_time: between(self.ran, self.began),
                inner_eval_time: between(self.began, self.ended),
                exec_queue_time: between(self.asked, self.ran),
                exec_total_time: between(self.asked, self.ended),
            },
            samples: Totals {
                total_queryable_samples: self.samples.total,
                samples_read: self.samples.read,
                peak_samples: self.peak,
            },
        }
    }

    /// Writes the samples of each step with its time in seconds.
    fn write_per_step(&self, writing: &mut Writing<'_>, per_step: &[u64]) -> Result<(), ApiError> {
        let (start, step) = self.steps.map_or((0, 0), |steps| (steps.start.as_ms(), steps.step.as_ms()));
        write_list(writing, per_step, |out, k, n| {
            out.push(b'[');
            let seconds = TimestampMs::new(start + k as i64 * step).as_secs_f64();
            write!(out, "{seconds},{n}]").expect(WRITING);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_querys_time_are_told_apart() {
        let at = Duration::from_millis;
        let (asked, ran, began, ended) = (at(1000), at(1500), at(1625), at(3625));
        let samples = QueriedSamples { total: 9, read: 7, ..QueriedSamples::default() };
        let stats = Stats { asked, ran, began, ended, samples, peak: 3, ..Stats::default() };
        let expected = concat!(
            r#"{"timings":{"evalTotalTime":2.125,"resultSortTime":0,"queryPreparationTime":0.125,"#,
            r#""innerEvalTime":2,"execQueueTime":0.5,"execTotalTime":2.625},"#,
            r#""samples":{"totalQueryableSamples":9,"samplesRead":7,"peakSamples":3}}"#,
        );
        assert_eq!(String::from_utf8(json::to_vec(&stats.numbers())).unwrap(), expected);
    }
}
