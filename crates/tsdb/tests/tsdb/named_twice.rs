//! A log that gives one number to two series, as when two logs were put together, and two numbers to one, as
//! when a series has gone and come again: no sample is ever under a wrong name, whatever is read in their
//! place later.

use crate::{
    common::{DIR, Dump, budget, commit, dump, labels, matcher, open, range},
    damage::logged,
};
use skopos_base::{
    Env,
    fs::{OpenMode, append_all, read_all},
    sim::{
        SimFs, SimWorld,
        fs::{Failure, OpKind},
    },
};
use skopos_model::{DurationMs, Labels, TimestampMs};
use skopos_storage::CommitError;
use skopos_testkit::peers;
use skopos_tsdb::{
    Db, Options, WalCompression,
    tool::{verify::verify, view::DirView},
};
use std::{
    collections::BTreeMap,
    ops::Range,
    path::{Path, PathBuf},
};

const ONE: &str = "/data/one";
const OTHER: &str = "/data/other";

fn options() -> Options {
    Options {
        min_block_duration: DurationMs::from_ms(10_000_000),
        max_block_duration: DurationMs::from_ms(10_000_000),
        out_of_order_window: DurationMs::from_ms(100_000_000),
        max_future: DurationMs::from_secs(1 << 30),
        segment_bytes: 64 << 10,
        wal_compression: WalCompression::None,
        snapshot_on_shutdown: true,
        // Tests drive the maintenance themselves.
        maintenance_interval: DurationMs::from_secs(1 << 30),
        ..Options::default()
    }
}

fn named(name: &str) -> Labels {
    labels(&[("__name__", name)])
}

/// The value says whose sample it is, and when it was.
fn value(name: &str, ms: i64) -> f64 {
    let whose = if name == "one" { 1e9 } else { 2e9 };
    whose + ms as f64
}

fn write(db: &Db, names: &[&str], seconds: Range<i64>) {
    for ms in seconds.map(|s| 1000 * s) {
        let batch: Vec<_> = names.iter().map(|name| (named(name), ms, value(name, ms))).collect();
        commit(db, &batch).expect("the disk is sound");
    }
}

fn expected(series: &[(&str, &[Range<i64>], i64)]) -> Dump {
    let each = |(name, seconds, plus): &(&str, &[Range<i64>], i64)| {
        let times = seconds.iter().cloned().flatten().map(|s| 1000 * s);
        let late = (0..*plus).map(|n| 1000 * n + 500);
        let mut samples: Vec<_> = times.chain(late).map(|ms| (ms, value(name, ms).to_bits())).collect();
        samples.sort_unstable();
        (named(name), samples)
    };
    series.iter().map(each).collect()
}

/// A database of its own, whose first series has number 1.
fn write_own(env: &Env, dir: &str, name: &str, seconds: Range<i64>, late: i64, how: How) {
    let options = Options { snapshot_on_shutdown: how == How::BehindASnapshot, ..options() };
    let db = Db::open(Path::new(dir), options, env).expect("the database opens");
    write(&db, &[name], seconds);
    for ms in (0..late).map(|n| 1000 * n + 500) {
        commit(&db, &[(named(name), ms, value(name, ms))]).expect("the disk is sound");
    }
    if how == How::BehindACheckpoint {
        for _ in 0..4 {
            db.steps().truncate_wal(TimestampMs::new(0)).expect("the disk is sound");
        }
    }
    db.close().expect("the disk is sound");
}

/// How two logs are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    InOneSegment,
    InSegments,
    /// The first of them has a checkpoint, which names its series.
    BehindACheckpoint,
    /// … or a snapshot, which does.
    BehindASnapshot,
}

fn files(env: &Env, dir: &Path) -> Vec<(PathBuf, bool)> {
    if !env.fs.exists(dir).expect("the disk is sound") {
        return Vec::new();
    }
    let mut entries = env.fs.read_dir(dir).expect("the disk is sound");
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    entries.into_iter().map(|e| (dir.join(e.name), e.is_dir)).collect()
}

