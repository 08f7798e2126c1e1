//! Aggregations that need no look back: each row is added to the accumulators of its group and
//! forgotten. Holds groups × steps, whatever the number of rows.

mod histograms;

use super::{
    annotations::Annotations,
    bits::{self, Ones, WORD},
    held::Held,
    kahan::{self, Mean, Sum},
    labels::{group_key, names_work},
    matrix::{Row, RowLabels, StepMatrix},
    order::sort_rows,
    window::parts,
    work::Work,
};
use crate::ast::{AggregateOp, Grouping, Span};
use crate::error::EvalError;
use crate::plan::NameRemoval;
use histograms::HistogramGroups;
use skopos_model::{Labels, histogram::SumKind};
use skopos_storage::QueryBudget;
use std::{ops::Range, sync::Arc};

/// What is done, to which groups.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Aggregation<'p> {
    pub op: AggregateOp,
    pub grouping: &'p Grouping,
    /// Where that which is aggregated stands in the query.
    pub input: Span,
}

/// The accumulators of all groups.
#[derive(Debug)]
pub(crate) struct Aggregator<'p> {
    op: AggregateOp,
    grouping: &'p Grouping,
    input: Span,
    name_removal: NameRemoval,
    groups: foldhash::HashMap<Labels, usize>,
    /// The first accumulator of each group and step, and where there is one.
    matrix: StepMatrix,
    /// The second: what a sum has lost, or the running mean of a variance.
    second: Vec<f64>,
    /// How many values there were.
    counts: Vec<f64>,
    /// Of means, where the sum has overflowed; allocated when it first happens.
    running: Vec<u64>,
    /// Of native histograms, once there was one.
    histograms: Option<HistogramGroups>,
    held: Held,
}

/// Sums of up to 10^15 values below this do not overflow.
const LARGE: f64 = 1e292;

impl<'p> Aggregator<'p> {
    pub(crate) fn new(
        Aggregation { op, grouping, input }: Aggregation<'p>,
        steps: usize,
        name_removal: NameRemoval,
        budget: &Arc<QueryBudget>,
    ) -> Self {
        Self {
            op,
            grouping,
            input,
            name_removal,
            groups: foldhash::HashMap::default(),
            matrix: StepMatrix::new(steps, budget),
            second: Vec::new(),
            counts: Vec::new(),
            running: Vec::new(),
            histograms: None,
            held: Held::new(budget),
        }
    }

    fn needs_second(&self) -> bool {
        use AggregateOp as A;
        matches!(self.op, A::Sum | A::Avg | A::Stddev | A::Stdvar)
    }

    fn needs_counts(&self) -> bool {
        use AggregateOp as A;
        matches!(self.op, A::Avg | A::Stddev | A::Stdvar)
    }

    /// Adds a row to its group.
    pub(crate) fn add(
        &mut self,
        labels: &RowLabels,
        row: Row<'_>,
        work: &mut Work,
        annotations: &mut Annotations,
    ) -> Result<(), EvalError> {
        let (Grouping::By(names) | Grouping::Without(names)) = self.grouping;
        work.spend(1 + names_work(names))?;
        let key = group_key(labels, self.grouping, self.name_removal);
        let drop_name = key.drop_name;
        let group = match self.groups.get(&key.labels) {
            Some(group) => *group,
            None => self.new_group(key)?,
        };
        // A group of which one row is to lose its name loses it.
        self.matrix.labels_mut(group).drop_name |= drop_name;
        if row.histograms.is_some() {
            return self.add_mixed(group, labels, row, (work, annotations));
        }
        self.add_floats(group, row, work)
    }

    /// Adds a row that has histograms.
    fn add_mixed(
        &mut self,
        group: usize,
        labels: &RowLabels,
        row: Row<'_>,
        (work, annotations): (&mut Work, &mut Annotations),
    ) -> Result<(), EvalError> {
        use AggregateOp as A;
        let floats = row.floats();
        let Some(histograms) = row.histograms else { return Ok(()) };
        let kind = match self.op {
            // Whatever there is counts.
            A::Count | A::Group => {
                return self.add_floats(group, Row { histograms: None, ..row }, work);
            }
            A::Sum => SumKind::Sum,
            A::Avg => SumKind::Mean,
            op => {
                annotations.ignored_in_aggregation(op.as_str(), self.input);
                return self.add_floats(group, Row { present: &floats, histograms: None, ..row }, work);
            }
        };
        work.spend(histograms.cost())?;
        let groups = self.histograms.get_or_insert_with(|| HistogramGroups::new(kind));
        let metric = labels.labels.metric_name().unwrap_or_default();
        groups.add(group, (histograms, metric), &mut self.held, (self.input, annotations))?;
        self.add_floats(group, Row { present: &floats, histograms: None, ..row }, work)
    }

