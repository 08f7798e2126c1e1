//! What is made of points: the series of the request that they become.

use super::{translate::translate, *};
use skopos_proto::{
    otlp::{Added, Buckets, Data, Exemplar, Exponential, Metric, Number, Point, Resource},
    pushed::{AnyHistogram, Item, Part, Parts, Series, exemplar, labels},
};

/// The series of a translation, with their floats, or the buckets of their histograms.
fn series(resources: &[Resource], config: &OtlpConfig) -> (Vec<String>, Vec<String>) {
    let translated = translate(resources, config, skopos_model::TimestampMs::new(1_000));
    let (mut parts, mut all) = (Parts::of(&translated.request, Version::One), Vec::new());
    while let Some(part) = parts.next_part().unwrap() {
        let Part::Series(message) = part else { continue };
        let mut series = Series::of(message, Version::One).unwrap();
        let mut pairs = Vec::new();
        labels::<crate::WireError>(series.labels(), |n, v| {
            pairs.push((n.to_owned(), v.to_owned()));
            Ok(())
        })
        .unwrap();
        let name = skopos_model::Labels::from_pairs(pairs).to_string();
        while let Some(item) = series.next_item().unwrap() {
            match item {
                Item::Sample(sample) => all.push(format!("{name} {} @{}", sample.value, sample.timestamp_ms)),
                Item::Histogram(message) => {
                    let mut any = AnyHistogram::default();
                    any.read(message).unwrap();
                    let spans: Vec<_> =
                        any.whole.layout.positive_spans.iter().map(|s| (s.offset, s.length)).collect();
                    all.push(format!(
                        "{name} schema {} {spans:?} {:?}",
                        any.whole.layout.schema, any.whole.positive_deltas
                    ));
                }
                Item::Exemplar(message) => {
                    let read = exemplar(message).unwrap();
                    all.push(format!("{name} exemplar {}", read.value));
                }
                other => all.push(format!("{name} {other:?}")),
            }
        }
    }
    (all, translated.refused)
}

fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
    all.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
}

fn resource(metrics: Vec<Metric>) -> Resource {
    let attributes = pairs(&[
        ("service.name", "shop"),
        ("service.namespace", "eu"),
        ("service.instance.id", "i1"),
        ("host.name", "h"),
    ]);
    Resource { attributes, metrics, ..Resource::default() }
}

fn point(attributes: &[(&str, &str)]) -> Point {
    Point { attributes: pairs(attributes), time_ns: 7_000_000, ..Point::default() }
}

fn metric(name: &str, unit: &str, data: Data) -> Metric {
    Metric { name: name.to_owned(), unit: unit.to_owned(), data, ..Metric::default() }
}

const CUMULATIVE: Added = Added { temporality: 2, is_monotonic: true };

#[test]
fn points_become_series_of_their_resource() {
    let number = Number { point: point(&[("a.b", "1"), ("a_b", "2")]), value: 3.0 };
    let requests = metric("http.requests", "{r}", Data::Sum(vec![number.clone()], CUMULATIVE));
    let delta = metric("delta", "", Data::Sum(vec![number], Added { temporality: 1, is_monotonic: true }));
    let histogram = otlp::Histogram {
        point: point(&[]),
        count: 6,
        sum: Some(9.5),
        bounds: vec![0.5, 1.0],
        counts: vec![1, 2, 3],
    };
    let took = metric("took", "s", Data::Histogram(vec![histogram], CUMULATIVE));
    let config =
        OtlpConfig { promote_resource_attributes: vec!["host.name".to_owned()], ..OtlpConfig::default() };
    let resource = resource(vec![requests, delta, took]);
    let (all, refused) = series(std::slice::from_ref(&resource), &config);
    let of = "host_name=\"h\", instance=\"i1\", job=\"eu/shop\"";
    assert_eq!(
        all,
        [
            "http_requests_total{a_b=\"1;2\", OF} 3 @7",
            "took_seconds_sum{OF} 9.5 @7",
            "took_seconds_count{OF} 6 @7",
            "took_seconds_bucket{OF, le=\"0.5\"} 1 @7",
            "took_seconds_bucket{OF, le=\"1\"} 3 @7",
            "took_seconds_bucket{OF, le=\"+Inf\"} 6 @7",
            "target_info{OF} 1 @7",
        ]
        .map(|line| line.replace("OF", of))
    );
    assert_eq!(refused.len(), 1);
    assert!(refused[0].contains("\"delta\"") && refused[0].contains("temporality"), "{refused:?}");
    let custom = OtlpConfig { convert_histograms_to_nhcb: true, ..OtlpConfig::default() };
    let (all, _) = series(&[resource], &custom);
    assert!(
        all.contains(
            &"took_seconds{instance=\"i1\", job=\"eu/shop\"} schema -53 [(0, 3)] [1, 1, 1]".to_owned()
        ),
        "{all:?}"
    );
}

