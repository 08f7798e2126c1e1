//! Damaged WALs: every bit flipped, every length cut. What is damaged is detected or harmless: never a
//! wrong sample, never half a batch, never a panic, and the database goes on.

use crate::common::{DIR, Dump, commit, dump, open, series};
use parking_lot::Mutex;
use skopos_base::{
    Env,
    fs::{File, OpenMode, append_all, read_all},
    sim::SimWorld,
};
use skopos_model::{DurationMs, Labels, TimestampMs};
use skopos_tsdb::{Db, Options, WalCompression};
use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

fn wal_path(index: usize) -> PathBuf {
    Path::new(DIR).join("wal").join(format!("{index:08}"))
}

fn batch(b: i64) -> Vec<(Labels, i64, f64)> {
    let own = series(b as usize + 100);
    (0..3).map(|i| (series(i), 1000 * b, b as f64 + i as f64 / 10.0)).chain([(own, 1000 * b, 7.0)]).collect()
}

/// The WAL of a life with these batches.
fn written(compression: WalCompression, batches: i64) -> Vec<u8> {
    SimWorld::new(1).run(|env| {
        let db = open(env, Options { wal_compression: compression, ..Options::default() });
        for b in 0..batches {
            commit(&db, &batch(b)).expect("the disk is sound");
        }
        db.close().expect("the disk is sound");
        read_all(&*env.fs, &wal_path(0)).expect("the segment is there")
    })
}

/// Opens a database whose first segment has these bytes; a second, sound one follows when `behind` has any.
/// Then goes on with it.
fn opened_with(bytes: &[u8], behind: &[u8], check: impl FnOnce(&Env, &Dump, u64)) {
    read_with(bytes, behind, |env, db| {
        let found = dump(env, &db);
        check(env, &found, db.stats().wal_corruptions_total);
        // Opening once more finds the same.
        commit(&db, &[(series(77), 1_000_000, 1.0)]).expect("the disk is sound");
        drop(db);
        let mut again = dump(env, &open(env, Options::default()));
        again.remove(&series(77)).expect("the new sample is there");
        assert_eq!(again, found);
    });
}

fn read_with(bytes: &[u8], behind: &[u8], check: impl FnOnce(&Env, Db)) {
    SimWorld::new(2).run(|env| {
        env.fs.create_dir_all(&Path::new(DIR).join("wal")).expect("the disk is sound");
        for (i, bytes) in [bytes, behind].iter().enumerate() {
            if i == 0 || !bytes.is_empty() {
                let mut file: Box<dyn File> =
                    env.fs.open(&wal_path(i), OpenMode::CreateNew).expect("it is new");
                append_all(&mut *file, bytes).expect("the disk is sound");
            }
        }
        check(env, open(env, Options::default()));
    });
}

/// How many whole batches there are; panics over a part of one or a sample that nobody wrote.
fn whole_batches(found: &Dump, batches: i64) -> Vec<i64> {
    let mut whole = Vec::new();
    let mut samples = 0;
    for b in 0..batches {
        let batch = batch(b);
        let there = batch
            .iter()
            .filter(|(l, t, v)| found.get(l).is_some_and(|s| s.contains(&(*t, v.to_bits()))))
            .count();
        assert!(there == 0 || there == batch.len(), "{there} samples of batch {b}");
        if there > 0 {
            whole.push(b);
            samples += there;
        }
    }
    assert_eq!(found.values().map(Vec::len).sum::<usize>(), samples, "samples that nobody wrote");
    whole
}

#[test]
fn every_flipped_bit_is_detected_or_harmless() {
    for compression in [WalCompression::None, WalCompression::Snappy, WalCompression::Zstd] {
        let bytes = written(compression, 2);
        let mut harmless = 0;
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                read_with(&damaged, &[], |env, db| {
                    let whole = whole_batches(&dump(env, &db), 2);
                    harmless += usize::from(whole.len() == 2);
                    let corruptions = db.stats().wal_corruptions_total;
                    assert!(whole.len() == 2 || corruptions > 0, "bit {bit} of byte {at} is not counted");
                });
            }
        }
        assert_eq!(harmless, 0, "each bit of a page without padding counts");
    }
}

