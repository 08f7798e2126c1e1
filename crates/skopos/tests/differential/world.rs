//! The samples, as one directory of blocks that our database wrote, and the servers that have a copy of it
//! each. Times are never on a full second, so that no sample stands on the edge of a window, which belonged
//! to it in version 2 and does not in version 3.

mod recent;

use crate::support::{copy, server};
use skopos_base::{Env, rng::Rng};
use skopos_model::{DurationMs, FloatHistogram, Labels, Layout, Span, TimestampMs};
use skopos_storage::{Append, Appendable as _, SeriesId, Value};
use skopos_testkit::{peers, service::Service};
use skopos_tsdb::{Db, Options, SnapshotOf};
use std::{fs, path::Path};

/// The first second of data.
pub(super) const BEGIN_S: i64 = 1_700_000_000;
const INTERVAL_MS: i64 = 15_000;
const SAMPLES: i64 = 800;
const KEEP: &str = "--storage.tsdb.retention.time=100y";
/// Subqueries without a step have this one.
const CONFIG: &str = "global: {evaluation_interval: 1m}\n";
const QUIET: &str = "--log.level=warn";
/// What both have to have enabled.
const FEATURES: &str = "promql-experimental-functions";
/// What a version 3 has to have enabled for what ours has by default.
const FEATURES_OF_3: &str = "native-histograms,promql-duration-expr,promql-per-step-stats";

/// Values of a label for regular expressions.
const TEXTS: &[&str] = &[
    "a",
    "b",
    "ab",
    "aab",
    "abab",
    "A",
    "AB",
    "aB",
    "x",
    "xy",
    "a.b",
    "a+b",
    "a*b",
    "a|b",
    "(a)",
    "[a]",
    "{a}",
    "a{2}",
    "a{,2}",
    "{",
    "}",
    "^a$",
    "a$",
    "\\",
    "a\\b",
    "\\Qa\\E",
    "<a>",
    "a-b",
    "a_b",
    "a b",
    "a/b",
    "-",
    "]",
    "^",
    "0",
    "7",
    "42",
    "1a",
    "_",
    "&&",
    "a&&b",
    "~",
    "#",
    "\"",
    "'",
    "`",
    "$1",
    "\t",
    "\u{b}",
    "\u{7}",
    "\u{1}",
    "ä",
    "Ä",
    "ß",
    "é",
    "e\u{301}",
    "σ",
    "ς",
    "Σ",
    "k",
    "K",
    "\u{212a}",
    "s",
    "ſ",
    "S",
    "i",
    "İ",
    "ı",
    "٣",
    "٤2",
    "日本",
    "я",
    "\u{a0}",
    "\u{2028}",
    "🦀",
    "a🦀",
    "\u{10ffff}",
    "foo",
    "foobar",
    "bar",
    "foo bar",
    "aaaaaaaaaa",
];
/// The same with ends of lines, which a dot did not match in version 2.
const LINES: &[&str] = &["\n", "a\n", "\na", "a\nb", "ab\n", "a\r\nb", "foo\nbar\n"];

/// A peer and ours, over the same blocks.
pub(super) struct Servers {
    pub(super) theirs: Service,
    pub(super) ours: Service,
}

impl Servers {
    /// Debian's Prometheus and ours.
    pub(super) fn old(rng: &Rng) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let blocks = blocks(rng, folder.path(), |_| ());
        let theirs = with_blocks(peers::prometheus(CONFIG, &[KEEP, QUIET]), &blocks);
        Self { theirs, ours: ours(&blocks) }
    }

    /// A Prometheus 3, if there is one, and ours; over more than the other can read.
    pub(super) fn recent(rng: &Rng) -> Option<Self> {
        let program = peers::prometheus_3()?;
        let folder = tempfile::tempdir().unwrap();
        let blocks = blocks(rng, folder.path(), |db| recent::append_recent(rng, db));
        let features = format!("--enable-feature={FEATURES},{FEATURES_OF_3}");
        let theirs = peers::prometheus_at(program, CONFIG, &[KEEP, QUIET, &features]);
        Some(Self { theirs: with_blocks(theirs, &blocks), ours: ours(&blocks) })
    }
}