fn add(env: &Env, from: &Path, to: &Path) {
    env.fs.create_dir_all(to.parent().expect("it is in a directory")).expect("the disk is sound");
    let mode =
        if env.fs.exists(to).expect("the disk is sound") { OpenMode::Append } else { OpenMode::CreateNew };
    let bytes = read_all(&*env.fs, from).expect("it is there");
    let mut file = env.fs.open(to, mode).expect("the disk is sound");
    append_all(&mut *file, &bytes).expect("the disk is sound");
    file.sync().expect("the disk is sound");
}

/// Puts the logs of a directory behind what is there.
fn add_log(env: &Env, log: &str, from: &str, how: How) {
    let (from, to) = (Path::new(from).join(log), Path::new(DIR).join(log));
    let mut next = files(env, &to)
        .iter()
        .filter_map(|(path, _)| path.to_str()?.rsplit(['/', '.']).next()?.parse::<u32>().ok())
        .max()
        .map_or(0, |last| last + 1);
    for (path, is_dir) in files(env, &from) {
        if is_dir {
            let name = path.file_name().expect("it has a name");
            for (segment, _) in files(env, &path) {
                add(env, &segment, &to.join(name).join(segment.file_name().expect("it has a name")));
            }
        } else if read_all(&*env.fs, &path).expect("it is there").is_empty() && how != How::BehindACheckpoint
        {
            // The segment that a start begins.
        } else if how == How::InOneSegment {
            add(env, &path, &to.join("00000000"));
        } else if how == How::BehindACheckpoint && next == 0 {
            add(env, &path, &to.join(path.file_name().expect("it has a name")));
        } else {
            add(env, &path, &to.join(format!("{next:08}")));
            next += 1;
        }
    }
}

const LATE: i64 = 100;

/// A directory with both logs, and the closed chunks of `chunks_of`.
fn put_together(how: How, chunks_of: Option<&str>) -> SimFs {
    let world = SimWorld::new(1);
    let fs = world.fs().clone();
    world.run(|env| {
        write_own(env, ONE, "one", 100..400, LATE, how);
        write_own(env, OTHER, "other", 300..600, LATE, How::InSegments);
        for log in ["wal", "wbl"] {
            for from in [ONE, OTHER] {
                // The two write-behind logs stand in segments of their own.
                add_log(env, log, from, if log == "wal" { how } else { How::InSegments });
            }
        }
        chunks_of.into_iter().for_each(|from| copy(env, from, "chunks_head"));
        let in_one = files(env, Path::new(ONE));
        let names = in_one.iter().filter_map(|(path, _)| path.file_name()?.to_str());
        names.filter(|name| name.starts_with("chunk_snapshot.")).for_each(|name| copy(env, ONE, name));
    });
    fs
}

/// Puts the files of a directory into that of the same name.
fn copy(env: &Env, from: &str, name: &str) {
    for (path, _) in files(env, &Path::new(from).join(name)) {
        add(env, &path, &Path::new(DIR).join(name).join(path.file_name().expect("it has a name")));
    }
}

fn live(fs: &SimFs, life: impl FnOnce(&Env, &Db)) -> SimFs {
    let world = SimWorld::with_fs(3, fs.process_crash());
    let fs = world.fs().clone();
    world.run(|env| {
        let db = open(env, options());
        life(env, &db);
        fs.process_crash()
    })
}

