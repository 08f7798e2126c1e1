//! How long reading and writing of queries takes: those of the reference dashboard, and a long chain.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use skopos_promql::parse;
use std::hint::black_box;

/// The dashboard's expressions with their variables filled in, one a line.
const DASHBOARD: &str = include_str!("dashboard.txt");

fn benches(c: &mut Criterion) {
    let mut group = c.benchmark_group("promql");
    let dashboard: Vec<&str> = DASHBOARD.lines().collect();
    group.throughput(Throughput::Bytes(DASHBOARD.len() as u64));
    group.bench_function("parse_dashboard", |b| {
        b.iter(|| dashboard.iter().filter(|text| parse(black_box(text)).is_ok()).count());
    });
    let trees: Vec<_> = dashboard.iter().map(|text| parse(text).expect("a dashboard's expression")).collect();
    group.bench_function("print_dashboard", |b| {
        b.iter(|| trees.iter().map(|tree| black_box(tree).to_string().len()).sum::<usize>());
    });
    let chain = vec![dashboard[10]; 500].join(" or ");
    group.throughput(Throughput::Bytes(chain.len() as u64));
    group.bench_function("parse_chain_of_500", |b| b.iter(|| parse(black_box(&chain)).is_ok()));
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