#[test]
fn exemplars_stand_with_the_bucket_that_they_fell_into() {
    let of = |value| Exemplar { attributes: pairs(&[("trace_id", "03")]), time_ns: 5_000_000, value };
    let with =
        |exemplars: &[f64]| Point { exemplars: exemplars.iter().copied().map(of).collect(), ..point(&[]) };
    let histogram = otlp::Histogram {
        point: with(&[50.0, 0.5, 1.0, 1.5]),
        count: 4,
        bounds: vec![1.0, 2.5],
        counts: vec![2, 1, 1],
        ..otlp::Histogram::default()
    };
    let sums = Added { temporality: 2, is_monotonic: false };
    let metrics = vec![
        metric("h", "", Data::Histogram(vec![histogram], CUMULATIVE)),
        metric("s", "", Data::Sum(vec![Number { point: with(&[7.0]), value: 1.0 }], sums)),
        metric("g", "", Data::Gauge(vec![Number { point: with(&[8.0, 9.0]), value: 1.0 }])),
    ];
    let resource = Resource { metrics, ..Resource::default() };
    let found = |config: &OtlpConfig| {
        let (all, _) = series(std::slice::from_ref(&resource), config);
        all.into_iter().filter(|line| line.contains(" exemplar ")).collect::<Vec<_>>()
    };
    assert_eq!(
        found(&OtlpConfig::default()),
        [
            "h_bucket{le=\"1\"} exemplar 0.5",
            "h_bucket{le=\"1\"} exemplar 1",
            "h_bucket{le=\"2.5\"} exemplar 1.5",
            "h_bucket{le=\"+Inf\"} exemplar 50",
            "s exemplar 7"
        ]
    );
    let custom = OtlpConfig { convert_histograms_to_nhcb: true, ..OtlpConfig::default() };
    assert_eq!(
        found(&custom),
        ["h exemplar 50", "h exemplar 0.5", "h exemplar 1", "h exemplar 1.5", "s exemplar 7"]
    );
    let translated = translate(&[resource], &custom, skopos_model::TimestampMs::new(1_000));
    assert_eq!(translated.exemplars_passed_over, 2);
}

#[test]
fn a_point_from_the_future_does_not_date_its_resource() {
    let number = |time_ns| Number { point: Point { time_ns, ..point(&[]) }, value: 1.0 };
    let data = Data::Gauge(vec![number(7_000_000), number(9_000_000_000)]);
    let (all, _) = series(&[resource(vec![metric("g", "", data)])], &OtlpConfig::default());
    let info = all.iter().find(|line| line.starts_with("target_info{")).unwrap();
    assert!(info.ends_with(" 1 @7"), "{info}");
}

#[test]
fn exponential_buckets_are_native_ones_and_made_coarser_where_they_must() {
    let of = |scale| Exponential {
        point: point(&[]),
        count: 10,
        scale,
        positive: Buckets { offset: -2, counts: vec![1, 2, 3, 4] },
        ..Exponential::default()
    };
    let translated = |scale| {
        let data = Data::Exponential(vec![of(scale)], CUMULATIVE);
        let resource = Resource { metrics: vec![metric("e", "", data)], ..Resource::default() };
        series(&[resource], &OtlpConfig::default())
    };
    assert_eq!(translated(3).0, ["e schema 3 [(-1, 4)] [1, 1, 1, 1]"]);
    // Of -2 to 1 by one step coarser: -1 and 0.
    assert_eq!(translated(9).0, ["e schema 8 [(0, 2)] [3, 4]"]);
    let (all, refused) = translated(-5);
    assert!(all.is_empty() && refused[0].contains("too coarse"), "{refused:?}");
}
