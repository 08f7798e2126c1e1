//! Starts on a full disk whose data directory lacks some of its directories, and memory while the disk
//! refuses closed chunks.

use crate::{
    common::{DIR, Dump, commit, dump, open, series},
    damage::logged,
};
use skopos_base::{
    Env,
    fs::Fs,
    sim::{SimFs, SimWorld, effort},
};
use skopos_model::DurationMs;
use skopos_storage::CommitError;
use skopos_tsdb::{Db, OpenError, Options};
use std::{error::Error, path::Path, time::Duration};

const DIRECTORIES: [&str; 4] = ["wal", "wbl", "chunks_head", "wal_names"];

fn options(window_ms: i64) -> Options {
    Options {
        min_block_duration: DurationMs::from_ms(10_000),
        out_of_order_window: DurationMs::from_ms(window_ms),
        snapshot_on_shutdown: false,
        ..Options::default()
    }
}

/// A database with a block, closed chunks and a log.
fn written(window_ms: i64) -> SimFs {
    let world = SimWorld::new(4);
    let fs = world.fs().clone();
    world.run(|env| {
        let db = open(env, options(window_ms));
        for t in (0..40_000).step_by(50) {
            commit(&db, &[(series(0), t, t as f64), (series(1), t, 1.0)]).expect("the disk is sound");
        }
        assert!(db.maintain().expect("the disk is sound").cut > 0);
        db.close().expect("the disk is sound");
    });
    fs
}

fn found(fs: &SimFs, window_ms: i64) -> Dump {
    SimWorld::with_fs(7, fs.process_crash()).run(|env| dump(env, &open(env, options(window_ms))))
}

#[test]
fn a_database_opens_on_a_full_disk_whichever_directories_are_missing() {
    for window_ms in [0, 30_000] {
        let whole = written(window_ms);
        for set in 0..1 << DIRECTORIES.len() {
            let missing: Vec<&str> =
                (0..DIRECTORIES.len()).filter(|i| set >> i & 1 == 1).map(|i| DIRECTORIES[i]).collect();
            let fs = whole.process_crash();
            for name in &missing {
                let dir = Path::new(DIR).join(name);
                if fs.exists(&dir).unwrap() {
                    fs.remove_dir_all(&dir).unwrap();
                }
            }
            let expected = found(&fs, window_ms);
            assert!(!expected.is_empty(), "the block is there");
            SimWorld::with_fs(set, fs.clone()).run(|env| on_a_full_disk(env, &fs, window_ms, &expected));
        }
    }
}

fn on_a_full_disk(env: &Env, fs: &SimFs, window_ms: i64, expected: &Dump) {
    fs.set_capacity(Some(0));
    let db = open(env, options(window_ms));
    for _ in 0..3 {
        assert_eq!(dump(env, &db), *expected, "queries are answered");
        let refused = commit(&db, &[(series(0), 45_000, 1.0)]);
        assert!(matches!(refused, Err(CommitError::Retry { .. })), "{refused:?}");
        let _ = db.sync();
        env.clock.sleep(Duration::from_secs(5));
    }
    fs.set_capacity(None);
    let mut expected = expected.clone();
    let mut add = |t: i64, value: f64| {
        commit(&db, &[(series(0), t, value)]).expect("the disk is sound");
        let samples = expected.entry(series(0)).or_default();
        samples.push((t, value.to_bits()));
        samples.sort_unstable();
    };
    for t in (60_000..70_000).step_by(50) {
        add(t, t as f64);
    }
    if window_ms > 0 {
        add(50_001, -1.0);
    }
    db.sync().expect("the disk is sound");
    assert_eq!(dump(env, &db), expected);
    assert_eq!(found(fs, window_ms), expected, "after the process was killed");
    for lost in fs.crash_states(4, effort::seed(3)) {
        assert_eq!(found(&lost, window_ms), expected, "after power was lost: {}", lost.origin());
    }
    db.close().expect("the disk is sound");
    assert_eq!(found(fs, window_ms), expected);
}

#[test]
fn without_a_data_directory_a_full_disk_is_an_error_that_names_it() {
    let world = SimWorld::new(1);
    let fs = world.fs().clone();
    world.run(|env| {
        fs.set_capacity(Some(0));
        let error = Db::open(Path::new(DIR), Options::default(), env).unwrap_err();
        let source =
            error.source().and_then(|e| e.downcast_ref::<std::io::Error>()).map(std::io::Error::kind);
        assert_eq!(source, Some(std::io::ErrorKind::StorageFull), "{error}");
        assert!(error.to_string().contains(DIR), "{error}");
        fs.set_capacity(None);
        drop(open(env, Options::default()));
    });
}

