//! Bodies of families in protocol buffers, and classic histograms as native ones.

use super::*;
use skopos_model::{MatchOp, histogram::Bucket};
use skopos_proto::families::{
    Counter, FamilyBucket, FamilyExemplar, FamilyHistogram, FamilySpan, FamilyType, LabelPair, Metric,
    MetricFamily, MetricValue, Quantile, Summary, Time, Untyped, write_delimited,
};
use skopos_scrape::{ingest::StartTimes, target::HistogramReading};

fn family(name: &str, family_type: FamilyType, value: MetricValue) -> MetricFamily {
    let metric = Metric { labels: vec![LabelPair::new("x", "1")], timestamp_ms: None, value: Some(value) };
    MetricFamily {
        name: Some(name.to_owned()),
        r#type: Some(family_type.into()),
        metrics: vec![metric],
        ..MetricFamily::default()
    }
}

fn counter(value: f64, created: Option<i64>) -> MetricValue {
    let created = created.map(|at| Time::of(TimestampMs::new(at)));
    MetricValue::Counter(Counter { value: Some(value), exemplar: None, created })
}

fn gauge(value: f64) -> MetricValue {
    MetricValue::Gauge(Untyped { value: Some(value) })
}

/// A histogram of `n` times three observations: classic buckets up to 1 and 4, native ones of whole powers of
/// two.
fn histogram(n: u64) -> FamilyHistogram {
    let bucket = |count, upper| FamilyBucket {
        cumulative_count: Some(count * n),
        upper_bound: Some(upper),
        ..FamilyBucket::default()
    };
    let n_signed = i64::try_from(n).unwrap();
    FamilyHistogram {
        sample_count: Some(3 * n),
        sample_sum: Some(7.0 * n as f64),
        buckets: vec![bucket(1, 1.0), bucket(2, 4.0)],
        schema: Some(0),
        zero_threshold: Some(0.001),
        zero_count: Some(0),
        positive_spans: vec![
            FamilySpan { offset: Some(0), length: Some(1) },
            FamilySpan { offset: Some(1), length: Some(2) },
        ],
        positive_deltas: vec![n_signed, 0, 0],
        ..FamilyHistogram::default()
    }
}

fn histogram_family(histogram: FamilyHistogram) -> MetricFamily {
    family("h", FamilyType::Histogram, MetricValue::Histogram(Box::new(histogram)))
}

fn reading(histograms: HistogramReading) -> Reading {
    Reading { histograms, ..Reading::default() }
}

const NATIVE: HistogramReading =
    HistogramReading { native: true, classic_too: false, to_custom: false, buckets_max: 0, finest_schema: 8 };

impl Rig<'_> {
    fn scrape_families(&mut self, families: &[MetricFamily]) -> Report {
        let (at, page) = (self.next_time(), write_delimited(families));
        self.ingest.body(&self.db, at, TOOK, &Body::of(Exposition::Families, page))
    }

    #[track_caller]
    fn scrapes_families(&mut self, families: &[MetricFamily]) {
        assert_eq!(self.scrape_families(families), Report { health: Health::Up, error: String::new() });
    }

    /// The native histograms that are stored, each as `series: schema [lower..upper]=count …`.
    fn histograms(&self) -> Vec<String> {
        let budget = QueryBudget::new(QueryLimits::default(), Arc::clone(&self.env.clock));
        let (matchers, range): ([Matcher; 0], _) = ([], TimeRange::ALL);
        let request = SelectRequest { matchers: &matchers, range, shard: Shard::WHOLE, budget };
        let mut set = self.db.querier(range).unwrap().select(&request).unwrap();
        let (mut batch, mut out, mut buckets) = (SeriesBatch::default(), Vec::new(), Vec::new());
        while set.next_batch(&mut batch).unwrap() {
            for series in batch.iter() {
                for h in series.histograms.iter().filter(|h| !is_stale_nan(h.sum)) {
                    h.buckets_into(&mut buckets);
                    let bucket = |b: &Bucket| format!(" {}..{}={}", b.lower, b.upper, b.count);
                    let buckets: String = buckets.iter().filter(|b| b.count > 0.0).map(bucket).collect();
                    let name = series.labels.metric_name().unwrap();
                    out.push(format!("{name}: {}{buckets}", h.layout.schema));
                }
            }
        }
        out
    }
}

