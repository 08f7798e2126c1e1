//! The remarks that come up while a query is carried out: each once, and not without bound.

use crate::ast::Span;
use crate::value::{Annotation, Severity};
use std::collections::BTreeMap;

/// More remarks than this are of no use to anybody.
const MAX: usize = 100;

/// Remarks gathered so far, by their position: the first of all that there are, in whatever order they come.
#[derive(Debug, Default)]
pub(crate) struct Annotations {
    seen: BTreeMap<Key, Annotation>,
}

type Key = (u32, u32, Severity, String);

impl Annotations {
    fn add(&mut self, severity: Severity, message: String, span: Span) {
        let key = (span.start, span.end, severity, message);
        if self.seen.contains_key(&key) || self.seen.len() == MAX && self.seen.keys().next_back() < Some(&key)
        {
            return;
        }
        let annotation = Annotation { severity, message: key.3.clone(), span };
        self.seen.insert(key, annotation);
        if self.seen.len() > MAX {
            self.seen.pop_last();
        }
    }

    /// Takes over what came up elsewhere.
    pub(crate) fn absorb(&mut self, other: Self) {
        other.seen.into_values().for_each(|a| self.add(a.severity, a.message, a.span));
    }

    /// A quantile that is no share of a whole.
    pub(crate) fn quantile_out_of_range(&mut self, phi: f64, span: Span) {
        let phi = skopos_model::float::to_shortest_string(phi);
        let message = format!("quantile value should be between 0 and 1, got {phi}");
        self.add(Severity::Warning, message, span);
    }

    /// A ratio that is no share of a whole, and what stands in for it.
    pub(crate) fn ratio_out_of_range(&mut self, (ratio, capped): (f64, f64), span: Span) {
        let text = skopos_model::float::to_shortest_string;
        let (ratio, capped) = (text(ratio), text(capped));
        let message = format!("ratio value should be between -1 and 1, got {ratio}, capping to {capped}");
        self.add(Severity::Warning, message, span);
    }

    /// A rate of something that is not named like a counter.
    pub(crate) fn possible_non_counter(&mut self, metric: &str, span: Span) {
        let message = format!(
            "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {metric:?}"
        );
        self.add(Severity::Info, message, span);
    }

    /// A window with a sample that says to have been counted since before the sample before it.
    pub(crate) fn overlapping_starts(&mut self, metric: &str, span: Span) {
        let what = "sample has start time that overlaps with previous sample timestamp for metric";
        self.add(Severity::Warning, format!("{what} {metric:?}"), span);
    }

    /// A window or an operator that meets both kinds of samples, of a metric.
    pub(crate) fn mixed_floats_histograms(&mut self, metric: &str, span: Span) {
        let what = "encountered a mix of histograms and floats for";
        self.add(Severity::Warning, format!("{what} metric name {metric:?}"), span);
    }

    /// An aggregation that meets both kinds of samples.
    pub(crate) fn mixed_in_aggregation(&mut self, span: Span) {
        let message = "encountered a mix of histograms and floats for aggregation".to_owned();
        self.add(Severity::Warning, message, span);
    }

    /// Exponential and custom buckets that were to be put together.
    pub(crate) fn mixed_buckets(&mut self, metric: &str, span: Span) {
        let what = "vector contains a mix of histograms with exponential and custom buckets schemas";
        self.add(Severity::Warning, format!("{what}{}", of_metric(metric)), span);
    }

    /// Both kinds of histograms of the same labels.
    pub(crate) fn mixed_classic_native(&mut self, metric: &str, span: Span) {
        let what = "vector contains a mix of classic and native histograms";
        self.add(Severity::Warning, format!("{what}{}", of_metric(metric)), span);
    }

    /// A classic bucket whose bound cannot be read.
    pub(crate) fn bad_bucket_label(&mut self, metric: &str, le: &str, span: Span) {
        let what = format!("bucket label \"le\" is missing or has a malformed value of {le:?}");
        self.add(Severity::Warning, format!("{what}{}", of_metric(metric)), span);
    }

