//! Flipped bits, cut files, arbitrary bytes, and files of earlier versions.

use super::{DIR, ONE, body, drain, open, push, small, which, world};
use proptest::prelude::*;
use skopos_base::{
    Env,
    fs::{OpenMode, append_all, read_all},
    sim::SimWorld,
};
use skopos_spool::{OpenError, Options, Spool};
use std::path::{Path, PathBuf};

/// A file of records and a position as version 1 writes them.
const RECORDS_V1: &[u8] = include_bytes!("../fixtures/v1-records");
const POSITION_V1: &[u8] = include_bytes!("../fixtures/v1-position");

fn segment(first: u64) -> PathBuf {
    Path::new(DIR).join(format!("{first:020}"))
}

fn put(env: &Env, path: &Path, bytes: &[u8]) {
    env.fs.create_dir_all(Path::new(DIR)).unwrap();
    if env.fs.exists(path).unwrap() {
        env.fs.remove_file(path).unwrap();
    }
    let mut file = env.fs.open(path, OpenMode::CreateNew).unwrap();
    append_all(file.as_mut(), bytes).unwrap();
}

/// The first file of a queue that has another one behind it, and what stands in both.
fn two_files(env: &Env) -> (Vec<u8>, Vec<u64>) {
    let spool = open(env, small(), &["a"]);
    assert!((1..=4).all(|n| push(&spool, env, n)));
    drop(spool);
    (read_all(&*env.fs, &segment(1)).unwrap(), vec![1, 2, 3, 4])
}

/// Reads all there is after damage to the first file: nothing wrong, nothing of the second file missing, and
/// what is missing counted.
fn check_damaged(bytes: &[u8]) {
    let world = world();
    world.run(|env| {
        let (_, all) = two_files(env);
        put(env, &segment(1), bytes);
        let spool = open(env, small(), &["a"]);
        let got = drain(&spool, ONE);
        assert!(got.is_sorted() && got.iter().all(|n| all.contains(n)), "{got:?}");
        assert!(got.ends_with(&[4]), "{got:?}");
        let lost = spool.stats().readers[0].lost;
        assert!(lost.by_size + lost.by_age + lost.by_memory == 0 && lost.by_damage <= 6, "{lost:?}");
    });
}

#[test]
fn a_flipped_bit_costs_at_most_its_file() {
    let bytes = world().run(two_files).0;
    // Every bit of the headers, and one of each byte of the bodies.
    for bit in 8 * 8..bytes.len() * 8 {
        let in_header = bit / 8 < 8 + 32;
        if in_header || bit % 8 == 3 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            check_damaged(&bytes);
        }
    }
}

#[test]
fn a_cut_costs_at_most_what_stood_behind_it() {
    let bytes = world().run(two_files).0;
    for len in 0..bytes.len() {
        check_damaged(&bytes[..len]);
    }
}

#[test]
fn damage_under_a_running_queue_is_passed_and_counted() {
    world().run(|env| {
        let spool = open(env, small(), &["a"]);
        assert!((1..=7).all(|n| push(&spool, env, n)));
        let mut bytes = read_all(&*env.fs, &segment(1)).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        put(env, &segment(1), &bytes);
        // The handle that the queue has open shows the file as it was.
        let spool = {
            drop(spool);
            open(env, small(), &["a"])
        };
        let got = drain(&spool, ONE);
        let missing: u64 = (1..=7).sum::<u64>() - got.iter().sum::<u64>();
        assert!(missing > 0 && got.ends_with(&[4, 5, 6, 7]), "{got:?}");
    });
}

#[test]
fn a_file_of_another_version_is_left_alone_and_named() {
    world().run(|env| {
        put(env, &segment(3), b"SKSPOOL\x02and more");
        let opened = Spool::open(env, Path::new(DIR), small(), &["a".to_owned()]);
        assert!(matches!(opened, Err(OpenError::Foreign { path }) if path == segment(3)));
        assert!(env.fs.exists(&segment(3)).unwrap());
    });
}

#[test]
fn what_version_1_wrote_is_read() {
    world().run(|env| {
        put(env, &segment(1), RECORDS_V1);
        put(env, &Path::new(DIR).join("position.a"), POSITION_V1);
        let spool = open(env, Options::of_bytes(1 << 20), &["a"]);
        let record = spool.peek(ONE).unwrap().unwrap();
        assert_eq!((record.number, record.time_ms, which(&record)), (2, 1_700_000_000_002, 2));
        assert_eq!(drain(&spool, ONE), [2, 3]);
    });
}

#[test]
fn what_is_written_today_is_version_1() {
    world().run(|env| {
        let spool = open(env, Options::of_bytes(1 << 20), &["a"]);
        for n in 1..=3 {
            spool.push(1_700_000_000_000 + n as i64, n as u32, body(n));
        }
        spool.advance(ONE, 1).unwrap();
        drop(spool);
        assert_eq!(read_all(&*env.fs, &segment(1)).unwrap(), RECORDS_V1);
        assert_eq!(read_all(&*env.fs, &Path::new(DIR).join("position.a")).unwrap(), POSITION_V1);
    });
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_no_records(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        begun in any::<bool>(),
    ) {
        let world: SimWorld = world();
        world.run(|env| {
            let magic: &[u8] = if begun { b"SKSPOOL\x01" } else { b"" };
            put(env, &segment(5), &[magic, &bytes[..]].concat());
            put(env, &Path::new(DIR).join("position.a"), &bytes);
            let Ok(spool) = Spool::open(env, Path::new(DIR), small(), &["a".to_owned()]) else { return };
            assert_eq!(drain(&spool, ONE), Vec::<u64>::new());
            assert!(push(&spool, env, 9));
            assert_eq!(drain(&spool, ONE), [9]);
        });
    }
}