#[test]
fn what_stands_under_a_number_that_two_series_have_goes_to_the_one_named_last() {
    for how in [How::InOneSegment, How::InSegments, How::BehindACheckpoint, How::BehindASnapshot] {
        for chunks_of in [None, Some(ONE), Some(OTHER)] {
            let about = format!("{how:?}, chunks of {chunks_of:?}");
            let of = |until: i64| {
                let (one, other) = ([100..400, 1000..until], [300..600, 1000..until]);
                expected(&[("one", &one, LATE), ("other", &other, LATE)])
            };
            let mut fs = put_together(how, chunks_of);
            for life in 0..3 {
                fs = live(&fs, |env, db| {
                    assert!(dump(env, db) == of(1000 + 10 * life), "{about}, life {life}");
                    let said = db.stats().wal_corruptions_total > 0;
                    assert_eq!(said, life == 0, "{about}, life {life}: it is said, and mended");
                    write(db, &["one", "other"], 1000 + 10 * life..1010 + 10 * life);
                    db.sync().expect("the disk is sound");
                    assert!(dump(env, db) == of(1010 + 10 * life), "{about}, life {life}");
                });
            }
            // A snapshot would hide the names.
            let world = SimWorld::with_fs(4, fs.process_crash());
            fs = world.fs().clone();
            world.run(|env| open(env, options()).close().expect("the disk is sound"));
            // The log is made shorter, a third at a time, and killed behind each.
            for life in 0..6 {
                fs = live(&fs, |env, db| {
                    assert!(dump(env, db) == of(1030), "{about}, shorter life {life}");
                    db.steps().truncate_wal(TimestampMs::new(0)).expect("the disk is sound");
                    assert!(dump(env, db) == of(1030), "{about}, shorter life {life}");
                });
            }
        }
    }
}

#[test]
fn a_number_given_twice_is_said_and_verified() {
    SimWorld::with_fs(2, put_together(How::InSegments, None)).run(|env| {
        let said = "the WAL gives 1 numbers to two series each (number 1)";
        let verified = verify(&*env.fs, Path::new(DIR)).expect("it is there");
        assert!(verified.findings.iter().any(|f| f.reason.starts_with(said)), "{:?}", verified.findings);
        let log = logged(|| drop(open(env, options())));
        assert!(log.contains(said), "{log}");
    });
}

/// What a reader of the directory says is missing, and what it says beside that.
fn said_of(env: &Env) -> (Vec<String>, Vec<String>) {
    let view = DirView::open(Path::new(DIR), env).expect("it can be read");
    let missing = view.damage(&*env.fs).expect("it can be read");
    let beside = view.harmless_damage(&*env.fs).expect("it can be read");
    let texts = |findings: Vec<_>| findings.iter().map(ToString::to_string).collect();
    (texts(missing), texts(beside))
}

#[test]
fn a_reader_says_that_samples_are_missing_only_when_some_are() {
    for how in [How::InOneSegment, How::InSegments, How::BehindACheckpoint, How::BehindASnapshot] {
        for chunks_of in [None, Some(ONE), Some(OTHER)] {
            let fs = put_together(how, chunks_of);
            SimWorld::with_fs(2, fs.process_crash()).run(|env| {
                let (missing, beside) = said_of(env);
                assert_eq!(missing, [""; 0], "{how:?}, {chunks_of:?}: the log has all that stands elsewhere");
                assert!(beside.iter().any(|text| text.contains("gives 1 numbers")), "{how:?}: {beside:?}");
                drop(open(env, options()));
                assert_eq!(said_of(env), Default::default(), "{how:?}, {chunks_of:?}: it is mended");
            });
        }
    }
    // A write-behind log that has what the log has not.
    let fs = put_together(How::InSegments, None);
    SimWorld::with_fs(2, fs).run(|env| {
        write_own(env, "/data/third", "other", 300..600, 2 * LATE, How::InSegments);
        add_log(env, "wbl", "/data/third", How::InSegments);
        let (missing, _) = said_of(env);
        assert!(missing.iter().any(|text| text.contains("gives 1 numbers")), "{missing:?}");
        assert_eq!(open(env, options()).stats().replay_unknown_series, LATE as u64);
    });
}

fn many(whose: &str, i: usize) -> Labels {
    labels(&[("__name__", whose), ("i", &i.to_string())])
}

const MANY: usize = 500;

