//! The output of a real node_exporter, recorded and fresh: every line is accounted for, and what is
//! read and written again means the same.

#![allow(clippy::unwrap_used)]

use skopos_exposition::{Entry, Format, MediaType, Parser, TextWriter};
use skopos_model::{Labels, LabelsBuilder, MetricType, float::to_shortest_string};
use skopos_testkit::peers;
use std::collections::HashMap;

const RECORDED: &str = include_str!("../benches/data/node_exporter-1.5.txt");

/// Reads `body` and writes each entry as a line of its own, which has to be the line of the body.
fn check_every_line(body: &str) -> usize {
    let mut samples = 0;
    let mut lines = body.lines();
    for entry in Parser::new(Format::Text, body.as_bytes()) {
        let line = match entry.unwrap() {
            Entry::Help { name, text } => {
                format!("# HELP {name} {}", text.replace('\\', "\\\\").replace('\n', "\\n"))
            }
            Entry::Type { name, metric_type: MetricType::Unknown } => format!("# TYPE {name} untyped"),
            Entry::Type { name, metric_type } => format!("# TYPE {name} {metric_type}"),
            Entry::Sample(sample) => {
                samples += 1;
                assert_eq!((sample.timestamp, sample.exemplar), (None, None));
                format!("{} {}", sample.series.as_str(), to_shortest_string(sample.value))
            }
            other => panic!("node_exporter writes no {other:?}"),
        };
        assert_eq!(Some(line.as_str()), lines.next());
    }
    assert_eq!(lines.next(), None);
    samples
}

#[test]
fn every_line_of_a_recorded_body_is_read() {
    assert!(check_every_line(RECORDED) > 500);
}

#[test]
fn every_line_of_a_fresh_body_is_read() {
    let node_exporter = peers::node_exporter(&[]);
    let answer = node_exporter.get("/metrics");
    assert_eq!(MediaType::parse(answer.header("content-type").unwrap()), Some(MediaType::Text));
    assert!(check_every_line(&answer.text()) > 100);
}

/// Types by family, and values by series.
type Content = (HashMap<String, MetricType>, Vec<(Labels, u64)>);

fn content(format: Format, body: &[u8]) -> Content {
    let (mut types, mut samples) = (HashMap::new(), Vec::new());
    let mut builder = LabelsBuilder::default();
    for entry in Parser::new(format, body) {
        match entry.unwrap() {
            Entry::Type { name, metric_type } => {
                types.insert(name.into_owned(), metric_type);
            }
            Entry::Sample(sample) => {
                builder.clear();
                sample.series.labels_into(&mut builder).unwrap();
                samples.push((builder.build(), sample.value.to_bits()));
            }
            _ => {}
        }
    }
    (types, samples)
}

/// Writes all of `body` again, family by family.
fn rewrite(body: &[u8], format: Format) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = TextWriter::new(format, &mut out);
    let mut builder = LabelsBuilder::default();
    let (mut family, mut help) = (String::new(), String::new());
    for entry in Parser::new(Format::Text, body) {
        match entry.unwrap() {
            Entry::Help { text, .. } => help = text.into_owned(),
            Entry::Type { name, metric_type } => {
                writer.family(&name, metric_type, &help).unwrap();
                family = name.into_owned();
            }
            Entry::Sample(sample) => {
                builder.clear();
                sample.series.labels_into(&mut builder).unwrap();
                let labels = builder.build();
                let suffix = labels.metric_name().unwrap().strip_prefix(&*family).unwrap();
                let pairs: Vec<_> = labels.iter().filter(|(name, _)| *name != "__name__").collect();
                writer.sample(suffix, &pairs, sample.value).unwrap();
            }
            other => panic!("{other:?}"),
        }
    }
    writer.finish();
    out
}

#[test]
fn what_is_read_and_written_again_means_the_same() {
    let (types, samples) = content(Format::Text, RECORDED.as_bytes());
    let again = content(Format::Text, &rewrite(RECORDED.as_bytes(), Format::Text));
    assert_eq!(again, (types.clone(), samples.clone()));

    // OpenMetrics calls some things otherwise: counters and what is whole.
    let (new_types, new_samples) =
        content(Format::OpenMetrics, &rewrite(RECORDED.as_bytes(), Format::OpenMetrics));
    assert_eq!(new_samples.len(), samples.len());
    for ((old, old_value), (new, new_value)) in samples.iter().zip(&new_samples) {
        let old_name = old.metric_name().unwrap();
        let is_counter = types.get(old_name) == Some(&MetricType::Counter);
        let total = if is_counter && !old_name.ends_with("_total") { "_total" } else { "" };
        assert_eq!(new.metric_name(), Some(format!("{old_name}{total}").as_str()));
        assert_eq!(new_value, old_value);
    }
    for (name, metric_type) in &types {
        let is_counter = *metric_type == MetricType::Counter;
        let short = name.strip_suffix("_total").filter(|_| is_counter).unwrap_or(name);
        // The gauge of that name stands before: `go_memstats_alloc_bytes`.
        let is_taken = short != name && types.contains_key(short);
        let (family, expected) =
            if is_taken { (&**name, MetricType::Unknown) } else { (short, *metric_type) };
        assert_eq!(new_types.get(family), Some(&expected), "{name}");
    }
}
