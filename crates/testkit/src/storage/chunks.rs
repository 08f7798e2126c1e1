//! The contract of `ChunkQuerier` and `ChunkSeriesSet` as one suite. Knows no implementation.

use super::{MemoryStorage, Point, Samples, budget, check_series_limit_and_cancellation};
use skopos_chunk::{ChunkValue, SampleIter};
use skopos_model::{
    FloatHistogram, Labels, Matcher, TimestampMs,
    histogram::{CounterResetHint, Span, bucket_indexes, push_bucket},
};
use skopos_storage::{
    Chunk, ChunkQuerier, ChunkSeries, ChunkSeriesSet, QueryBudget, QueryError, SelectRequest, Shard,
    TimeRange,
};
use std::{collections::BTreeMap, sync::Arc};

/// Checks a storage that was filled with the samples of `expected`.
///
/// What is wanted: series sorted and each once; chunks by their first samples' times, whose bytes hold
/// what their ends say; every sample of the range, and none that was never written; shards that part the
/// series; a limit and a cancellation end the work with the error that says so.
///
/// # Panics
/// When the storage does not do that.
pub fn check_chunk_querier(expected: &MemoryStorage, querier: &dyn ChunkQuerier) {
    let first = expected.iter().next().map(|(l, _)| l.clone()).unwrap_or_default();
    let equal: Vec<Matcher> = first.iter().map(|(n, v)| Matcher::equal(n, v)).collect();
    for matchers in [&[][..], &equal] {
        for range in ranges(expected) {
            let got = collect(querier, matchers, range, Shard::WHOLE);
            check_part(expected, &got, matchers, range);
            let mut sharded = BTreeMap::new();
            for index in 0..3 {
                let shard = Shard::new(index, 3).expect("an index below the count");
                let part = collect(querier, matchers, range, shard);
                assert!(part.keys().all(|l| shard.contains(l)), "a series is not in {shard:?}");
                sharded.extend(part);
            }
            assert_eq!(sharded, got, "all shards together");
        }
    }
    check_ends(expected, querier);
}

fn ranges(expected: &MemoryStorage) -> Vec<TimeRange> {
    let mut times: Vec<TimestampMs> = expected.iter().flat_map(|(_, s)| s.keys().copied()).collect();
    times.sort_unstable();
    let n = times.len();
    let mut out = vec![TimeRange::ALL];
    if n > 0 {
        out.push(TimeRange { min: times[n / 3], max: times[2 * n / 3] });
        out.push(TimeRange { min: times[n - 1], max: TimestampMs::MAX });
    }
    out
}

/// The samples that the chunks of each series hold, in whatever chunks they stand.
fn collect(
    querier: &dyn ChunkQuerier,
    matchers: &[Matcher],
    range: TimeRange,
    shard: Shard,
) -> BTreeMap<Labels, Samples> {
    let request = SelectRequest { matchers, range, shard, budget: budget() };
    let mut set = querier.select_chunks(&request).unwrap_or_else(|e| panic!("select_chunks failed: {e}"));
    let mut out: BTreeMap<Labels, Samples> = BTreeMap::new();
    while let Some(series) = set.next_series().unwrap_or_else(|e| panic!("next_series failed: {e}")) {
        let ChunkSeries { labels, chunks } = series;
        assert!(out.last_key_value().is_none_or(|(last, _)| *last < labels), "{labels} is out of order");
        assert!(chunks.is_sorted_by_key(|c| c.min), "{labels}: chunks are not in the order of time");
        let samples = out.entry(labels.clone()).or_default();
        for chunk in &chunks {
            assert!(chunk.min <= range.max && chunk.max >= range.min, "{labels}: a chunk outside {range:?}");
            for (at, point) in decode(chunk) {
                samples.entry(at).or_insert(point);
            }
        }
    }
    out
}

