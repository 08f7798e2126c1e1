//! A directory of ours goes to the real Prometheus, which runs on it and adds to it, and comes back: with all
//! kinds of records that only we write, copies of names, samples out of order, after a clean stop of either
//! program and after none.
#![expect(clippy::disallowed_methods, reason = "directories of real programs are real files")]

use crate::content::{append, content_of};
use crate::fixtures::{self, FLOATS, HISTOGRAMS, START_MS, answer, as_answered_by_2, assert_same, made};
use skopos_base::Env;
use skopos_model::DurationMs;
use skopos_testkit::{
    peers, remote,
    series::{Content, LabelPairs, Series, Value},
    wait_until,
};
use skopos_tsdb::{Db, Options};
use std::{fs, path::Path, time::Duration};

const PATIENCE: Duration = Duration::from_secs(60);
const HOUR_MS: i64 = 3_600_000;
/// What we write, and what Prometheus adds.
const OURS_MS: i64 = 3 * HOUR_MS;
const THEIRS_MS: i64 = 5 * HOUR_MS;
/// The first byte of the markers around the records of one batch (docs/formats/wal.md).
const MARKER: u8 = 208;

/// How a program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Clean,
    Killed,
}

fn options() -> Options {
    Options {
        segment_bytes: 64 << 10,
        out_of_order_window: DurationMs::from_secs(2 * 3600),
        ..Options::default()
    }
}

/// Samples 5 s apart, from the newest one back: each is late but the first.
fn late(name: &str, newest: i64) -> Content {
    let labels: LabelPairs = [("__name__".to_owned(), name.to_owned())].into();
    let samples = (0..100).map(|i| (newest - 5000 * i, Value::float(i as f64))).collect();
    [(labels, Series { samples, ..Series::default() })].into()
}

fn between(content: &Content, from: i64, to: i64) -> Content {
    let mut content = content.clone();
    for series in content.values_mut() {
        series.samples.retain(|(t, _)| (from..to).contains(t));
    }
    content
}

