//! The remarks that come up while a query is carried out: each once, and not without bound. What is said is
//! told apart by what it is about; it becomes a text when the query is done.

use super::date;
use crate::ast::Span;
use crate::plan::{DatePart, Twin, TwinOf};
use crate::value::{Annotation, Severity};
use skopos_model::{TimestampMs, float::to_shortest_string};
use std::cmp::Ordering;

/// More remarks than this are of no use to anybody.
const MAX: usize = 100;

/// Remarks gathered so far, by their position: the first of all that there are, in whatever order they come.
#[derive(Debug, Default)]
pub(crate) struct Annotations {
    seen: Vec<Seen>,
}

/// What there is to say. Numbers are kept by their bits, so that each can be told from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    QuantileOutOfRange(u64),
    RatioOutOfRange { ratio: u64, capped: u64 },
    PossibleNonCounter,
    PossibleNonCounterByType,
    OverlappingStarts,
    MixedFloatsHistograms,
    MixedInAggregation,
    MixedBuckets,
    MixedClassicNative,
    BadBucketLabel,
    HistogramNotCounter,
    HistogramNotGauge,
    ConflictingResets(&'static str),
    BoundsReconciled(&'static str),
    IncompatibleBuckets(&'static str),
    IncompatibleTypes { operator: &'static str, sides: (&'static str, &'static str) },
    IgnoredInAggregation(&'static str),
    IgnoredInRange,
    QuantileOfNan(NanEffect),
    FractionOfNan,
    ForcedMonotonicity,
    SortWithoutEffect,
}

/// What observations that are no numbers make of a quantile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum NanEffect {
    /// It is no number itself.
    Nan,
    /// It is higher than without them.
    Skewed,
}

/// A remark before it is known whether it was made before.
#[derive(Clone, Copy, Debug)]
struct Remark<'a> {
    what: What,
    /// The metric that it is about, if it is about one.
    metric: &'a str,
    /// The value of a label.
    label: &'a str,
    span: Span,
}

/// A remark that was made.
#[derive(Clone, Debug)]
struct Seen {
    what: What,
    metric: Box<str>,
    label: Box<str>,
    span: Span,
    forced: Option<Forced>,
}

/// Classic buckets that were made to grow: how many histograms, when, which and by how much.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Forced {
    pub histograms: usize,
    pub first: TimestampMs,
    pub last: TimestampMs,
    /// The bounds of the lowest and the highest of the buckets.
    pub from: f64,
    pub to: f64,
    /// By how much one of them was below another at most.
    pub difference: f64,
}

impl Forced {
    fn and(self, other: Self) -> Self {
        Self {
            histograms: self.histograms + other.histograms,
            first: self.first.min(other.first),
            last: self.last.max(other.last),
            from: self.from.min(other.from),
            to: self.to.max(other.to),
            difference: self.difference.max(other.difference),
        }
    }

    fn text(&self) -> String {
        let [from, to] = [self.from, self.to].map(to_shortest_string);
        let [first, last] = [self.first, self.last].map(date_and_time);
        let (difference, histograms) = (two_digits(self.difference), self.histograms);
        format!(
            ", from buckets {from} to {to}, with a max diff of {difference}, over {histograms} samples from \
             {first} to {last}"
        )
    }
}

impl What {
    fn severity(self) -> Severity {
        match self {
            Self::QuantileOutOfRange(_)
            | Self::RatioOutOfRange { .. }
            | Self::OverlappingStarts
            | Self::MixedFloatsHistograms
            | Self::MixedInAggregation
            | Self::MixedBuckets
            | Self::MixedClassicNative
            | Self::BadBucketLabel
            | Self::HistogramNotCounter
            | Self::HistogramNotGauge
            | Self::ConflictingResets(_)
            | Self::IncompatibleBuckets(_)
            | Self::SortWithoutEffect => Severity::Warning,
            Self::PossibleNonCounter
            | Self::PossibleNonCounterByType
            | Self::BoundsReconciled(_)
            | Self::IncompatibleTypes { .. }
            | Self::IgnoredInAggregation(_)
            | Self::IgnoredInRange
            | Self::QuantileOfNan(_)
            | Self::FractionOfNan
            | Self::ForcedMonotonicity => Severity::Info,
        }
    }

    /// Whether it is said at a place of `of`, too, which was planned together with another.
    fn is_of(self, of: TwinOf) -> bool {
        let of_aggregations = matches!(self, Self::MixedInAggregation | Self::IgnoredInAggregation(_));
        !of_aggregations || of == TwinOf::Aggregation
    }
}

impl Seen {
    fn order(&self, other: Remark<'_>) -> Ordering {
        let place = |what: What, span: Span| (span.start, span.end, what.severity(), what);
        place(self.what, self.span)
            .cmp(&place(other.what, other.span))
            .then_with(|| (&*self.metric, &*self.label).cmp(&(other.metric, other.label)))
    }

    fn remark(&self) -> Remark<'_> {
        Remark { what: self.what, metric: &self.metric, label: &self.label, span: self.span }
    }

    fn text(&self) -> String {
        let float = |bits: u64| to_shortest_string(f64::from_bits(bits));
        let (metric, for_metric) = (&*self.metric, of_metric(&self.metric));
        match self.what {
            What::QuantileOutOfRange(phi) => {
                format!("quantile value should be between 0 and 1, got {}", float(phi))
            }
            What::RatioOutOfRange { ratio, capped } => {
                let (ratio, capped) = (float(ratio), float(capped));
                format!("ratio value should be between -1 and 1, got {ratio}, capping to {capped}")
            }
            What::PossibleNonCounter => format!(
                "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {metric:?}"
            ),
            What::PossibleNonCounterByType => format!(
                "metric might not be a counter, __type__ label is not set to \"counter\" or \
                 \"histogram\", got {metric}"
            ),
            What::OverlappingStarts => format!(
                "sample has start time that overlaps with previous sample timestamp for metric {metric:?}"
            ),
            What::MixedFloatsHistograms => {
                format!("encountered a mix of histograms and floats for metric name {metric:?}")
            }
            What::MixedInAggregation => {
                "encountered a mix of histograms and floats for aggregation".to_owned()
            }
            What::MixedBuckets => format!(
                "vector contains a mix of histograms with exponential and custom buckets schemas{for_metric}"
            ),
            What::MixedClassicNative => {
                format!("vector contains a mix of classic and native histograms{for_metric}")
            }
            What::BadBucketLabel => {
                let le = &*self.label;
                format!("bucket label \"le\" is missing or has a malformed value of {le:?}{for_metric}")
            }
            What::HistogramNotCounter => {
                format!("this native histogram metric is not a counter: {metric:?}")
            }
            What::HistogramNotGauge => format!("this native histogram metric is not a gauge: {metric:?}"),
            _ => self.text_of_operation(&for_metric),
        }
    }

    /// The text of a remark on what was done, in which metrics play no part or one at the end.
    fn text_of_operation(&self, for_metric: &str) -> String {
        match self.what {
            What::ConflictingResets(operation) => {
                format!("conflicting counter resets during histogram {operation}")
            }
            What::BoundsReconciled(operation) => {
                format!("mismatched custom buckets were reconciled during {operation}")
            }
            What::IncompatibleBuckets(operator) => {
                format!("incompatible bucket layout encountered for binary operator {operator}")
            }
            What::IncompatibleTypes { operator, sides: (lhs, rhs) } => format!(
                "incompatible sample types encountered for binary operator {operator:?}: {lhs} {operator} \
                 {rhs}"
            ),
            What::IgnoredInAggregation(aggregation) => {
                format!("ignored histogram in {aggregation} aggregation")
            }
            What::IgnoredInRange => {
                let what = "ignored histograms in a range containing both floats and histograms";
                format!("{what} for metric name {:?}", self.metric)
            }
            What::QuantileOfNan(effect) => {
                let how = if effect == NanEffect::Skewed { "skewed higher" } else { "NaN" };
                format!("input to histogram_quantile has NaN observations, result is {how}{for_metric}")
            }
            What::FractionOfNan => format!(
                "input to histogram_fraction has NaN observations, which are excluded from all \
                 fractions{for_metric}"
            ),
            What::ForcedMonotonicity => {
                let details = self.forced.as_ref().map(Forced::text).unwrap_or_default();
                format!(
                    "input to histogram_quantile needed to be fixed for monotonicity (see \
                     https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)\
                     {for_metric}{details}"
                )
            }
            _ => {
                "sort is ineffective for range queries since results are always ordered by labels".to_owned()
            }
        }
    }
}

