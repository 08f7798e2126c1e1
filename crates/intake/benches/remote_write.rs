//! From a body of remote write to a committed batch: unpack, find the series, check, log, chunks; one core,
//! no HTTP and no synchronisation. 50,000 series in requests of 2,000 samples, as Prometheus sends them.
//! Goal of the whole program: 2,700,000 samples a second on two cores.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use prost::Message as _;
use skopos_base::Env;
use skopos_intake::{Destination, Intake, Limits, Version};
use skopos_proto::messages::{Label, Sample, TimeSeries, WriteRequest};
use skopos_tsdb::{Db, Options};
use std::sync::Arc;

/// The allocator of the program.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const SERIES: usize = 50_000;
const OF_REQUEST: usize = 2_000;

fn labels(i: usize) -> Vec<Label> {
    let label = |name: &str, value: String| Label { name: name.to_owned(), value };
    vec![
        label("__name__", format!("node_network_receive_bytes_total_{}", i % 50)),
        label("device", format!("eth{}", i / 50 % 20)),
        label("instance", format!("host-{}.example:9100", i / 1000)),
        label("job", "node".to_owned()),
    ]
}

/// The bodies of one round over all series.
fn bodies(timestamp: i64, round: usize) -> Vec<Vec<u8>> {
    let series = |i| TimeSeries {
        labels: labels(i),
        samples: vec![Sample { value: (round * (i * 7919 % 1000)) as f64, timestamp }],
        histograms: Vec::new(),
    };
    let requests = (0..SERIES / OF_REQUEST).map(|r| {
        let timeseries = (r * OF_REQUEST..(r + 1) * OF_REQUEST).map(series).collect();
        let plain = WriteRequest { timeseries, ..WriteRequest::default() }.encode_to_vec();
        snap::raw::Encoder::new().compress_vec(&plain).expect("less than 4 GiB")
    });
    requests.collect()
}

fn remote_write(c: &mut Criterion) {
    let env = Env::real();
    let dir = tempfile::tempdir().expect("there is room");
    let db = Arc::new(Db::open(dir.path(), Options::default(), &env).expect("the directory is new"));
    let into = Destination { storage: db, make_durable: Arc::new(|| Ok(())) };
    let intake = Intake::new(into, &env, Limits::default(), 1 << 30);
    let mut group = c.benchmark_group("remote write");
    group.throughput(Throughput::Elements(SERIES as u64)).sample_size(20);
    let (mut at, mut round) = (env.clock.wall_ms() - 86_400_000, 0);
    group.bench_function("1.0/50000 series, known", |b| {
        let next = || {
            (at, round) = (at + 15_000, round + 1);
            bodies(at, round)
        };
        b.iter_batched(
            next,
            |bodies| {
                for body in &bodies {
                    let written = intake.remote_write(Version::One, body).expect("it is taken");
                    assert_eq!(written.refused, None);
                }
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, remote_write);
criterion_main!(benches);
