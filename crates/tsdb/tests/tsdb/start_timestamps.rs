//! Logs whose records have start timestamps, as Prometheus 3.9 and later writes them where it is told to
//! (kinds 11 to 13): no sample is lost of them, and of a sample nothing but its start (docs/decisions/0005).

use crate::{
    common::{DIR, open},
    content::{append_one, content_of},
    fixtures::{FLOATS, HISTOGRAMS, made},
};
use skopos_base::{
    Env,
    crc::crc32c,
    fs::{OpenMode, append_all, read_all},
    sim::SimWorld,
    varint::{put_varint, varint},
};
use skopos_model::{DurationMs, Labels, TimestampMs};
use skopos_storage::Appendable;
use skopos_testkit::series::{Content, Reset, Value};
use skopos_tsdb::{Db, Options, WalCompression};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

const PAGE: usize = 32 << 10;

fn options() -> Options {
    Options {
        min_block_duration: DurationMs::from_secs(1 << 30),
        max_block_duration: DurationMs::from_secs(1 << 30),
        out_of_order_window: DurationMs::from_secs(1 << 20),
        max_future: DurationMs::from_secs(1 << 31),
        maintenance_interval: DurationMs::from_secs(1 << 30),
        wal_compression: WalCompression::None,
        snapshot_on_shutdown: false,
        ..Options::default()
    }
}

/// The records of a segment, none of which is compressed.
fn records_of(log: &[u8]) -> Vec<Vec<u8>> {
    let (mut records, mut at) = (Vec::<Vec<u8>>::new(), 0);
    while at < log.len() {
        // A page ends in zeros.
        if log[at] == 0 {
            at = (at / PAGE + 1) * PAGE;
            continue;
        }
        let data = at + 7..at + 7 + usize::from(u16::from_be_bytes([log[at + 1], log[at + 2]]));
        // Whole, or the first part of one.
        if log[at] <= 2 {
            records.push(Vec::new());
        }
        records.last_mut().expect("a part follows another").extend_from_slice(&log[data.clone()]);
        at = data.end;
    }
    records
}

fn segment_of(records: &[Vec<u8>]) -> Vec<u8> {
    let mut log = Vec::new();
    for record in records {
        let mut rest = &record[..];
        while !rest.is_empty() {
            if PAGE - log.len() % PAGE <= 7 {
                log.resize(log.len().next_multiple_of(PAGE), 0);
            }
            let (part, others) = rest.split_at(rest.len().min(PAGE - log.len() % PAGE - 7));
            log.push(match (part.len() == record.len(), rest.len() == record.len(), others.is_empty()) {
                (true, ..) => 1,
                (false, true, _) => 2,
                (false, false, false) => 3,
                (false, false, true) => 4,
            });
            log.extend_from_slice(&(part.len() as u16).to_be_bytes());
            log.extend_from_slice(&crc32c(part).to_be_bytes());
            log.extend_from_slice(part);
            rest = others;
        }
    }
    log
}

/// How far the start of a count stands before its sample.
const SINCE_MS: i64 = 12_345;

/// Number and time of the first sample of a record, against which the others stand.
fn first_of(record: &[u8]) -> (i64, i64) {
    let number = |at: usize| i64::from_be_bytes(*record[at..].first_chunk().expect("it has eight bytes"));
    assert_eq!(record[17..19], [0, 0], "the first sample stands against itself");
    (number(1), number(9))
}

/// A record of floats, or of one histogram, with the start of each count. Others stay as they are.
fn with_start(record: Vec<u8>) -> Vec<u8> {
    let kind = match record[0] {
        2 => return floats_with_starts(&record),
        7 | 9 => 12,
        8 | 10 => 13,
        _ => return record,
    };
    let (wal_ref, t) = first_of(&record);
    let mut out = vec![kind];
    [wal_ref, t, t - SINCE_MS].into_iter().for_each(|n| put_varint(&mut out, n));
    out.extend_from_slice(&record[19..]);
    out
}

fn floats_with_starts(record: &[u8]) -> Vec<u8> {
    let ((first_ref, first_t), mut rest) = (first_of(record), &record[17..]);
    let (mut out, mut before) = (vec![11], None);
    while !rest.is_empty() {
        let (ref_less, n) = varint(rest).expect("it is sound");
        let (t_less, m) = varint(&rest[n..]).expect("it is sound");
        let wal_ref = first_ref + ref_less;
        match before {
            None => {
                [first_ref, first_t, first_t - SINCE_MS].into_iter().for_each(|n| put_varint(&mut out, n));
            }
            Some(before) => {
                [wal_ref - before, t_less].into_iter().for_each(|n| put_varint(&mut out, n));
                // A start of its own, against the first one.
                out.push(2);
                put_varint(&mut out, t_less);
            }
        }
        out.extend_from_slice(&rest[n + m..n + m + 8]);
        (before, rest) = (Some(wal_ref), &rest[n + m + 8..]);
    }
    out
}

/// The files of a log.
fn segments(env: &Env, log: &str) -> Vec<PathBuf> {
    let dir = Path::new(DIR).join(log);
    let entries = env.fs.read_dir(&dir).expect("it is there");
    entries.into_iter().filter(|entry| !entry.is_dir).map(|entry| dir.join(entry.name)).collect()
}

