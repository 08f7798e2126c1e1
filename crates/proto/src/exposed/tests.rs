//! Pages that are written as messages read as what they say, and pages that are none end with an error.

use super::*;
use crate::families::{
    Counter, FamilyBucket, FamilyExemplar, FamilyHistogram, FamilySpan, LabelPair, Metric, MetricFamily,
    MetricValue, Quantile, Summary, Time, Untyped, write_delimited,
};
use skopos_model::histogram::{CounterResetHint, Span};

fn family(name: &str, family_type: FamilyType, metrics: Vec<Metric>) -> MetricFamily {
    let (name, r#type) = (Some(name.to_owned()), Some(family_type.into()));
    MetricFamily { name, r#type, metrics, ..MetricFamily::default() }
}

fn metric(value: MetricValue) -> Metric {
    Metric { labels: vec![LabelPair::new("a", "b")], timestamp_ms: None, value: Some(value) }
}

fn exemplar(value: f64, at: Option<i64>) -> FamilyExemplar {
    let timestamp = at.map(|ms| Time::of(TimestampMs::new(ms)));
    FamilyExemplar { labels: vec![LabelPair::new("trace", "x")], value: Some(value), timestamp }
}

fn histogram() -> FamilyHistogram {
    let bucket = |count, upper| FamilyBucket {
        cumulative_count: Some(count),
        upper_bound: Some(upper),
        exemplar: Some(exemplar(upper / 2.0, None)),
        cumulative_count_float: None,
    };
    FamilyHistogram {
        sample_count: Some(6),
        sample_sum: Some(-1.5),
        buckets: vec![bucket(1, 0.5), bucket(4, 2.0)],
        schema: Some(-3),
        zero_threshold: Some(0.25),
        zero_count: Some(2),
        negative_spans: vec![FamilySpan { offset: Some(-2), length: Some(1) }],
        negative_deltas: vec![1],
        positive_spans: vec![FamilySpan { offset: Some(0), length: Some(2) }],
        positive_deltas: vec![2, -1],
        created: Some(Time::of(TimestampMs::new(1_500))),
        exemplars: vec![exemplar(7.0, Some(-1))],
        ..FamilyHistogram::default()
    }
}

/// The only metric of the only family of a page.
fn only(page: &[u8]) -> (ExposedFamily<'_>, ExposedMetric<'_>) {
    let mut families = ExposedFamilies::of(page);
    let family = families.next_family().unwrap().unwrap();
    let mut metrics = family.metrics();
    let metric = metrics.next_metric().unwrap().unwrap();
    assert_eq!((metrics.next_metric().map(|m| m.is_some()), families.next_family()), (Ok(false), Ok(None)));
    assert_eq!(families.offset(), page.len());
    (family, metric)
}

#[test]
fn floats_and_summaries_are_read_as_they_were_written() {
    let value = Counter {
        value: Some(2.5),
        exemplar: Some(exemplar(1.0, Some(70))),
        created: Some(Time::of(TimestampMs::new(-1))),
    };
    let mut written = family("a_bytes_total", FamilyType::Counter, vec![metric(MetricValue::Counter(value))]);
    (written.help, written.unit) = (Some("what".into()), Some("bytes".into()));
    written.metrics[0].timestamp_ms = Some(9);
    let page = write_delimited(&[written]);
    let (family_read, read) = only(&page);
    assert_eq!((family_read.name, family_read.help, family_read.unit), ("a_bytes_total", "what", "bytes"));
    assert_eq!(family_read.metric_type(), MetricType::Counter);
    let mut labels = Vec::new();
    read.each_label(|name, value| labels.push((name, value))).unwrap();
    assert_eq!((labels, read.timestamp), (vec![("a", "b")], Some(TimestampMs::new(9))));
    let single = read.single().unwrap();
    assert_eq!((single.value, single.created), (2.5, Some(TimestampMs::new(-1))));
    let exemplar = single.exemplar.unwrap().decode().unwrap();
    assert_eq!((exemplar.value, exemplar.timestamp), (1.0, Some(TimestampMs::new(70))));
    assert_eq!(exemplar.labels.get("trace"), Some("x"));

    let quantile = Quantile { quantile: Some(0.5), value: Some(3.0) };
    let value =
        Summary { sample_count: Some(4), sample_sum: Some(9.0), quantiles: vec![quantile], created: None };
    let page =
        write_delimited(&[family("s", FamilyType::Summary, vec![metric(MetricValue::Summary(value))])]);
    let mut summary = ExposedSummary { quantiles: vec![(9.0, 9.0)], ..ExposedSummary::default() };
    only(&page).1.summary_into(&mut summary).unwrap();
    assert_eq!(summary, ExposedSummary { count: 4, sum: 9.0, quantiles: vec![(0.5, 3.0)], created: None });
}

#[test]
fn a_histogram_is_classic_and_native_and_leaves_nothing_for_the_next() {
    let page = write_delimited(&[family(
        "h",
        FamilyType::Histogram,
        vec![metric(MetricValue::Histogram(Box::new(histogram())))],
    )]);
    let mut read = ExposedHistogram::default();
    for _ in 0..2 {
        only(&page).1.histogram_into(&mut read).unwrap();
        assert_eq!((read.count(), read.sum(), read.is_native()), (6.0, -1.5, true));
        assert_eq!(read.created, Some(TimestampMs::new(1_500)));
        let buckets: Vec<_> = read.buckets.iter().map(|b| (b.upper, b.count, b.exemplar.is_some())).collect();
        assert_eq!(buckets, [(0.5, 1.0, true), (2.0, 4.0, true)]);
        assert_eq!(read.exemplars[0].decode().unwrap().timestamp, Some(TimestampMs::new(-1)));
        let Native::Whole(native) = read.native(CounterResetHint::Gauge) else {
            panic!("it has whole counts")
        };
        assert_eq!((native.count, native.zero_count, native.layout.schema), (6, 2, -3));
        assert_eq!(native.layout.counter_reset_hint, CounterResetHint::Gauge);
        assert_eq!(native.layout.negative_spans, [Span { offset: -2, length: 1 }]);
        assert_eq!((&native.positive_deltas[..], &native.negative_deltas[..]), (&[2, -1][..], &[1][..]));
        assert_eq!(native.validate(), Ok(()));
    }
    let floats = FamilyHistogram {
        sample_count_float: Some(1.5),
        schema: Some(1),
        positive_spans: vec![FamilySpan { offset: Some(3), length: Some(1) }],
        positive_counts: vec![1.5],
        ..FamilyHistogram::default()
    };
    let page = write_delimited(&[family(
        "h",
        FamilyType::Histogram,
        vec![metric(MetricValue::Histogram(Box::new(floats)))],
    )]);
    only(&page).1.histogram_into(&mut read).unwrap();
    assert_eq!((read.count(), read.buckets.len(), read.exemplars.len()), (1.5, 0, 0));
    let Native::Float(native) = read.native(CounterResetHint::Unknown) else { panic!("it has floats") };
    assert_eq!((native.zero_count, &native.positive_buckets[..]), (0.0, &[1.5][..]));
    assert_eq!((native.negative_buckets.len(), native.validate()), (0, Ok(())));
    let page = write_delimited(&[family(
        "h",
        FamilyType::Histogram,
        vec![metric(MetricValue::Histogram(Box::default()))],
    )]);
    only(&page).1.histogram_into(&mut read).unwrap();
    assert!(!read.is_native());
}

#[test]
fn what_is_no_page_is_an_error_wherever_it_ends() {
    let whole = write_delimited(&[family(
        "h",
        FamilyType::Histogram,
        vec![metric(MetricValue::Histogram(Box::new(histogram())))],
    )]);
    let all = |page: &[u8]| -> Result<(), WireError> {
        let mut families = ExposedFamilies::of(page);
        while let Some(family) = families.next_family()? {
            let mut metrics = family.metrics();
            while let Some(metric) = metrics.next_metric()? {
                metric.each_label(|_, _| {})?;
                metric.histogram_into(&mut ExposedHistogram::default())?;
            }
        }
        Ok(())
    };
    assert_eq!(all(&whole), Ok(()));
    for cut in 1..whole.len() {
        assert!(all(&whole[..cut]).is_err(), "{cut}");
    }
    let value = || MetricValue::Gauge(Untyped { value: Some(1.0) });
    let mut unknown = family("a", FamilyType::Gauge, vec![]);
    unknown.r#type = Some(6);
    let nameless_label =
        Metric { labels: vec![LabelPair { name: None, value: Some("x".into()) }], ..metric(value()) };
    for (family, message) in [
        (family("", FamilyType::Gauge, vec![]), "a family has no name"),
        (unknown, "a family is of no known type"),
        (family("a", FamilyType::Histogram, vec![metric(value())]), "a metric is not of its family's type"),
        (
            family(
                "a",
                FamilyType::Histogram,
                vec![Metric { value: Some(MetricValue::Histogram(Box::new(histogram()))), ..nameless_label }],
            ),
            "a label has no name",
        ),
    ] {
        assert_eq!(all(&write_delimited(&[family])).unwrap_err().to_string(), message);
    }
}

#[test]
fn more_buckets_than_may_be_are_refused_before_they_take_memory() {
    let page = |histogram: FamilyHistogram| {
        write_delimited(&[family(
            "h",
            FamilyType::Histogram,
            vec![metric(MetricValue::Histogram(Box::new(histogram)))],
        )])
    };
    let refused = |histogram| {
        let page = page(histogram);
        only(&page).1.histogram_into(&mut ExposedHistogram::default()).is_err()
    };
    let at_most = |n| FamilyHistogram {
        positive_deltas: vec![0; n],
        negative_counts: vec![0.0; n],
        buckets: vec![FamilyBucket::default(); n],
        negative_spans: vec![FamilySpan::default(); n],
        ..FamilyHistogram::default()
    };
    assert!(!refused(at_most(MOST_BUCKETS)));
    let one_more = at_most(MOST_BUCKETS + 1);
    let none = FamilyHistogram::default;
    assert!(refused(FamilyHistogram { positive_deltas: one_more.positive_deltas, ..none() }));
    assert!(refused(FamilyHistogram { negative_counts: one_more.negative_counts, ..none() }));
    assert!(refused(FamilyHistogram { buckets: one_more.buckets, ..none() }));
    assert!(refused(FamilyHistogram { negative_spans: one_more.negative_spans, ..none() }));
    // The same packed, which the messages here do not write.
    let mut deltas = vec![0x6a];
    skopos_base::varint::put_uvarint(&mut deltas, MOST_BUCKETS as u64 + 1);
    deltas.extend(vec![0; MOST_BUCKETS + 1]);
    assert!(ExposedHistogram::default().read(&deltas).is_err());
}
