//! Answers of servers of remote read: series come sorted, each once, and their samples in the order of time,
//! whatever the bytes say.

use prost::Message as _;
use skopos_model::{Columns, Histogram, Layout, TimestampMs};
use skopos_proto::{
    convert, frame,
    messages::{
        Chunk, ChunkedReadResponse, ChunkedSeries, Label, QueryResult, ReadResponse, Sample, TimeSeries,
    },
};
use skopos_remote::read::answer::Answer;
use skopos_storage::TimeRange;
use std::collections::BTreeSet;

const MAX_FRAME: usize = 1 << 20;

/// The first byte says whether it is sampled or chunked. Whether it was read.
pub(super) fn any(bytes: &[u8]) -> bool {
    let Some((kind, rest)) = bytes.split_first() else { return false };
    let (body, without) = (rest.to_vec().into(), BTreeSet::from(["zone".to_owned()]));
    let answer = match kind % 2 {
        0 => Answer::sampled(&body, &without),
        _ => Answer::chunked(&body, MAX_FRAME, &without),
    };
    let Ok(answer) = answer else { return false };
    assert!(answer.series().is_sorted_by(|a, b| a.labels < b.labels), "sorted, each once");
    let mut all_are_sound = true;
    for series in answer.series() {
        let mut columns = Columns::default();
        let decoded = series.decode(TimeRange::ALL, &mut columns);
        all_are_sound &= decoded.is_ok();
        assert!(decoded.is_err() || columns.timestamps.is_sorted_by(|a, b| a < b));
    }
    all_are_sound
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let label = |name: &str, value: &str| Label { name: name.to_owned(), value: value.to_owned() };
    let labels = |a: &str| vec![label("a", a), label("zone", "z")];
    let histogram = Histogram { layout: Layout::default(), ..Histogram::default() };
    let timeseries = vec![
        TimeSeries {
            labels: labels("1"),
            samples: vec![Sample { value: 1.5, timestamp: 7 }],
            histograms: vec![convert::histogram(TimestampMs::new(9), histogram)],
        },
        TimeSeries { labels: labels("2"), samples: vec![], histograms: vec![] },
    ];
    let sampled = ReadResponse { results: vec![QueryResult { timeseries }] }.encode_to_vec();
    let mut data = Vec::new();
    let times = [1, 2].map(TimestampMs::new);
    skopos_chunk::encode_floats(&times, &[1.0, -0.0], &mut data);
    let chunk = Chunk { min_time_ms: 1, max_time_ms: 2, r#type: 1, data: data.into() };
    let series = |a: &str| ChunkedSeries { labels: labels(a), chunks: vec![chunk.clone()] };
    let mut chunked = vec![1];
    for chunked_series in [vec![series("1")], vec![series("2"), series("3")]] {
        let response = ChunkedReadResponse { chunked_series, query_index: 0 };
        frame::write(&response.encode_to_vec(), &mut chunked);
    }
    vec![[&[0][..], &sampled].concat(), chunked, vec![0]]
}
