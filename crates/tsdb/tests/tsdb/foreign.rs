//! Blocks that others put into the data directory of a running database, or take from it.

use crate::common::{DIR, Dump, commit, dump, open, series};
use skopos_base::{
    Env,
    fs::{OpenMode, append_all, read_all},
    sim::SimWorld,
};
use skopos_model::{DurationMs, TimestampMs};
use skopos_storage::{Queryable, TimeRange};
use skopos_tsdb::{
    Db, Options,
    block::{BlockDir, BlockMeta, META_FILE},
};
use std::path::{Path, PathBuf};

const ELSEWHERE: &str = "/data/elsewhere";

fn options() -> Options {
    Options {
        min_block_duration: DurationMs::from_ms(10_000),
        max_block_duration: DurationMs::from_ms(10_000),
        maintenance_interval: DurationMs::from_secs(36_000),
        ..Options::default()
    }
}

fn fill(db: &Db, number: usize, from: i64, to: i64) {
    for t in (from..to).step_by(500) {
        commit(db, &[(series(number), t, t as f64)]).expect("all is sound");
    }
}

fn blocks(env: &Env, dir: &str) -> Vec<PathBuf> {
    let entries = env.fs.read_dir(Path::new(dir)).expect("all is sound");
    let whole = |name: &String| matches!(BlockDir::of(name), Some(BlockDir::Whole(_)));
    entries.into_iter().map(|e| e.name).filter(whole).map(|name| Path::new(dir).join(name)).collect()
}

/// Copies files into the data directory; of each at most `most` bytes.
fn copy(env: &Env, block: &Path, names: &[&str], most: usize) -> PathBuf {
    let target = Path::new(DIR).join(block.file_name().expect("a block has a name"));
    for name in names {
        let (from, to) = (block.join(name), target.join(name));
        env.fs.create_dir_all(to.parent().expect("it is in a directory")).expect("all is sound");
        let bytes = read_all(&*env.fs, &from).expect("all is sound");
        let _ = env.fs.remove_file(&to);
        let mut file = env.fs.open(&to, OpenMode::CreateNew).expect("all is sound");
        append_all(&mut *file, &bytes[..bytes.len().min(most)]).expect("all is sound");
    }
    target
}

const FILES: &[&str] = &["chunks/000001", "index", META_FILE];

/// Blocks of series 7, made by another database, and what they say.
fn made_elsewhere(env: &Env) -> (Vec<PathBuf>, Dump) {
    let db = Db::open(Path::new(ELSEWHERE), options(), env).expect("the database opens");
    fill(&db, 7, 0, 45_000);
    db.maintain().expect("all is sound");
    let mut all = dump(env, &db);
    all.values_mut().for_each(|samples| samples.retain(|(t, _)| *t < 30_000));
    drop(db);
    (blocks(env, ELSEWHERE), all)
}

#[test]
fn blocks_are_read_without_a_restart_and_vanish_under_running_queries() {
    SimWorld::new(1).run(|env| {
        let (made, theirs) = made_elsewhere(env);
        let db = open(env, options());
        fill(&db, 1, 100_000, 145_000);
        db.maintain().expect("all is sound");
        let ours = dump(env, &db);
        let copied: Vec<_> = made.iter().map(|block| copy(env, block, FILES, usize::MAX)).collect();
        assert_eq!(dump(env, &db), ours, "not before the next turn");
        let done = db.maintain().expect("all is sound");
        assert_eq!((done.loaded, done.vanished, made.len()), (3, 0, 3));
        let both: Dump = ours.iter().chain(&theirs).map(|(l, s)| (l.clone(), s.clone())).collect();
        assert_eq!(dump(env, &db), both);
        let again = db.maintain().expect("all is sound");
        assert_eq!((again.loaded, again.vanished), (0, 0));

        let view = db.querier(TimeRange::ALL).expect("all is sound");
        copied.iter().for_each(|block| env.fs.remove_dir_all(block).expect("all is sound"));
        let done = db.maintain().expect("all is sound");
        assert_eq!((done.loaded, done.vanished), (0, 3));
        assert_eq!(crate::common::select(env, &*view, &[], TimeRange::ALL), both, "a query goes on");
        assert_eq!(dump(env, &db), ours);
        assert_eq!(db.stats().blocks_unreadable, 0);
    });
}

