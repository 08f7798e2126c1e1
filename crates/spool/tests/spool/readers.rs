//! Places and paces of readers.

use super::{DIR, ONE, TWO, drain, open, push, small, which, world};
use skopos_base::{Env, fs::Fs as _};
use skopos_spool::{OpenError, Spool};
use std::path::Path;

#[test]
fn each_reader_gets_all_in_order_at_its_own_pace_over_restarts() {
    world().run(|env| {
        let spool = open(env, small(), &["a", "b"]);
        assert!((1..=10).all(|n| push(&spool, env, n)));
        for n in 1..=4 {
            let record = spool.peek(ONE).unwrap().unwrap();
            assert_eq!((which(&record), record.number), (n, n));
            assert_eq!(spool.peek(ONE).unwrap().unwrap(), record, "it stays until it is done with");
            spool.advance(ONE, record.number).unwrap();
        }
        drop(spool);
        let spool = open(env, small(), &["a", "b"]);
        assert_eq!(spool.stats().readers[0].pending, (5..=10).sum());
        assert_eq!(spool.stats().readers[1].pending, (1..=10).sum());
        assert!(push(&spool, env, 11));
        assert_eq!(drain(&spool, ONE), (5..=11).collect::<Vec<_>>());
        assert_eq!(drain(&spool, TWO), (1..=11).collect::<Vec<_>>());
        let stats = spool.stats();
        assert_eq!(stats.segments, 1, "only the file that is written is kept");
        assert!(stats.readers.iter().all(|r| r.pending == 0 && r.pending_bytes == 0), "{stats:?}");
        assert!(push(&spool, env, 12) && push(&spool, env, 13));
        assert_eq!(spool.stats().readers[0].pending, 25);
        assert_eq!(drain(&spool, ONE), [12, 13]);
    });
}

#[test]
fn the_pending_bytes_are_those_of_the_files_that_are_left() {
    world().run(|env| {
        let spool = open(env, small(), &["a"]);
        assert!((1..=9).all(|n| push(&spool, env, n)));
        let mut before = spool.stats().readers[0].pending_bytes;
        while let Some(record) = spool.peek(ONE).unwrap() {
            spool.advance(ONE, record.number).unwrap();
            let now = spool.stats().readers[0].pending_bytes;
            assert!(now + record.body.len() as u64 <= before, "{now} after {before}");
            before = now;
        }
        assert_eq!(before, 0);
    });
}

#[test]
fn a_new_reader_begins_with_the_oldest_and_places_of_others_go() {
    world().run(|env| {
        let spool = open(env, small(), &["a"]);
        assert!((1..=3).all(|n| push(&spool, env, n)));
        assert_eq!(drain(&spool, ONE), [1, 2, 3]);
        assert!(push(&spool, env, 4));
        drop(spool);
        let spool = open(env, small(), &["new"]);
        assert_eq!(drain(&spool, ONE).last(), Some(&4));
        drop(spool);
        let names = env.fs.read_dir(Path::new(DIR)).unwrap();
        assert!(!names.iter().any(|entry| entry.name == "position.a"), "{names:?}");
    });
}

#[test]
fn numbers_are_not_given_twice_when_all_files_are_gone() {
    world().run(|env| {
        let spool = open(env, small(), &["a"]);
        assert!((1..=9).all(|n| push(&spool, env, n)));
        drain(&spool, ONE);
        drop(spool);
        for entry in env.fs.read_dir(Path::new(DIR)).unwrap() {
            if !entry.name.starts_with("position") {
                env.fs.remove_file(&Path::new(DIR).join(entry.name)).unwrap();
            }
        }
        let spool = open(env, small(), &["a"]);
        assert!(push(&spool, env, 77));
        let record = spool.peek(ONE).unwrap().unwrap();
        assert_eq!((which(&record), record.number), (77, 10));
    });
}

#[test]
fn a_place_is_found_again_after_thousands_of_saves() {
    world().run(|env| {
        let spool = open(env, small(), &["a"]);
        for n in 1..=12_000 {
            assert!(push(&spool, env, n));
            assert_eq!(drain(&spool, ONE), [n]);
        }
        assert!(push(&spool, env, 1));
        drop(spool);
        let len = env.fs.read_dir(Path::new(DIR)).unwrap();
        let len = len.iter().find(|entry| entry.name == "position.a").unwrap().len;
        assert!(len <= 60_012, "{len} bytes");
        assert_eq!(drain(&open(env, small(), &["a"]), ONE), [1]);
    });
}

#[test]
fn a_directory_is_of_one_process() {
    world().run(|env| {
        let _spool = open(env, small(), &["a"]);
        let second = Spool::open(env, Path::new(DIR), small(), &["a".to_owned()]);
        assert!(matches!(second, Err(OpenError::InUse { .. })), "{second:?}");
    });
}

#[test]
fn a_directory_may_be_named_from_here_and_those_above_it_are_durable_too() {
    let world = world();
    world.run(|env| {
        // As a real file system has it: nothing stands above a name alone.
        let real = Env::real();
        let folder = format!("target/spool-test-{}/queue", std::process::id());
        drop(Spool::open(&real, Path::new(&folder), small(), &["a".to_owned()]).unwrap());
        let above = Path::new(&folder).parent().unwrap();
        real.fs.remove_dir_all(above).unwrap();
        let deep = Path::new("/data/not/there/yet");
        drop(Spool::open(env, deep, small(), &["a".to_owned()]).unwrap());
        for lost in world.fs().crash_states(20, 1) {
            assert!(lost.exists(deep).unwrap(), "{}", lost.origin());
        }
    });
}

#[test]
fn the_newest_record_is_known_though_all_have_had_it_also_after_a_restart() {
    world().run(|env| {
        let spool = open(env, small(), &["a"]);
        assert_eq!(spool.newest().unwrap(), None);
        for n in 1..=7 {
            assert!(push(&spool, env, n));
            assert_eq!(which(&spool.newest().unwrap().unwrap()), n);
        }
        assert_eq!(drain(&spool, ONE), (1..=7).collect::<Vec<_>>());
        drop(spool);
        let spool = open(env, small(), &["a"]);
        assert_eq!(which(&spool.newest().unwrap().unwrap()), 7);
        assert_eq!(drain(&spool, ONE), [0; 0]);
        assert!(push(&spool, env, 8));
        assert_eq!(which(&spool.newest().unwrap().unwrap()), 8);
        assert_eq!((drain(&spool, ONE), spool.stats().segments), (vec![8], 1));
    });
}