/// Two logs one behind the other, each of which gives the same numbers to its own many series.
fn put_many_together() -> (SimFs, Dump) {
    let world = SimWorld::new(1);
    let fs = world.fs().clone();
    let mut expected = Dump::new();
    world.run(|env| {
        for (dir, whose, from) in [(ONE, "one", 100), (OTHER, "other", 300)] {
            let options = Options { snapshot_on_shutdown: false, ..options() };
            let db = Db::open(Path::new(dir), options, env).expect("the database opens");
            for ms in (from..from + 130).map(|s| 1000 * s) {
                let value = |i: usize| (ms + i as i64) as f64;
                let batch: Vec<_> = (0..MANY).map(|i| (many(whose, i), ms, value(i))).collect();
                commit(&db, &batch).expect("the disk is sound");
                for (labels, ms, value) in batch {
                    expected.entry(labels).or_default().push((ms, value.to_bits()));
                }
            }
            db.close().expect("the disk is sound");
            add_log(env, "wal", dir, How::InSegments);
        }
    });
    (fs, expected)
}

/// The bytes of all files below a directory, by the directories in it.
fn bytes_of(env: &Env) -> BTreeMap<PathBuf, u64> {
    fn below(env: &Env, path: &Path) -> u64 {
        let each = files(env, path).into_iter().map(|(path, is_dir)| {
            if is_dir {
                below(env, &path)
            } else {
                read_all(&*env.fs, &path).expect("it is there").len() as u64
            }
        });
        each.sum()
    }
    let dirs = files(env, Path::new(DIR)).into_iter().filter(|(_, is_dir)| *is_dir);
    dirs.map(|(path, _)| (path.clone(), below(env, &path))).collect()
}

#[test]
fn a_start_adds_nothing_to_a_log_that_an_earlier_one_has_mended() {
    let (mut fs, expected) = put_many_together();
    let before = SimWorld::with_fs(2, fs.process_crash()).run(bytes_of);
    let mut first = BTreeMap::new();
    for start in 0..6 {
        fs = live(&fs, |env, db| assert!(dump(env, db) == expected, "start {start}"));
        let bytes = SimWorld::with_fs(2, fs.process_crash()).run(bytes_of);
        if start == 0 {
            let wal = Path::new(DIR).join("wal");
            assert!(bytes[&wal] < before[&wal] + before[&wal] / 4, "{bytes:?}, {before:?}");
            first = bytes;
        } else {
            assert_eq!(bytes, first, "start {start}");
        }
    }
}

#[test]
fn a_full_disk_does_not_hinder_the_start() {
    let (whole, expected) = put_many_together();
    let ms = 1_000_000;
    for spare in [0, 1000, 100_000] {
        let world = SimWorld::with_fs(2, whole.process_crash());
        let fs = world.fs().clone();
        let mut all = expected.clone();
        let killed = world.run(|env| {
            let used: u64 = bytes_of(env).values().sum();
            // A full disk takes no lock file.
            env.fs.open(&Path::new(DIR).join("lock"), OpenMode::CreateNew).expect("there is room");
            fs.set_capacity(Some(if spare == 0 { 0 } else { used + spare }));
            let db = open(env, options());
            assert!(dump(env, &db) == expected, "{spare}: queries are answered");
            if spare < 100_000 {
                let refused = commit(&db, &[(many(&"x".repeat(9000), 0), ms, 1.0)]);
                assert!(matches!(refused, Err(CommitError::Retry { .. })), "{spare}: {refused:?}");
                assert!(dump(env, &db) == expected, "{spare}: queries are answered");
            }
            fs.set_capacity(None);
            for i in 0..MANY {
                commit(&db, &[(many("one", i), ms, 1.0), (many("other", i), ms, 2.0)])
                    .expect("there is room");
                all.get_mut(&many("one", i)).expect("it is there").push((ms, 1f64.to_bits()));
                all.get_mut(&many("other", i)).expect("it is there").push((ms, 2f64.to_bits()));
            }
            db.sync().expect("there is room");
            assert!(dump(env, &db) == all, "{spare}");
            fs.process_crash()
        });
        let again = live(&killed, |env, db| assert!(dump(env, db) == all, "{spare}: after a kill"));
        live(&again, |env, db| {
            assert!(dump(env, db) == all, "{spare}: it is mended");
            assert_eq!(db.stats().wal_corruptions_total, 0, "{spare}: it is mended");
        });
    }
}

