//! Writes blocks of what machines and a service on them would have been scraped for: the data that
//! `cargo xtask bench peers queries` asks about. The same arguments give the same samples. Never measures.
//!
//! Each machine has a hundred series: counters of processors, disks, networks and requests, classic
//! histograms of durations, gauges that wander or stand still. A machine is scraped at its own offset; now
//! and then a scrape is missed, and its service starts anew, which resets the service's counters.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program of the command line talks on it")]

use skopos_base::Env;
use skopos_chunk::{Encoding, XorEncoder};
use skopos_model::{Labels, TimestampMs};
use skopos_storage::Chunk;
use skopos_tsdb::block::{BlockIds, BlockMeta, BlockWriter, Compaction, Symbols, WriteOptions};
use std::{collections::HashMap, error::Error, path::PathBuf, process::ExitCode};

const INTERVAL_MS: i64 = 15_000;
const HOUR_MS: i64 = 3_600_000;
/// Samples of a chunk, as Prometheus cuts them.
const CHUNK_SAMPLES: u32 = 120;
/// Of so many scrapes one is missed.
const MISSED: u64 = 5_000;
/// Of so many scrapes the service started anew before one.
const RESTART: u64 = 20_000;
/// The upper bounds of the histograms' buckets, in seconds.
const BOUNDS: [&str; 10] = ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "+Inf"];
/// How many hours the last blocks cover, the last one first, as compaction leaves them.
const RECENT_HOURS: [i64; 5] = [2, 2, 2, 6, 6];
/// How many those before cover.
const OLD_HOURS: i64 = 18;