fn ours(blocks: &Path) -> Service {
    let features = format!("--enable-feature={FEATURES}");
    with_blocks(server().config(CONFIG).flag(KEEP).flag(&features).start(), blocks)
}

fn with_blocks(mut server: Service, blocks: &Path) -> Service {
    server.terminate();
    let data = server.folder().join("data");
    fs::remove_dir_all(&data).unwrap();
    copy(blocks, &data);
    server.restart();
    server
}

/// Writes the samples, and what `more` writes, and gives the directory of the blocks.
fn blocks(rng: &Rng, folder: &Path, more: impl FnOnce(&Db)) -> std::path::PathBuf {
    let day = DurationMs::from_secs(24 * 3600);
    let options = Options { min_block_duration: day, ..Options::default() };
    let db = Db::open(folder, options, &Env::real()).unwrap();
    for i in ["1", "2", "3"] {
        for j in ["x", "y"] {
            for metric in ["a", "b", "c_total", "u", "gappy", "odd"] {
                floats(rng, &db, &[("__name__", metric), ("i", i), ("j", j)], metric);
            }
            latencies(rng, &db, i, j);
            histograms(rng, &db, i, j);
        }
    }
    node(rng, &db);
    texts(&db, "text", TEXTS);
    texts(&db, "lines", LINES);
    more(&db);
    let name = db.snapshot(SnapshotOf::BlocksAndHead).unwrap();
    folder.join("snapshots").join(name)
}