impl Annotations {
    fn add(&mut self, remark: Remark<'_>, forced: Option<Forced>) {
        match self.seen.binary_search_by(|seen| seen.order(remark)) {
            Ok(at) => {
                let seen = &mut self.seen[at];
                seen.forced = match (seen.forced, forced) {
                    (Some(a), Some(b)) => Some(a.and(b)),
                    (a, b) => a.or(b),
                };
            }
            Err(at) if at < MAX => {
                let Remark { what, metric, label, span } = remark;
                self.seen.insert(at, Seen { what, metric: metric.into(), label: label.into(), span, forced });
                self.seen.truncate(MAX);
            }
            Err(_) => {}
        }
    }

    fn say(&mut self, what: What, span: Span) {
        self.add(Remark { what, metric: "", label: "", span }, None);
    }

    fn say_of(&mut self, what: What, metric: &str, span: Span) {
        self.add(Remark { what, metric, label: "", span }, None);
    }

    /// Takes over what came up elsewhere.
    pub(crate) fn absorb(&mut self, other: Self) {
        other.seen.into_iter().for_each(|seen| self.add(seen.remark(), seen.forced));
    }

    /// A quantile that is no share of a whole.
    pub(crate) fn quantile_out_of_range(&mut self, phi: f64, span: Span) {
        self.say(What::QuantileOutOfRange(phi.to_bits()), span);
    }

