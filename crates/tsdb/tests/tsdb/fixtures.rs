//! Data directories that real programs wrote (`tests/fixtures`): each is opened and holds exactly what the
//! real program says. And the other way: what we write is opened by the real programs and answers the same.
#![expect(clippy::disallowed_methods, reason = "fixtures and the folders of real programs are real files")]

use crate::content::{append, content_of, differences};
use skopos_base::Env;
use skopos_model::{MetricType, TimestampMs};
use skopos_storage::Queryable;
use skopos_testkit::{
    archive, peers, remote,
    series::{self, Content, Counts, Histogram, LabelPairs, Reset, Series, Value},
    service::Service,
};
use skopos_tsdb::{Db, Options, WalCompression};
use std::{
    fs,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

const HOUR_MS: i64 = 3_600_000;
/// The first moment of every fixture, and of what we write.
pub(crate) const START_MS: i64 = 1_699_999_200_000;
const HOURS: i64 = 13;

/// Every archive, and whether histograms are among its samples.
const FIXTURES: [(&str, &str, bool); 9] = [
    ("2.42", "ended", true),
    ("2.42", "killed", true),
    ("2.42", "killed-uncompressed", true),
    ("2.42", "snapshot", false),
    ("3.5", "ended", true),
    ("3.5", "killed", true),
    ("3.5", "ended-zstd", true),
    ("3.5", "killed-zstd", true),
    ("3.5", "snapshot", true),
];

fn folder(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/prometheus-{version}"))
}

fn expected(version: &str, with_histograms: bool) -> Content {
    let packed = fs::read(folder(version).join("expected.txt.gz")).expect("the fixture is there");
    let text = String::from_utf8(archive::decompress(&packed).expect("it is whole")).expect("it is text");
    let mut content = series::from_text(&text).expect("it has the form of an expected content");
    if !with_histograms {
        for series in content.values_mut() {
            series.samples.retain(|(_, value)| matches!(value, Value::Float(_)));
        }
        content.retain(|_, series| !series.samples.is_empty());
    }
    content
}

fn unpacked(version: &str, name: &str) -> TempDir {
    let to = tempfile::tempdir().expect("a temporary folder can be made");
    let packed = fs::read(folder(version).join(format!("{name}.tar.gz"))).expect("the fixture is there");
    archive::unpack(&packed, to.path()).expect("it is whole");
    to
}

fn open(dir: &Path) -> Db {
    Db::open(dir, Options::default(), &Env::real()).expect("the directory opens")
}

/// Fails with the first differences.
#[track_caller]
pub(crate) fn assert_same(what: &str, expected: &Content, found: &Content) {
    let all = differences(expected, found);
    let first = all.iter().take(12).cloned().collect::<Vec<_>>().join("\n");
    assert!(all.is_empty(), "{what}: {} differences:\n{first}", all.len());
}

/// Opens the fixture twice: what the first start made of it must hold the same.
#[track_caller]
fn check(version: &str, name: &str) {
    let (.., with_histograms) =
        FIXTURES.into_iter().find(|f| (f.0, f.1) == (version, name)).expect("it is listed");
    let expected = expected(version, with_histograms);
    let dir = unpacked(version, name);
    for start in ["the first start", "the second start"] {
        let db = open(dir.path());
        assert_same(start, &expected, &content_of(&db));
        assert_eq!(db.stats().wal_corruptions_total, 0, "{start}");
        for (labels, series) in &expected {
            let Some(metadata) = &series.metadata else { continue };
            let found = db.metadata(&labels["__name__"]).expect("metadata of a metric in the WAL is known");
            let metric_type = MetricType::from_name(&metadata.metric_type);
            assert_eq!(Some(found.metric_type), metric_type, "{start}, {labels:?}");
            assert_eq!((&found.help, &found.unit), (&metadata.help, &metadata.unit), "{start}, {labels:?}");
        }
        db.close().expect("the disk is sound");
    }
}

#[test]
fn a_directory_of_2_42_that_was_ended() {
    check("2.42", "ended");
}

#[test]
fn a_directory_of_2_42_that_was_killed() {
    check("2.42", "killed");
}

#[test]
fn a_directory_of_2_42_with_an_uncompressed_log() {
    check("2.42", "killed-uncompressed");
}

#[test]
fn a_directory_of_2_42_with_a_snapshot() {
    check("2.42", "snapshot");
}

#[test]
fn a_directory_of_3_5_that_was_ended() {
    check("3.5", "ended");
}

#[test]
fn a_directory_of_3_5_that_was_killed() {
    check("3.5", "killed");
}

#[test]
fn a_directory_of_3_5_with_a_log_in_zstd_that_was_ended() {
    check("3.5", "ended-zstd");
}

#[test]
fn a_directory_of_3_5_with_a_log_in_zstd_that_was_killed() {
    check("3.5", "killed-zstd");
}

#[test]
fn a_directory_of_3_5_with_a_snapshot() {
    check("3.5", "snapshot");
}

/// What is expected and what is packed hold what their README says, so that no test above compares nothing.
#[test]
fn fixtures_hold_what_they_are_for() {
    for (version, name, with_histograms) in FIXTURES {
        let (content, dir) = (expected(version, with_histograms), unpacked(version, name));
        let is_3 = version == "3.5";
        let samples = |keep: fn(&Value) -> bool| -> usize {
            content.values().map(|s| s.samples.iter().filter(|(_, value)| keep(value)).count()).sum()
        };
        let floats = samples(|value| matches!(value, Value::Float(_)));
        let counts = (content.len(), floats, samples(|_| true) - floats);
        let wanted = match (is_3, with_histograms) {
            (true, _) => (30, 1871, 813),
            (false, true) => (27, 1871, 576),
            (false, false) => (18, 1871, 0),
        };
        assert_eq!(counts, wanted, "{version} {name}");
        assert_eq!(
            content.values().filter(|series| series.metadata.is_some()).count(),
            if is_3 { 26 } else { 0 }
        );
        let entries = |path: &str| {
            let entries = fs::read_dir(dir.path().join(path)).expect("the folder is there");
            let mut all: Vec<String> = entries
                .map(|e| e.expect("it can be read").file_name().to_string_lossy().into_owned())
                .collect();
            all.sort();
            all
        };
        let top = entries("");
        assert_eq!(
            top.iter().filter(|one| one.len() == 26).count(),
            3,
            "blocks of {version} {name}: {top:?}"
        );
        assert_eq!(top.iter().any(|one| one.starts_with("chunk_snapshot.")), name == "snapshot", "{top:?}");
        assert!(entries("wal").iter().any(|one| one.starts_with("checkpoint.")), "{version} {name}");
        assert!(!entries("wbl").is_empty() && !entries("chunks_head").is_empty(), "{version} {name}");
    }
}

/// What we write: metric, minutes between samples, value.
pub(crate) type Kind = (&'static str, i64, fn(i64) -> Value);

pub(crate) const FLOATS: &[Kind] = &[
    ("counter", 1, |i| Value::float((i * 3) as f64)),
    ("gauge", 3, |i| Value::float((i * 7919 % 1000) as f64 / 8.0 - 40.1)),
    ("constant", 10, |_| Value::float(42.0)),
    ("odd", 10, |i| {
        Value::float(
            [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 5e-324, f64::MAX, 0.1 + 0.2][i as usize % 6],
        )
    }),
    ("stale", 10, |i| if i % 5 == 4 { Value::Float(0x7ff0_0000_0000_0002) } else { Value::float(i as f64) }),
];

pub(crate) const HISTOGRAMS: &[Kind] = &[
    ("whole", 10, |i| histogram(i, Counts::Whole, Reset::Unknown)),
    ("resetting", 10, |i| histogram(i % 29, Counts::Whole, Reset::Unknown)),
    ("floats", 10, |i| histogram(i, Counts::Floats, Reset::Unknown)),
    ("gauge_whole", 10, |i| histogram(i * 7 % 40, Counts::Whole, Reset::Gauge)),
    ("gauge_floats", 10, |i| histogram(i * 7 % 40, Counts::Floats, Reset::Gauge)),
    ("in_turn", 10, |i| {
        if i / 7 % 2 == 0 { Value::float(i as f64) } else { histogram(i, Counts::Whole, Reset::Unknown) }
    }),
];

fn histogram(i: i64, counts: Counts, reset: Reset) -> Value {
    let n = (i + 1) as f64 * if counts == Counts::Floats { 0.25 } else { 1.0 };
    let mut positive = [(-2, n), (-1, 3.0 * n), (7, n)];
    if i > 40 {
        positive[2].0 = 8;
    }
    Value::Histogram(Histogram {
        counts,
        schema: 3,
        zero_threshold: 1e-128,
        zero_count: n,
        count: 8.0 * n,
        sum_bits: (2.5 * n).to_bits(),
        reset,
        positive: positive.into(),
        negative: [(0, 2.0 * n)].into(),
        custom_bounds: Vec::new(),
    })
}

pub(crate) fn made(kinds: &[Kind]) -> Content {
    let of = |(name, minutes, value): &Kind| {
        let labels = [("__name__", *name), ("job", "größe \"☃\"")];
        let labels: LabelPairs = labels.map(|(n, v)| (n.to_owned(), v.to_owned())).into();
        let times = (0..).map(|i| (i, START_MS + i * minutes * 60_000));
        let samples = times.take_while(|(_, t)| *t < START_MS + HOURS * HOUR_MS).map(|(i, t)| (t, value(i)));
        (labels, Series { samples: samples.collect(), ..Series::default() })
    };
    kinds.iter().map(of).collect()
}

/// Commits `content` half an hour at a time, over two lives.
fn write(dir: &Path, content: &Content, options: &Options) {
    for life in [0..HOURS, HOURS..2 * HOURS] {
        let db = Db::open(dir, options.clone(), &Env::real()).expect("the directory is ours");
        for half in life {
            let from = START_MS + half * HOUR_MS / 2;
            append(&db, content, from..from + HOUR_MS / 2);
        }
        assert_same("what we wrote ourselves", &until(content, &db), &content_of(&db));
        db.close().expect("the disk is sound");
    }
}

/// What `db` should have: all up to its newest sample.
fn until(content: &Content, db: &Db) -> Content {
    let newest = db.time_range().map_or(i64::MIN, |range| range.max.as_ms());
    let mut content = content.clone();
    content.values_mut().for_each(|series| series.samples.retain(|(t, _)| *t <= newest));
    content
}

pub(crate) fn answer(prometheus: &Service) -> Content {
    remote::read(prometheus, START_MS - HOUR_MS, START_MS + (HOURS + 1) * HOUR_MS)
}

/// Starts `program` on what `fill` puts into its directory.
pub(crate) fn prometheus_on(program: Option<PathBuf>, more: &[&str], fill: impl FnOnce(&Path)) -> Service {
    let config = "storage: { tsdb: { out_of_order_time_window: 2h } }\n";
    let flags = [&["--enable-feature=native-histograms"], more].concat();
    let mut prometheus = match program {
        Some(program) => peers::prometheus_at(program, config, &flags),
        None => peers::prometheus(config, &flags),
    };
    prometheus.terminate();
    let data = prometheus.folder().join("data");
    fs::remove_dir_all(&data).expect("it was Prometheus'");
    fs::create_dir(&data).expect("the folder is ours");
    fill(&data);
    prometheus.restart();
    assert!(!prometheus.log().to_lowercase().contains("corrupt"), "{}", prometheus.log());
    prometheus
}

/// `content` as Prometheus 2.42 answers it to a remote read: a series ends where its first histogram
/// stands, and a zero has no sign.
pub(crate) fn as_answered_by_2(content: &Content) -> Content {
    let mut content = content.clone();
    for series in content.values_mut() {
        let is_histogram = |(_, value): &(i64, Value)| matches!(value, Value::Histogram(_));
        let floats = series.samples.iter().position(is_histogram).unwrap_or(series.samples.len());
        series.samples.truncate(floats);
        for (_, value) in series.samples.iter_mut().filter(|(_, value)| *value == Value::float(-0.0)) {
            *value = Value::float(0.0);
        }
    }
    content.retain(|_, series| !series.samples.is_empty());
    content
}

fn check_ours(kinds: &[Kind]) {
    let ours = made(kinds);
    for wal_compression in [WalCompression::None, WalCompression::Snappy, WalCompression::Zstd] {
        let options = Options { segment_bytes: 64 << 10, wal_compression, ..Options::default() };
        // 2.42 knows no zstd.
        if wal_compression != WalCompression::Zstd {
            let prometheus = prometheus_on(None, &[], |data| write(data, &ours, &options));
            assert_same("Prometheus 2.42", &as_answered_by_2(&ours), &as_answered_by_2(&answer(&prometheus)));
        }
        if let Some(program) = peers::prometheus_3() {
            let prometheus = prometheus_on(Some(program), &[], |data| write(data, &ours, &options));
            assert_same("Prometheus 3", &ours, &answer(&prometheus));
        }
    }
}

#[test]
fn the_real_prometheus_answers_our_floats() {
    check_ours(FLOATS);
}

#[test]
fn the_real_prometheus_answers_our_histograms() {
    check_ours(HISTOGRAMS);
}

/// There and back: what Prometheus wrote, we opened and added to, Prometheus opens again.
#[test]
fn a_directory_passes_from_prometheus_to_us_and_back() {
    let mut expected = as_answered_by_2(&expected("2.42", true));
    let labels: LabelPairs = [("__name__".to_owned(), "ours".to_owned())].into();
    let samples = vec![(START_MS + HOURS * HOUR_MS, Value::float(42.0))];
    let ours: Content = [(labels, Series { samples, ..Series::default() })].into();
    let prometheus = prometheus_on(None, &[], |data| {
        let packed = fs::read(folder("2.42").join("killed.tar.gz")).expect("the fixture is there");
        archive::unpack(&packed, data).expect("it is whole");
        let db = open(data);
        append(&db, &ours, i64::MIN..i64::MAX);
        assert!(db.querier(skopos_storage::TimeRange::ALL).is_ok());
        assert_eq!(
            db.time_range().map(|range| range.max),
            Some(TimestampMs::new(START_MS + HOURS * HOUR_MS))
        );
        db.close().expect("the disk is sound");
    });
    expected.extend(ours);
    assert_same("Prometheus 2.42", &expected, &as_answered_by_2(&answer(&prometheus)));
}