fn append(db: &Db, labels: &[(&str, &str)], samples: &[(i64, Value<'_>)]) {
    let labels = Labels::from_pairs(labels.iter().copied());
    let mut appender = db.appender();
    for (t, value) in samples {
        let at = TimestampMs::new(*t);
        let sample = Append { value: *value, ..Append::float(SeriesId::Labels(&labels), at, 0.0) };
        appender.append(&sample).unwrap();
    }
    appender.commit().unwrap();
}

/// When a series' sample number `k` was taken, given its phase.
fn time(k: i64, phase: i64) -> i64 {
    BEGIN_S * 1000 + k * INTERVAL_MS + phase
}

fn phase(rng: &Rng) -> i64 {
    137 + rng.below(10) as i64 * 1000 + rng.below(800) as i64
}

/// A metric that has each of `values` in its label `v`.
fn texts(db: &Db, metric: &str, values: &[&str]) {
    for value in values {
        let samples: Vec<_> = (0..SAMPLES / 10).map(|k| (time(k * 10, 137), Value::Float(1.0))).collect();
        append(db, &[("__name__", metric), ("v", value)], &samples);
    }
}

/// Metrics as node_exporter and a model of them have, for the panels of dashboards.
fn node(rng: &Rng, db: &Db) {
    let own = [("instance", "localhost:9100"), ("job", "node")];
    let add = |name: &str, more: &[(&str, &str)], kind: &str| {
        let labels: Vec<_> = [("__name__", name)].iter().chain(&own).chain(more).copied().collect();
        floats(rng, db, &labels, kind);
    };
    for name in ["node_memory_MemAvailable_bytes", "node_memory_MemTotal_bytes", "node_load1", "node_load5"] {
        add(name, &[], "u");
    }
    add("node_time_seconds", &[], "c_total");
    add("node_boot_time_seconds", &[], "a");
    for cpu in ["0", "1", "2"] {
        for mode in ["idle", "user", "system", "iowait"] {
            add("node_cpu_seconds_total", &[("cpu", cpu), ("mode", mode)], "c_total");
        }
    }
    for (mountpoint, fstype) in [("/", "ext4"), ("/", "rootfs"), ("/boot", "ext4")] {
        let labels = [("device", fstype), ("fstype", fstype), ("mountpoint", mountpoint)];
        add("node_filesystem_avail_bytes", &labels, "u");
        add("node_filesystem_size_bytes", &labels, "u");
    }
    for device in ["eth0", "lo"] {
        for way in ["receive", "transmit"] {
            let name = format!("node_network_{way}_packets_total");
            add(&name, &[("device", device)], "c_total");
            for value_type in ["anomaly", "yhat"] {
                let exported = [
                    ("device", device),
                    ("value_type", value_type),
                    ("exported_instance", "localhost:9100"),
                    ("exported_job", "node"),
                    ("job", "PAD"),
                ];
                add(&format!("{name}_prophet"), &exported, "a");
            }
        }
    }
}

/// Samples of one series: `a` and `b` of small whole numbers, `c_total` counting up with resets (never
/// near zero, where the versions differ), `u` of unique numbers, `gappy` with gaps, `odd` with NaN.
fn floats(rng: &Rng, db: &Db, labels: &[(&str, &str)], kind: &str) {
    let phase = phase(rng);
    let (mut value, mut k, mut samples) = (1e9, 0, Vec::new());
    while k < SAMPLES {
        value = match kind {
            "c_total" if rng.below(200) == 0 => 5e8 + rng.below(1000) as f64,
            "c_total" => value + rng.below(1000) as f64 / 8.0,
            "u" => rng.next_u64() as f64 / 1e17 + 1.0,
            "odd" if rng.below(5) == 0 => f64::NAN,
            _ => rng.below(20) as f64 - 5.0,
        };
        samples.push((time(k, phase), Value::Float(value)));
        k += 1;
        if kind == "gappy" && rng.below(30) == 0 {
            k += rng.below(40) as i64;
        }
    }
    append(db, labels, &samples);
}

/// A classic histogram: counters that grow together, the greater bound never less.
fn latencies(rng: &Rng, db: &Db, i: &str, j: &str) {
    let phase = phase(rng);
    let bounds = ["0.1", "0.5", "1", "2.5", "+Inf"];
    let mut counts = [1e6; 5];
    let mut samples = vec![Vec::new(); 5];
    for k in 0..SAMPLES {
        let from = rng.below(5) as usize;
        counts[from..].iter_mut().for_each(|count| *count += rng.below(4) as f64 + from as f64);
        for at in 1..5 {
            counts[at] = counts[at].max(counts[at - 1]);
        }
        for (all, count) in samples.iter_mut().zip(counts) {
            all.push((time(k, phase), Value::Float(count)));
        }
    }
    for (le, samples) in bounds.iter().zip(&samples) {
        append(db, &[("__name__", "lat_bucket"), ("i", i), ("j", j), ("le", le)], samples);
    }
}

/// A native histogram that counts up, with resets; resolutions differ from series to series. Never near zero,
/// as the counters.
fn histograms(rng: &Rng, db: &Db, i: &str, j: &str) {
    let phase = phase(rng);
    let positive_spans = vec![Span { offset: -1, length: 2 }, Span { offset: 1, length: 2 }];
    let negative_spans = vec![Span { offset: 0, length: 1 }];
    let schema = i32::from(i == "2");
    let layout =
        Layout { schema, zero_threshold: 0.001, positive_spans, negative_spans, ..Layout::default() };
    let mut now = FloatHistogram {
        layout,
        positive_buckets: vec![1e6; 4],
        negative_buckets: vec![1e6],
        zero_count: 1e6,
        sum: 1e6,
        ..FloatHistogram::default()
    };
    let mut all = Vec::new();
    for k in 0..SAMPLES {
        if rng.below(100) == 0 {
            now.positive_buckets.fill(5e5);
            now.negative_buckets.fill(5e5);
            (now.zero_count, now.sum) = (5e5, 5e5);
        }
        let at = rng.below(4) as usize;
        now.positive_buckets[at] += rng.below(9) as f64;
        now.negative_buckets[0] += rng.below(2) as f64;
        now.zero_count += rng.below(2) as f64;
        now.sum += rng.below(30) as f64 / 4.0;
        let buckets = now.positive_buckets.iter().chain(&now.negative_buckets);
        now.count = now.zero_count + buckets.sum::<f64>();
        all.push((time(k, phase), now.clone()));
    }
    let samples: Vec<_> = all.iter().map(|(t, h)| (*t, Value::FloatHistogram(h))).collect();
    append(db, &[("__name__", "h"), ("i", i), ("j", j)], &samples);
}
