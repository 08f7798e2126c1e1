//! Metric families as targets expose them: whatever stands there is read to its end or to an error, the
//! memory of one metric is used for the next, and families are as many as the messages say.

use skopos_model::{TimestampMs, histogram::CounterResetHint};
use skopos_proto::{
    exposed::{
        ExposedFamilies, ExposedFamily, ExposedHistogram, ExposedMetric, ExposedSummary, MOST_BUCKETS, Native,
    },
    families::{
        Counter, FamilyBucket, FamilyExemplar, FamilyHistogram, FamilySpan, FamilyType, LabelPair, Metric,
        MetricFamily, MetricValue, Quantile, Summary, Time, Untyped, read_delimited, write_delimited,
    },
    wire::WireError,
};

pub(super) fn page(bytes: &[u8]) -> bool {
    let Ok(count) = read(bytes) else { return false };
    // Fields that this passes over may be none for the whole messages.
    if let Ok(messages) = read_delimited(bytes) {
        assert_eq!(messages.len(), count);
    }
    true
}

fn read(bytes: &[u8]) -> Result<usize, WireError> {
    let (mut families, mut count) = (ExposedFamilies::of(bytes), 0);
    let (mut histogram, mut summary) = (ExposedHistogram::default(), ExposedSummary::default());
    while let Some(family) = families.next_family()? {
        count += 1;
        assert!(!family.name.is_empty() && families.offset() <= bytes.len());
        let mut metrics = family.metrics();
        while let Some(metric) = metrics.next_metric()? {
            read_metric(&family, &metric, &mut histogram, &mut summary)?;
        }
    }
    assert_eq!(families.offset(), bytes.len(), "a page is read to its end");
    Ok(count)
}

fn read_metric<'a>(
    family: &ExposedFamily<'a>,
    metric: &ExposedMetric<'a>,
    histogram: &mut ExposedHistogram<'a>,
    summary: &mut ExposedSummary,
) -> Result<(), WireError> {
    metric.each_label(|name, _| assert!(!name.is_empty()))?;
    match family.family_type {
        FamilyType::Summary => {
            metric.summary_into(summary)?;
            assert!(summary.quantiles.len() <= MOST_BUCKETS);
        }
        FamilyType::Histogram | FamilyType::GaugeHistogram => {
            metric.histogram_into(histogram)?;
            assert!(histogram.buckets.len() <= MOST_BUCKETS && !histogram.count().is_sign_negative());
            let of_buckets: Vec<_> = histogram.buckets.iter().filter_map(|bucket| bucket.exemplar).collect();
            for exemplar in of_buckets.iter().chain(&histogram.exemplars) {
                exemplar.decode()?;
            }
            // What is no histogram is refused where it would be stored, and does no harm before.
            match histogram.native(CounterResetHint::Unknown) {
                Native::Whole(native) => drop((native.validate(), native.reduced_to(-4))),
                Native::Float(native) => drop((native.validate(), native.reduced_to(-4))),
            }
        }
        FamilyType::Counter | FamilyType::Gauge | FamilyType::Untyped => {
            if let Some(exemplar) = metric.single()?.exemplar {
                exemplar.decode()?;
            }
        }
    }
    Ok(())
}

fn family(name: &str, family_type: FamilyType, value: MetricValue) -> MetricFamily {
    let labels = vec![LabelPair::new("a", "b"), LabelPair::new("empty", "")];
    let metric = Metric { labels, timestamp_ms: Some(7), value: Some(value) };
    MetricFamily {
        name: Some(name.to_owned()),
        help: Some("what it is".to_owned()),
        r#type: Some(family_type.into()),
        metrics: vec![metric.clone(), Metric { labels: vec![], timestamp_ms: None, ..metric }],
        unit: Some("bytes".to_owned()),
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let at = Some(Time::of(TimestampMs::new(1_700_000_000_123)));
    let exemplar =
        || FamilyExemplar { labels: vec![LabelPair::new("trace", "x")], value: Some(0.5), timestamp: at };
    let bucket = |count, upper| FamilyBucket {
        cumulative_count: Some(count),
        upper_bound: Some(upper),
        exemplar: Some(exemplar()),
        cumulative_count_float: None,
    };
    let span = |offset, length| FamilySpan { offset: Some(offset), length: Some(length) };
    let whole = FamilyHistogram {
        sample_count: Some(9),
        sample_sum: Some(1.5),
        buckets: vec![bucket(1, 0.5), bucket(9, f64::INFINITY)],
        schema: Some(3),
        zero_threshold: Some(1e-9),
        zero_count: Some(2),
        negative_spans: vec![span(-3, 1)],
        negative_deltas: vec![4],
        positive_spans: vec![span(0, 1), span(2, 1)],
        positive_deltas: vec![2, -1],
        created: at,
        exemplars: vec![exemplar()],
        ..FamilyHistogram::default()
    };
    let floats = FamilyHistogram {
        sample_count_float: Some(2.5),
        zero_count_float: Some(0.5),
        positive_spans: vec![span(1, 2)],
        positive_counts: vec![1.0, 1.0],
        ..FamilyHistogram::default()
    };
    let quantiles = vec![Quantile { quantile: Some(0.5), value: Some(1.0) }];
    let summary = Summary { sample_count: Some(4), sample_sum: Some(2.0), quantiles, created: at };
    let counter = Counter { value: Some(3.0), exemplar: Some(exemplar()), created: at };
    let gauge = Untyped { value: Some(-1.0) };
    let all = [
        family("a_bytes_total", FamilyType::Counter, MetricValue::Counter(counter)),
        family("b_bytes", FamilyType::Gauge, MetricValue::Gauge(gauge.clone())),
        family("c.bytes", FamilyType::Untyped, MetricValue::Untyped(gauge)),
        family("d_bytes", FamilyType::Summary, MetricValue::Summary(summary)),
        family("e_bytes", FamilyType::Histogram, MetricValue::Histogram(Box::new(whole.clone()))),
        family("f_bytes", FamilyType::GaugeHistogram, MetricValue::Histogram(Box::new(floats))),
        MetricFamily {
            metrics: vec![],
            ..family("g", FamilyType::Histogram, MetricValue::Histogram(Box::new(whole)))
        },
    ];
    let mut seeds: Vec<_> = all.iter().map(|family| write_delimited(std::slice::from_ref(family))).collect();
    seeds.push(write_delimited(&all));
    seeds
}
