//! XOR chunks of 120 samples: encode and decode, samples a second, for the data that is usual
//! (counters, constants) and for the data that is worst (random bits).

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use skopos_chunk::{XorEncoder, decode_into, decode_range_into};
use skopos_model::TimestampMs;
use std::hint::black_box;

const SAMPLES: usize = 120;
/// So many that no branch predictor learns them by heart.
const CHUNKS: usize = 4000;
const INTERVAL_MS: i64 = 15_000;

type Series = Vec<(TimestampMs, f64)>;

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// Series of each kind; `jitter_ms` is how far scrapes are off their time.
fn data() -> Vec<(&'static str, Vec<Series>)> {
    let mut random = Random(0x5EED_0001);
    let mut make = |jitter_ms: u64, value: &mut dyn FnMut(&mut Random, usize) -> f64| -> Vec<Series> {
        let mut one = |_| {
            let sample = |i: usize| {
                let jitter = random.below(jitter_ms + 1) as i64;
                let t = 1_700_000_000_000 + i as i64 * INTERVAL_MS + jitter;
                (TimestampMs::new(t), value(&mut random, i))
            };
            (0..SAMPLES).map(sample).collect()
        };
        (0..CHUNKS).map(&mut one).collect()
    };
    let (mut counter, mut seconds, mut requests) = (0u64, 0.0f64, 0u64);
    vec![
        ("constant", make(0, &mut |_, _| 42.0)),
        ("counter", make(0, &mut |_, i| 1000.0 + i as f64 * 15.0)),
        (
            "counter, uneven",
            make(0, &mut |r, _| {
                counter += r.below(100);
                counter as f64
            }),
        ),
        (
            "counter, seconds",
            make(0, &mut |r, _| {
                seconds = ((seconds / 0.01 + r.below(180) as f64) * 10.0).round() / 1000.0;
                seconds
            }),
        ),
        (
            "counter, seldom",
            make(0, &mut |r, _| {
                requests += r.below(3) / 2;
                requests as f64
            }),
        ),
        ("counter, jitter 5 ms", make(5, &mut |_, i| 1000.0 + i as f64 * 15.0)),
        ("gauge, whole", make(0, &mut |r, _| r.below(1000) as f64)),
        ("gauge, random", make(0, &mut |r, _| r.below(1 << 53) as f64 / 1e9)),
    ]
}

fn encode(series: &Series) -> XorEncoder {
    let mut encoder = XorEncoder::new();
    for (t, v) in series {
        encoder.append(*t, *v);
    }
    encoder
}

fn benches(c: &mut Criterion) {
    let data = data();
    let mut group = c.benchmark_group("xor");
    group.throughput(Throughput::Elements((SAMPLES * CHUNKS) as u64));
    for (kind, all) in &data {
        group.bench_function(BenchmarkId::new("encode", kind), |b| {
            b.iter(|| all.iter().map(|s| encode(s).bytes().len()).sum::<usize>());
        });
    }
    for (kind, all) in &data {
        let chunks: Vec<Vec<u8>> = all.iter().map(|s| encode(s).into_bytes()).collect();
        let (mut timestamps, mut values) = (Vec::new(), Vec::new());
        group.bench_function(BenchmarkId::new("decode", kind), |b| {
            b.iter(|| {
                timestamps.clear();
                values.clear();
                for chunk in &chunks {
                    decode_into(black_box(chunk), &mut timestamps, &mut values).expect("valid");
                }
                timestamps.len()
            });
        });
        // The second half of each chunk: the first is read and passed over.
        let min = TimestampMs::new(1_700_000_000_000 + (SAMPLES / 2) as i64 * INTERVAL_MS);
        group.bench_function(BenchmarkId::new("decode half", kind), |b| {
            b.iter(|| {
                timestamps.clear();
                values.clear();
                for chunk in &chunks {
                    decode_range_into(black_box(chunk), min, TimestampMs::MAX, &mut timestamps, &mut values)
                        .expect("valid");
                }
                timestamps.len()
            });
        });
    }
    group.finish();
}

criterion_group!(xor, benches);
criterion_main!(xor);