/// Which kinds the records have that have starts.
fn kinds_with_starts(records: &[Vec<u8>]) -> BTreeSet<u8> {
    records.iter().map(|record| record[0]).filter(|kind| (11..=13).contains(kind)).collect()
}

/// Gives the records of a log starts; which kinds there are then. Those of histograms of the write-behind log
/// have several of them, and stay as they are.
fn put_starts(env: &Env, log: &str) -> BTreeSet<u8> {
    let mut kinds = BTreeSet::new();
    for path in segments(env, log) {
        let records = records_of(&read_all(&*env.fs, &path).expect("it is there"));
        let is_put = |record: &Vec<u8>| log == "wal" || record[0] == 2;
        let each =
            records.into_iter().map(|record| if is_put(&record) { with_start(record) } else { record });
        let records: Vec<_> = each.collect();
        kinds.append(&mut kinds_with_starts(&records));
        let mut file = env.fs.open(&path, OpenMode::Append).expect("it is there");
        file.truncate(0).expect("the disk is sound");
        append_all(&mut *file, &segment_of(&records)).expect("the disk is sound");
    }
    kinds
}

/// Samples of every kind, each in a batch of its own; a tenth of them come when all others are there.
fn write(env: &Env) -> Content {
    let db = open(env, options());
    let content = made(&[FLOATS, HISTOGRAMS].concat());
    let mut late = Vec::new();
    let commit = |labels: &Labels, t: i64, value: &Value| {
        let mut appender = db.appender();
        append_one(&mut *appender, labels, t, value).unwrap_or_else(|e| panic!("{labels} at {t}: {e}"));
        appender.commit().expect("the disk is sound");
    };
    for (labels, series) in &content {
        let labels = Labels::from_pairs(labels.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        for (n, (t, value)) in series.samples.iter().enumerate() {
            if n % 10 == 3 {
                late.push((labels.clone(), *t, value));
            } else {
                commit(&labels, *t, value);
            }
        }
    }
    late.iter().for_each(|(labels, t, value)| commit(labels, *t, value));
    let content = without_hints(&db);
    db.close().expect("the disk is sound");
    content
}

/// All samples, without what is said of resets: that is unknown where late samples are merged with others,
/// which is in other places when chunks end elsewhere.
fn without_hints(db: &Db) -> Content {
    let mut content = content_of(db);
    for (_, value) in content.values_mut().flat_map(|series| &mut series.samples) {
        if let Value::Histogram(histogram) = value {
            histogram.reset = Reset::Unknown;
        }
    }
    content
}

#[test]
fn nothing_but_the_starts_is_lost_of_records_that_have_them() {
    SimWorld::new(1).run(|env| {
        let written = write(env);
        let samples: usize = written.values().map(|series| series.samples.len()).sum();
        assert!(written.len() > 5 && samples > 500, "{samples} samples of {} series", written.len());
        assert_eq!(put_starts(env, "wal"), BTreeSet::from([11, 12, 13]));
        assert!(put_starts(env, "wbl").contains(&11), "late samples are of these kinds too");
        // Chunks would have the samples without the logs.
        env.fs.remove_dir_all(&Path::new(DIR).join("chunks_head")).expect("it is there");
        for start in 0..3 {
            let db = open(env, options());
            assert!(without_hints(&db) == written, "start {start}");
            let stats = db.stats();
            let lost =
                (stats.wal_corruptions_total, stats.replay_unknown_series, stats.replay_skipped_records);
            assert_eq!(lost, (0, 0, 0), "start {start}");
            db.steps().truncate_wal(TimestampMs::new(0)).expect("the disk is sound");
            db.close().expect("the disk is sound");
        }
    });
}

/// What a checkpoint writes anew keeps the starts, so that a Prometheus that gets the directory back has
/// them.
#[test]
fn a_checkpoint_keeps_the_starts_of_records() {
    SimWorld::new(1).run(|env| {
        write(env);
        put_starts(env, "wal");
        let of = |log: &Path| -> BTreeSet<Vec<u8>> {
            let records = records_of(&read_all(&*env.fs, log).expect("it is there"));
            records.into_iter().filter(|record| (11..=13).contains(&record[0])).collect()
        };
        let before = segments(env, "wal").iter().flat_map(|path| of(path)).collect::<BTreeSet<_>>();
        let db = open(env, options());
        for _ in 0..4 {
            db.steps().truncate_wal(TimestampMs::new(0)).expect("the disk is sound");
        }
        let dir = Path::new(DIR).join("wal");
        let entries = env.fs.read_dir(&dir).expect("it is there");
        let checkpoint = entries.iter().find(|entry| entry.is_dir).expect("there is a checkpoint");
        let files = env.fs.read_dir(&dir.join(&checkpoint.name)).expect("it is there");
        let mut after: BTreeSet<_> =
            files.iter().flat_map(|file| of(&dir.join(&checkpoint.name).join(&file.name))).collect();
        after.extend(segments(env, "wal").iter().flat_map(|path| of(path)));
        assert!(before.len() > 500 && before == after, "{} records became {}", before.len(), after.len());
    });
}