/// Adds samples, in the order of time.
fn add(to: &mut Content, more: &Content) {
    for (labels, series) in more {
        let known = to.entry(labels.clone()).or_default();
        known.samples.extend(series.samples.iter().cloned());
        known.samples.sort_by_key(|(t, _)| *t);
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the folder is ours");
    for entry in fs::read_dir(from).expect("the folder is ours") {
        let path = entry.expect("it can be read").path();
        let target = to.join(path.file_name().expect("it has a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).expect("there is room");
        }
    }
}

/// Writes `content` and the late samples to `dir`, in batches of all kinds of values, and ends so.
fn write_ours(dir: &Path, content: &Content, late: &Content, end: End) {
    let place = tempfile::tempdir().expect("a temporary folder can be made");
    let db = Db::open(place.path(), options(), &Env::real()).expect("the directory is ours");
    for t in (START_MS..START_MS + OURS_MS).step_by(600_000) {
        append(&db, content, t..t + 600_000);
    }
    append(&db, late, i64::MIN..i64::MAX);
    db.sync().expect("the disk is sound");
    match end {
        // What is on the disk now is what a kill leaves.
        End::Killed => copy(place.path(), dir),
        End::Clean => {
            db.close().expect("the disk is sound");
            copy(place.path(), dir);
        }
    }
    assert!(dir.join("wal_names").is_dir(), "there is no copy of names");
    let log =
        fs::read_dir(dir.join("wal")).expect("there is a log").map(|e| e.expect("it can be read").path());
    let log: Vec<u8> =
        log.filter(|p| p.is_file()).flat_map(|p| fs::read(p).expect("it can be read")).collect();
    let markers = log.windows(8).filter(|header| header[0] == 1 && header[7] == MARKER).count();
    assert!(markers > 10, "{markers} markers of batches of several records");
}

fn blocks(dir: &Path) -> usize {
    let entries = fs::read_dir(dir).expect("the folder is there");
    entries.filter(|entry| entry.as_ref().is_ok_and(|e| e.path().join("meta.json").is_file())).count()
}

fn check(is_3: bool, ours_end: End, theirs_end: End) {
    let what = format!("Prometheus {}, {ours_end:?}, {theirs_end:?}", if is_3 { 3 } else { 2 });
    let program = if is_3 { peers::prometheus_3() } else { None };
    if is_3 && program.is_none() {
        return;
    }
    let shown = |content: &Content| if is_3 { content.clone() } else { as_answered_by_2(content) };
    let all = made(&[FLOATS, HISTOGRAMS].concat());
    let ours = between(&all, START_MS, START_MS + OURS_MS);
    let ours_late = late("late_ours", START_MS + OURS_MS - 60_000);
    let mut expected = ours.clone();
    add(&mut expected, &ours_late);

    let flags = ["--web.enable-remote-write-receiver"];
    let fill = |data: &Path| write_ours(data, &ours, &ours_late, ours_end);
    let mut prometheus = fixtures::prometheus_on(program, &flags, fill);
    assert_same(&format!("{what}: it opens ours"), &shown(&expected), &shown(&answer(&prometheus)));

    let (data, before) = (prometheus.folder().join("data"), blocks(&prometheus.folder().join("data")));
    // It runs on: new samples of known series, a series of its own, late ones; it cuts a block meanwhile.
    for t in (START_MS + OURS_MS..START_MS + THEIRS_MS).step_by(600_000) {
        let more = between(&all, t, t + 600_000);
        remote::write(&prometheus, remote::Protocol::V1, &more);
        add(&mut expected, &more);
    }
    let newest = START_MS + THEIRS_MS - 60_000;
    for late in [late("late_theirs", newest), late("late_ours", newest)] {
        for (labels, series) in &late {
            for sample in &series.samples {
                let one = Series { samples: vec![sample.clone()], ..Series::default() };
                remote::write(&prometheus, remote::Protocol::V1, &[(labels.clone(), one)].into());
            }
        }
        add(&mut expected, &late);
    }
    wait_until("a block of Prometheus", PATIENCE, || (blocks(&data) > before).then_some(()));
    assert_same(&format!("{what}: it ran on ours"), &shown(&expected), &shown(&answer(&prometheus)));
    match theirs_end {
        End::Clean => drop(prometheus.terminate()),
        End::Killed => drop(prometheus.kill9()),
    }

    // And back, twice: what the first start made of it holds the same.
    for start in ["the first start", "the second start"] {
        let db = Db::open(&data, options(), &Env::real()).expect("the directory opens");
        assert_same(&format!("{what}: {start}"), &expected, &content_of(&db));
        let stats = db.stats();
        assert_eq!((stats.wal_corruptions_total, stats.replay_unknown_series), (0, 0), "{what}: {start}");
        db.close().expect("the disk is sound");
    }
}

#[test]
fn prometheus_2_runs_on_a_directory_of_ours_that_was_closed_and_gives_it_back() {
    check(false, End::Clean, End::Clean);
}

#[test]
fn prometheus_2_runs_on_a_directory_of_ours_that_was_killed_and_gives_it_back() {
    check(false, End::Killed, End::Killed);
}

#[test]
fn prometheus_3_runs_on_a_directory_of_ours_that_was_closed_and_gives_it_back() {
    check(true, End::Clean, End::Clean);
}

#[test]
fn prometheus_3_runs_on_a_directory_of_ours_that_was_killed_and_gives_it_back() {
    check(true, End::Killed, End::Killed);
}

/// Prometheus takes over a snapshot of memory in the place of the log; the log has all that it has.
fn check_snapshot(is_3: bool) {
    let program = if is_3 { peers::prometheus_3() } else { None };
    if is_3 && program.is_none() {
        return;
    }
    // 2.42 makes no snapshots where it takes histograms.
    let kinds = if is_3 { [FLOATS, HISTOGRAMS].concat() } else { FLOATS.to_vec() };
    let all = made(&kinds);
    let receiver = "--web.enable-remote-write-receiver";
    let config = "storage: { tsdb: { out_of_order_time_window: 2h } }\n";
    let mut prometheus = match program {
        Some(program) => {
            let features = "--enable-feature=memory-snapshot-on-shutdown,native-histograms";
            peers::prometheus_at(program, config, &[receiver, features])
        }
        None => peers::prometheus(config, &[receiver, "--enable-feature=memory-snapshot-on-shutdown"]),
    };
    let data = prometheus.folder().join("data");
    let mut expected = Content::new();
    // Twice, so that the second life begins with a snapshot and cuts a block of what that brought.
    for life in [0..OURS_MS, OURS_MS..2 * OURS_MS] {
        let before = blocks(&data);
        for t in life.clone().step_by(600_000) {
            let more = between(&all, START_MS + t, START_MS + t + 600_000);
            remote::write(&prometheus, remote::Protocol::V1, &more);
            add(&mut expected, &more);
        }
        let newest = START_MS + life.end - 60_000;
        let late = late(&format!("late_{}", life.start), newest);
        for (labels, series) in &late {
            for sample in &series.samples {
                let one = Series { samples: vec![sample.clone()], ..Series::default() };
                remote::write(&prometheus, remote::Protocol::V1, &[(labels.clone(), one)].into());
            }
        }
        add(&mut expected, &late);
        if life.start > 0 {
            wait_until("a block of Prometheus", PATIENCE, || (blocks(&data) > before).then_some(()));
        }
        prometheus.terminate();
        let entries = fs::read_dir(&data).expect("the folder is there");
        let names = entries.map(|e| e.expect("it can be read").file_name().to_string_lossy().into_owned());
        let snapshots = names.filter(|name| name.starts_with("chunk_snapshot.")).count();
        assert_eq!(snapshots, 1, "{}", prometheus.log());
        let copied = tempfile::tempdir().expect("a temporary folder can be made");
        copy(&data, copied.path());
        for start in ["the first start", "the second start"] {
            let db = Db::open(copied.path(), options(), &Env::real()).expect("the directory opens");
            assert_same(&format!("behind {life:?}: {start}"), &expected, &content_of(&db));
            assert_eq!(db.stats().wal_corruptions_total, 0, "{start}");
            db.close().expect("the disk is sound");
        }
        prometheus.restart();
    }
}

#[test]
fn what_prometheus_2_closed_with_a_snapshot_of_memory_opens_with_every_sample() {
    check_snapshot(false);
}

#[test]
fn what_prometheus_3_closed_with_a_snapshot_of_memory_opens_with_every_sample() {
    check_snapshot(true);
}