    fn add_floats(&mut self, group: usize, row: Row<'_>, work: &mut Work) -> Result<(), EvalError> {
        let steps = self.matrix.steps();
        if self.op == AggregateOp::Avg
            && self.running.is_empty()
            && row.values.iter().any(|v| v.abs() > LARGE)
        {
            self.held.grow_entries::<u64>(self.groups.len() * bits::words(steps))?;
            self.running.resize(self.groups.len() * bits::words(steps), 0);
        }
        parts(steps, work, |part| self.add_part(group, &part, row))?;
        Ok(())
    }

    /// Adds some of the steps of a row.
    fn add_part(&mut self, group: usize, part: &Range<usize>, row: Row<'_>) {
        let steps = self.matrix.steps();
        let range = group * steps + part.start..group * steps + part.end;
        let words = part.start / WORD..bits::words(part.end);
        let row =
            Row { values: &row.values[part.clone()], present: &row.present[words.clone()], histograms: None };
        let mut whole = self.matrix.row_mut(group);
        let first = whole.part(part);
        let acc = first.values;
        match self.op {
            AggregateOp::Sum => add_sums(acc, &mut self.second[range], row),
            AggregateOp::Avg => {
                let counts = &mut self.counts[range.clone()];
                let second = &mut self.second[range];
                if self.running.is_empty() {
                    add_sums(acc, second, row);
                    each(counts, row, |count, _| *count += 1.0);
                } else {
                    let all = bits::words(steps);
                    let running = &mut self.running[group * all..][words];
                    add_means((acc, second, counts), running, row);
                }
            }
            AggregateOp::Count => each(acc, row, |count, _| *count += 1.0),
            AggregateOp::Min => each(acc, row, |min, v| {
                if v < *min || min.is_nan() {
                    *min = v;
                }
            }),
            AggregateOp::Max => each(acc, row, |max, v| {
                if v > *max || max.is_nan() {
                    *max = v;
                }
            }),
            AggregateOp::Group => each(acc, row, |one, _| *one = 1.0),
            _ => add_spreads((acc, &mut self.second[range.clone()], &mut self.counts[range]), row),
        }
        bits::or(first.present, row.present);
    }

    fn new_group(&mut self, key: RowLabels) -> Result<usize, EvalError> {
        let group = self.matrix.len();
        let steps = self.matrix.steps();
        self.held.grow_entries::<(Labels, usize)>(1)?;
        if !self.running.is_empty() {
            self.held.grow_entries::<u64>(bits::words(steps))?;
            self.running.resize((group + 1) * bits::words(steps), 0);
        }
        let first = self.matrix.push_empty(key.clone())?;
        first.values.fill(match self.op {
            AggregateOp::Min | AggregateOp::Max => f64::NAN,
            AggregateOp::Sum | AggregateOp::Avg => Sum::ZERO.high,
            _ => 0.0,
        });
        if self.needs_second() {
            self.held.grow(steps)?;
            self.second.resize((group + 1) * steps, 0.0);
        }
        if self.needs_counts() {
            self.held.grow(steps)?;
            self.counts.resize((group + 1) * steps, 0.0);
        }
        self.groups.insert(key.labels, group);
        Ok(group)
    }