#[test]
fn families_become_the_series_that_text_has_for_them() {
    with_rig(Reading::default(), |mut rig| {
        let quantiles = vec![Quantile { quantile: Some(0.5), value: Some(2.0) }];
        let summary = Summary { sample_count: Some(4), sample_sum: Some(9.0), quantiles, created: None };
        let page = [
            family("a_total", FamilyType::Counter, counter(1.0, None)),
            family("b.c", FamilyType::Gauge, gauge(-2.5)),
            family("s", FamilyType::Summary, MetricValue::Summary(summary)),
            histogram_family(histogram(1)),
        ];
        rig.scrapes_families(&page);
        // The same as text is of the same series.
        rig.scrape(
            "# TYPE h histogram\nh_bucket{x=\"1\",le=\"1\"} 1\nh_bucket{x=\"1\",le=\"4.0\"} 2\n\
             h_bucket{x=\"1\",le=\"+Inf\"} 3\nh_sum{x=\"1\"} 7\nh_count{x=\"1\"} 3\na_total{x=\"1\"} 1\n\
             {\"b.c\",x=\"1\"} -2.5\n# TYPE s summary\ns{x=\"1\",quantile=\".5\"} 2\ns_sum{x=\"1\"} 9\n\
             s_count{x=\"1\"} 4\n",
        );
        rig.scrapes_families(&page);
        let line = |name: &str, label: &str, v: &str| {
            format!("{name}{{instance=\"h\", job=\"j\", {label}x=\"1\"}}: 0={v} 1={v} 2={v}")
        };
        let mut expected = vec![
            line("a_total", "", "1"),
            line("h_bucket", "le=\"+Inf\", ", "3"),
            line("h_bucket", "le=\"1.0\", ", "1"),
            line("h_bucket", "le=\"4.0\", ", "2"),
            line("h_count", "", "3"),
            line("h_sum", "", "7"),
            line("s", "quantile=\"0.5\", ", "2"),
            line("s_count", "", "4"),
            line("s_sum", "", "9"),
            "{\"b.c\", instance=\"h\", job=\"j\", x=\"1\"}: 0=-2.5 1=-2.5 2=-2.5".to_owned(),
        ];
        let mut stored = rig.stored();
        expected.sort();
        stored.sort();
        assert_eq!(stored, expected);
        assert_eq!(rig.report("scrape_samples_scraped"), "0=10 1=10 2=10");
        // Bounds that are written otherwise are not known again, until they are read.
        assert_eq!(rig.report("scrape_series_added"), "0=10 1=2 2=2");
    });
}

#[test]
fn native_histograms_are_taken_as_the_job_wants_them() {
    let both = HistogramReading { classic_too: true, ..NATIVE };
    let custom = HistogramReading { to_custom: true, native: false, ..NATIVE };
    let custom_too = HistogramReading { classic_too: true, ..custom };
    let native = "h: 0 0.5..1=2 2..4=2 4..8=2";
    let as_custom = "h: -53 -inf..1=2 1..4=2 4..inf=2";
    for (histograms, floats, stored) in [
        (HistogramReading::default(), 5, None),
        (NATIVE, 0, Some(native)),
        (both, 5, Some(native)),
        (custom, 0, Some(as_custom)),
        (custom_too, 5, Some(as_custom)),
        // What is native stays it.
        (HistogramReading { native: true, ..custom }, 0, Some(native)),
        (HistogramReading { finest_schema: -1, ..NATIVE }, 0, Some("h: -1 0.25..1=2 1..4=2 4..16=2")),
        (HistogramReading { buckets_max: 3, ..NATIVE }, 0, Some(native)),
        (HistogramReading { buckets_max: 2, ..NATIVE }, 0, Some("h: -2 0.0625..1=2 1..16=4")),
    ] {
        with_rig(reading(histograms), |mut rig| {
            rig.scrapes_families(&[histogram_family(histogram(2))]);
            assert_eq!(rig.histograms(), stored.map(str::to_owned).into_iter().collect::<Vec<_>>());
            let kinds = floats + usize::from(stored.is_some());
            assert_eq!(rig.report("scrape_samples_scraped"), format!("0={kinds}"), "{histograms:?}");
        });
    }
}

#[test]
fn buckets_without_observations_do_not_count() {
    let mut sparse = histogram(1);
    sparse.positive_spans = vec![FamilySpan { offset: Some(0), length: Some(4) }];
    sparse.positive_deltas = vec![2, -2, 1, -1];
    with_rig(reading(HistogramReading { buckets_max: 2, ..NATIVE }), |mut rig| {
        rig.scrapes_families(&[histogram_family(sparse.clone())]);
        assert_eq!(rig.histograms(), ["h: 0 0.5..1=2 2..4=1"]);
    });
}

#[test]
fn buckets_that_cannot_be_made_fewer_end_the_scrape() {
    with_rig(reading(HistogramReading { buckets_max: 1, ..NATIVE }), |mut rig| {
        let report = rig.scrape_families(&[histogram_family(histogram(1))]);
        assert_eq!(report.health, Health::Down);
        let expected = "native_histogram_bucket_limit exceeded: h{x=\"1\"} has 2 buckets";
        assert!(report.error.starts_with(expected), "{}", report.error);
        assert_eq!((rig.stored(), rig.histograms()), (vec![], vec![]));
    });
}