/// The longest record of a segment, none of which is compressed.
fn longest_record(log: &[u8]) -> usize {
    let (mut at, mut record, mut longest) = (0, 0, 0);
    while at < log.len() {
        // A page ends in zeros.
        let Some(kind) = Some(log[at]).filter(|kind| *kind != 0) else {
            at = (at / PAGE + 1) * PAGE;
            continue;
        };
        let len = usize::from(u16::from_be_bytes([log[at + 1], log[at + 2]]));
        // The first fragment of a record, or all of it.
        record = if kind <= 2 { len } else { record + len };
        longest = longest.max(record);
        at += 7 + len;
    }
    longest
}

const PAGE: usize = 32 << 10;

/// Names that a commit had to log, since the log was not written anew: in records of a few pages each.
#[test]
fn a_log_that_cannot_be_written_anew_names_its_series_with_the_first_commit() {
    let (whole, expected) = put_many_together();
    let (ms, mut named_all) = (1_000_000, 0);
    for nth in 1..=4 {
        let world = SimWorld::with_fs(2, whole.process_crash());
        let fs = world.fs().clone();
        let mut all = expected.clone();
        let killed = world.run(|env| {
            fs.fail_nth(OpKind::Rename, nth, Failure::Io);
            let db = open(env, options());
            fs.disarm();
            let before = bytes_of(env)[&Path::new(DIR).join("wal")];
            commit(&db, &[(many("one", 7), ms, 1.0)]).expect("the disk is sound");
            all.get_mut(&many("one", 7)).expect("it is there").push((ms, 1f64.to_bits()));
            let grown = bytes_of(env)[&Path::new(DIR).join("wal")] - before;
            named_all += usize::from(grown > 10 * MANY as u64);
            commit(&db, &[(many("one", 7), ms + 1, 1.0)]).expect("the disk is sound");
            all.get_mut(&many("one", 7)).expect("it is there").push((ms + 1, 1f64.to_bits()));
            for (path, _) in files(env, &Path::new(DIR).join("wal")).iter().filter(|(_, is_dir)| !is_dir) {
                let longest = longest_record(&read_all(&*env.fs, path).expect("it is there"));
                assert!(longest < 17 << 10, "{nth}: {}: {longest} bytes", path.display());
            }
            let again = bytes_of(env)[&Path::new(DIR).join("wal")] - before - grown;
            assert!(again < 500, "{nth}: {again} bytes: once");
            db.sync().expect("the disk is sound");
            fs.process_crash()
        });
        let again = live(&killed, |env, db| assert!(dump(env, db) == all, "{nth}: after a kill"));
        live(&again, |env, db| assert!(dump(env, db) == all, "{nth}: mended"));
    }
    assert_eq!(named_all, 1, "one of the names that a start gives is the log's");
}

/// What is deleted, and what metrics are, goes to the series that had the number; and no checkpoint has to
/// save what memory has.
#[test]
fn a_log_written_anew_keeps_what_is_deleted_and_saves_nothing() {
    let fs = put_together(How::InSegments, None);
    let mut all = expected(&[("one", &[100..200, 200..400], LATE), ("other", &[300..400, 400..600], LATE)]);
    let log = logged(|| {
        let mut fs = live(&fs, |env, db| {
            let matchers = [matcher("__name__", "=", "one")];
            db.delete_series(&matchers, range(150_000, 160_000), &budget(env)).expect("all is sound");
            all.get_mut(&named("one"))
                .expect("it is there")
                .retain(|(t, _)| !(150_000..=160_000).contains(t));
            assert!(dump(env, db) == all);
        });
        for _ in 0..4 {
            fs = live(&fs, |env, db| {
                assert!(dump(env, db) == all);
                db.steps().truncate_wal(TimestampMs::new(0)).expect("the disk is sound");
            });
        }
    });
    assert!(!log.contains("what memory has of it is written elsewhere"), "{log}");
}