fn check_part(
    expected: &MemoryStorage,
    got: &BTreeMap<Labels, Samples>,
    matchers: &[Matcher],
    range: TimeRange,
) {
    for (labels, wanted) in expected.part(matchers, range).iter() {
        let samples = got.get(labels).unwrap_or_else(|| panic!("{labels} is missing"));
        for (at, point) in wanted {
            assert_eq!(samples.get(at), Some(point), "{labels} at {at}");
        }
    }
    let written: BTreeMap<&Labels, &Samples> = expected.matching(matchers, TimeRange::ALL).collect();
    for (labels, samples) in got {
        let of = written.get(labels).unwrap_or_else(|| panic!("{labels} was never written or asked for"));
        for (at, point) in samples {
            assert_eq!(of.get(at), Some(point), "{labels} has a sample at {at} that was never written");
        }
    }
}

/// Checks that a set holds exactly the samples of `expected` in chunks that do not overlap.
///
/// # Panics
/// When it does not.
pub fn check_chunks_exactly(expected: &MemoryStorage, set: &mut dyn ChunkSeriesSet) {
    let mut got = MemoryStorage::default();
    let mut last: Option<Labels> = None;
    while let Some(series) = set.next_series().unwrap_or_else(|e| panic!("next_series failed: {e}")) {
        let ChunkSeries { labels, chunks } = series;
        assert!(last.as_ref().is_none_or(|l| *l < labels), "{labels} is out of order");
        assert!(chunks.windows(2).all(|p| p[0].max < p[1].min), "{labels}: chunks overlap");
        for chunk in &chunks {
            decode(chunk).into_iter().for_each(|(at, point)| got.insert(&labels, at, point));
        }
        last = Some(labels);
    }
    got.assert_equals(expected);
}

/// The samples of a chunk. Whole counts become floats, and what a histogram says of a reset is left out:
/// it depends on the chunks around it.
///
/// # Panics
/// When it cannot be decoded, its samples are not in order, or they do not begin and end where it says.
pub fn decode(chunk: &Chunk) -> Vec<(TimestampMs, Point)> {
    let read =
        |s: Result<(TimestampMs, ChunkValue), _>| s.unwrap_or_else(|e| panic!("a chunk is damaged: {e}"));
    let samples: Vec<_> = SampleIter::new(chunk.encoding, &chunk.bytes).map(read).collect();
    assert!(samples.windows(2).all(|p| p[0].0 < p[1].0), "times of a chunk do not grow");
    let ends = samples.first().zip(samples.last()).map(|(a, b)| (a.0, b.0));
    assert_eq!(ends, Some((chunk.min, chunk.max)), "a chunk's ends");
    let point = |value| match value {
        ChunkValue::Float(v) => Point::Float(v),
        ChunkValue::Histogram(h) => Point::Histogram(plain(h.to_float())),
        ChunkValue::FloatHistogram(h) => Point::Histogram(plain(h)),
    };
    samples.into_iter().map(|(t, v)| (t, point(v))).collect()
}

/// The one form of all that say the same: chunks may add empty buckets, so that histograms share their spans.
fn plain(mut histogram: FloatHistogram) -> FloatHistogram {
    let layout = &mut histogram.layout;
    if layout.counter_reset_hint != CounterResetHint::Gauge {
        layout.counter_reset_hint = CounterResetHint::Unknown;
    }
    drop_empty(&mut layout.positive_spans, &mut histogram.positive_buckets);
    drop_empty(&mut layout.negative_spans, &mut histogram.negative_buckets);
    histogram
}

fn drop_empty(spans: &mut Vec<Span>, buckets: &mut Vec<f64>) {
    let (mut kept, mut end) = (Vec::new(), 0);
    for (index, _) in bucket_indexes(spans).zip(&*buckets).filter(|(_, count)| **count != 0.0) {
        end = push_bucket(&mut kept, end, index);
    }
    buckets.retain(|count| *count != 0.0);
    *spans = kept;
}

fn drain(querier: &dyn ChunkQuerier, budget: &Arc<QueryBudget>) -> Result<(), QueryError> {
    let (budget, range) = (Arc::clone(budget), TimeRange::ALL);
    let request = SelectRequest { matchers: &[], range, shard: Shard::WHOLE, budget };
    let mut set = querier.select_chunks(&request)?;
    while set.next_series()?.is_some() {}
    Ok(())
}

fn check_ends(expected: &MemoryStorage, querier: &dyn ChunkQuerier) {
    let series = expected.len() as u64;
    if series == 0 {
        return;
    }
    check_series_limit_and_cancellation(series, |budget| drain(querier, budget));
}