#[test]
fn every_length_gives_the_batches_that_are_whole() {
    let bytes = written(WalCompression::None, 5);
    let mut last = 0;
    for len in 0..=bytes.len() {
        opened_with(&bytes[..len], &[], |env, found, corruptions| {
            let whole = whole_batches(found, 5);
            assert!(whole.iter().copied().eq(0..whole.len() as i64));
            assert!(whole.len() >= last, "{len} bytes have fewer batches than {} bytes", len - 1);
            last = whole.len();
            assert!(corruptions <= 1);
            // What was torn is cut off, so that programs that stop at damage read on.
            let cut = env.fs.open(&wal_path(0), OpenMode::Read).and_then(|f| f.len()).expect("it is there");
            assert_eq!(cut == len as u64, corruptions == 0, "{len} bytes became {cut}");
        });
    }
    assert_eq!(last, 5);
}

/// A whole record as zstd would have it, which is not read; the framing is that of docs/formats/wal.md.
fn zstd_record() -> Vec<u8> {
    let data = [0x28, 0xB5, 0x2F, 0xFD, 1, 2, 3];
    let mut bytes = vec![0b0001_0001, 0, data.len() as u8];
    bytes.extend_from_slice(&crc32c(&data).to_be_bytes());
    bytes.extend_from_slice(&data);
    bytes
}

/// The checksum of Castagnoli, bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32| (crc >> 1) ^ if crc & 1 == 1 { 0x82F6_3B78 } else { 0 };
    !bytes.iter().fold(!0, |crc, b| (0..8).fold(crc ^ u32::from(*b), |crc, _| step(crc)))
}

#[test]
fn a_torn_end_is_cut_off_behind_a_record_that_is_not_read() {
    let sound = written(WalCompression::None, 2);
    let zstd = zstd_record();
    let whole = [&sound[..], &zstd].concat();
    for torn in [0, 1, 6, 7, 8, 20] {
        let bytes = [&whole[..], &sound[..torn]].concat();
        opened_with(&bytes, &[], |env, found, corruptions| {
            assert_eq!(whole_batches(found, 2), [0, 1]);
            assert_eq!(corruptions, 1 + u64::from(torn > 0), "{torn} torn bytes");
            let len = env.fs.open(&wal_path(0), OpenMode::Read).and_then(|f| f.len()).expect("it is there");
            assert_eq!(len, whole.len() as u64, "{torn} torn bytes");
        });
    }
}

/// Damage in one segment leaves the next one alone.
#[test]
fn damage_never_costs_later_segments() {
    let bytes = written(WalCompression::Snappy, 3);
    // The same series and samples once more, under the same numbers.
    for at in (0..bytes.len()).step_by(3) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        opened_with(&damaged, &bytes, |_, found, corruptions| {
            assert!(corruptions > 0);
            assert_eq!(found.values().map(Vec::len).sum::<usize>(), 12, "byte {at}");
        });
    }
}

/// Damages a file of a closed database in every way: each bit flipped, and cut to every length, as far as it
/// has more than padding. `check` gets each database that is opened then.
fn damaged_everywhere(life: fn(&Db), file: &str, check: impl Fn(&Env, Db)) {
    let world = SimWorld::new(5);
    world.run(|env| {
        let db = open(env, plain());
        life(&db);
        db.close().expect("the disk is sound");
        let path = Path::new(DIR).join(file);
        let whole = read_all(&*env.fs, &path).expect("it is there");
        let content = whole.iter().rposition(|b| *b != 0).expect("it is not empty") + 2;
        let flipped = (0..8 * content.min(whole.len())).map(|bit| {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            damaged
        });
        for damaged in flipped.chain((0..content).map(|len| whole[..len].to_vec())) {
            // Each on a disk of its own, so that no start sees what the one before it has mended.
            let env = Env { fs: Arc::new(world.fs().process_crash()), ..env.clone() };
            let mut file = env.fs.open(&path, OpenMode::Append).expect("it is there");
            file.truncate(0).expect("the disk is sound");
            append_all(&mut *file, &damaged).expect("the disk is sound");
            check(&env, open(&env, plain()));
        }
    });
}

fn plain() -> Options {
    Options {
        wal_compression: WalCompression::None,
        snapshot_on_shutdown: false,
        out_of_order_window: DurationMs::from_secs(3600),
        ..Options::default()
    }
}

