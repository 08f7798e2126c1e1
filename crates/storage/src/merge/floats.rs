//! Runs of floats, each in the order of time, as one: each time once. Knows no chunk, no histogram and no
//! source; of equal times the run given first counts.

use skopos_model::TimestampMs;

/// Samples of one source, growing in time: a column of timestamps and one of values, equally long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run<'a> {
    pub(super) timestamps: &'a [TimestampMs],
    pub(super) values: &'a [f64],
}

impl<'a> Run<'a> {
    fn split_at(self, at: usize) -> (Self, Self) {
        let (timestamps, later_timestamps) = self.timestamps.split_at(at);
        let (values, later_values) = self.values.split_at(at);
        (Self { timestamps, values }, Self { timestamps: later_timestamps, values: later_values })
    }
}

/// Appends the samples of both. Of samples at the same time that of `first` is kept.
pub(super) fn merge_two(
    first: Run<'_>,
    second: Run<'_>,
    timestamps: &mut Vec<TimestampMs>,
    values: &mut Vec<f64>,
) {
    let append = |run: Run<'_>, timestamps: &mut Vec<TimestampMs>, values: &mut Vec<f64>| {
        timestamps.extend_from_slice(run.timestamps);
        values.extend_from_slice(run.values);
    };
    // What only one of them has in front comes over as it is.
    let before = |run: Run<'_>, other: Run<'_>| match other.timestamps.first() {
        Some(begin) => run.timestamps.partition_point(|t| t < begin),
        None => run.timestamps.len(),
    };
    let (alone, first) = first.split_at(before(first, second));
    append(alone, timestamps, values);
    let (alone, second) = second.split_at(before(second, first));
    append(alone, timestamps, values);

    let from = timestamps.len();
    let most = first.timestamps.len() + second.timestamps.len();
    timestamps.resize(from + most, TimestampMs::MAX);
    values.resize(from + most, 0.0);
    let both = interleave(first, second, &mut timestamps[from..], &mut values[from..]);
    timestamps.truncate(from + both.written);
    values.truncate(from + both.written);
    append(first.split_at(both.first).1, timestamps, values);
    append(second.split_at(both.second).1, timestamps, values);
}

/// How far `interleave` has come.
struct Interleaved {
    written: usize,
    first: usize,
    second: usize,
}

/// Writes samples of both until one of them ends. No branch depends on the times, which take turns in ways
/// that no processor can guess.
fn interleave(
    first: Run<'_>,
    second: Run<'_>,
    timestamps: &mut [TimestampMs],
    values: &mut [f64],
) -> Interleaved {
    let (mut i, mut j, mut written) = (0, 0, 0);
    let (a, b) = (first, second);
    // Told apart here, so that the loop looks at each bound once.
    let (a_values, b_values) = (&a.values[..a.timestamps.len()], &b.values[..b.timestamps.len()]);
    while i < a.timestamps.len() && j < b.timestamps.len() {
        let (t, u) = (a.timestamps[i], b.timestamps[j]);
        let (v, w) = (a_values[i].to_bits(), b_values[j].to_bits());
        let (of_first, of_second) = (t <= u, u <= t);
        timestamps[written] = t.min(u);
        // As bits: a choice between two integers needs no branch.
        values[written] = f64::from_bits(if of_first { v } else { w });
        i += usize::from(of_first);
        j += usize::from(of_second);
        written += 1;
    }
    Interleaved { written, first: i, second: j }
}

/// Runs one behind the other, with the memory to merge them in.
#[derive(Debug, Default)]
pub(super) struct Runs {
    pub(super) timestamps: Vec<TimestampMs>,
    pub(super) values: Vec<f64>,
    /// Where each run ends; it begins where the one before ends.
    ends: Vec<usize>,
    spare: Option<Box<Runs>>,
}

impl Runs {
    /// Removes all runs and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.timestamps.clear();
        self.values.clear();
        self.ends.clear();
    }

    /// Ends the run that was pushed to the columns. False when it is none: its times do not grow.
    pub(super) fn end_run(&mut self) -> bool {
        let begin = self.ends.last().copied().unwrap_or_default();
        self.ends.push(self.timestamps.len());
        self.timestamps[begin..].is_sorted_by(|a, b| a < b)
    }

    fn run(&self, nth: usize) -> Run<'_> {
        let begin = if nth == 0 { 0 } else { self.ends[nth - 1] };
        let range = begin..self.ends[nth];
        Run { timestamps: &self.timestamps[range.clone()], values: &self.values[range] }
    }

    /// Makes one run of all, neighbours first, so that each sample is copied about as often as the number
    /// of runs can be halved.
    pub(super) fn merge(&mut self) {
        let mut spare = self.spare.take().unwrap_or_default();
        while self.ends.len() > 1 {
            spare.clear();
            for nth in (0..self.ends.len()).step_by(2) {
                let none = Run { timestamps: &[], values: &[] };
                let second = if nth + 1 < self.ends.len() { self.run(nth + 1) } else { none };
                merge_two(self.run(nth), second, &mut spare.timestamps, &mut spare.values);
                spare.ends.push(spare.timestamps.len());
            }
            std::mem::swap(self, &mut *spare);
        }
        self.spare = Some(spare);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Merges runs, both by two at a time and in the order given.
    fn check(runs: &[Vec<(i64, f64)>]) {
        let mut expected = BTreeMap::new();
        runs.iter().rev().for_each(|run| expected.extend(run.iter().copied()));
        let mut all = Runs::default();
        for round in 0..2 {
            all.clear();
            for run in runs {
                for (t, v) in run {
                    all.timestamps.push(TimestampMs::new(*t));
                    all.values.push(*v);
                }
                assert!(all.end_run());
            }
            all.merge();
            let got: Vec<_> = all.timestamps.iter().map(|t| t.as_ms()).zip(all.values.clone()).collect();
            let expected: Vec<_> = expected.iter().map(|(t, v)| (*t, *v)).collect();
            assert_eq!(got, expected, "round {round} of {runs:?}");
        }
    }

    #[test]
    fn times_grow_and_the_first_run_counts() {
        check(&[]);
        check(&[vec![]]);
        check(&[vec![], vec![], vec![]]);
        check(&[vec![(3, 3.0), (4, 4.0)], vec![(1, 1.0), (2, 2.0)]]);
        check(&[vec![(1, 10.0), (3, 30.0)], vec![(1, 1.0), (2, 2.0), (3, 3.0)], vec![(3, 0.5), (9, 1.5)]]);
        check(&[vec![(i64::MAX, 1.0)], vec![(i64::MIN, 2.0), (i64::MAX, 3.0)]]);
    }

    #[test]
    fn runs_merge_as_a_map_does() {
        for seed in 0..300 {
            println!("seed {seed}");
            let rng = skopos_base::rng::Rng::from_seed(seed);
            let run = |n: u64| {
                let mut t = rng.below(60) as i64;
                let len = rng.below(40);
                let sample = |_| {
                    t += 1 + rng.below(3) as i64;
                    (t, n as f64)
                };
                (0..len).map(sample).collect::<Vec<_>>()
            };
            let runs: Vec<_> = (0..rng.below(7)).map(run).collect();
            check(&runs);
        }
    }

    #[test]
    fn what_does_not_grow_is_no_run() {
        for times in [[1, 1], [2, 1]] {
            let mut runs = Runs::default();
            runs.timestamps.extend(times.map(TimestampMs::new));
            runs.values.extend([0.0, 0.0]);
            assert!(!runs.end_run());
        }
    }
}
