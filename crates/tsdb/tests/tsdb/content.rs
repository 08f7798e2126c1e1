//! Between a database and `skopos_testkit::series`: everything that a database holds, samples of every kind
//! appended to one, and what differs between two contents. Owns no test.

use crate::common::budget;
use skopos_base::Env;
use skopos_model::{
    FloatHistogram, Histogram, HistogramView, Labels, STALE_NAN_BITS, SeriesRef, TimestampMs,
    histogram::{CounterResetHint, Layout, Span},
};
use skopos_storage::{
    Append, AppendError, Appendable, Appender, Querier, Queryable, SelectRequest, SeriesBatch, SeriesColumns,
    SeriesId, Shard, TimeRange, Value as Appended,
};
use skopos_testkit::series::{self, Content, Counts, LabelPairs, Reset, Series, Value};
use skopos_tsdb::Db;
use std::{collections::BTreeMap, ops::Range};

/// All samples that `db` answers with.
pub(crate) fn content_of(db: &Db) -> Content {
    content_seen_by(&*db.querier(TimeRange::ALL).expect("the database can be queried"))
}

/// All samples that `querier` answers with.
pub(crate) fn content_seen_by(querier: &dyn Querier) -> Content {
    let env = Env::real();
    let request =
        SelectRequest { matchers: &[], range: TimeRange::ALL, shard: Shard::WHOLE, budget: budget(&env) };
    let mut set = querier.select(&request).expect("the selection is within its budget");
    let mut batch = SeriesBatch::default();
    let mut content = Content::new();
    while set.next_batch(&mut batch).expect("all chunks are sound") {
        for series in batch.iter() {
            assert!(series.timestamps.is_sorted_by(|a, b| a < b), "samples of {} come sorted", series.labels);
            let labels: LabelPairs =
                series.labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            let known = content.insert(labels, Series { samples: samples(&series), ..Series::default() });
            assert!(known.is_none(), "{} comes once", series.labels);
        }
    }
    content.retain(|_, series| !series.samples.is_empty());
    content
}

fn samples(series: &SeriesColumns<'_>) -> Vec<(i64, Value)> {
    let values = series.timestamps.iter().zip(series.values);
    let mut all: Vec<(i64, Value)> = values.map(|(t, v)| (t.as_ms(), Value::float(*v))).collect();
    for view in series.histograms.iter() {
        all[view.sample].1 = Value::Histogram(from_view(&view));
    }
    all
}

/// A query does not tell whether counts are whole.
fn from_view(view: &HistogramView<'_>) -> series::Histogram {
    let reset = match view.counter_reset_hint {
        CounterResetHint::Unknown => Reset::Unknown,
        CounterResetHint::Reset => Reset::Yes,
        CounterResetHint::NotReset => Reset::No,
        CounterResetHint::Gauge => Reset::Gauge,
    };
    series::Histogram {
        counts: Counts::Floats,
        schema: view.layout.schema,
        zero_threshold: view.layout.zero_threshold,
        zero_count: view.zero_count,
        count: view.count,
        sum_bits: view.sum.to_bits(),
        reset,
        positive: by_index(&view.layout.positive_spans, view.positive_buckets),
        negative: by_index(&view.layout.negative_spans, view.negative_buckets),
        custom_bounds: view.layout.custom_bounds.clone(),
    }
}

fn by_index(spans: &[Span], buckets: &[f64]) -> BTreeMap<i32, f64> {
    let mut next = 0;
    let mut indices = Vec::new();
    for span in spans {
        next += span.offset;
        indices.extend(next..next + span.length as i32);
        next += span.length as i32;
    }
    assert_eq!(indices.len(), buckets.len(), "spans say how many buckets there are");
    indices.into_iter().zip(buckets.iter().copied()).filter(|(_, count)| *count != 0.0).collect()
}