fn main() -> ExitCode {
    match write(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What is asked for.
struct Asked {
    out: PathBuf,
    machines: u64,
    start_ms: i64,
    end_ms: i64,
    seed: u64,
}

fn asked(arguments: &[String]) -> Result<Asked, Box<dyn Error>> {
    const USAGE: &str = "query_data --out FOLDER --machines N --hours N --end-ms T --seed N";
    let given: HashMap<&str, &str> =
        arguments.chunks_exact(2).map(|pair| (pair[0].as_str(), pair[1].as_str())).collect();
    let get = |name: &str| given.get(name).copied().ok_or_else(|| format!("`{name}` is missing: {USAGE}"));
    let end_ms: i64 = get("--end-ms")?.parse()?;
    let hours: i64 = get("--hours")?.parse()?;
    Ok(Asked {
        out: get("--out")?.into(),
        machines: get("--machines")?.parse()?,
        start_ms: end_ms - hours * HOUR_MS,
        end_ms,
        seed: get("--seed")?.parse()?,
    })
}

fn write(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let asked = asked(arguments)?;
    let env = Env::real();
    let ids = BlockIds::new(&env);
    let mut all: Vec<Series> =
        (0..asked.machines).flat_map(|machine| machine_series(machine, asked.seed)).collect();
    all.sort_by(|a, b| a.labels.cmp(&b.labels));
    let mut samples = 0;
    for (from, to) in spans(asked.start_ms, asked.end_ms) {
        let mut symbols = Symbols::default();
        all.iter().for_each(|series| symbols.add(&series.labels));
        let id = ids.next();
        let mut writer = BlockWriter::create(&env.fs, &asked.out, id, symbols, WriteOptions::default())?;
        for series in &mut all {
            writer.add_series(&series.labels, &series.source.chunks(from, to))?;
        }
        let compaction = Compaction { level: 1, sources: vec![id], ..Compaction::default() };
        let meta = BlockMeta::new(id, TimestampMs::new(from), TimestampMs::new(to), compaction);
        samples += writer.finish(meta)?.stats.num_samples;
    }
    println!("{} series, {samples} samples", all.len());
    Ok(())
}

/// The times of the blocks.
fn spans(start: i64, end: i64) -> Vec<(i64, i64)> {
    let mut spans = Vec::new();
    let mut hours = RECENT_HOURS.into_iter();
    let mut to = end;
    while to > start {
        let from = start.max(to - hours.next().unwrap_or(OLD_HOURS) * HOUR_MS);
        spans.push((from, to));
        to = from;
    }
    spans.reverse();
    spans
}

/// A series and where its samples come from.
struct Series {
    labels: Labels,
    source: Source,
}

/// The samples of a series, one after the other.
struct Source {
    kind: Kind,
    /// The machine's own chance: which scrapes are missed, when its service starts.
    machine: u64,
    offset_ms: i64,
    /// The state of the series' own chance; series of one histogram share it.
    state: u64,
    value: f64,
}

/// How a series moves.
#[derive(Clone, Copy)]
enum Kind {
    Constant,
    /// Seconds of the time of day.
    Time,
    /// A counter of the machine's: `by` a scrape on average, in steps of `unit`.
    Counter {
        by: f64,
        unit: f64,
    },
    /// A counter of requests of the service, which starts at zero with it.
    Requests {
        most: u64,
    },
    /// Requests no slower than this bound of a histogram.
    Bucket {
        bound: usize,
        most: u64,
    },
    /// The seconds that the requests of a histogram took.
    Duration {
        most: u64,
    },
    /// A gauge that wanders between 0 and `top`, in steps of `unit`, seldom or at each scrape.
    Gauge {
        top: f64,
        unit: f64,
        every: u64,
    },
}

/// A number that looks like chance.
fn mixed(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Source {
    fn chance(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mixed(self.state)
    }

    /// The chunks of what was scraped from `from` to before `to`.
    fn chunks(&mut self, from: i64, to: i64) -> Vec<Chunk> {
        let mut chunks = Vec::new();
        let mut open = (XorEncoder::new(), 0, TimestampMs::new(0), TimestampMs::new(0));
        for scrape in from.div_euclid(INTERVAL_MS)..to.div_euclid(INTERVAL_MS) {
            let luck = mixed(self.machine ^ scrape as u64);
            self.step(scrape, luck % RESTART == 1);
            if luck.is_multiple_of(MISSED) {
                continue;
            }
            let at = TimestampMs::new(scrape * INTERVAL_MS + self.offset_ms);
            if open.1 == 0 {
                open.2 = at;
            }
            open.0.append(at, self.value);
            (open.1, open.3) = (open.1 + 1, at);
            if open.1 == CHUNK_SAMPLES {
                chunks.push(closed(std::mem::replace(&mut open.0, XorEncoder::new()), open.2, open.3));
                open.1 = 0;
            }
        }
        if open.1 > 0 {
            chunks.push(closed(open.0, open.2, open.3));
        }
        chunks
    }

    /// Goes on by one scrape.
    fn step(&mut self, scrape: i64, restarts: bool) {
        match self.kind {
            Kind::Constant => {}
            Kind::Time => self.value = (scrape * INTERVAL_MS + self.offset_ms) as f64 / 1000.0,
            Kind::Counter { by, unit } => {
                let steps = (by / unit * (self.chance() % 2000) as f64 / 1000.0).round();
                self.value = ((self.value / unit + steps) * unit * 1000.0).round() / 1000.0;
            }
            Kind::Requests { most } => {
                let more = self.chance() % (most + 1);
                self.value = if restarts { 0.0 } else { self.value + more as f64 };
            }
            Kind::Bucket { most, .. } | Kind::Duration { most } => self.observe(most, restarts),
            Kind::Gauge { top, unit, every } => {
                let luck = self.chance();
                if luck.is_multiple_of(every) {
                    let moved = self.value + (((luck >> 32) % 2001) as f64 - 1000.0) / 50_000.0 * top;
                    self.value = (moved.clamp(0.0, top) / unit).round() * unit;
                }
            }
        }
    }

    /// All series of a histogram see the same requests and count each its own share of them.
    fn observe(&mut self, most: u64, restarts: bool) {
        if restarts {
            self.value = 0.0;
        }
        for _ in 0..self.chance() % (most + 1) {
            // Two of three requests are fast; a few take long.
            let luck = self.chance();
            let slowest = luck % 10;
            let bucket = (luck >> 8) % (slowest + 1);
            match self.kind {
                Kind::Bucket { bound, .. } => self.value += f64::from(u8::from(bucket <= bound as u64)),
                _ => self.value += 0.004 * (1 << bucket) as f64,
            }
        }
        self.value = (self.value * 1000.0).round() / 1000.0;
    }
}

fn closed(encoder: XorEncoder, min: TimestampMs, max: TimestampMs) -> Chunk {
    Chunk { min, max, encoding: Encoding::Xor, bytes: encoder.into_bytes().into() }
}

/// The series of one machine and of the service on it, in no order.
fn machine_series(machine: u64, seed: u64) -> Vec<Series> {
    let mut all = MachineSeries { machine, seed, series: Vec::new() };
    all.processors();
    all.memory_and_load();
    all.disks();
    all.networks();
    all.service();
    all.series
}

struct MachineSeries {
    machine: u64,
    seed: u64,
    series: Vec<Series>,
}

impl MachineSeries {
    fn push(&mut self, name: &str, more: &[(&str, &str)], kind: Kind, first: f64) {
        let own = self.series.len() as u64;
        self.push_of(own, name, more, kind, first);
    }

    /// Adds a series with the chance number `own` of the machine's.
    fn push_of(&mut self, own: u64, name: &str, more: &[(&str, &str)], kind: Kind, first: f64) {
        let instance = format!("host-{:03}:9100", self.machine);
        let job = if name.starts_with("node_") || name == "up" { "node" } else { "shop" };
        let mut pairs = vec![("__name__", name), ("instance", instance.as_str()), ("job", job)];
        pairs.extend(more);
        let machine = mixed(self.seed ^ mixed(self.machine));
        let source = Source {
            kind,
            machine,
            offset_ms: (machine % INTERVAL_MS as u64) as i64,
            state: mixed(machine ^ mixed(own + 1)),
            value: first,
        };
        self.series.push(Series { labels: Labels::from_pairs(pairs), source });
    }

    fn processors(&mut self) {
        let modes = ["idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user"];
        for cpu in ["0", "1", "2", "3"] {
            for (mode, by) in modes.iter().zip([11.0, 0.2, 0.0, 0.01, 0.1, 0.0, 0.9, 2.4]) {
                let kind = if by == 0.0 { Kind::Constant } else { Kind::Counter { by, unit: 0.01 } };
                let labels = [("cpu", cpu), ("mode", *mode)];
                self.push("node_cpu_seconds_total", &labels, kind, by * 40_000.0);
            }
        }
    }

    fn memory_and_load(&mut self) {
        const TOTAL: f64 = 16_777_216_000.0;
        let wanders = Kind::Gauge { top: TOTAL, unit: 4096.0, every: 1 };
        self.push("node_memory_MemTotal_bytes", &[], Kind::Constant, TOTAL);
        self.push("node_memory_MemAvailable_bytes", &[], wanders, TOTAL / 2.0);
        self.push("node_memory_MemFree_bytes", &[], wanders, TOTAL / 4.0);
        for (name, every) in [("node_load1", 1), ("node_load5", 1), ("node_load15", 2)] {
            self.push(name, &[], Kind::Gauge { top: 8.0, unit: 0.01, every }, 1.5);
        }
        let boot = 1_766_000_000.0 + self.machine as f64 * 77.0;
        self.push("node_boot_time_seconds", &[], Kind::Constant, boot);
        self.push("node_time_seconds", &[], Kind::Time, 0.0);
        self.push("up", &[], Kind::Constant, 1.0);
    }

    fn disks(&mut self) {
        for (mountpoint, device, fstype) in
            [("/", "sda1", "ext4"), ("/srv", "sdb1", "xfs"), ("/run", "tmpfs", "tmpfs")]
        {
            let labels = [("device", device), ("fstype", fstype), ("mountpoint", mountpoint)];
            let seldom = Kind::Gauge { top: 5e11, unit: 4096.0, every: 8 };
            self.push("node_filesystem_avail_bytes", &labels, seldom, 2e11);
            self.push("node_filesystem_size_bytes", &labels, Kind::Constant, 5e11);
        }
        for device in ["sda", "sdb"] {
            let labels = [("device", device)];
            let bytes = Kind::Counter { by: 400_000.0, unit: 512.0 };
            self.push(
                "node_disk_io_time_seconds_total",
                &labels,
                Kind::Counter { by: 0.6, unit: 0.001 },
                9e4,
            );
            self.push("node_disk_read_bytes_total", &labels, bytes, 512e6);
            self.push("node_disk_written_bytes_total", &labels, bytes, 512e7);
        }
    }

    fn networks(&mut self) {
        for device in ["eth0", "eth1"] {
            for direction in ["receive", "transmit"] {
                let labels = [("device", device)];
                let bytes = Kind::Counter { by: 2e6, unit: 1.0 };
                self.push(&format!("node_network_{direction}_bytes_total"), &labels, bytes, 1e9);
                let packets = Kind::Counter { by: 3000.0, unit: 1.0 };
                self.push(&format!("node_network_{direction}_packets_total"), &labels, packets, 1e6);
            }
        }
    }

    fn service(&mut self) {
        for (handler, most) in [("/", 40), ("/api/cart", 12), ("/api/items", 90), ("/login", 2)] {
            for (code, most) in [("200", most), ("404", most / 6), ("500", most / 20)] {
                let labels = [("code", code), ("handler", handler), ("method", "GET")];
                self.push("http_requests_total", &labels, Kind::Requests { most }, 0.0);
            }
        }
        for (handler, most, own) in [("/api/cart", 12, 1000), ("/api/items", 30, 1001)] {
            let name = "http_request_duration_seconds";
            for (bound, le) in BOUNDS.iter().enumerate() {
                let labels = [("handler", handler), ("le", *le)];
                self.push_of(own, &format!("{name}_bucket"), &labels, Kind::Bucket { bound, most }, 0.0);
            }
            let (labels, bound) = ([("handler", handler)], BOUNDS.len());
            self.push_of(own, &format!("{name}_count"), &labels, Kind::Bucket { bound, most }, 0.0);
            self.push_of(own, &format!("{name}_sum"), &labels, Kind::Duration { most }, 0.0);
        }
        let memory = Kind::Gauge { top: 1e9, unit: 4096.0, every: 2 };
        self.push("process_resident_memory_bytes", &[], memory, 4e8);
        self.push("process_cpu_seconds_total", &[], Kind::Counter { by: 3.0, unit: 0.01 }, 100.0);
        self.push("go_goroutines", &[], Kind::Gauge { top: 400.0, unit: 1.0, every: 1 }, 60.0);
    }
}
