//! How long reading and writing of queries takes: those of the reference dashboard, and a long chain.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use skopos_promql::parse;
use std::hint::black_box;

/// The dashboard's expressions with their variables filled in.
const DASHBOARD: [&str; 13] = [
    r#"100 * (1 - (node_memory_MemAvailable_bytes{instance="localhost:9100",job="node"} / node_memory_MemTotal_bytes{instance="localhost:9100",job="node"}))"#,
    r#"(sum by(instance) (irate(node_cpu_seconds_total{instance="localhost:9100",job="node", mode!="idle"}[1m])) / on(instance) group_left sum by (instance)((irate(node_cpu_seconds_total{instance="localhost:9100",job="node"}[1m])))) * 100"#,
    r#"100 - ((node_filesystem_avail_bytes{instance="localhost:9100",job="node",mountpoint="/",fstype!="rootfs"} * 100) / node_filesystem_size_bytes{instance="localhost:9100",job="node",mountpoint="/",fstype!="rootfs"})"#,
    r#"avg(node_load5{instance="localhost:9100",job="node"}) / count(count(node_cpu_seconds_total{instance="localhost:9100",job="node"}) by (cpu)) * 100"#,
    r#"node_time_seconds{instance="localhost:9100",job="node"} - node_boot_time_seconds{instance="localhost:9100",job="node"}"#,
    r#"node_filesystem_size_bytes{instance="localhost:9100",job="node",mountpoint="/",fstype!="rootfs"}"#,
    r#"count(count(node_cpu_seconds_total{instance="localhost:9100",job="node"}) by (cpu))"#,
    r#"node_memory_MemTotal_bytes{instance="localhost:9100",job="node"}"#,
    r#"avg without(cpu) (irate(node_cpu_seconds_total{instance="localhost:9100",job="node"}[1m])) * 100"#,
    r#"avg(node_load1{instance="localhost:9100",job="node"})"#,
    r#"irate(node_network_receive_packets_total{instance="localhost:9100",job="node",device="eth0"}[1m])"#,
    r#"irate(node_network_transmit_packets_total{instance="localhost:9100",job="node",device="eth0"}[1m])"#,
    r#"node_network_receive_packets_total_prophet{device="eth0",value_type="anomaly",exported_instance="localhost:9100",exported_job="node",job="PAD"}"#,
];

fn benches(c: &mut Criterion) {
    let mut group = c.benchmark_group("promql");
    let bytes: usize = DASHBOARD.iter().map(|text| text.len()).sum();
    group.throughput(Throughput::Bytes(bytes as u64));
    group.bench_function("parse_dashboard", |b| {
        b.iter(|| DASHBOARD.iter().filter(|text| parse(black_box(text)).is_ok()).count());
    });
    let trees: Vec<_> = DASHBOARD.iter().map(|text| parse(text).expect("a dashboard's expression")).collect();
    group.bench_function("print_dashboard", |b| {
        b.iter(|| trees.iter().map(|tree| black_box(tree).to_string().len()).sum::<usize>());
    });
    let chain = vec![DASHBOARD[10]; 500].join(" or ");
    group.throughput(Throughput::Bytes(chain.len() as u64));
    group.bench_function("parse_chain_of_500", |b| b.iter(|| parse(black_box(&chain)).is_ok()));
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