    /// A function of counters of a gauge histogram.
    pub(crate) fn histogram_not_counter(&mut self, metric: &str, span: Span) {
        let message = format!("this native histogram metric is not a counter: {metric:?}");
        self.add(Severity::Warning, message, span);
    }

    /// A function of gauges of a counter histogram.
    pub(crate) fn histogram_not_gauge(&mut self, metric: &str, span: Span) {
        let message = format!("this native histogram metric is not a gauge: {metric:?}");
        self.add(Severity::Warning, message, span);
    }

    /// Histograms that contradict one another on whether a counter was reset.
    pub(crate) fn conflicting_resets(&mut self, operation: &str, span: Span) {
        let message = format!("conflicting counter resets during histogram {operation}");
        self.add(Severity::Warning, message, span);
    }

    /// Custom bounds that differ.
    pub(crate) fn bounds_reconciled(&mut self, operation: &str, span: Span) {
        let message = format!("mismatched custom buckets were reconciled during {operation}");
        self.add(Severity::Info, message, span);
    }

    /// Buckets of which an operator can make nothing.
    pub(crate) fn incompatible_buckets(&mut self, operator: &str, span: Span) {
        let message = format!("incompatible bucket layout encountered for binary operator {operator}");
        self.add(Severity::Warning, message, span);
    }

    /// Kinds of samples that an operator does not take.
    pub(crate) fn incompatible_types(&mut self, operator: &str, (lhs, rhs): (&str, &str), span: Span) {
        let message = format!(
            "incompatible sample types encountered for binary operator {operator:?}: {lhs} {operator} {rhs}"
        );
        self.add(Severity::Info, message, span);
    }

    /// An aggregation of floats that met a histogram.
    pub(crate) fn ignored_in_aggregation(&mut self, aggregation: &str, span: Span) {
        self.add(Severity::Info, format!("ignored histogram in {aggregation} aggregation"), span);
    }

    /// A window function of floats that met a histogram among floats.
    pub(crate) fn ignored_in_range(&mut self, metric: &str, span: Span) {
        let what = "ignored histograms in a range containing both floats and histograms for metric name";
        self.add(Severity::Info, format!("{what} {metric:?}"), span);
    }

    /// Observations that are no numbers, in an argument of `histogram_quantile`.
    pub(crate) fn quantile_of_nan(&mut self, skewed: bool, metric: &str, span: Span) {
        let what = "input to histogram_quantile has NaN observations, result is";
        let how = if skewed { "skewed higher" } else { "NaN" };
        self.add(Severity::Info, format!("{what} {how}{}", of_metric(metric)), span);
    }

    /// Observations that are no numbers, in an argument of `histogram_fraction`.
    pub(crate) fn fraction_of_nan(&mut self, metric: &str, span: Span) {
        let what = "input to histogram_fraction has NaN observations, which are excluded from all fractions";
        self.add(Severity::Info, format!("{what}{}", of_metric(metric)), span);
    }

    /// Classic buckets that count less than the ones below them.
    pub(crate) fn forced_monotonicity(&mut self, metric: &str, span: Span) {
        let what = "input to histogram_quantile needed to be fixed for monotonicity (see \
                    https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)";
        self.add(Severity::Info, format!("{what}{}", of_metric(metric)), span);
    }

    /// Sorting a result that is always in the order of labels.
    pub(crate) fn sort_without_effect(&mut self, span: Span) {
        let message =
            "sort is ineffective for range queries since results are always ordered by labels".to_owned();
        self.add(Severity::Warning, message, span);
    }

    /// All remarks in the order of their position.
    pub(crate) fn finish(self) -> Vec<Annotation> {
        self.seen.into_values().collect()
    }
}

/// The metric, where it is known.
fn of_metric(metric: &str) -> String {
    if metric.is_empty() { String::new() } else { format!(" for metric name {metric:?}") }
}
