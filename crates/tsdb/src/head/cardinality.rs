//! `Cardinality`: which metrics, labels and pairs of the head have the most series. Walks postings in
//! strides, so that ingestion goes on; what comes or goes meanwhile may be counted or not.

use super::Head;
use skopos_model::name::METRIC_NAME;
use skopos_storage::{QueryBudget, QueryError};
use std::{cmp::Reverse, collections::BinaryHeap, convert::Infallible};

/// Values looked at before postings are let go.
const STRIDE: usize = 1024;

/// A name with its count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopEntry {
    /// Of a metric, a label, or a pair written `name=value`.
    pub name: String,
    /// How many, or how much.
    pub count: u64,
}

/// What the head consists of, and what most of it is. Every list begins with the largest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cardinality {
    /// Series, those without a sample among them.
    pub series: u64,
    /// Different pairs of name and value.
    pub label_pairs: u64,
    /// Different names of labels.
    pub label_names: u64,
    /// The metrics with the most series.
    pub series_by_metric: Vec<TopEntry>,
    /// The labels with the most values.
    pub values_by_label: Vec<TopEntry>,
    /// The labels that are the most bytes: of each series name and value, each with its length, as Prometheus
    /// 3 holds and counts them.
    pub bytes_by_label: Vec<TopEntry>,
    /// The pairs with the most series.
    pub series_by_pair: Vec<TopEntry>,
}

/// What the head consists of, without its bytes: asked at every scrape of the server's own metrics, for one
/// look at each pair.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeadShape {
    /// Different names of labels.
    pub label_names: u64,
    /// Different pairs of name and value.
    pub label_pairs: u64,
    /// The metrics with the most series, the largest first.
    pub series_by_metric: Vec<TopEntry>,
    /// The labels with the most values, the largest first.
    pub values_by_label: Vec<TopEntry>,
    /// The pairs with the most series, the largest first.
    pub series_by_pair: Vec<TopEntry>,
    /// Exemplars that are kept.
    pub exemplars: u64,
    /// How many there may be.
    pub max_exemplars: u64,
    /// How many bytes the head may hold before new series are refused.
    pub memory_budget_bytes: u64,
}

/// The largest so far; of equal ones those that came first.
struct Top {
    limit: usize,
    heap: BinaryHeap<Reverse<(u64, Reverse<String>)>>,
}

impl Top {
    fn new(limit: usize) -> Self {
        Self { limit, heap: BinaryHeap::new() }
    }

    fn offer(&mut self, count: u64, name: impl FnOnce() -> String) {
        let is_full = self.heap.len() >= self.limit;
        // Most are too small: their names are never made.
        if is_full && self.heap.peek().is_none_or(|Reverse((least, _))| count < *least) {
            return;
        }
        self.heap.push(Reverse((count, Reverse(name()))));
        if is_full {
            self.heap.pop();
        }
    }

    fn into_entries(self) -> Vec<TopEntry> {
        let sorted = self.heap.into_sorted_vec().into_iter();
        sorted.map(|Reverse((count, Reverse(name)))| TopEntry { name, count }).collect()
    }
}

/// The bytes of a text behind its length: one byte of that, or four from 255 on.
fn encoded(text: &str) -> u64 {
    let len = text.len() as u64;
    len + if len < 255 { 1 } else { 4 }
}

impl Head {
    /// Counts names, pairs and metrics; lists have at most `limit` entries.
    pub(crate) fn shape(&self, limit: usize) -> HeadShape {
        let mut out = HeadShape {
            exemplars: self.exemplars.len() as u64,
            max_exemplars: u64::from(self.options.max_exemplars),
            memory_budget_bytes: self.options.memory_budget_bytes,
            ..HeadShape::default()
        };
        let [mut metrics, mut values, mut pairs] = [(); 3].map(|()| Top::new(limit));
        let names: Vec<String> = self.registry.postings().names().map(|(name, _)| name.to_owned()).collect();
        out.label_names = names.len() as u64;
        for name in names {
            let mut count = 0;
            let each = |value: &str, series| {
                count += 1;
                pairs.offer(series, || format!("{name}={value}"));
                if name == METRIC_NAME {
                    metrics.offer(series, || value.to_owned());
                }
            };
            let Ok(()) = self.each_value(&name, || Ok::<(), Infallible>(()), each);
            out.label_pairs += count;
            values.offer(count, || name);
        }
        out.series_by_metric = metrics.into_entries();
        out.values_by_label = values.into_entries();
        out.series_by_pair = pairs.into_entries();
        out
    }

    /// Visits the values of a label, each with how many series have it; asks `check` before each stride.
    fn each_value<E>(
        &self,
        name: &str,
        mut check: impl FnMut() -> Result<(), E>,
        mut visit: impl FnMut(&str, u64),
    ) -> Result<(), E> {
        let mut after: Option<String> = None;
        loop {
            check()?;
            let postings = self.registry.postings();
            let Some(all) = postings.values(name) else { break };
            let mut last = None;
            for (value, ids) in all.with_prefix("", after.as_deref()).take(STRIDE) {
                visit(value, ids.len() as u64);
                last = Some(value);
            }
            let Some(last) = last else { break };
            after = Some(last.to_owned());
        }
        Ok(())
    }

    /// Counts what the head has; lists have at most `limit` entries.
    pub(crate) fn cardinality(&self, limit: usize, budget: &QueryBudget) -> Result<Cardinality, QueryError> {
        let names: Vec<String> = self.registry.postings().names().map(|(name, _)| name.to_owned()).collect();
        let mut out = Cardinality {
            series: self.registry.len() as u64,
            label_names: names.len() as u64,
            ..Cardinality::default()
        };
        let [mut metrics, mut values, mut bytes, mut pairs] = [(); 4].map(|()| Top::new(limit));
        for name in names {
            let (mut count, mut size) = (0, 0);
            let each = |value: &str, series| {
                count += 1;
                size += (encoded(&name) + encoded(value)) * series;
                pairs.offer(series, || format!("{name}={value}"));
                if name == METRIC_NAME {
                    metrics.offer(series, || value.to_owned());
                }
            };
            self.each_value(&name, || budget.check(), each)?;
            out.label_pairs += count;
            values.offer(count, || name.clone());
            bytes.offer(size, || name);
        }
        out.series_by_metric = metrics.into_entries();
        out.values_by_label = values.into_entries();
        out.bytes_by_label = bytes.into_entries();
        out.series_by_pair = pairs.into_entries();
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_largest_stay_and_come_first(
            counts in prop::collection::vec(0u64..20, 0..60),
            limit in 0usize..9,
        ) {
            let mut top = Top::new(limit);
            for (i, count) in counts.iter().enumerate() {
                top.offer(*count, || format!("{i:02}"));
            }
            let all = (0..).zip(&counts).map(|(i, c)| (Reverse(*c), format!("{i:02}")));
            let mut expected: Vec<_> = all.collect();
            expected.sort();
            expected.truncate(limit);
            let got = top.into_entries().into_iter().map(|e| (Reverse(e.count), e.name));
            prop_assert_eq!(got.collect::<Vec<_>>(), expected);
        }
    }
}
