//! The text formats: what a hint gives, and what a writer writes, is what is read without one.

use skopos_exposition::{Entry, Format, MediaType, Parser, TextWriter};
use skopos_model::{LabelsBuilder, MetricType};

pub(super) fn text(bytes: &[u8]) -> bool {
    if let Ok(value) = std::str::from_utf8(bytes) {
        let _ = MediaType::parse(value);
    }
    check(Format::Text, bytes)
}

pub(super) fn openmetrics(bytes: &[u8]) -> bool {
    check(Format::OpenMetrics, bytes)
}

fn check(format: Format, bytes: &[u8]) -> bool {
    let all: Vec<_> = Parser::new(format, bytes).collect();
    assert!(all.len() <= bytes.len() + 1, "there are more entries than bytes");
    let mut hinted = Parser::new(format, bytes);
    let mut builder = LabelsBuilder::default();
    for (i, entry) in all.iter().enumerate() {
        let hint = match entry {
            Ok(Entry::Sample(sample)) => sample.series.as_bytes(),
            _ => b"up",
        };
        assert_eq!(hinted.next_expecting(hint).as_ref(), Some(entry), "a hint changes entry {i}");
        match entry {
            Ok(Entry::Sample(sample)) => {
                if sample.series.labels_into(&mut builder).is_ok() {
                    let labels = builder.build();
                    assert_eq!(labels.metric_name(), Some(sample.series.metric_name().as_ref()));
                }
                if let Some(exemplar) = sample.exemplar {
                    let _ = exemplar.decode();
                }
            }
            Ok(_) => {}
            Err(error) => {
                assert!(!error.to_string().is_empty());
                assert_eq!(i + 1, all.len(), "something follows the error");
            }
        }
    }
    assert_eq!(hinted.next_expecting(b"up"), None, "a hint gives one entry more");
    all.iter().all(Result::is_ok)
}

pub(super) fn text_seeds() -> Vec<Vec<u8>> {
    let odd = "# a comment\n# HELP x a \\\\ b \\n c\n# TYPE x untyped\nx{a=\"\\\"\\\\\\n\",} \t +Inf 5\n\
               {\"a.b\",\"c d\"=\"ü\"} -1.5E-3 \nx NaN\n";
    vec![written(Format::Text), odd.as_bytes().to_vec()]
}

pub(super) fn openmetrics_seeds() -> Vec<Vec<u8>> {
    let odd = "# TYPE h histogram\n# UNIT h_seconds seconds\nh_bucket{le=\"1\"} 2 1.5 # {id=\"x\"} 0.5 1.25\n\
               {\"a.b\",c=\"d\"} -1e-9\n# EOF\n";
    vec![written(Format::OpenMetrics), odd.as_bytes().to_vec()]
}

fn written(format: Format) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = TextWriter::new(format, &mut out);
    let families = [
        ("http_requests_total", MetricType::Counter, "requests \"served\"\nin all"),
        ("temperature_celsius", MetricType::Gauge, ""),
        ("up", MetricType::Unknown, "whether it is up"),
    ];
    for (name, metric_type, help) in families {
        writer.family(name, metric_type, help).expect("invariant: the families are sound");
        for (i, host) in ["a", "b\\c", "d\"e\n"].iter().enumerate() {
            let labels = [("code", "200"), ("host", *host)];
            let done = writer.sample("", &labels, 1.5 + i as f64 * 1e9);
            done.expect("invariant: the samples are sound");
        }
    }
    writer.finish();
    out
}