#[test]
fn a_native_histogram_ends_and_begins_again_as_floats_do() {
    with_rig(reading(NATIVE), |mut rig| {
        for n in [1, 2] {
            rig.scrapes_families(&[histogram_family(histogram(n))]);
        }
        rig.scrapes_families(&[family("a", FamilyType::Gauge, gauge(1.0))]);
        rig.scrapes_families(&[histogram_family(histogram(3))]);
        let h = rig.everything().into_iter().find(|line| line.starts_with("h{")).unwrap();
        assert_eq!(h, r#"h{instance="h", job="j", x="1"}: 0=7 1=14 2=end 3=21"#);
        assert_eq!(rig.report("scrape_series_added"), "0=1 1=0 2=1 3=1");
    });
}

#[test]
fn a_page_that_is_none_is_not_stored_and_says_where_it_ends() {
    with_rig(Reading::default(), |mut rig| {
        rig.scrapes_families(&[family("a", FamilyType::Gauge, gauge(1.0))]);
        let mut page = write_delimited(&[
            family("a", FamilyType::Gauge, gauge(2.0)),
            family("b", FamilyType::Gauge, gauge(2.0)),
        ]);
        page.pop();
        let at = rig.next_time();
        let report = rig.ingest.body(&rig.db, at, TOOK, &Body::of(Exposition::Families, page));
        assert_eq!(report.health, Health::Down);
        assert!(report.error.contains("at byte 27 of the body"), "{}", report.error);
        let mut foreign = family("a_total", FamilyType::Counter, counter(1.0, None));
        foreign.unit = Some("bytes".to_owned());
        let report = rig.scrape_families(&[foreign]);
        assert!(report.error.contains("does not end in _ and its unit \"bytes\""), "{}", report.error);
        let wrong = family("w", FamilyType::Counter, gauge(1.0));
        assert!(rig.scrape_families(&[wrong]).error.contains("not of its family's type"));
        assert_eq!(rig.stored(), [r#"a{instance="h", job="j", x="1"}: 0=1 1=end"#]);
    });
}

#[test]
fn what_began_to_be_counted_since_is_a_zero_then_where_that_is_wanted() {
    for (start_times, expected) in [
        (StartTimes::PassedOver, "0=5 1=6 2=2 3=3"),
        (StartTimes::AsZeros, "-5000ms=0 0=5 1=6 20000ms=0 2=2 3=3"),
    ] {
        with_rig(reading(NATIVE), |rig| {
            let ingest = Ingest::new(&target(reading(NATIVE)), Arc::clone(&rig.counters));
            let mut rig = Rig { ingest: ingest.with_start_times(start_times), ..rig };
            let (first, second) = (rig.begun - 5000, rig.begun + 20_000);
            for (value, since) in [(5.0, first), (6.0, first), (2.0, second), (3.0, second)] {
                let mut h = histogram(value as u64);
                h.created = Some(Time::of(TimestampMs::new(since)));
                rig.scrapes_families(&[
                    family("c_total", FamilyType::Counter, counter(value, Some(since))),
                    histogram_family(h),
                ]);
            }
            assert_eq!(rig.stored()[0], format!("c_total{{instance=\"h\", job=\"j\", x=\"1\"}}: {expected}"));
            let zeros = rig.histograms().iter().filter(|h| *h == "h: 0").count();
            assert_eq!(zeros, if start_times == StartTimes::AsZeros { 2 } else { 0 });
        });
    }
}

#[test]
fn observations_of_native_histograms_have_times_and_those_of_classic_ones_need_none() {
    let exemplar = |value, at: Option<i64>| FamilyExemplar {
        labels: vec![LabelPair::new("trace", "t")],
        value: Some(value),
        timestamp: at.map(|at| Time::of(TimestampMs::new(at))),
    };
    let mut of_buckets = histogram(1);
    of_buckets.buckets[0].exemplar = Some(exemplar(0.5, None));
    of_buckets.buckets[1].exemplar = Some(exemplar(2.0, Some(1_000)));
    let mut own = of_buckets.clone();
    own.exemplars = vec![exemplar(3.0, Some(900)), exemplar(4.0, Some(800)), exemplar(5.0, None)];
    for (histograms, body, expected) in [
        (NATIVE, &of_buckets, vec![2.0]),
        (NATIVE, &own, vec![4.0, 3.0]),
        (HistogramReading::default(), &own, vec![0.5, 2.0]),
        (HistogramReading { to_custom: true, native: false, ..NATIVE }, &of_buckets, vec![2.0]),
    ] {
        with_rig(reading(histograms), |mut rig| {
            rig.scrapes_families(&[histogram_family(body.clone())]);
            let budget = QueryBudget::new(QueryLimits::default(), Arc::clone(&rig.env.clock));
            let any = Matcher::new("__name__", MatchOp::Regex, ".+").unwrap();
            let series = rig.db.select_exemplars(TimeRange::ALL, &[vec![any]], &budget).unwrap();
            let mut values: Vec<f64> =
                series.iter().flat_map(|(_, exemplars)| exemplars.iter().map(|e| e.value)).collect();
            if histograms == HistogramReading::default() {
                values.sort_by(f64::total_cmp);
            }
            assert_eq!(values, expected);
        });
    }
}

#[test]
fn lines_of_classic_histograms_become_native_ones() {
    let custom = HistogramReading { to_custom: true, native: false, ..NATIVE };
    let body = "# TYPE h histogram\nh_bucket{x=\"1\",le=\"1\"} 2\nh_bucket{x=\"1\",le=\"4\"} 4\n\
                h_bucket{x=\"1\",le=\"+Inf\"} 6\nh_sum{x=\"1\"} 14\nh_count{x=\"1\"} 6\n\
                h_bucket{x=\"2\",le=\"+Inf\"} 1\nh_sum{x=\"2\"} 3\nh_count{x=\"2\"} 1\n\
                # TYPE g gauge\ng_bucket{le=\"1\"} 5\n";
    with_rig(reading(custom), |mut rig| {
        rig.scrape(body);
        rig.scrape(body);
        let (first, second) = ("h: -53 -inf..1=2 1..4=2 4..inf=2", "h: -53 -inf..inf=1");
        assert_eq!(rig.histograms(), [first, first, second, second]);
        assert_eq!(rig.report("scrape_samples_scraped"), "0=3 1=3");
        // What the other format says is of the same series.
        rig.scrapes_families(&[histogram_family(histogram(2))]);
        assert_eq!(rig.histograms(), [first, first, first, second, second]);
        assert_eq!(rig.report("scrape_series_added"), "0=3 1=0 2=0");
    });
    with_rig(reading(HistogramReading { classic_too: true, ..custom }), |mut rig| {
        rig.scrape(body);
        assert_eq!((rig.histograms().len(), rig.report("scrape_samples_scraped")), (2, "0=11".to_owned()));
        let broken = body.replace("} 4\n", "} 1\n");
        rig.scrape(&broken);
        assert_eq!(
            (rig.histograms().len(), rig.report("scrape_samples_scraped")),
            (3, "0=11 1=10".to_owned())
        );
    });
}

#[test]
fn series_of_times_of_their_own_end_where_the_job_tracks_them() {
    for (track_staleness, expected) in [(false, "-1000ms=1"), (true, "-1000ms=1 1=end")] {
        with_rig(Reading { track_staleness, ..Reading::default() }, |mut rig| {
            let before = rig.begun - 1000;
            rig.scrape(&format!("own 1 {before}\n"));
            rig.scrape("other 1\n");
            let own = format!("own{{instance=\"h\", job=\"j\"}}: {expected}");
            assert_eq!(rig.stored().last(), Some(&own));
        });
    }
}

#[test]
fn a_job_that_wants_more_series_of_scrapes_gets_them_while_it_does() {
    with_rig(Reading::default(), |rig| {
        let limits = ScrapeLimits { samples: 9, ..ScrapeLimits::default() };
        let of = |extra_metrics| Target { extra_metrics, ..target(Reading { limits, ..Reading::default() }) };
        let mut rig = Rig { ingest: Ingest::new(&of(true), Arc::clone(&rig.counters)), ..rig };
        rig.scrape("a 1\n");
        let at = rig.next_time();
        rig.ingest.failure(&rig.db, at, TOOK, &FetchError::TooLong { max: 7 });
        rig.fail("no answer");
        rig.ingest = Ingest::replacing(&of(false), rig.ingest);
        rig.scrape("a 2\n");
        rig.scrape("a 2\n");
        assert_eq!(rig.report("scrape_timeout_seconds"), "0=15 1=15 2=15 3=end");
        assert_eq!(rig.report("scrape_sample_limit"), "0=9 1=9 2=9 3=end");
        assert_eq!(rig.report("scrape_body_size_bytes"), "0=4 1=-1 2=0 3=end");
    });
}

#[test]
fn names_that_a_job_does_not_take_end_the_scrape() {
    with_rig(Reading { names: NameValidation::Legacy, ..Reading::default() }, |mut rig| {
        rig.scrape("a{x=\"ü\"} 1\n");
        let report = rig.scrape_as(Format::Text, "a{\"x.y\"=\"1\"} 1\n");
        assert!(report.error.starts_with("invalid metric name or label names: "), "{}", report.error);
        assert_eq!(rig.report("up"), "0=1 1=0");
    });
}