#[test]
fn a_block_that_is_half_there_stops_nothing_and_is_read_when_it_is_whole() {
    SimWorld::new(2).run(|env| {
        let (made, theirs) = made_elsewhere(env);
        let db = open(env, options());
        // Nothing but an index; a directory without anything; files that end too early; other bytes.
        copy(env, &made[0], &FILES[1..2], usize::MAX);
        env.fs
            .create_dir_all(&Path::new(DIR).join(made[1].file_name().expect("a name")))
            .expect("all is sound");
        let half = copy(env, &made[2], FILES, 100);
        assert!(db.querier(TimeRange::ALL).is_ok(), "nobody has seen them");
        for _ in 0..3 {
            let done = db.maintain().expect("it stops nothing");
            assert_eq!((done.loaded, db.stats().blocks_unreadable), (0, 3));
        }
        assert!(db.querier(TimeRange::ALL).is_err(), "one of them says that it is a block");
        env.fs.remove_file(&half.join(META_FILE)).expect("it is there");
        fill(&db, 1, 100_000, 145_000);
        let done = db.maintain().expect("it stops nothing");
        assert!(done.cut > 0, "{done:?}");
        let ours = dump(env, &db);
        // A chunk file that grows after the rest is there.
        copy(env, &made[0], FILES, usize::MAX);
        copy(env, &made[0], &FILES[..1], 50);
        made[1..].iter().for_each(|block| drop(copy(env, block, FILES, usize::MAX)));
        db.maintain().expect("it stops nothing");
        copy(env, &made[0], &FILES[..1], usize::MAX);
        db.maintain().expect("it stops nothing");
        assert_eq!((db.stats().blocks_unreadable, db.stats().blocks_loaded), (0, 6));
        let both: Dump = ours.iter().chain(&theirs).map(|(l, s)| (l.clone(), s.clone())).collect();
        assert_eq!(dump(env, &db), both);
    });
}

#[test]
fn a_block_that_is_damaged_while_it_is_read_is_read_on_and_missed_by_nobody() {
    SimWorld::new(7).run(|env| {
        let (made, theirs) = made_elsewhere(env);
        let db = open(env, options());
        made.iter().for_each(|block| drop(copy(env, block, FILES, usize::MAX)));
        assert_eq!(db.maintain().expect("all is sound").loaded, 3);
        // Somebody copies it anew, and ends in the middle.
        copy(env, &made[0], &FILES[..1], 50);
        for pass in 0..4 {
            db.maintain().expect("it stops nothing");
            assert_eq!(dump(env, &db), theirs, "pass {pass}");
            assert_eq!((db.stats().blocks_unreadable, db.stats().blocks_loaded), (1, 3), "pass {pass}");
        }
        drop(db);
        let db = open(env, options());
        for _ in 0..3 {
            assert!(db.querier(TimeRange::ALL).is_ok(), "its tables are whole");
            db.maintain().expect("it stops nothing");
        }
        copy(env, &made[0], &FILES[1..2], 50);
        drop(db);
        let db = open(env, options());
        assert!(db.querier(TimeRange::ALL).is_err(), "nothing of it is read");
        copy(env, &made[0], FILES, usize::MAX);
        db.maintain().expect("it stops nothing");
        assert_eq!(dump(env, &db), theirs);
    });
}

