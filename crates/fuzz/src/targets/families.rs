//! Metric families in protocol buffers: what was read is written and read again as it was, and the writer
//! that goes metric by metric writes what the message does.

use prost::Message;
use skopos_model::{
    FloatHistogram, TimestampMs,
    histogram::{Layout, Span},
};
use skopos_proto::families::{
    FamilyType, FamilyWriter, LabelPair, Metric, MetricFamily, native, read_delimited, untyped,
};

pub(super) fn delimited(bytes: &[u8]) -> bool {
    let Ok(families) = read_delimited(bytes) else { return false };
    let stream = written(&families);
    let again = read_delimited(&stream).expect("a stream of families that were read");
    assert_eq!(again.len(), families.len());
    // Their bytes are compared: no NaN equals itself.
    assert_eq!(written(&again), stream);
    true
}

/// The stream of these families.
fn written(families: &[MetricFamily]) -> Vec<u8> {
    let mut stream = Vec::new();
    for family in families {
        let known = family.r#type.and_then(|number| FamilyType::try_from(number).ok());
        let whole = family.encode_length_delimited_to_vec();
        let said = (&family.help, &family.unit) != (&None, &None);
        if let (Some(name), false, Some(family_type)) = (&family.name, said, known) {
            assert_eq!(by_parts(name, family_type, &family.metrics), whole, "{name}");
        }
        stream.extend(whole);
    }
    stream
}

fn by_parts(name: &str, family_type: FamilyType, metrics: &[Metric]) -> Vec<u8> {
    let mut writer = FamilyWriter::begin(name, family_type);
    metrics.iter().for_each(|metric| writer.push(metric));
    let (mut bytes, body) = writer.finish();
    bytes.extend(body);
    bytes
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let labels = || vec![LabelPair::new("a", "b"), LabelPair::new("empty", "")];
    let at = TimestampMs::new(-7);
    let histogram = FloatHistogram {
        layout: Layout {
            schema: -2,
            zero_threshold: 0.5,
            positive_spans: vec![Span { offset: -3, length: 2 }, Span { offset: 4, length: 1 }],
            negative_spans: vec![Span { offset: 0, length: 1 }],
            ..Layout::default()
        },
        count: 10.5,
        sum: f64::INFINITY,
        zero_count: 0.0,
        positive_buckets: vec![1.0, 2.5, 0.0],
        negative_buckets: vec![7.0],
    };
    let floats = [untyped(labels(), at, f64::NAN), untyped(vec![], TimestampMs::new(i64::MAX), -0.0)];
    let floats = by_parts("floats", FamilyType::Untyped, &floats);
    let histograms = by_parts("histograms", FamilyType::Histogram, &[native(labels(), at, &histogram)]);
    let none = by_parts("", FamilyType::GaugeHistogram, &[]);
    vec![[&floats[..], &histograms, &none].concat(), floats, histograms, none]
}
