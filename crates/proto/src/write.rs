//! A request of remote write 1.0 as bytes, series by series, so that no message is held beside them. Checks
//! no label: whoever writes has sound ones, and names sorted.

use crate::messages::Sample;
use prost::Message as _;
use skopos_base::varint::{put_uvarint, uvarint_len};

/// Field 1 of every message here, a message or text of its own: series, label, name.
const FIRST: u8 = 1 << 3 | 2;
/// Field 2, the same: sample, value.
const SECOND: u8 = 2 << 3 | 2;

/// Appends the labels of a series to `out`, as they stand in the series.
pub fn put_labels<'a>(out: &mut Vec<u8>, labels: impl IntoIterator<Item = (&'a str, &'a str)>) {
    for (name, value) in labels {
        let text = |text: &str| 1 + uvarint_len(text.len() as u64) + text.len();
        out.push(FIRST);
        put_uvarint(out, (text(name) + text(value)) as u64);
        for (tag, text) in [(FIRST, name), (SECOND, value)] {
            out.push(tag);
            put_uvarint(out, text.len() as u64);
            out.extend_from_slice(text.as_bytes());
        }
    }
}

/// Appends a series of one sample to the request `out`; `labels` are what `put_labels` wrote.
pub fn put_series(out: &mut Vec<u8>, labels: &[u8], sample: Sample) {
    let sample_bytes = sample.encoded_len();
    out.push(FIRST);
    put_uvarint(out, (labels.len() + 1 + uvarint_len(sample_bytes as u64) + sample_bytes) as u64);
    out.extend_from_slice(labels);
    out.push(SECOND);
    put_uvarint(out, sample_bytes as u64);
    sample.encode(out).expect("invariant: a Vec takes all bytes");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::{Label, TimeSeries, WriteRequest};

    #[test]
    fn what_is_written_is_the_message() {
        let long = "x".repeat(300);
        let series = [
            (vec![("__name__", "up"), ("job", "node")], 1.0, 1_700_000_000_123),
            (vec![("__name__", "long"), ("v", &*long)], -0.5, -7),
            (vec![("__name__", "zero")], 0.0, 0),
            (vec![], f64::INFINITY, 1),
        ];
        let (mut out, mut labels) = (Vec::new(), Vec::new());
        for (pairs, value, timestamp) in series.clone() {
            labels.clear();
            put_labels(&mut labels, pairs.iter().copied());
            put_series(&mut out, &labels, Sample { value, timestamp });
        }
        let expected = series.map(|(pairs, value, timestamp)| TimeSeries {
            labels: pairs.iter().map(|(n, v)| Label { name: (*n).into(), value: (*v).into() }).collect(),
            samples: vec![Sample { value, timestamp }],
            histograms: Vec::new(),
        });
        let expected = WriteRequest { timeseries: expected.to_vec(), ..WriteRequest::default() };
        assert_eq!(WriteRequest::decode(&out[..]).unwrap(), expected);
        assert_eq!(out, expected.encode_to_vec(), "byte for byte");
    }
}