    /// A ratio that is no share of a whole, and what stands in for it.
    pub(crate) fn ratio_out_of_range(&mut self, (ratio, capped): (f64, f64), span: Span) {
        self.say(What::RatioOutOfRange { ratio: ratio.to_bits(), capped: capped.to_bits() }, span);
    }

    /// A rate of something that is not named like a counter.
    pub(crate) fn possible_non_counter(&mut self, metric: &str, span: Span) {
        self.say_of(What::PossibleNonCounter, metric, span);
    }

    /// A rate of something that does not say to be a counter.
    pub(crate) fn possible_non_counter_by_type(&mut self, metric: &str, metric_type: &str, span: Span) {
        let typed = format!("{metric_type:?}: {metric:?}");
        self.say_of(What::PossibleNonCounterByType, &typed, span);
    }

    /// A window with a sample that says to have been counted since before the sample before it.
    pub(crate) fn overlapping_starts(&mut self, metric: &str, span: Span) {
        self.say_of(What::OverlappingStarts, metric, span);
    }

    /// A window or an operator that meets both kinds of samples, of a metric.
    pub(crate) fn mixed_floats_histograms(&mut self, metric: &str, span: Span) {
        self.say_of(What::MixedFloatsHistograms, metric, span);
    }

    /// An aggregation that meets both kinds of samples.
    pub(crate) fn mixed_in_aggregation(&mut self, span: Span) {
        self.say(What::MixedInAggregation, span);
    }

    /// Exponential and custom buckets that were to be put together.
    pub(crate) fn mixed_buckets(&mut self, metric: &str, span: Span) {
        self.say_of(What::MixedBuckets, metric, span);
    }

    /// Both kinds of histograms of the same labels.
    pub(crate) fn mixed_classic_native(&mut self, metric: &str, span: Span) {
        self.say_of(What::MixedClassicNative, metric, span);
    }

    /// A classic bucket whose bound cannot be read.
    pub(crate) fn bad_bucket_label(&mut self, metric: &str, le: &str, span: Span) {
        self.add(Remark { what: What::BadBucketLabel, metric, label: le, span }, None);
    }

    /// A function of counters of a gauge histogram.
    pub(crate) fn histogram_not_counter(&mut self, metric: &str, span: Span) {
        self.say_of(What::HistogramNotCounter, metric, span);
    }

    /// A function of gauges of a counter histogram.
    pub(crate) fn histogram_not_gauge(&mut self, metric: &str, span: Span) {
        self.say_of(What::HistogramNotGauge, metric, span);
    }

    /// Histograms that contradict one another on whether a counter was reset.
    pub(crate) fn conflicting_resets(&mut self, operation: &'static str, span: Span) {
        self.say(What::ConflictingResets(operation), span);
    }

    /// Custom bounds that differ.
    pub(crate) fn bounds_reconciled(&mut self, operation: &'static str, span: Span) {
        self.say(What::BoundsReconciled(operation), span);
    }

    /// Buckets of which an operator can make nothing.
    pub(crate) fn incompatible_buckets(&mut self, operator: &'static str, span: Span) {
        self.say(What::IncompatibleBuckets(operator), span);
    }

    /// Kinds of samples that an operator does not take.
    pub(crate) fn incompatible_types(
        &mut self,
        operator: &'static str,
        sides: (&'static str, &'static str),
        span: Span,
    ) {
        self.say(What::IncompatibleTypes { operator, sides }, span);
    }

    /// An aggregation of floats that met a histogram.
    pub(crate) fn ignored_in_aggregation(&mut self, aggregation: &'static str, span: Span) {
        self.say(What::IgnoredInAggregation(aggregation), span);
    }

    /// A window function of floats that met a histogram among floats.
    pub(crate) fn ignored_in_range(&mut self, metric: &str, span: Span) {
        self.say_of(What::IgnoredInRange, metric, span);
    }

    /// Observations that are no numbers, in an argument of `histogram_quantile`.
    pub(crate) fn quantile_of_nan(&mut self, effect: NanEffect, metric: &str, span: Span) {
        self.say_of(What::QuantileOfNan(effect), metric, span);
    }