    /// The result of each group, in the order of their labels.
    pub(crate) fn finish(mut self, annotations: &mut Annotations) -> Result<StepMatrix, EvalError> {
        let steps = self.matrix.steps();
        let mut work = Work::new(self.held.budget());
        for group in 0..self.matrix.len() {
            work.spend(steps)?;
            let range = group * steps..(group + 1) * steps;
            let acc = self.matrix.row_mut(group).values;
            match self.op {
                AggregateOp::Sum => {
                    for (v, low) in acc.iter_mut().zip(&self.second[range]) {
                        *v = Sum { high: *v, low: *low }.value();
                    }
                }
                AggregateOp::Avg => {
                    let words = bits::words(steps);
                    let running = self.running.get(group * words..).unwrap_or_default();
                    for (k, v) in acc.iter_mut().enumerate() {
                        let at = group * steps + k;
                        *v = Mean {
                            sum: Sum { high: *v, low: self.second[at] },
                            count: self.counts[at],
                            running: !running.is_empty() && bits::get(running, k),
                        }
                        .value();
                    }
                }
                AggregateOp::Stdvar | AggregateOp::Stddev => {
                    for (v, count) in acc.iter_mut().zip(&self.counts[range]) {
                        let variance = *v / count;
                        *v = if self.op == AggregateOp::Stddev { variance.sqrt() } else { variance };
                    }
                }
                _ => {}
            }
        }
        if let Some(mut groups) = self.histograms.take() {
            for group in 0..self.matrix.len() {
                let place = (self.input, &mut *annotations);
                let (found, mixed) = groups.finish(group, self.matrix.row(group), place);
                bits::and_not(self.matrix.row_mut(group).present, &mixed);
                self.matrix.add_histograms(group, &found)?;
            }
        }
        let mut order: Vec<usize> = (0..self.matrix.len()).collect();
        let labels = |i: usize| &self.matrix.labels(i).labels;
        sort_rows(&mut order, self.matrix.budget(), |a, b| labels(a).cmp(labels(b)))?;
        if order.is_sorted() { Ok(self.matrix) } else { self.matrix.reordered(&order) }
    }
}

/// The slots of word `i` of a row of `steps` steps, and whether all of them are set in `word`.
#[inline]
fn slots(i: usize, word: u64, steps: usize) -> (std::ops::Range<usize>, bool) {
    let range = i * WORD..steps.min((i + 1) * WORD);
    let full = word.count_ones() as usize == range.len();
    (range, full)
}

/// Calls `f` with the accumulator and the value of each step that the row has.
#[inline]
fn each(acc: &mut [f64], row: Row<'_>, f: impl Fn(&mut f64, f64)) {
    let steps = acc.len();
    for (i, word) in row.present.iter().enumerate() {
        let (range, full) = slots(i, *word, steps);
        let (acc, values) = (&mut acc[range.clone()], &row.values[range]);
        if full {
            acc.iter_mut().zip(values).for_each(|(a, v)| f(a, *v));
        } else {
            Ones(*word).for_each(|k| f(&mut acc[k], values[k]));
        }
    }
}

/// Adds the row to sums of two words.
fn add_sums(high: &mut [f64], low: &mut [f64], row: Row<'_>) {
    let add = |high: &mut f64, low: &mut f64, v: f64| {
        let sum = *high + v;
        *low += kahan::lost(*high, v, sum);
        *high = sum;
    };
    let steps = high.len();
    for (i, word) in row.present.iter().enumerate() {
        let (range, full) = slots(i, *word, steps);
        let (high, low) = (&mut high[range.clone()], &mut low[range.clone()]);
        let values = &row.values[range];
        if full {
            high.iter_mut().zip(low).zip(values).for_each(|((high, low), v)| add(high, low, *v));
        } else {
            Ones(*word).for_each(|k| add(&mut high[k], &mut low[k], values[k]));
        }
    }
}

/// The accumulators of one group.
type Three<'a> = (&'a mut [f64], &'a mut [f64], &'a mut [f64]);

/// Adds the row to means, one by one, for sums may overflow.
fn add_means((high, low, counts): Three<'_>, running: &mut [u64], row: Row<'_>) {
    for k in bits::iter(row.present) {
        let mut mean = Mean {
            sum: Sum { high: high[k], low: low[k] },
            count: counts[k],
            running: bits::get(running, k),
        };
        mean.add(row.values[k]);
        (high[k], low[k], counts[k]) = (mean.sum.high, mean.sum.low, mean.count);
        if mean.running {
            bits::set(running, k);
        }
    }
}

/// Adds the row to variances (Welford's method).
fn add_spreads((squares, means, counts): Three<'_>, row: Row<'_>) {
    for k in bits::iter(row.present) {
        let v = row.values[k];
        counts[k] += 1.0;
        if counts[k] <= 1.0 {
            means[k] = v;
            squares[k] = if v.is_finite() { 0.0 } else { f64::NAN };
            continue;
        }
        let distance = v - means[k];
        means[k] += distance / counts[k];
        squares[k] += distance * (v - means[k]);
    }
}