/// What was deleted before the logs were put together stays with the series that had the number there.
#[test]
fn what_is_deleted_under_a_number_that_two_series_have_is_of_the_one_named_there() {
    let world = SimWorld::new(1);
    let fs = world.fs().clone();
    let mut fs = world.run(|env| {
        write_own(env, OTHER, "other", 300..600, 0, How::InSegments);
        write_own(env, DIR, "one", 100..400, LATE, How::InSegments);
        let db = open(env, Options { snapshot_on_shutdown: false, ..options() });
        let matchers = [matcher("__name__", "=", "one")];
        db.delete_series(&matchers, range(350_000, 360_000), &budget(env)).expect("all is sound");
        db.close().expect("the disk is sound");
        add_log(env, "wal", OTHER, How::InSegments);
        fs.process_crash()
    });
    let mut all = expected(&[("one", &[100..200, 200..400], LATE), ("other", &[300..400, 400..600], 0)]);
    all.get_mut(&named("one")).expect("it is there").retain(|(t, _)| !(350_000..=360_000).contains(t));
    for life in 0..4 {
        fs = live(&fs, |env, db| {
            assert!(dump(env, db) == all, "life {life}");
            db.steps().truncate_wal(TimestampMs::new(0)).expect("the disk is sound");
            assert!(dump(env, db) == all, "life {life}, shorter");
        });
    }
}

/// Also of late samples that blocks have, before all that the log has in order.
#[test]
fn late_samples_deleted_from_blocks_do_not_come_back_with_a_log_written_anew() {
    let world = SimWorld::new(1);
    let fs = world.fs().clone();
    let fs = world.run(|env| {
        write_own(env, OTHER, "other", 300..600, 0, How::InSegments);
        write_own(env, DIR, "one", 100..400, LATE, How::InSegments);
        let db = open(env, Options { snapshot_on_shutdown: false, ..options() });
        assert_eq!(db.compact_out_of_order().expect("the disk is sound").out_of_order, 1);
        db.close().expect("the disk is sound");
        add_log(env, "wal", OTHER, How::InSegments);
        fs.process_crash()
    });
    let mut all = expected(&[("one", &[100..200, 200..400], LATE), ("other", &[300..400, 400..600], 0)]);
    let mut fs = live(&fs, |env, db| {
        assert!(dump(env, db) == all);
        let matchers = [matcher("__name__", "=", "one")];
        db.delete_series(&matchers, range(0, 50_000), &budget(env)).expect("all is sound");
        all.get_mut(&named("one")).expect("it is there").retain(|(t, _)| *t > 50_000);
        assert!(dump(env, db) == all);
    });
    for life in 0..4 {
        fs = live(&fs, |env, db| {
            assert!(dump(env, db) == all, "life {life}");
            db.compact_out_of_order().expect("the disk is sound");
            assert!(dump(env, db) == all, "life {life}, in blocks");
        });
    }
}

/// Puts a directory where other programs read it.
fn put_into(env: &Env, from: &Path, to: &Path) {
    let real = Env::real();
    real.fs.create_dir_all(to).expect("the folder is ours");
    // promtool looks at no samples out of order.
    for (path, is_dir) in files(env, from).into_iter().filter(|(path, _)| !path.ends_with("wbl")) {
        let to = to.join(path.file_name().expect("it has a name"));
        if is_dir {
            put_into(env, &path, &to);
        } else {
            let mut file = real.fs.open(&to, OpenMode::CreateNew).expect("the folder is ours");
            append_all(&mut *file, &read_all(&*env.fs, &path).expect("it is there")).expect("there is room");
        }
    }
}