    /// Observations that are no numbers, in an argument of `histogram_fraction`.
    pub(crate) fn fraction_of_nan(&mut self, metric: &str, span: Span) {
        self.say_of(What::FractionOfNan, metric, span);
    }

    /// Classic buckets that count less than the ones below them.
    pub(crate) fn forced_monotonicity(&mut self, forced: Forced, metric: &str, span: Span) {
        self.add(Remark { what: What::ForcedMonotonicity, metric, label: "", span }, Some(forced));
    }

    /// Sorting a result that is always in the order of labels.
    pub(crate) fn sort_without_effect(&mut self, span: Span) {
        self.say(What::SortWithoutEffect, span);
    }

    /// All remarks in the order of their position. What is about a place that was carried out for others,
    /// too, is about all of them.
    pub(crate) fn finish(mut self, twins: &[Twin]) -> Vec<Annotation> {
        for seen in self.seen.clone() {
            for twin in twins.iter().filter(|twin| twin.first == seen.span && seen.what.is_of(twin.of)) {
                self.add(Remark { span: twin.other, ..seen.remark() }, seen.forced);
            }
        }
        let annotation = |seen: Seen| {
            let (severity, message) = (seen.what.severity(), seen.text());
            Annotation { severity, message, span: seen.span }
        };
        self.seen.into_iter().map(annotation).collect()
    }
}

/// The metric, where it is known.
fn of_metric(metric: &str) -> String {
    if metric.is_empty() { String::new() } else { format!(" for metric name {metric:?}") }
}

/// As RFC 3339 writes it, to the second.
fn date_and_time(at: TimestampMs) -> String {
    let seconds = at.as_ms() / 1000;
    let [year, month, day, hour, minute] =
        [DatePart::Year, DatePart::Month, DatePart::DayOfMonth, DatePart::Hour, DatePart::Minute]
            .map(|part| date::part(part, seconds as f64) as i64);
    let second = seconds.rem_euclid(60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// A number with two significant digits, as `%.2g` of C and Go writes it.
fn two_digits(v: f64) -> String {
    if !v.is_finite() {
        return to_shortest_string(v);
    }
    let text = format!("{v:.1e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..2).contains(&exponent) {
        return text.parse::<f64>().unwrap_or(v).to_string();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", digits.trim_end_matches(".0"), exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_two_digits_are_those_of_c() {
        for (v, want) in [
            (0.0, "0"),
            (1.0, "1"),
            (5.5, "5.5"),
            (10.0, "10"),
            (99.4, "99"),
            (99.6, "1e+02"),
            (1234.0, "1.2e+03"),
            (0.000_12, "0.00012"),
            (0.000_012_34, "1.2e-05"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(two_digits(v), want, "{v}");
        }
    }

    #[test]
    fn times_are_written_to_the_second() {
        for (ms, want) in [
            (1_735_084_800_999, "2024-12-25T00:00:00Z"),
            (0, "1970-01-01T00:00:00Z"),
            (951_868_799_000, "2000-02-29T23:59:59Z"),
        ] {
            assert_eq!(date_and_time(TimestampMs::new(ms)), want);
        }
    }

    #[test]
    fn what_is_said_of_many_histograms_is_put_together() {
        let mut annotations = Annotations::default();
        let of = |ms, from, to, difference| {
            let at = TimestampMs::new(ms);
            Forced { histograms: 1, first: at, last: at, from, to, difference }
        };
        let span = Span { start: 3, end: 8 };
        annotations.forced_monotonicity(of(1_735_084_800_000, 5.0, 50.0, 5.5), "m", span);
        annotations.forced_monotonicity(of(1_703_462_400_000, 10.0, 100.0, 10.0), "m", span);
        annotations.forced_monotonicity(of(1_733_011_200_000, 2.5, 75.0, 7.5), "m", span);
        let said = annotations.finish(&[]);
        assert_eq!(said.len(), 1);
        let want = "for metric name \"m\", from buckets 2.5 to 100, with a max diff of 10, over 3 samples \
                    from 2023-12-25T00:00:00Z to 2024-12-25T00:00:00Z";
        assert!(said[0].message.ends_with(want), "{}", said[0].message);
    }

    #[test]
    fn the_first_remarks_are_kept_in_whatever_order_they_come() {
        let span = |start| Span { start, end: start + 1 };
        let mut annotations = Annotations::default();
        (0..300).rev().for_each(|at| annotations.sort_without_effect(span(at)));
        (0..300).for_each(|at| annotations.sort_without_effect(span(at)));
        let starts: Vec<u32> = annotations.finish(&[]).iter().map(|a| a.span.start).collect();
        assert_eq!(starts, (0..100).collect::<Vec<_>>());
    }
}
