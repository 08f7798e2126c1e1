//! Chunks of native histograms: decode to columns and encode, in histograms a second.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use skopos_chunk::{BuiltChunk, ChunkBuilder, ChunkValue, CutAt, decode_columns};
use skopos_model::histogram::{Layout, Span};
use skopos_model::{Columns, Histogram, TimestampMs};
use std::hint::black_box;

const SAMPLES: usize = 120;
const BUCKETS: usize = 40;

/// A counter's histograms: in each interval some of the buckets grow.
fn series() -> Vec<(TimestampMs, Histogram)> {
    let (mut seed, mut counts) = (0x5EED_0001u64, vec![10i64; BUCKETS]);
    let mut sample = |i: usize| {
        for count in &mut counts {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            *count += (seed % 8).saturating_sub(4) as i64;
        }
        let positive_spans = vec![Span { offset: -20, length: BUCKETS as u32 }];
        let layout = Layout { schema: 3, positive_spans, ..Layout::default() };
        let mut before = 0;
        let delta = |count: &i64| count - std::mem::replace(&mut before, *count);
        let positive_deltas = counts.iter().map(delta).collect();
        let count = counts.iter().sum::<i64>() as u64;
        let sum = count as f64 * 0.37;
        let t = TimestampMs::new(1_700_000_000_000 + i as i64 * 15_000);
        (t, Histogram { layout, count, sum, positive_deltas, ..Histogram::default() })
    };
    (0..SAMPLES).map(&mut sample).collect()
}

fn build(samples: &[(TimestampMs, ChunkValue)]) -> Vec<BuiltChunk> {
    let mut builder = ChunkBuilder::new(CutAt::default());
    for (timestamp, value) in samples {
        builder.push(*timestamp, value);
    }
    builder.finish()
}

fn bench(c: &mut Criterion) {
    let whole: Vec<_> = series().into_iter().map(|(t, h)| (t, ChunkValue::Histogram(h))).collect();
    let float: Vec<_> =
        series().into_iter().map(|(t, h)| (t, ChunkValue::FloatHistogram(h.to_float()))).collect();
    let mut group = c.benchmark_group("histogram");
    group.throughput(Throughput::Elements(SAMPLES as u64));
    for (kind, samples) in [("whole", whole), ("float", float)] {
        let chunks = build(&samples);
        let mut columns = Columns::default();
        group.bench_function(format!("decode/{kind}"), |b| {
            b.iter(|| {
                columns.clear();
                for c in &chunks {
                    let (min, max) = (TimestampMs::new(i64::MIN), TimestampMs::new(i64::MAX));
                    let decoded = decode_columns(c.encoding, &c.bytes, min, max, &mut columns);
                    decoded.expect("the chunk was just written");
                }
                black_box(columns.len())
            });
        });
        group.bench_function(format!("encode/{kind}"), |b| b.iter(|| black_box(build(&samples)).len()));
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