/// The WAL has all that the write-behind log names, and counts.
#[test]
fn no_damage_of_a_write_behind_log_costs_a_sample() {
    let life = |db: &Db| {
        commit(db, &[(series(0), 9000, 0.5)]).expect("the disk is sound");
        commit(db, &[(series(0), 1000, 2.5), (series(0), 2000, 1.5)]).expect("the disk is sound");
    };
    let expected = [(1000, 2.5f64), (2000, 1.5), (9000, 0.5)].map(|(t, v)| (t, v.to_bits()));
    damaged_everywhere(life, "wbl/00000000", |env, db| {
        assert_eq!(dump(env, &db)[&series(0)], expected);
    });
}

/// What a checkpoint loses is counted, and what it does not lose is what was written.
#[test]
fn no_damage_of_a_checkpoint_makes_a_wrong_sample() {
    let life = |db: &Db| {
        commit(db, &[(series(0), 1000, 0.5), (series(1), 1000, 1.5)]).expect("the disk is sound");
        let made = db.steps().truncate_wal(TimestampMs::new(0)).expect("the disk is sound");
        assert!(made.is_some());
    };
    let written = [(series(0), vec![(1000, 0.5f64.to_bits())]), (series(1), vec![(1000, 1.5f64.to_bits())])];
    damaged_everywhere(life, "wal/checkpoint.00000000/00000000", |env, db| {
        let found = dump(env, &db);
        assert!(found.iter().all(|(l, s)| written.contains(&(l.clone(), s.clone()))), "{found:?}");
        // Prometheus leaves a file without a byte where nothing has to be kept.
        let path = Path::new(DIR).join("wal/checkpoint.00000000/00000000");
        let is_empty = read_all(&*env.fs, &path).is_ok_and(|bytes| bytes.is_empty());
        let is_counted = is_empty || db.stats().wal_corruptions_total > 0;
        assert!(found.len() == 2 || is_counted, "{found:?}: it is not counted");
    });
}

/// What is logged while `body` runs on this thread.
pub(crate) fn logged(body: impl FnOnce()) -> String {
    #[derive(Clone)]
    struct Sink(Arc<Mutex<Vec<u8>>>);
    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let sink = Sink(Arc::default());
    let writer = sink.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    tracing::subscriber::with_default(subscriber, body);
    let bytes = sink.0.lock().clone();
    String::from_utf8(bytes).expect("log lines are text")
}

#[test]
fn a_torn_end_and_damage_are_said_in_the_log_with_their_place() {
    let bytes = written(WalCompression::None, 2);
    let torn = logged(|| opened_with(&bytes[..bytes.len() - 3], &[], |_, _, _| {}));
    assert!(torn.contains("the WAL ends in an unfinished record"), "{torn}");
    assert!(torn.contains("segment=/data/tsdb/wal/00000000 offset="), "{torn}");
    let mut damaged = bytes.clone();
    damaged[9] ^= 1;
    let damaged = logged(|| opened_with(&damaged, &bytes, |_, _, _| {}));
    assert!(damaged.contains("segment=/data/tsdb/wal/00000000 offset=0 reason=the checksum"), "{damaged}");
    assert!(!damaged.contains("cut off"), "{damaged}");
    let sound = logged(|| opened_with(&bytes, &[], |_, _, _| {}));
    assert!(!sound.contains("WARN"), "{sound}");
}

#[test]
fn a_log_without_its_first_segment_is_damaged() {
    let bytes = written(WalCompression::None, 2);
    SimWorld::new(3).run(|env| {
        env.fs.create_dir_all(&Path::new(DIR).join("wal")).expect("the disk is sound");
        let mut file = env.fs.open(&wal_path(1), OpenMode::CreateNew).expect("it is new");
        append_all(&mut *file, &bytes).expect("the disk is sound");
        drop(file);
        let log = logged(|| assert_eq!(open(env, Options::default()).stats().wal_corruptions_total, 1));
        assert!(log.contains("segments before this one are missing"), "{log}");
    });
}

#[test]
fn a_disk_that_takes_no_batches_is_said_once_and_so_is_its_end() {
    let world = SimWorld::new(4);
    let fs = world.fs().clone();
    world.run(|env| {
        let db = open(env, Options::default());
        let log = logged(|| {
            fs.set_capacity(Some(0));
            for b in 0..3 {
                commit(&db, &batch(b)).expect_err("there is no room");
            }
            fs.set_capacity(None);
            for b in 3..6 {
                commit(&db, &batch(b)).expect("there is room");
            }
        });
        assert_eq!(log.matches("the WAL takes no batches").count(), 1, "{log}");
        assert_eq!(log.matches("the WAL takes batches again").count(), 1, "{log}");
    });
}
