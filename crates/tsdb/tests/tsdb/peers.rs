//! Debian's Prometheus as the judge: it opens what we wrote, and we open what it wrote.

use crate::common::{Dump, commit, dump};
use serde_json::Value;
use skopos_base::{
    Env,
    fs::{OpenMode, append_all},
};
use skopos_model::{DurationMs, Labels, TimestampMs, is_stale_nan};
use skopos_testkit::{
    peers, remote,
    series::{Content, Series, Value as Sampled},
    service::Service,
    wait_until,
};
use skopos_tsdb::{Db, Options, WalCompression};
use std::{path::PathBuf, time::Duration};

const PATIENCE: Duration = Duration::from_secs(60);

fn data(prometheus: &Service) -> PathBuf {
    prometheus.folder().join("data")
}

/// All samples of the last hour, as Prometheus answers them. Staleness markers are not part of its answers.
fn samples_of(prometheus: &Service, at_ms: i64) -> Dump {
    let query = "%7B__name__%3D~%22.%2B%22%7D%5B1h%5D";
    let time = at_ms as f64 / 1000.0;
    let answer = prometheus.get(&format!("/api/v1/query?query={query}&time={time}"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer: Value = serde_json::from_slice(&answer.body).expect("the answer is JSON");
    let rows = answer["data"]["result"].as_array().expect("the answer has series");
    rows.iter().map(series_of).collect()
}

fn series_of(row: &Value) -> (Labels, Vec<(i64, u64)>) {
    let pairs = row["metric"].as_object().expect("a series has labels");
    let labels = Labels::from_pairs(pairs.iter().map(|(n, v)| (n, v.as_str().expect("a label is text"))));
    let samples = row["values"].as_array().expect("a series has samples");
    let samples = samples.iter().map(|pair| {
        let seconds = pair[0].as_f64().expect("a time is a number");
        let value: f64 = pair[1].as_str().and_then(|v| v.parse().ok()).expect("a value is a number in text");
        ((seconds * 1000.0).round() as i64, value.to_bits())
    });
    (labels, samples.collect())
}

/// A dump without what Prometheus does not show, and with one bit pattern for all NaNs.
fn as_shown(mut dump: Dump) -> Dump {
    for samples in dump.values_mut() {
        samples.retain(|(_, bits)| !is_stale_nan(f64::from_bits(*bits)));
        for (_, bits) in samples.iter_mut().filter(|(_, bits)| f64::from_bits(*bits).is_nan()) {
            *bits = f64::NAN.to_bits();
        }
    }
    dump.retain(|_, samples| !samples.is_empty());
    dump
}

fn assert_same(ours: &Dump, theirs: &Dump) {
    for (labels, samples) in theirs {
        assert_eq!(ours.get(labels), Some(samples), "{labels}");
    }
    assert_eq!(ours.len(), theirs.len(), "series");
}

/// A life with many sorts of values over several segments and starts, ended without a last word.
fn write_ours(env: &Env, dir: &std::path::Path, compression: WalCompression) -> Dump {
    let values = [0.0, -0.0, 1.0, 1e300, 5e-324, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.1 + 0.2];
    let options = Options { segment_bytes: 64 << 10, wal_compression: compression, ..Options::default() };
    let start = env.clock.wall_ms() - 1_200_000;
    let mut left = Dump::new();
    let mut segments = 0;
    for life in 0..3 {
        let db = Db::open(dir, options.clone(), env).expect("the directory is ours");
        for i in 0..100 {
            let t = start + (life * 100 + i) * 3000;
            let batch: Vec<_> = (0..60)
                .map(|s| {
                    let name = if s % 2 == 0 { "même.größe" } else { "plain" };
                    let pad = "p".repeat((s * 20) as usize);
                    let labels = Labels::from_pairs([
                        ("__name__", name),
                        ("i", &s.to_string()),
                        ("life", &(s % 3 * life).to_string()),
                        ("pad", &pad),
                    ]);
                    (labels, t + s % 2, values[((i + s) % 9) as usize] * if s == 7 { t as f64 } else { 1.0 })
                })
                .collect();
            commit(&db, &batch).expect("the disk is sound");
        }
        segments += db.stats().wal_segments_total;
        left = dump(env, &db);
        db.close().expect("the disk is sound");
    }
    assert!(segments > 3 || compression == WalCompression::Snappy, "{segments} segments in three lives");
    left
}

#[test]
fn prometheus_answers_from_our_wal_as_we_do() {
    let env = Env::real();
    let mut prometheus = peers::prometheus("", &[]);
    for compression in [WalCompression::None, WalCompression::Snappy] {
        prometheus.terminate();
        env.fs.remove_dir_all(&data(&prometheus)).expect("it was Prometheus'");
        let ours = write_ours(&env, &data(&prometheus), compression);
        assert_eq!(ours.len(), 60 + 40 + 40);
        prometheus.restart();
        let theirs = samples_of(&prometheus, env.clock.wall_ms());
        assert_same(&as_shown(ours), &as_shown(theirs));
        assert!(!prometheus.log().contains("corrupt"), "{}", prometheus.log());
    }
}

#[test]
fn prometheus_reads_a_log_that_begins_with_a_checkpoint() {
    let env = Env::real();
    let mut prometheus = peers::prometheus("", &[]);
    for compression in [WalCompression::None, WalCompression::Snappy] {
        prometheus.terminate();
        env.fs.remove_dir_all(&data(&prometheus)).expect("it was Prometheus'");
        let all = write_ours(&env, &data(&prometheus), compression);
        // A snapshot has what the log loses here.
        let options = Options {
            segment_bytes: 64 << 10,
            wal_compression: compression,
            snapshot_on_shutdown: false,
            ..Options::default()
        };
        let newest = all.values().flatten().map(|(t, _)| *t).max().expect("there are samples");
        for before_ms in [newest - 700_000, newest - 400_000] {
            let db = Db::open(&data(&prometheus), options.clone(), &env).expect("the directory is ours");
            let before = TimestampMs::new(before_ms);
            let stats =
                db.steps().truncate_wal(before).expect("the disk is sound").expect("there are segments");
            assert!(stats.samples.dropped > 0 && stats.samples.dropped < stats.samples.total, "{stats:?}");
            db.close().expect("the disk is sound");
        }
        let db = Db::open(&data(&prometheus), options, &env).expect("the directory is ours");
        let ours = dump(&env, &db);
        db.close().expect("the disk is sound");
        assert!(ours.values().flatten().count() < all.values().flatten().count());
        prometheus.restart();
        let theirs = samples_of(&prometheus, env.clock.wall_ms());
        assert_same(&as_shown(ours), &as_shown(theirs));
        assert!(!prometheus.log().contains("corrupt"), "{}", prometheus.log());
        assert!(prometheus.log().contains("WAL checkpoint loaded"), "{}", prometheus.log());
    }
}

#[test]
fn what_prometheus_wrote_before_it_was_killed_is_all_there() {
    let env = Env::real();
    let config = "
global: { scrape_interval: 200ms, scrape_timeout: 200ms }
scrape_configs: [{ job_name: itself, file_sd_configs: [{ files: [targets.json], refresh_interval: 1s }] }]
";
    let mut prometheus = peers::prometheus(config, &[]);
    let new = prometheus.folder().join("targets.new");
    let mut file = env.fs.open(&new, OpenMode::CreateNew).expect("the folder is ours");
    append_all(&mut *file, format!("[{{\"targets\": [\"{}\"]}}]", prometheus.address()).as_bytes())
        .expect("the disk is sound");
    env.fs.rename(&new, &prometheus.folder().join("targets.json")).expect("the folder is ours");
    let theirs = wait_until("two seconds of scrapes", PATIENCE, || {
        let all = samples_of(&prometheus, env.clock.wall_ms());
        all.values().any(|samples| samples.len() >= 10).then_some(all)
    });
    assert!(theirs.len() > 300, "Prometheus has {} series about itself", theirs.len());
    prometheus.kill9();
    // Its lock died with it.
    let db = Db::open(&data(&prometheus), Options::default(), &env).expect("we open what it left");
    let ours = as_shown(dump(&env, &db));
    let stats = db.stats();
    assert_eq!((stats.replay_unknown_series, stats.wal_corruptions_total), (0, 0));
    for (labels, samples) in as_shown(theirs) {
        let found = ours.get(&labels).unwrap_or_else(|| panic!("{labels} is gone"));
        assert!(found.starts_with(&samples) || samples.iter().all(|s| found.contains(s)), "{labels}");
    }
    // And it goes on with what we add.
    let own = (Labels::from_pairs([("__name__", "ours")]), env.clock.wall_ms() - 1000, 42.0);
    commit(&db, std::slice::from_ref(&own)).expect("the disk is sound");
    let ours = as_shown(dump(&env, &db));
    db.close().expect("the disk is sound");
    env.fs.remove_file(&prometheus.folder().join("targets.json")).expect("it is there");
    prometheus.restart();
    let theirs = as_shown(samples_of(&prometheus, env.clock.wall_ms()));
    for (labels, samples) in ours {
        assert_eq!(
            theirs.get(&labels).map(|s| &s[..samples.len().min(s.len())]),
            Some(&samples[..]),
            "{labels}"
        );
    }
}

const OUT_OF_ORDER: &str = "storage: { tsdb: { out_of_order_time_window: 6h } }";

fn with_window() -> Options {
    Options { out_of_order_window: DurationMs::from_secs(6 * 3600), ..Options::default() }
}

/// The times of late samples, in an order that is none: several chunks of 32 and an open one.
fn late_times(newest: i64) -> impl Iterator<Item = i64> {
    (0..100).map(move |i| newest - 5_000 * (i * 37 % 101 + 1))
}

fn late_series(i: usize) -> Labels {
    Labels::from_pairs([("__name__", "late"), ("i", &i.to_string())])
}

#[test]
fn prometheus_reads_our_samples_out_of_order() {
    let env = Env::real();
    let mut prometheus = peers::prometheus(OUT_OF_ORDER, &[]);
    prometheus.terminate();
    env.fs.remove_dir_all(&data(&prometheus)).expect("it was Prometheus'");
    let db = Db::open(&data(&prometheus), with_window(), &env).expect("the directory is ours");
    let newest = env.clock.wall_ms() - 10_000;
    commit(&db, &[0, 1, 2].map(|i| (late_series(i), newest, 0.0))).expect("the disk is sound");
    for (n, t) in late_times(newest).enumerate() {
        commit(&db, &[0, 1].map(|i| (late_series(i), t, n as f64))).expect("the disk is sound");
        if n % 30 == 7 {
            db.sync().expect("the disk is sound");
        }
    }
    let ours = dump(&env, &db);
    assert_eq!(ours[&late_series(0)].len(), 101);
    db.close().expect("the disk is sound");
    prometheus.restart();
    let theirs = samples_of(&prometheus, env.clock.wall_ms());
    assert_same(&as_shown(ours), &as_shown(theirs));
    let log = prometheus.log();
    assert!(!log.contains("corrupt") && !log.contains("Unknown"), "{log}");
}

#[test]
fn we_read_what_prometheus_has_out_of_order() {
    let env = Env::real();
    let mut prometheus = peers::prometheus(OUT_OF_ORDER, &["--web.enable-remote-write-receiver"]);
    let newest = env.clock.wall_ms() - 10_000;
    let send = |prometheus: &Service, samples: &[(i64, f64)]| {
        let samples = samples.iter().map(|(t, v)| (*t, Sampled::float(*v))).collect();
        let labels = late_series(0).iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        let content = Content::from([(labels, Series { samples, ..Series::default() })]);
        remote::write(prometheus, remote::Protocol::V1, &content);
    };
    send(&prometheus, &[(newest, -1.0)]);
    let mut expected = vec![(newest, (-1f64).to_bits())];
    for (n, t) in late_times(newest).enumerate() {
        send(&prometheus, &[(t, n as f64)]);
        expected.push((t, (n as f64).to_bits()));
    }
    expected.sort_unstable();
    prometheus.kill9();
    for life in 0..3 {
        let db = Db::open(&data(&prometheus), with_window(), &env).expect("we open what it left");
        let ours = dump(&env, &db);
        assert_eq!(ours[&late_series(0)], expected, "life {life}");
        assert_eq!(db.stats().wal_corruptions_total, 0);
        db.close().expect("the disk is sound");
    }
    // Without a window they are there as well.
    let db = Db::open(&data(&prometheus), Options::default(), &env).expect("we open what it left");
    assert_eq!(dump(&env, &db)[&late_series(0)], expected);
    assert!(db.compact_out_of_order().expect("the disk is sound").out_of_order > 0);
    assert_eq!(dump(&env, &db)[&late_series(0)], expected, "in blocks");
}
