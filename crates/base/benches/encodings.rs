//! How fast the encodings of the file formats are: CRC-32C over a log page, varints of the usual sizes.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use skopos_base::{crc, rng::Rng, varint};
use std::hint::black_box;

fn checksum(c: &mut Criterion) {
    let rng = Rng::from_seed(1);
    let mut group = c.benchmark_group("crc32c");
    for len in [128, 32 << 10] {
        let bytes: Vec<u8> = (0..len).map(|_| rng.next_u64() as u8).collect();
        group.throughput(Throughput::Bytes(len));
        group.bench_function(format!("{len} bytes"), |b| b.iter(|| crc::crc32c(black_box(&bytes))));
    }
    group.finish();
}

fn varints(c: &mut Criterion) {
    let rng = Rng::from_seed(1);
    let mut group = c.benchmark_group("varint");
    for (name, bits) in [("below 2^7", 7), ("below 2^20", 20), ("any", 64)] {
        let values: Vec<u64> = (0..10_000).map(|_| rng.next_u64() >> (64 - bits)).collect();
        let mut bytes = Vec::new();
        values.iter().for_each(|&v| varint::put_uvarint(&mut bytes, v));
        group.throughput(Throughput::Elements(values.len() as u64));
        group.bench_function(format!("encode {name}"), |b| {
            b.iter(|| {
                bytes.clear();
                values.iter().for_each(|&v| varint::put_uvarint(&mut bytes, black_box(v)));
                bytes.len()
            });
        });
        group.bench_function(format!("decode {name}"), |b| {
            b.iter(|| {
                let (mut rest, mut sum) = (black_box(bytes.as_slice()), 0_u64);
                while let Some((value, n)) = varint::uvarint(rest) {
                    sum = sum.wrapping_add(value);
                    rest = &rest[n..];
                }
                sum
            });
        });
    }
    group.finish();
}

criterion_group!(benches, checksum, varints);
criterion_main!(benches);