/// How many samples in order of which series promtool prints.
fn printed(program: &Path, dir: &Path) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for line in peers::promtool_tsdb(program, &[Path::new("dump"), dir]).lines() {
        if !line.ends_with("000") {
            continue;
        }
        let name = line.split('"').nth(1).expect("a series has a name");
        *counts.entry(name.to_owned()).or_default() += 1;
    }
    counts
}

#[test]
fn prometheus_reads_the_log_that_was_written_anew() {
    let fs = put_together(How::InSegments, None);
    let of = |n: usize| BTreeMap::from([("one".to_owned(), 300 + n), ("other".to_owned(), 300 + n)]);
    let programs = [Some(peers::promtool()), peers::promtool_3()];
    let mut fs = live(&fs, |_, _| {});
    for more in [0, 10, 200] {
        SimWorld::with_fs(2, fs.process_crash()).run(|env| {
            for program in programs.iter().flatten() {
                let temp = tempfile::tempdir().expect("there is room");
                put_into(env, Path::new(DIR), temp.path());
                let counts = printed(program, temp.path());
                assert_eq!(counts, of(more), "{}, {more} more", program.display());
            }
        });
        let seconds = if more == 0 { 1000..1010 } else { 1010..1200 };
        fs = live(&fs, |_, db| {
            write(db, &["one", "other"], seconds);
            db.sync().expect("the disk is sound");
        });
    }
}

/// The write-behind log alone has samples out of order once the WAL is shorter: nobody knows whose they are.
#[test]
fn samples_that_the_write_behind_log_alone_has_under_such_a_number_get_no_name() {
    let fs = put_together(How::InSegments, None);
    SimWorld::with_fs(2, fs.clone()).run(|env| {
        let third = "/data/third";
        write_own(env, third, "third", 800..810, 0, How::InSegments);
        for dir in ["wal", "chunks_head", "wal_names"] {
            let path = Path::new(DIR).join(dir);
            if env.fs.exists(&path).expect("the disk is sound") {
                env.fs.remove_dir_all(&path).expect("the disk is sound");
            }
        }
        add_log(env, "wal", third, How::InSegments);
        write_own(env, "/data/fourth", "fourth", 820..830, 0, How::InSegments);
        add_log(env, "wal", "/data/fourth", How::InSegments);
        let log = logged(|| {
            let db = open(env, options());
            let series = |name: &str, seconds: Range<i64>| {
                let samples = seconds.map(|s| (1000 * s, value(name, 1000 * s).to_bits())).collect();
                (named(name), samples)
            };
            let all: Dump = [series("third", 800..810), series("fourth", 820..830)].into();
            assert_eq!(dump(env, &db), all);
            assert_eq!(db.stats().replay_unknown_series, 2 * LATE as u64, "they are counted");
        });
        assert!(log.contains("samples from 500 to"), "{log}");
    });
}

/// Two numbers of one series are no damage: that is what a series has that has gone and come again.
#[test]
fn two_numbers_of_one_series_are_one_series() {
    for how in [How::InOneSegment, How::InSegments, How::BehindACheckpoint] {
        for chunks_of in [None, Some(ONE)] {
            let world = SimWorld::new(1);
            let mut fs = world.fs().clone();
            world.run(|env| {
                write_own(env, ONE, "one", 100..400, LATE, how);
                let db = Db::open(Path::new(OTHER), options(), env).expect("the database opens");
                commit(&db, &[(named("first"), 0, 0.0)]).expect("the disk is sound");
                write(&db, &["one"], 500..700);
                drop(db);
                // The other series of number 1 is cut out, with its sample.
                change(env, &Path::new(OTHER).join("wal/00000000"), without_the_first_batch);
                ["wal", "wbl"].iter().for_each(|log| {
                    [ONE, OTHER].iter().for_each(|from| add_log(env, log, from, how));
                });
                chunks_of.into_iter().for_each(|from| copy(env, from, "chunks_head"));
            });
            let all = expected(&[("one", &[100..400, 500..700], LATE)]);
            for life in 0..4 {
                fs = live(&fs, |env, db| {
                    assert!(dump(env, db) == all, "{how:?}, {chunks_of:?}, life {life}");
                    assert_eq!(db.stats().wal_corruptions_total, 0, "{how:?}, life {life}: it is no damage");
                    db.steps().truncate_wal(TimestampMs::new(0)).expect("the disk is sound");
                });
            }
        }
    }
}