#[test]
fn a_block_that_is_half_there_takes_none_with_it_that_it_was_made_of() {
    SimWorld::new(6).run(|env| {
        let (parents, theirs) = made_elsewhere(env);
        let longer = Options { max_block_duration: DurationMs::from_ms(30_000), ..options() };
        let db = open(env, options());
        parents.iter().for_each(|block| drop(copy(env, block, FILES, usize::MAX)));
        // Another program compacts them, and its block is copied while ours looks on.
        let elsewhere = Db::open(Path::new(ELSEWHERE), longer, env).expect("the database opens");
        fill(&elsewhere, 7, 45_000, 60_000);
        assert_eq!(elsewhere.maintain().expect("all is sound").compacted, 1);
        drop(elsewhere);
        let parents_of = |block: &PathBuf| {
            BlockMeta::read(&*env.fs, block).expect("all is sound").compaction.parents.len()
        };
        let child = blocks(env, ELSEWHERE).into_iter().find(|b| parents_of(b) == 3).expect("one was made");
        copy(env, &child, &FILES[1..], usize::MAX);
        copy(env, &child, &FILES[..1], 200);
        let there =
            || blocks(env, DIR).into_iter().map(|b| b.file_name().map(ToOwned::to_owned)).collect::<Vec<_>>();
        for _ in 0..4 {
            db.maintain().expect("it stops nothing");
            assert_eq!(dump(env, &db), theirs, "what it was made of is there");
        }
        drop(db);
        let db = open(env, options());
        assert_eq!(dump(env, &db), theirs, "also after a restart");
        copy(env, &child, &FILES[..1], usize::MAX);
        db.maintain().expect("it stops nothing");
        assert_eq!(dump(env, &db), theirs);
        db.maintain().expect("it stops nothing");
        assert_eq!(there(), [child.file_name().map(ToOwned::to_owned)], "it is whole and stands for them");
        assert_eq!(dump(env, &db), theirs);
    });
}

/// A block of times from `from` to before `to`, as another program may put it there.
fn put_block(env: &Env, number: usize, from: i64, to: i64) {
    let other = format!("{ELSEWHERE}/{number}");
    let options = Options { min_block_duration: DurationMs::from_ms((to - from) / 2), ..options() };
    let db = Db::open(Path::new(&other), options, env).expect("the database opens");
    fill(&db, number, from, to);
    assert!(db.maintain().expect("all is sound").cut > 0);
    drop(db);
    for block in blocks(env, &other) {
        copy(env, &block, FILES, usize::MAX);
    }
}

#[test]
fn a_block_put_there_hides_nothing_of_the_log() {
    for (seed, from) in [(3, 139_000), (4, 150_000), (5, 400 * 86_400_000)] {
        SimWorld::new(seed).run(|env| {
            let db = open(env, options());
            fill(&db, 1, 100_000, 145_000);
            let before = dump(env, &db);
            drop(db);
            put_block(env, 7, from, from + 20_000);
            let db = open(env, options());
            let mut after = dump(env, &db);
            after.retain(|labels, _| before.contains_key(labels));
            assert_eq!(after, before, "a block from {from} on");
            // Ingestion goes on where it was.
            fill(&db, 1, 145_000, 146_000);
            db.maintain().expect("all is sound");
            let now = dump(env, &db);
            drop(db);
            assert_eq!(dump(env, &open(env, options())), now, "a block from {from} on, behind a cut");
        });
    }
}

#[test]
fn what_blocks_have_of_the_log_is_passed_over_and_what_is_noted_wrongly_is_read() {
    SimWorld::new(4).run(|env| {
        let db = open(env, options());
        fill(&db, 1, 100_000, 145_000);
        assert_eq!(db.maintain().expect("all is sound").cut, 3);
        let all = dump(env, &db);
        drop(db);
        let open_again = |samples: bool| {
            let db = open(env, options());
            assert_eq!(dump(env, &db), all);
            let (min, _) = db.steps().cuttable().map_or((0, 0), |r| (r.min.as_ms(), r.max.as_ms()));
            assert_eq!(min > 0, samples, "the head has samples of blocks again");
        };
        open_again(false);
        let note = Path::new(DIR).join("head_cut.json");
        env.fs.remove_file(&note).expect("it is there");
        open_again(true);
    });
}

#[test]
fn what_was_deleted_from_a_block_does_not_come_back_from_a_log_that_is_read_whole() {
    SimWorld::new(5).run(|env| {
        let db = open(env, options());
        fill(&db, 1, 100_000, 145_000);
        db.maintain().expect("all is sound");
        let range = TimeRange { min: TimestampMs::new(101_000), max: TimestampMs::new(128_000) };
        db.delete_series(&[], range, &crate::common::budget(env)).expect("all is sound");
        let all = dump(env, &db);
        drop(db);
        env.fs.remove_file(&Path::new(DIR).join("head_cut.json")).expect("it is there");
        assert_eq!(dump(env, &open(env, options())), all);
    });
}
