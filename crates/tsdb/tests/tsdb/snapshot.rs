//! A snapshot left by closing, and the start from it: the database is the same as without one, whatever
//! becomes of the snapshot, of the WAL and of the closed chunks.

use crate::{
    common::{DIR, Dump, budget, commit, dump, labels, matcher, open, range, series},
    content::content_of,
};
use skopos_base::{
    Env,
    fs::{Fs, OpenMode, append_all},
    sim::SimWorld,
};
use skopos_model::{Exemplar, Labels, Matcher, TimestampMs};
use skopos_storage::{Append, Appendable, SeriesId, TimeRange};
use skopos_testkit::series::Content;
use skopos_tsdb::{Db, Options, snapshot};
use std::path::{Path, PathBuf};

pub(crate) fn options() -> Options {
    Options { segment_bytes: 64 << 10, ..Options::default() }
}

fn without() -> Options {
    Options { snapshot_on_shutdown: false, ..options() }
}

/// All that can be asked.
#[derive(Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) dump: Dump,
    /// With histograms as a whole.
    content: Content,
    exemplars: Vec<(Labels, Vec<Exemplar>)>,
}

pub(crate) fn seen(env: &Env, db: &Db) -> Seen {
    let all: [Vec<Matcher>; 1] = [vec![matcher("__name__", "!=", "")]];
    let exemplars = db.select_exemplars(TimeRange::ALL, &all, &budget(env)).expect("within its budget");
    Seen { dump: dump(env, db), content: content_of(db), exemplars }
}

/// Closed chunks and open ones, a deletion, an exemplar, a series that has ended.
fn live(db: &Db, env: &Env) {
    for t in 0..130 {
        let batch: Vec<_> = (0..3).map(|i| (series(i), 1000 * t, (t * 10) as f64 + i as f64)).collect();
        commit(db, &batch).expect("the disk is sound");
    }
    commit(db, &[(labels(&[("__name__", "short")]), 5000, 1.5)]).expect("the disk is sound");
    let matchers = [matcher("i", "=", "2")];
    assert_eq!(db.delete_series(&matchers, range(3000, 8000), &budget(env)).expect("in budget"), 1);
    let exemplar =
        Exemplar { labels: labels(&[("trace", "x")]), value: 0.5, timestamp: Some(TimestampMs::new(9)) };
    let mut appender = db.appender();
    let (of, at) = (series(1), TimestampMs::new(130_000));
    appender
        .append(&Append {
            exemplars: std::slice::from_ref(&exemplar),
            ..Append::float(SeriesId::Labels(&of), at, 7.0)
        })
        .expect("it is in order");
    appender.commit().expect("the disk is sound");
}

fn snapshots(env: &Env) -> Vec<PathBuf> {
    let entries = env.fs.read_dir(Path::new(DIR)).expect("it is there");
    let names = entries.iter().filter(|e| e.name.starts_with("chunk_snapshot."));
    names.map(|e| Path::new(DIR).join(&e.name)).collect()
}

/// Makes a small database, closed with a snapshot; returns what it has, and the snapshot's only segment.
fn closed(env: &Env) -> (Seen, PathBuf) {
    closed_after(env, live)
}

pub(crate) fn closed_after(env: &Env, live: fn(&Db, &Env)) -> (Seen, PathBuf) {
    let db = open(env, options());
    live(&db, env);
    let expected = seen(env, &db);
    db.close().expect("the disk is sound");
    let found = snapshots(env);
    assert_eq!(found.len(), 1);
    (expected, found[0].join("00000000"))
}

/// Whether the WAL was read.
pub(crate) fn read_wal(env: &Env, db: &Db) -> bool {
    let (fs, dir) = (&*env.fs, Path::new(DIR));
    let stats = db.stats();
    assert!(stats.replayed_samples > 0);
    snapshot::newest(fs, dir).expect("it can be listed").is_none()
}

pub(crate) fn put(fs: &dyn Fs, path: &Path, bytes: &[u8]) {
    let mut file = fs.open(path, OpenMode::Append).expect("it is there");
    file.truncate(0).expect("the disk is sound");
    append_all(&mut *file, bytes).expect("the disk is sound");
    file.sync().expect("the disk is sound");
}

#[test]
fn a_start_from_a_snapshot_is_one_from_the_wal() {
    SimWorld::new(1).run(|env| {
        let (expected, _) = closed(env);
        for life in 0..3 {
            let db = open(env, options());
            assert!(!read_wal(env, &db), "life {life} began from the snapshot");
            assert_eq!(seen(env, &db), expected, "life {life}");
            db.close().expect("the disk is sound");
        }
        let db = open(env, without());
        assert_eq!(seen(env, &db), expected, "from the WAL");
        assert!(snapshots(env).is_empty(), "it is not kept beside a WAL that goes on without it");
    });
}

#[test]
fn what_comes_behind_a_snapshot_is_read_from_the_wal() {
    SimWorld::new(2).run(|env| {
        closed(env);
        let mut expected = None;
        // Each life ends without a snapshot of its own, and closes the open chunks of the snapshot.
        for life in 0..3 {
            let db = open(env, options());
            if let Some(expected) = expected.take() {
                assert_eq!(seen(env, &db), expected, "life {life}");
            }
            for t in 0..150 {
                let time = 1000 * (260 + 200 * life + t);
                let batch: Vec<_> = [0, 1, 5 + life as usize].map(|i| (series(i), time, t as f64)).into();
                commit(&db, &batch).expect("the disk is sound");
            }
            expected = Some(seen(env, &db));
            drop(db);
            assert_eq!(snapshots(env).len(), 1);
        }
    });
}

#[test]
fn a_snapshot_of_another_wal_or_of_lost_chunks_is_not_used() {
    type Change = fn(&dyn Fs);
    let changes: [(&str, Change, bool); 3] = [
        ("the closed chunks are gone", |fs| remove_files(fs, "chunks_head"), true),
        ("the WAL is gone", |fs| remove_files(fs, "wal"), false),
        ("the WAL is shorter", cut_wal, false),
    ];
    for (what, change, all_there) in changes {
        SimWorld::new(4).run(|env| {
            let (expected, _) = closed(env);
            change(&*env.fs);
            let db = open(env, options());
            assert!(snapshots(env).is_empty(), "{what}");
            let now = dump(env, &db);
            if all_there {
                assert_eq!(now, expected.dump, "{what}");
            }
            for (labels, samples) in &now {
                assert!(samples.iter().all(|s| expected.dump[labels].contains(s)), "{what}: {labels}");
            }
        });
    }
}

fn remove_files(fs: &dyn Fs, name: &str) {
    let dir = Path::new(DIR).join(name);
    for entry in fs.read_dir(&dir).expect("it is there") {
        fs.remove_file(&dir.join(&entry.name)).expect("the disk is sound");
    }
}

/// Takes a byte from the end of the segment that the snapshot reaches to.
fn cut_wal(fs: &dyn Fs) {
    let position = snapshot::newest(fs, Path::new(DIR)).expect("it can be listed").expect("there is one");
    let path = Path::new(DIR).join(format!("wal/{:08}", position.segment));
    let mut file = fs.open(&path, OpenMode::Append).expect("it is there");
    file.truncate(position.offset - 1).expect("the disk is sound");
    file.sync().expect("the disk is sound");
}