fn change(env: &Env, path: &Path, change: impl FnOnce(&[u8]) -> Vec<u8>) {
    let bytes = change(&read_all(&*env.fs, path).expect("it is there"));
    let mut file = env.fs.open(path, OpenMode::Append).expect("it is there");
    file.truncate(0).expect("the disk is sound");
    append_all(&mut *file, &bytes).expect("the disk is sound");
    file.sync().expect("the disk is sound");
}

/// A record of series and one of samples, in a fragment each.
fn without_the_first_batch(log: &[u8]) -> Vec<u8> {
    let len = |at: usize| 7 + usize::from(u16::from_be_bytes([log[at + 1], log[at + 2]]));
    log[len(0) + len(len(0))..].to_vec()
}

mod crash {
    use super::*;
    use skopos_base::sim::crash::{CrashMode, CrashTest};

    const SECONDS: Range<i64> = 1000..1002;

    /// What comes behind the start is durable.
    fn mend(env: &Env, added: &mut bool) -> Result<(), Box<dyn std::error::Error>> {
        let db = Db::open(Path::new(DIR), options(), env)?;
        for ms in SECONDS.map(|s| 1000 * s) {
            let batch = ["one", "other"].map(|name| (named(name), ms, value(name, ms)));
            commit(&db, &batch)?;
        }
        db.sync()?;
        *added = true;
        Ok(())
    }

    /// Samples of the batches that a start was followed by.
    fn added(dump: &Dump) -> usize {
        let is_added = |(t, _): &&(i64, u64)| *t >= 1000 * SECONDS.start;
        dump.values().map(|samples| samples.iter().filter(is_added).count()).sum()
    }

    /// With late samples of both, and with closed chunks of the one that has the numbers.
    #[test]
    fn no_crash_of_a_start_that_writes_the_log_anew_costs_a_sample_or_takes_one_for_another_series() {
        for (how, chunks_of, mode) in [
            (How::InSegments, None, CrashMode::PowerLoss),
            (How::BehindACheckpoint, Some(OTHER), CrashMode::ProcessKill),
        ] {
            let fs = put_together(how, chunks_of);
            fs.settle();
            let test = CrashTest::new(mode).seed(3).start(&fs).states_per_point(1);
            let done = test.run(mend, |env, is_added: &bool| {
                let mut before: Option<Dump> = None;
                for nth in 0..2 {
                    let db = open(env, options());
                    let found = dump(env, &db);
                    let batches = added(&found) as i64 / 2;
                    assert_eq!(added(&found) as i64, 2 * batches, "start {nth}: batches are whole");
                    assert!(!is_added || batches == SECONDS.end - SECONDS.start, "start {nth}");
                    let seconds = SECONDS.start..SECONDS.start + batches;
                    let (one, other) = ([100..400, seconds.clone()], [300..600, seconds]);
                    let expected = expected(&[("one", &one, LATE), ("other", &other, LATE)]);
                    assert!(found == expected, "start {nth}");
                    assert!(before.is_none_or(|before| before == found), "start {nth}: as the one before");
                    before = Some(found);
                    db.close().expect("the disk is sound");
                }
            });
            println!("{how:?}, {mode:?}: {done:?}");
            assert!(done.states > 30, "{how:?}, {mode:?}: {done:?}");
        }
    }
}