/// Commits the samples of `content` whose times are within `times` as one batch.
pub(crate) fn append(db: &Db, content: &Content, times: Range<i64>) {
    let mut appender = db.appender();
    for (labels, series) in content {
        let labels = Labels::from_pairs(labels.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        for (t, value) in series.samples.iter().filter(|(t, _)| times.contains(t)) {
            append_one(&mut *appender, &labels, *t, value).unwrap_or_else(|e| panic!("{labels} at {t}: {e}"));
        }
    }
    appender.commit().expect("the disk is sound");
}

/// Appends one sample of any kind.
pub(crate) fn append_one(
    appender: &mut dyn Appender,
    labels: &Labels,
    t: i64,
    value: &Value,
) -> Result<SeriesRef, AppendError> {
    let mut sample = Append::float(SeriesId::Labels(labels), TimestampMs::new(t), 0.0);
    let (whole, floats);
    sample.value = match value {
        Value::Float(bits) => Appended::Float(f64::from_bits(*bits)),
        Value::Histogram(h) if h.counts == Counts::Whole => {
            whole = to_whole(h);
            Appended::Histogram(&whole)
        }
        Value::Histogram(h) => {
            floats = to_floats(h);
            Appended::FloatHistogram(&floats)
        }
    };
    appender.append(&sample)
}

fn layout(h: &series::Histogram) -> Layout {
    Layout {
        schema: h.schema,
        zero_threshold: h.zero_threshold,
        positive_spans: spans(&h.positive),
        negative_spans: spans(&h.negative),
        custom_bounds: h.custom_bounds.clone(),
        counter_reset_hint: match h.reset {
            Reset::Unknown => CounterResetHint::Unknown,
            Reset::Yes => CounterResetHint::Reset,
            Reset::No => CounterResetHint::NotReset,
            Reset::Gauge => CounterResetHint::Gauge,
        },
    }
}

fn spans(buckets: &BTreeMap<i32, f64>) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    let mut next = 0;
    for index in buckets.keys() {
        match spans.last_mut() {
            Some(span) if *index == next => span.length += 1,
            _ => spans.push(Span { offset: index - next, length: 1 }),
        }
        next = index + 1;
    }
    spans
}

fn to_whole(h: &series::Histogram) -> Histogram {
    let deltas = |buckets: &BTreeMap<i32, f64>| {
        let mut before = 0;
        let delta = |count: &f64| {
            let delta = *count as i64 - before;
            before = *count as i64;
            delta
        };
        buckets.values().map(delta).collect()
    };
    Histogram {
        layout: layout(h),
        count: h.count as u64,
        sum: f64::from_bits(h.sum_bits),
        zero_count: h.zero_count as u64,
        positive_deltas: deltas(&h.positive),
        negative_deltas: deltas(&h.negative),
    }
}

fn to_floats(h: &series::Histogram) -> FloatHistogram {
    FloatHistogram {
        layout: layout(h),
        count: h.count,
        sum: f64::from_bits(h.sum_bits),
        zero_count: h.zero_count,
        positive_buckets: h.positive.values().copied().collect(),
        negative_buckets: h.negative.values().copied().collect(),
    }
}

/// What differs in the samples, a line each; empty when both say the same.
pub(crate) fn differences(expected: &Content, found: &Content) -> Vec<String> {
    let mut all = Vec::new();
    for (labels, series) in expected {
        match found.get(labels) {
            None => all.push(format!("{labels:?} is missing with {} samples", series.samples.len())),
            Some(other) => differences_of(labels, series, other, &mut all),
        }
    }
    let unknown = found.keys().filter(|labels| !expected.contains_key(*labels));
    all.extend(unknown.map(|labels| format!("{labels:?} should not be there")));
    all
}

fn differences_of(labels: &LabelPairs, expected: &Series, found: &Series, all: &mut Vec<String>) {
    let found_at: BTreeMap<i64, &Value> = found.samples.iter().map(|(t, value)| (*t, value)).collect();
    let expected_at: BTreeMap<i64, &Value> = expected.samples.iter().map(|(t, value)| (*t, value)).collect();
    let missing: Vec<i64> = expected_at.keys().filter(|t| !found_at.contains_key(*t)).copied().collect();
    let unknown: Vec<i64> = found_at.keys().filter(|t| !expected_at.contains_key(*t)).copied().collect();
    for (times, how) in [(missing, "missing"), (unknown, "not to be there")] {
        if let (Some(first), Some(last)) = (times.first(), times.last()) {
            all.push(format!("{labels:?}: {} samples are {how}, from {first} to {last}", times.len()));
        }
    }
    for (t, expected) in expected_at {
        let Some(found) = found_at.get(&t) else { continue };
        if !is_alike(expected, found) {
            all.push(format!("{labels:?} at {t}: {found:?} instead of {expected:?}"));
        }
    }
}

/// Floats are alike when their bits are; histograms when all their counts are and their hints do not
/// contradict each other.
fn is_alike(expected: &Value, found: &Value) -> bool {
    let (Value::Histogram(expected), Value::Histogram(found)) = (expected, found) else {
        return expected == found;
    };
    if expected.sum_bits == STALE_NAN_BITS {
        return found.sum_bits == STALE_NAN_BITS;
    }
    let hints_agree = match (expected.reset, found.reset) {
        (Reset::Gauge, other) | (other, Reset::Gauge) => other == Reset::Gauge,
        (Reset::Yes, Reset::No) | (Reset::No, Reset::Yes) => false,
        _ => true,
    };
    let bare = |h: &series::Histogram| series::Histogram {
        counts: Counts::Floats,
        reset: Reset::Unknown,
        ..h.clone()
    };
    hints_agree && bare(expected) == bare(found)
}
