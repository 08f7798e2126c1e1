//! What is missing from the log, and what stands in it that is none of it: server and `verify` say the same,
//! with path and what to do, and the database goes on.

use crate::common::{DIR, commit, dump, open, series};
use skopos_base::{
    Env,
    fs::{OpenMode, append_all},
    sim::SimWorld,
};
use skopos_model::{Labels, TimestampMs};
use skopos_tsdb::{
    Options,
    tool::verify::{Severity, verify},
};
use std::path::{Path, PathBuf};

fn options() -> Options {
    Options { segment_bytes: 64 << 10, snapshot_on_shutdown: false, ..Options::default() }
}

fn batch(b: i64) -> Vec<(Labels, i64, f64)> {
    (0..3).map(|i| (series(i), 1000 * b, b as f64)).collect()
}

fn wal(name: &str) -> PathBuf {
    Path::new(DIR).join("wal").join(name)
}

fn put(env: &Env, path: &Path, bytes: &[u8]) {
    let mut file = env.fs.open(path, OpenMode::CreateNew).expect("it is new");
    append_all(&mut *file, bytes).expect("the disk is sound");
}

/// Lives of one batch and one segment each; a checkpoint stands for the first ones.
fn lives(env: &Env) {
    for b in 0..6 {
        let db = open(env, options());
        commit(&db, &batch(b)).expect("the disk is sound");
        if b == 3 {
            db.steps()
                .truncate_wal(TimestampMs::new(0))
                .expect("the disk is sound")
                .expect("there is something");
        }
        db.close().expect("the disk is sound");
    }
}

struct Case {
    name: &'static str,
    change: fn(&Env),
    /// The path that is named, and what is said of it.
    said: Option<(&'static str, &'static str)>,
    /// Which batches are there.
    left: &'static [i64],
    /// Whether a start sets it right.
    heals: bool,
}

const ALL: &[i64] = &[0, 1, 2, 3, 4, 5];

const CASES: &[Case] = &[
    Case { name: "nothing", change: |_| (), said: None, left: ALL, heals: true },
    Case {
        name: "the checkpoint is gone",
        change: |env| {
            env.fs.remove_dir_all(&wal("checkpoint.00000002")).expect("the file system of the test");
        },
        said: Some(("00000003", "the checkpoint or the segments before this one are missing")),
        // Its series are named in the copy of names too.
        left: &[3, 4, 5],
        heals: false,
    },
    Case {
        name: "the segment behind the checkpoint is gone",
        change: |env| env.fs.remove_file(&wal("00000003")).expect("the file system of the test"),
        said: Some(("00000004", "segments between the checkpoint and this one are missing")),
        left: &[0, 1, 2, 4, 5],
        heals: false,
    },
    Case {
        name: "a segment in the middle is gone",
        change: |env| env.fs.remove_file(&wal("00000005")).expect("the file system of the test"),
        said: Some(("00000006", "WAL segments before this one are missing")),
        left: &[0, 1, 2, 3, 5],
        heals: false,
    },
    Case {
        name: "all segments are gone",
        change: |env| {
            let dir = env.fs.read_dir(Path::new(&wal(""))).expect("the file system of the test");
            dir.iter()
                .filter(|e| !e.is_dir)
                .for_each(|e| env.fs.remove_file(&wal(&e.name)).expect("the file system of the test"));
        },
        said: Some(("checkpoint.00000002", "no segment follows the checkpoint")),
        left: &[0, 1, 2],
        heals: true,
    },
    Case {
        name: "an empty checkpoint",
        change: |env| {
            env.fs.create_dir_all(&wal("checkpoint.00000030")).expect("the file system of the test");
        },
        said: Some(("checkpoint.00000030", "a checkpoint without a segment is passed over")),
        left: ALL,
        heals: true,
    },
    Case {
        name: "a checkpoint of the largest number",
        change: |env| {
            env.fs.create_dir_all(&wal("checkpoint.4294967294")).expect("the file system of the test");
            put(env, &wal("checkpoint.4294967294/00000000"), &[]);
        },
        said: Some(("checkpoint.4294967294", "no log has this number")),
        left: ALL,
        heals: false,
    },
    Case {
        name: "a segment of the largest number",
        change: |env| put(env, &wal("4294967294"), b"nothing"),
        said: Some(("4294967294", "no log has this number")),
        left: ALL,
        heals: false,
    },
];

#[test]
fn the_server_and_verify_say_the_same_of_what_is_missing_or_does_not_belong() {
    for Case { name, change, said, left, heals } in CASES {
        SimWorld::new(1).run(|env| {
            lives(env);
            change(env);
            let verified = verify(&*env.fs, Path::new(DIR)).expect("it can be listed");
            let found: Vec<_> = verified.findings.iter().filter(|f| f.severity == Severity::Damage).collect();
            let has = |path: &str, reason: &str| {
                found.iter().any(|f| f.path == wal(path) && f.reason.contains(reason))
            };
            assert!(said.is_none_or(|(path, reason)| has(path, reason)), "{name}: {found:?}");
            assert_eq!(found.is_empty(), said.is_none(), "{name}: {found:?}");
            let log = crate::damage::logged(|| {
                let db = open(env, options());
                assert_eq!(db.stats().wal_corruptions_total == 0, said.is_none(), "{name}");
                commit(&db, &batch(6)).expect("the disk is sound");
                db.close().expect("the disk is sound");
            });
            let all_said = said.is_none_or(|(path, reason)| {
                log.lines()
                    .any(|l| l.contains(&format!("path={}", wal(path).display())) && l.contains(reason))
            });
            assert!(all_said, "{name}: {log}");
            assert_eq!(log.contains("WARN"), said.is_some(), "{name}: {log}");
            // It goes on with the log as it is, and is opened as often as one likes.
            let db = open(env, options());
            assert_eq!(db.stats().wal_corruptions_total == 0, *heals, "{name}");
            let found = dump(env, &db);
            let there: Vec<i64> = (0..7)
                .filter(|b| found.get(&series(1)).is_some_and(|s| s.iter().any(|(t, _)| *t == 1000 * b)))
                .collect();
            assert_eq!(there, [left, &[6][..]].concat(), "{name}");
        });
    }
}

#[test]
fn stray_files_of_the_largest_numbers_leave_room_everywhere() {
    for stray in ["4294967293", "4294967294", "4294967295", "99999999999", "2147483648"] {
        SimWorld::new(1).run(|env| {
            for dir in ["wal", "wbl", "chunks_head"].map(|dir| Path::new(DIR).join(dir)) {
                env.fs.create_dir_all(&dir).unwrap();
                put(env, &dir.join(stray), b"nothing");
            }
            for life in 0..4 {
                let db = open(env, options());
                assert_eq!(
                    dump(env, &db).values().map(Vec::len).sum::<usize>(),
                    3 * life as usize,
                    "{stray}"
                );
                commit(&db, &batch(life)).expect("there is a number left");
                db.close().expect("the disk is sound");
            }
        });
    }
}