/// The log is on a sound disk here, so that nothing else ends the growth.
#[test]
fn while_no_file_takes_closed_chunks_batches_are_refused_beyond_a_limit() {
    SimWorld::new(2).run(|env| {
        let max = 64 << 10;
        let db = open(env, Options { max_unwritten_chunk_bytes: max, ..Options::default() });
        let value = |t: i64| (t as f64).sin();
        let batch = |t: i64| (0..20).map(|i| (series(i), t * 997, value(t))).collect::<Vec<_>>();
        // A directory stands where the next file is to be.
        let in_the_way = Path::new(DIR).join("chunks_head/000001");
        env.fs.create_dir_all(&in_the_way).unwrap();
        let mut taken = 0;
        let mut refused = None;
        let log = logged(|| {
            refused = loop {
                match commit(&db, &batch(taken)) {
                    Ok(_) => taken += 1,
                    Err(e) => break Some(e),
                }
                env.clock.sleep(Duration::from_millis(150));
                assert!(taken < 6000, "nothing is refused");
            }
        });
        let refused = refused.expect("one was");
        assert_eq!(log.matches("batches are refused").count(), 1, "{log}");
        let said = refused.to_string();
        assert!(
            said.contains("limit storage.tsdb.max-unwritten-chunk-bytes of 65536 bytes reached"),
            "{said}"
        );
        assert!(matches!(refused, CommitError::Retry { .. }), "{said}");
        let log = logged(|| {
            for _ in 0..50 {
                commit(&db, &batch(taken)).unwrap_err();
                env.clock.sleep(Duration::from_millis(150));
            }
        });
        assert!(!log.contains("batches are refused"), "it was said: {log}");
        let stats = db.stats();
        assert_eq!(stats.commits_refused_unwritten_total, 51);
        // What a batch closes at once comes on top.
        let unwritten = stats.head_chunks_unwritten_bytes as usize;
        assert!((max..2 * max).contains(&unwritten), "{unwritten}");
        let held = dump(env, &db);
        assert_eq!(held.values().map(Vec::len).collect::<Vec<_>>(), vec![taken as usize; 20]);
        env.fs.remove_dir_all(&in_the_way).unwrap();
        env.clock.sleep(Duration::from_secs(1));
        let log = logged(|| {
            for t in taken..taken + 3 {
                commit(&db, &batch(t)).unwrap();
            }
        });
        assert_eq!(log.matches("so the head takes batches").count(), 1, "{log}");
        assert_eq!(db.stats().head_chunks_unwritten_bytes, 0);
    });
}

/// As when the disk of a log is not mounted: an empty log in its place would be taken for all there is.
#[test]
fn a_database_whose_log_is_a_link_into_the_void_does_not_open_and_the_link_stays() {
    let (env, temp) = (Env::real(), tempfile::tempdir().unwrap());
    let (data, disk) = (temp.path().join("data"), temp.path().join("disk"));
    env.fs.create_dir_all(&data).unwrap();
    env.fs.create_dir_all(&disk.join("wal")).unwrap();
    std::os::unix::fs::symlink(disk.join("wal"), data.join("wal")).unwrap();
    let options = || Options { snapshot_on_shutdown: false, ..Options::default() };
    let db = Db::open(&data, options(), &env).unwrap();
    commit(&db, &[(series(0), 1000, 1.0)]).unwrap();
    db.close().unwrap();
    let away = temp.path().join("away");
    env.fs.rename(&disk, &away).unwrap();
    for _ in 0..2 {
        let error = Db::open(&data, options(), &env).unwrap_err();
        let said = error.source().map(ToString::to_string).unwrap_or_default();
        assert!(said.contains(&format!("{} is a link", data.join("wal").display())), "{error}: {said}");
    }
    env.fs.rename(&away, &disk).unwrap();
    let db = Db::open(&data, options(), &env).unwrap();
    assert_eq!(dump(&env, &db)[&series(0)], [(1000, 1f64.to_bits())]);
}

#[test]
fn a_directory_that_goes_while_the_database_is_open_is_not_made_anew() {
    let (env, temp) = (Env::real(), tempfile::tempdir().unwrap());
    let options = Options { segment_bytes: 32 << 10, ..Options::default() };
    let db = Db::open(temp.path(), options, &env).unwrap();
    commit(&db, &[(series(0), 1000, 1.0)]).unwrap();
    let wal = temp.path().join("wal");
    env.fs.rename(&wal, &temp.path().join("elsewhere")).unwrap();
    let refused = (2..2000).find_map(|t| {
        let batch: Vec<_> = (0..20).map(|i| (series(i), 1000 * t, t as f64)).collect();
        commit(&db, &batch).err()
    });
    let said = refused.expect("no segment can be begun").to_string();
    assert!(said.contains("still mounted"), "{said}");
    assert!(!env.fs.exists(&wal).unwrap());
    env.fs.rename(&temp.path().join("elsewhere"), &wal).unwrap();
    commit(&db, &[(series(0), 10_000_000, 1.0)]).unwrap();
}

/// The log has all samples, and no chunk file any; the disk takes none.
#[test]
fn a_start_whose_closed_chunks_the_disk_refuses_ends_at_a_bound_and_loses_nothing() {
    for window_ms in [0, 30_000] {
        let fs = written(window_ms).process_crash();
        fs.remove_dir_all(&Path::new(DIR).join("chunks_head")).unwrap();
        let expected = found(&fs, window_ms);
        SimWorld::with_fs(5, fs.clone()).run(|env| {
            let few = Options { max_unwritten_chunk_bytes: 100, ..options(window_ms) };
            fs.set_capacity(Some(0));
            let error = Db::open(Path::new(DIR), few.clone(), env).unwrap_err();
            let is_refused = matches!(error, OpenError::ChunksRefused { bytes: 100.., max: 100, .. });
            assert!(is_refused && error.to_string().contains("make room on the disk"), "{error}");
            fs.set_capacity(None);
            assert_eq!(dump(env, &open(env, few)), expected);
        });
    }
}
