//! A steady scrape allocates as often for a thousand samples as for four thousand, whatever the format of its
//! body is: nothing for a sample.
#![expect(clippy::unwrap_used, reason = "what a test cannot go on without fails it")]

use skopos_exposition::Format;
use skopos_model::{DurationMs, Labels, SeriesRef, TimestampMs};
use skopos_proto::families::{
    Counter, FamilyBucket, FamilyHistogram, FamilySpan, FamilyType, LabelPair, Metric, MetricFamily,
    MetricValue, Time, write_delimited,
};
use skopos_scrape::{
    body::{Body, Exposition},
    ingest::{Ingest, Report},
    status::{Health, ScrapeCounters},
    target::{HistogramReading, Reading, Source, Target},
};
use skopos_storage::{Append, AppendError, Appendable, Appender, CommitError, Committed, SeriesId};
use std::{
    fmt::Write,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Takes everything and keeps nothing.
#[derive(Default)]
struct Nothing {
    series: AtomicU64,
}

struct ToNothing<'a>(&'a Nothing);

impl Appendable for Nothing {
    fn appender(&self) -> Box<dyn Appender + '_> {
        Box::new(ToNothing(self))
    }
}

impl Appender for ToNothing<'_> {
    fn append(&mut self, sample: &Append<'_>) -> Result<SeriesRef, AppendError> {
        Ok(match sample.series {
            SeriesId::Ref(series) => series,
            SeriesId::Labels(_) => SeriesRef::new(self.0.series.fetch_add(1, Ordering::Relaxed) + 1).unwrap(),
        })
    }

    fn append_floats(
        &mut self,
        _: TimestampMs,
        _: &[SeriesRef],
        _: &[f64],
        _: &mut Vec<(usize, AppendError)>,
    ) {
    }

    fn commit(self: Box<Self>) -> Result<Committed, CommitError> {
        Ok(Committed::default())
    }
}

fn target() -> Target {
    let histograms = HistogramReading { native: true, ..HistogramReading::default() };
    Target {
        job: Arc::from("j"),
        source: Source::Http("http://h/metrics".into()),
        labels: Labels::from_pairs([("instance", "h"), ("job", "j")]),
        discovered: Labels::empty(),
        interval: DurationMs::from_secs(15),
        timeout: DurationMs::from_secs(15),
        max_series: None,
        forced_error: None,
        access: Arc::default(),
        reading: Reading { histograms, ..Reading::default() },
        extra_metrics: true,
        failure_log: None,
    }
}

fn text(samples: usize) -> String {
    let mut out = "# HELP m what\n# TYPE m gauge\n".to_owned();
    (0..samples).for_each(|n| writeln!(out, "m{{n=\"{n}\",path=\"/a\\\"b\"}} {n}.5").unwrap());
    out
}

fn families(metrics: usize, family_type: FamilyType, value: &MetricValue) -> Vec<u8> {
    let metric = |n: usize| Metric {
        labels: vec![LabelPair::new("n", &n.to_string()), LabelPair::new("a.b", "c\"d")],
        timestamp_ms: None,
        value: Some(value.clone()),
    };
    write_delimited(&[MetricFamily {
        name: Some("m".to_owned()),
        help: Some("what".to_owned()),
        r#type: Some(family_type.into()),
        metrics: (0..metrics).map(metric).collect(),
        unit: None,
    }])
}

/// What a scrape allocates once its body is known.
fn allocations(exposition: Exposition, body: &[u8]) -> u64 {
    let (storage, mut ingest) =
        (Nothing::default(), Ingest::new(&target(), Arc::<ScrapeCounters>::default()));
    let body = Body::of(exposition, body);
    let mut scrape = |at: i64| ingest.body(&storage, TimestampMs::new(at), Duration::ZERO, &body);
    for at in 0..3 {
        assert_eq!(scrape(at), Report { health: Health::Up, error: String::new() });
    }
    allocation_counter::measure(|| drop(scrape(3))).count_total
}

#[track_caller]
fn check(exposition: Exposition, body: impl Fn(usize) -> Vec<u8>) {
    let [few, many] = [1000, 4000].map(|samples| allocations(exposition, &body(samples)));
    assert_eq!(few, many, "{exposition:?}");
    assert!(few < 40, "{exposition:?}: {few}");
}

#[test]
fn lines_cost_no_allocation() {
    check(Exposition::Lines(Format::Text), |samples| text(samples).into_bytes());
    check(Exposition::Lines(Format::OpenMetrics), |samples| format!("{}# EOF\n", text(samples)).into_bytes());
}

#[test]
fn metrics_of_families_cost_no_allocation() {
    let created = Some(Time { seconds: 1, nanos: 0 });
    let counter = MetricValue::Counter(Counter { value: Some(1.5), exemplar: None, created });
    check(Exposition::Families, |samples| families(samples, FamilyType::Counter, &counter));
    let bucket = |n: u64| FamilyBucket {
        cumulative_count: Some(n),
        upper_bound: Some(n as f64),
        ..FamilyBucket::default()
    };
    let classic = FamilyHistogram {
        sample_count: Some(9),
        sample_sum: Some(7.5),
        buckets: (0..8).map(bucket).collect(),
        ..FamilyHistogram::default()
    };
    let native = FamilyHistogram {
        sample_count: Some(9),
        positive_spans: vec![FamilySpan { offset: Some(0), length: Some(3) }],
        positive_deltas: vec![3, 0, 0],
        ..FamilyHistogram::default()
    };
    for histogram in [classic, native] {
        let value = MetricValue::Histogram(Box::new(histogram));
        check(Exposition::Families, |samples| families(samples, FamilyType::Histogram, &value));
    }
}
