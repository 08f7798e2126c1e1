//! Samples that came out of order and were deleted stay deleted, however the database ends and whatever of
//! them its logs still have; and none that was not deleted goes with them.

use crate::{
    common::{DIR, budget, commit, dump, labels, matcher, open, range},
    crash_out_of_order::Outcome,
    damage_names::change,
};
use skopos_base::{
    Env,
    fs::{Fs, read_all},
    rng::Rng,
    sim::{SimFs, SimWorld, effort, failing::every_call},
};
use skopos_model::{DurationMs, Labels, TimestampMs};
use skopos_storage::{Queryable, TimeRange};
use skopos_tsdb::{Db, Options, WalCompression, block::BlockMeta};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

const BLOCK_MS: i64 = 10_000;
/// All samples of a scenario are in one.
const LONG_BLOCK_MS: i64 = 100_000;
const SERIES: usize = 3;

fn options(block_ms: i64) -> Options {
    Options {
        // Less than a hundred records: several segments, and so checkpoints.
        segment_bytes: 64 << 10,
        wal_compression: WalCompression::None,
        min_block_duration: DurationMs::from_ms(block_ms),
        max_block_duration: DurationMs::from_ms(9 * block_ms),
        out_of_order_window: DurationMs::from_secs(3600),
        maintenance_interval: DurationMs::from_secs(3600),
        ..Options::default()
    }
}

fn series(i: usize) -> Labels {
    labels(&[("__name__", "late"), ("i", &i.to_string())])
}

/// How a database ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Killed,
    /// Without a snapshot.
    Dropped,
    Closed,
}

const ENDS: [End; 3] = [End::Killed, End::Dropped, End::Closed];

/// A disk, and how many databases it has seen.
struct Lives {
    fs: SimFs,
    block_ms: i64,
    nth: u64,
}

impl Lives {
    fn new(seed: u64) -> Self {
        Self { fs: SimFs::new(seed), block_ms: BLOCK_MS, nth: 0 }
    }

    /// Takes the blocks of late samples away; how many there were.
    fn lose_late_blocks(&mut self) -> usize {
        let fs = self.fs.process_crash();
        let lost = SimWorld::with_fs(1, fs.clone()).run(|env| {
            let mut late = block_metas(&*env.fs);
            late.retain(|(_, meta)| meta.is_out_of_order());
            late.iter().for_each(|(block, _)| env.fs.remove_dir_all(block).expect("the disk is sound"));
            late.len()
        });
        self.fs = fs;
        lost
    }

    /// Has `step` do something with a database, which ends then.
    fn live(&mut self, end: End, step: impl FnOnce(&Env, &Db)) {
        // Blocks of another life have other names.
        self.nth += 1;
        let fs = self.fs.process_crash();
        self.fs = SimWorld::with_fs(self.nth, fs.clone()).run(|env| {
            let db = open(env, options(self.block_ms));
            step(env, &db);
            let killed = fs.process_crash();
            match end {
                End::Killed => return killed,
                End::Dropped => drop(db),
                End::Closed => db.close().expect("the disk is sound"),
            }
            fs.process_crash()
        });
    }
}

/// What a set of samples should be, by series and time.
type Samples = BTreeSet<(usize, i64)>;

fn has(range: &TimeRange, t: i64) -> bool {
    (range.min.as_ms()..=range.max.as_ms()).contains(&t)
}

fn found(env: &Env, db: &Db) -> Samples {
    let all = dump(env, db);
    let times = |i: usize| all.get(&series(i)).into_iter().flatten().map(move |(t, _)| (i, *t));
    (0..SERIES).flat_map(times).collect()
}

/// Says what is lost, and what is there that should not be.
fn assert_same(found: &Samples, expected: &Samples, said: &str) {
    let (lost, more): (Vec<_>, Vec<_>) =
        (expected.difference(found).collect(), found.difference(expected).collect());
    let ends = |of: &[&(usize, i64)]| (of.len(), of.first().map(|s| **s), of.last().map(|s| **s));
    let (lost, more) = (ends(&lost), ends(&more));
    assert!(found == expected, "{said}: lost {lost:?}, back {more:?}");
}

/// Samples of a series in one batch.
fn put(db: &Db, i: usize, times: impl IntoIterator<Item = i64>) -> Outcome {
    let samples: Vec<_> = times.into_iter().map(|t| (series(i), t, t as f64)).collect();
    commit(db, &samples)?;
    Ok(())
}

fn delete(env: &Env, db: &Db, i: usize, range: TimeRange) -> Outcome {
    db.delete_series(&[matcher("i", "=", &i.to_string())], range, &budget(env))?;
    Ok(())
}

/// In order from 0 s to 99 s, every second; late ones half a second behind of the times that blocks have.
fn fill(db: &Db) -> Result<Samples, Box<dyn std::error::Error>> {
    for i in 0..2 {
        put(db, i, (0..100).map(|s| s * 1000))?;
    }
    for i in 0..2 {
        for at in 0..8 {
            put(db, i, (0..10).map(|k| (at + k * 8) * 1000 + 500))?;
        }
    }
    let times = (0..100).map(|s| s * 1000).chain((0..80).map(|s| s * 1000 + 500));
    Ok(times.flat_map(|t| [(0, t), (1, t)]).collect())
}

#[test]
fn late_samples_that_were_deleted_from_blocks_stay_deleted_however_the_database_ends() {
    for (first, second) in ENDS.into_iter().flat_map(|first| ENDS.map(|second| (first, second))) {
        for steps in 0..8 {
            let (shortened, cleaned, held) = (steps & 1 > 0, steps & 2 > 0, steps & 4 > 0);
            let mut expected = Samples::new();
            let mut lives = Lives::new(1);
            lives.live(first, |env, db| {
                expected = fill(db).expect("the disk is sound");
                let reader = held.then(|| db.querier(TimeRange::ALL).expect("all is sound"));
                db.compact_out_of_order().expect("the disk is sound");
                drop(reader);
                db.maintain().expect("the disk is sound");
                delete(env, db, 0, range(10_000, 70_000)).expect("the disk is sound");
                expected.retain(|(i, t)| *i != 0 || *t < 10_000 || *t > 70_000);
                if shortened {
                    db.steps().truncate_wal(TimestampMs::new(50_000)).expect("the disk is sound");
                }
                if cleaned {
                    db.clean_tombstones().expect("the disk is sound");
                }
            });
            let said = format!("{first:?}, {second:?}, steps {steps:03b}");
            lives.live(second, |env, db| {
                assert_same(&found(env, db), &expected, &said);
                // What is brought in anew is no part of the deletion, since blocks had what was deleted.
                put(db, 0, [20_250]).expect("the disk is sound");
                expected.insert((0, 20_250));
                assert_same(&found(env, db), &expected, &said);
            });
            lives.live(End::Killed, |env, db| {
                assert_same(&found(env, db), &expected, &format!("{said}, again"));
                assert_eq!(db.compact_out_of_order().expect("the disk is sound").out_of_order, 1, "{said}");
                assert_same(&found(env, db), &expected, &format!("{said}, in blocks"));
            });
        }
    }
}

#[test]
fn late_samples_whose_block_is_taken_away_come_from_the_log_as_long_as_it_has_them() {
    for end in ENDS {
        let mut lives = Lives { block_ms: LONG_BLOCK_MS, ..Lives::new(1) };
        let mut expected = Samples::new();
        lives.live(end, |_, db| {
            expected = fill(db).expect("the disk is sound");
            assert_eq!(db.compact_out_of_order().expect("the disk is sound").out_of_order, 1);
        });
        assert_eq!(lives.lose_late_blocks(), 1);
        lives.live(End::Killed, |env, db| {
            assert_same(&found(env, db), &expected, "without the block");
            assert_eq!(db.compact_out_of_order().expect("the disk is sound").out_of_order, 1);
        });
        lives.live(End::Killed, |env, db| {
            assert_same(&found(env, db), &expected, "with another one");
        });
    }
}

/// Fills more segments than a checkpoint takes, with series that have a sample at `t`: it leaves the one with
/// what comes behind.
fn fill_segments(db: &Db, t: i64) -> Outcome {
    for segment in 0..5 {
        let filler = |nth| labels(&[("filler", &format!("{segment} {nth}{}", "x".repeat(6000)))]);
        commit(db, &(0..10).map(|nth| (filler(nth), t, 0.5)).collect::<Vec<_>>())?;
    }
    Ok(())
}

/// Fills a block, of which the WAL keeps the late samples when it is shortened, and begins two others.
fn fill_two_blocks(db: &Db) -> Outcome {
    fill_segments(db, 0)?;
    fill(db)?;
    // So late that two blocks are cut: a deletion from the head begins behind them, and the first may go.
    (0..2).try_for_each(|i| put(db, i, [260_000, 460_000]))
}

/// Deletes all that the first block has, of whatever series.
fn delete_first_block(env: &Env, db: &Db) -> Outcome {
    let all = [matcher("i", "=~", ".*")];
    db.delete_series(&all, range(0, LONG_BLOCK_MS - 1), &budget(env))?;
    Ok(())
}

#[test]
fn a_block_of_which_deletion_left_nothing_is_not_missed() {
    for end in ENDS {
        let mut lives = Lives { block_ms: LONG_BLOCK_MS, ..Lives::new(1) };
        let mut expected = Samples::new();
        lives.live(end, |env, db| {
            fill_two_blocks(db).expect("the disk is sound");
            expected.extend((0..2).flat_map(|i| [(i, 260_000), (i, 460_000)]));
            db.compact_out_of_order().expect("the disk is sound");
            delete_first_block(env, db).expect("the disk is sound");
            assert!(db.clean_tombstones().expect("the disk is sound") > 0);
        });
        assert_eq!(lives.lose_late_blocks(), 0, "nothing was left of it");
        for _ in 0..2 {
            lives.live(end, |env, db| assert_same(&found(env, db), &expected, "after a restart"));
        }
    }
}

/// The head had the late samples that were deleted: the log says so still, when blocks have what is left.
#[test]
fn what_is_brought_in_behind_a_deletion_stays_however_the_database_ends() {
    for (end, shortened) in ENDS.into_iter().flat_map(|end| [(end, false), (end, true)]) {
        let said = format!("{end:?}, {shortened}");
        let (mut lives, mut expected) = (Lives::new(1), Samples::new());
        lives.live(End::Killed, |env, db| {
            expected = fill(db).expect("the disk is sound");
            delete(env, db, 0, range(10_000, 60_000)).expect("the disk is sound");
            expected.retain(|(i, t)| *i != 0 || *t < 10_000 || *t > 60_000);
            assert!(db.maintain().expect("the disk is sound").cut > 1);
            db.compact_out_of_order().expect("the disk is sound");
            assert_same(&found(env, db), &expected, &said);
        });
        for t in [20_250, 30_250, 40_250] {
            lives.live(end, |env, db| {
                assert_same(&found(env, db), &expected, &said);
                put(db, 0, [t]).expect("the disk is sound");
                expected.insert((0, t));
                assert_same(&found(env, db), &expected, &said);
                if shortened {
                    db.steps().truncate_wal(TimestampMs::new(50_000)).expect("the disk is sound");
                }
            });
        }
        lives.live(End::Killed, |env, db| {
            assert_same(&found(env, db), &expected, &said);
            db.compact_out_of_order().expect("the disk is sound");
            assert_same(&found(env, db), &expected, &format!("{said}, in blocks"));
        });
    }
}

/// The head had no late sample when blocks took what was deleted: nothing says so but the log itself, with or
/// without the snapshot, which is believed more than once.
#[test]
fn what_comes_late_behind_a_cut_of_the_head_stays_however_the_databases_end() {
    for (first, second) in ENDS.into_iter().flat_map(|first| ENDS.map(|second| (first, second))) {
        for steps in 0..8 {
            let (deleted_before, shortened, late_before) = (steps & 1 > 0, steps & 2 > 0, steps & 4 > 0);
            let said = format!("{first:?}, {second:?}, steps {steps:03b}");
            let mut lives = Lives { block_ms: LONG_BLOCK_MS, ..Lives::new(1) };
            let mut expected: Samples = (0..100).map(|s| (0, s * 1000)).collect();
            let erase = |env: &Env, db: &Db, expected: &mut Samples| {
                delete(env, db, 0, range(10_000, 60_000)).expect("the disk is sound");
                expected.retain(|(_, t)| !(10_000..=60_000).contains(t));
            };
            lives.live(first, |env, db| {
                put(db, 0, (0..100).map(|s| s * 1000)).expect("the disk is sound");
                fill_segments(db, 90_000).expect("the disk is sound");
                if late_before {
                    put(db, 0, [70_500, 30_500]).expect("the disk is sound");
                    expected.extend([(0, 70_500), (0, 30_500)]);
                }
                if deleted_before {
                    erase(env, db, &mut expected);
                }
            });
            lives.live(second, |env, db| {
                assert_same(&found(env, db), &expected, &said);
                if !deleted_before {
                    erase(env, db, &mut expected);
                }
                put(db, 0, [260_000]).expect("the disk is sound");
                expected.insert((0, 260_000));
                assert!(db.maintain().expect("the disk is sound").cut > 0, "{said}");
                put(db, 0, [20_250, 40_250]).expect("the disk is sound");
                expected.extend([(0, 20_250), (0, 40_250)]);
                assert_same(&found(env, db), &expected, &said);
                if shortened {
                    db.steps().truncate_wal(TimestampMs::new(LONG_BLOCK_MS)).expect("the disk is sound");
                }
            });
            for nth in 0..2 {
                lives.live(second, |env, db| {
                    assert_same(&found(env, db), &expected, &format!("{said}, {nth}"));
                });
            }
            lives.live(End::Killed, |env, db| {
                assert_same(&found(env, db), &expected, &format!("{said}, last"));
                db.compact_out_of_order().expect("the disk is sound");
                assert_same(&found(env, db), &expected, &format!("{said}, in blocks"));
            });
        }
    }
}

/// A block that the system refuses to read is there nevertheless, whatever becomes of others meanwhile.
#[test]
fn a_block_that_cannot_be_read_now_is_missed_once_it_is_gone() {
    for end in ENDS {
        let mut lives = Lives { block_ms: LONG_BLOCK_MS, ..Lives::new(1) };
        let mut expected = Samples::new();
        lives.live(end, |env, db| {
            fill_segments(db, 230_000).expect("the disk is sound");
            // Two blocks that do not overlap, and are not put together: one of late samples.
            put(db, 0, (230..270).map(|s| s * 1000).chain([460_000])).expect("the disk is sound");
            put(db, 0, (0..80).map(|s| s * 1000)).expect("the disk is sound");
            db.compact_out_of_order().expect("the disk is sound");
            delete(env, db, 0, range(240_000, 249_999)).expect("the disk is sound");
            expected = found(env, db);
            assert_eq!(expected.len(), 30 + 1 + 80);
        });
        let late = block_metas(&lives.fs).into_iter().find(|(_, meta)| meta.is_out_of_order());
        let index = late.expect("there is one").0.join("index");
        lives.fs.rename(&index, &index.with_extension("kept")).expect("it is there");
        lives.fs.create_dir_all(&index).expect("the disk is sound");
        lives.live(end, |_, db| {
            assert_eq!(db.stats().blocks_unreadable, 1);
            assert!(db.clean_tombstones().expect("the disk is sound") > 0);
        });
        assert_eq!(lives.lose_late_blocks(), 1);
        lives.live(end, |env, db| {
            assert_same(&found(env, db), &expected, &format!("{end:?}"));
        });
    }
}

/// Late samples in a block of their own, of which some were deleted before, and the log has a bound behind.
fn late_block_with_a_bound(env: &Env, db: &Db) -> Samples {
    fill_segments(db, 230_000).expect("the disk is sound");
    put(db, 0, (230..270).map(|s| s * 1000).chain([460_000])).expect("the disk is sound");
    put(db, 0, (0..80).map(|s| s * 1000)).expect("the disk is sound");
    delete(env, db, 0, range(10_000, 19_999)).expect("the disk is sound");
    db.compact_out_of_order().expect("the disk is sound");
    let there = found(env, db);
    assert_eq!(there.len(), 40 + 1 + 70);
    there
}

/// A start that reads late samples once more, as their block is gone, goes by what was deleted of them; so
/// does the log that is made shorter then.
#[test]
fn what_was_deleted_of_a_block_that_is_gone_stays_deleted_when_the_log_is_shorter() {
    for end in ENDS {
        let mut lives = Lives { block_ms: LONG_BLOCK_MS, ..Lives::new(1) };
        let mut expected = Samples::new();
        lives.live(End::Killed, |env, db| expected = late_block_with_a_bound(env, db));
        assert_eq!(lives.lose_late_blocks(), 1);
        for nth in 0..3 {
            lives.live(end, |env, db| {
                assert_same(&found(env, db), &expected, &format!("{end:?}, {nth}"));
                fill_segments(db, 460_000).expect("the disk is sound");
                db.steps().truncate_wal(TimestampMs::new(0)).expect("the disk is sound");
            });
        }
    }
}

/// A block is not missed for ever that the log can give nothing of.
#[test]
fn what_comes_late_stays_also_where_a_block_is_gone_for_good() {
    for end in ENDS {
        let mut lives = Lives { block_ms: LONG_BLOCK_MS, ..Lives::new(1) };
        let mut expected = Samples::new();
        lives.live(End::Killed, |env, db| {
            expected = late_block_with_a_bound(env, db);
            for _ in 0..3 {
                fill_segments(db, 460_000).expect("the disk is sound");
                db.steps().truncate_wal(TimestampMs::new(LONG_BLOCK_MS)).expect("the disk is sound");
            }
        });
        assert_eq!(lives.lose_late_blocks(), 1);
        expected.retain(|(_, t)| *t >= LONG_BLOCK_MS);
        lives.live(end, |env, db| {
            assert_same(&found(env, db), &expected, "without the block");
            put(db, 0, (470..480).map(|s| s * 1000)).expect("the disk is sound");
            delete(env, db, 0, range(470_000, 474_999)).expect("the disk is sound");
            put(db, 0, [760_000]).expect("the disk is sound");
            assert!(db.maintain().expect("the disk is sound").cut > 0);
            put(db, 0, [471_250, 473_250]).expect("the disk is sound");
            expected = found(env, db);
            assert_eq!(expected.iter().filter(|(_, t)| (470_000..480_000).contains(t)).count(), 7);
        });
        for _ in 0..2 {
            lives.live(end, |env, db| assert_same(&found(env, db), &expected, &format!("{end:?}")));
        }
    }
}

/// Damage to a running database's log, also where it says that deletions count no more, costs nothing once
/// the log is shorter.
#[test]
fn a_bound_that_damage_takes_is_written_once_more() {
    let mut lives = Lives { block_ms: LONG_BLOCK_MS, ..Lives::new(1) };
    let mut expected = Samples::new();
    lives.live(End::Killed, |env, db| {
        fill_segments(db, 0).expect("the disk is sound");
        put(db, 0, (0..100).map(|s| s * 1000)).expect("the disk is sound");
        delete(env, db, 0, range(10_000, 60_000)).expect("the disk is sound");
        put(db, 0, [260_000]).expect("the disk is sound");
        db.sync().expect("the disk is sound");
        let wal = |env: &Env| {
            let entries = env.fs.read_dir(&Path::new(DIR).join("wal")).expect("it is there");
            let last =
                entries.iter().filter(|e| !e.is_dir).map(|e| e.name.clone()).max().expect("there is one");
            Path::new(DIR).join("wal").join(last)
        };
        let (path, before) = (wal(env), read_all(&*env.fs, &wal(env)).expect("it is there").len());
        assert!(db.maintain().expect("the disk is sound").cut > 0);
        change(env, &path, |bytes| bytes[before..].fill(0xFF));
        put(db, 0, [20_250, 40_250]).expect("the disk is sound");
        db.sync().expect("the disk is sound");
        fill_segments(db, 260_000).expect("the disk is sound");
        for _ in 0..3 {
            db.steps().truncate_wal(TimestampMs::new(LONG_BLOCK_MS)).expect("the disk is sound");
        }
        assert!(db.stats().wal_corruptions_total > 0, "the bound was damaged");
        expected = found(env, db);
        assert!(expected.contains(&(0, 20_250)) && !expected.contains(&(0, 20_000)));
    });
    lives.live(End::Killed, |env, db| assert_same(&found(env, db), &expected, "after a restart"));
}

/// The blocks, and where they are.
fn block_metas(fs: &dyn Fs) -> Vec<(PathBuf, BlockMeta)> {
    let entries = fs.read_dir(Path::new(DIR)).expect("it is there");
    let paths = entries.iter().map(|entry| Path::new(DIR).join(&entry.name));
    paths.filter_map(|path| BlockMeta::read(fs, &path).ok().map(|meta| (path, meta))).collect()
}

/// A killed database that has deleted all of its first block, and whether the block waits to be removed.
fn deleted_first_block(waits: bool) -> SimFs {
    let mut lives = Lives { block_ms: LONG_BLOCK_MS, ..Lives::new(1) };
    lives.live(End::Killed, |env, db| {
        fill_two_blocks(db).expect("the disk is sound");
        db.compact_out_of_order().expect("the disk is sound");
        delete_first_block(env, db).expect("the disk is sound");
    });
    let mut metas = block_metas(&lives.fs);
    metas.retain(|(_, meta)| waits && meta.max_time.as_ms() <= LONG_BLOCK_MS);
    for (path, mut meta) in metas {
        meta.compaction.deletable = true;
        lives.fs.remove_file(&path.join("meta.json")).expect("it is there");
        meta.write(&lives.fs, &path).expect("the disk is sound");
    }
    lives.fs.process_crash()
}

fn assert_none_is_back(env: &Env, db: &Db, said: &str) {
    let there = found(env, db);
    assert!(there.iter().all(|(_, t)| *t >= LONG_BLOCK_MS) && there.len() == 4, "{said}: {there:?}");
}

#[test]
fn no_failing_call_of_a_cleaning_or_of_a_start_brings_back_what_was_deleted() {
    for waits in [false, true] {
        let mut failed = 0;
        every_call(&deleted_first_block(waits), |env, fault| {
            let open_now = || Db::open(Path::new(DIR), options(LONG_BLOCK_MS), env);
            let mut db = None;
            if !waits {
                db = Some(open_now().expect("the disk is sound"));
            }
            fault.arm();
            let opened = db.map_or_else(open_now, Ok);
            failed += usize::from(match &opened {
                Ok(db) => db.clean_tombstones().is_err(),
                Err(_) => true,
            });
            fault.disarm();
            drop(opened);
            for start in ["first", "second"] {
                let db = open(env, options(LONG_BLOCK_MS));
                assert_none_is_back(env, &db, start);
            }
        });
        assert!(failed > 20, "{failed}, {waits}");
    }
}

/// What late samples may be brought into, and what was deleted there before: spans that are free again.
fn free_what_blocks_have(env: &Env, deleted: &mut Vec<(usize, TimeRange)>) {
    let mut cut = block_metas(&*env.fs);
    cut.retain(|(_, meta)| !meta.is_out_of_order());
    let cut = cut.iter().map(|(_, meta)| meta.max_time).max();
    deleted.retain(|(_, span)| cut.is_none_or(|cut| span.max >= cut));
}

/// Against a plain set, through lives that end in all ways.
#[test]
fn deletions_of_late_samples_agree_with_a_set() {
    for seed in 0..effort::states(20) as u64 {
        let rng = Rng::from_seed(effort::seed(seed));
        let (mut expected, mut deleted) = (Samples::new(), Vec::<(usize, TimeRange)>::new());
        let (mut now, mut lives) = (1_000_000, Lives::new(seed));
        // Whether the head may have late samples; where they are rare, it is often cut without any.
        let (mut may_be_late, rare) = (false, seed % 2 > 0);
        for nth in 0..4 {
            let end = ENDS[rng.below(3) as usize];
            let mut said = Vec::new();
            lives.live(end, |env, db| {
                assert_same(&found(env, db), &expected, &format!("seed {seed}, life {nth}"));
                for _ in 0..25 {
                    let i = rng.below(SERIES as u64) as usize;
                    let step = match rng.below(12) {
                        3..6 if rare => 0,
                        step => step,
                    };
                    said.push((step, i, now));
                    match step {
                        0..3 => {
                            let times: Vec<_> = (1..=20).map(|k| now + k * 400).collect();
                            now += 8000;
                            put(db, i, times.iter().copied()).expect("the disk is sound");
                            expected.extend(times.into_iter().map(|t| (i, t)));
                        }
                        3..7 => {
                            // A time that was deleted may be hidden once more while the head has it.
                            let times = (0..40).map(|_| now - rng.below(60_000) as i64);
                            let is_free = |t: &i64| {
                                let hit = |(of, d): &(usize, TimeRange)| *of == i && has(d, *t);
                                !expected.contains(&(i, *t)) && !deleted.iter().any(hit)
                            };
                            let times: BTreeSet<_> = times.filter(is_free).collect();
                            put(db, i, times.iter().copied()).expect("the disk is sound");
                            expected.extend(times.into_iter().map(|t| (i, t)));
                            may_be_late = true;
                        }
                        7 => {
                            let min = now - rng.below(60_000) as i64;
                            let span = range(min, min + rng.below(20_000) as i64);
                            delete(env, db, i, span).expect("the disk is sound");
                            deleted.push((i, span));
                            expected.retain(|(of, t)| *of != i || !has(&span, *t));
                        }
                        8 => {
                            db.maintain().expect("the disk is sound");
                            if !may_be_late {
                                free_what_blocks_have(env, &mut deleted);
                            }
                        }
                        9 => {
                            db.compact_out_of_order().expect("the disk is sound");
                            may_be_late = false;
                            free_what_blocks_have(env, &mut deleted);
                        }
                        10 => drop(db.clean_tombstones().expect("the disk is sound")),
                        _ => db.sync().expect("the disk is sound"),
                    }
                    assert_same(&found(env, db), &expected, &format!("seed {seed}, life {nth}: {said:?}"));
                }
            });
        }
    }
}

mod crash {
    use super::*;
    use skopos_base::sim::crash::{CrashMode, CrashTest};

    /// How far a scenario came.
    #[derive(Debug, Default)]
    struct Reached {
        filled: bool,
        deleted: bool,
        /// What was brought in anew is durable.
        brought_in: bool,
    }

    fn scenario(env: &Env, reached: &mut Reached) -> Outcome {
        let db = Db::open(Path::new(DIR), options(LONG_BLOCK_MS), env)?;
        fill(&db)?;
        // So late that what is before is cut.
        put(&db, 0, [260_000])?;
        put(&db, 1, [260_000])?;
        db.sync()?;
        reached.filled = true;
        db.compact_out_of_order()?;
        delete(env, &db, 0, range(10_000, 70_000))?;
        reached.deleted = true;
        put(&db, 0, (30..40).map(|s| s * 1000 + 250))?;
        db.sync()?;
        reached.brought_in = true;
        db.steps().truncate_wal(TimestampMs::new(50_000))?;
        db.compact_out_of_order()?;
        db.close()?;
        Ok(())
    }

    /// The same, deleted from the head before blocks have it.
    fn deleted_first(env: &Env, reached: &mut Reached) -> Outcome {
        let db = Db::open(Path::new(DIR), options(LONG_BLOCK_MS), env)?;
        fill(&db)?;
        db.sync()?;
        reached.filled = true;
        delete(env, &db, 0, range(10_000, 70_000))?;
        reached.deleted = true;
        (0..2).try_for_each(|i| put(&db, i, [260_000]))?;
        db.compact_out_of_order()?;
        put(&db, 0, (30..40).map(|s| s * 1000 + 250))?;
        db.sync()?;
        reached.brought_in = true;
        db.steps().truncate_wal(TimestampMs::new(LONG_BLOCK_MS))?;
        db.compact_out_of_order()?;
        db.close()?;
        Ok(())
    }

    fn check(env: &Env, reached: &Reached) {
        let look = |db: &Db| {
            let there = found(env, db);
            if reached.filled {
                let in_blocks = there.iter().filter(|(i, t)| *i == 1 && *t < 260_000);
                assert_eq!(in_blocks.count(), 180, "{reached:?}");
            }
            let is_old = |(i, t): &&(usize, i64)| *i == 0 && (10_000..=70_000).contains(t) && t % 500 == 0;
            let (old, new) =
                (there.iter().filter(is_old).count(), there.iter().filter(|(_, t)| t % 500 > 0).count());
            assert!(!reached.deleted || old == 0, "{old} are back: {reached:?}");
            assert!(!reached.brought_in || new == 10, "{new}: {reached:?}");
            there
        };
        let db = open(env, options(LONG_BLOCK_MS));
        let there = look(&db);
        drop(db);
        let db = open(env, options(LONG_BLOCK_MS));
        assert_eq!(look(&db), there, "opening twice finds the same");
        db.compact_out_of_order().expect("the disk is sound");
        assert_eq!(look(&db), there, "and so do blocks");
    }

    #[test]
    fn no_crash_brings_back_what_was_deleted_or_takes_what_came_later() {
        for (mode, states) in [(CrashMode::ProcessKill, 1), (CrashMode::PowerLoss, 2)] {
            for scenario in [scenario, deleted_first] {
                let enumerated = CrashTest::new(mode)
                    .states_per_point(states)
                    .run(scenario, |env, reached: &Reached| check(env, reached));
                assert!(enumerated.states > 100, "{enumerated:?}");
            }
        }
    }

    /// Nothing is left of the block that late samples were in.
    fn cleaning(env: &Env, deleted: &mut bool) -> Outcome {
        let db = Db::open(Path::new(DIR), options(LONG_BLOCK_MS), env)?;
        fill_two_blocks(&db)?;
        db.compact_out_of_order()?;
        delete_first_block(env, &db)?;
        *deleted = true;
        db.clean_tombstones()?;
        db.close()?;
        Ok(())
    }

    #[test]
    fn no_crash_of_a_cleaning_brings_back_what_was_deleted() {
        for mode in [CrashMode::ProcessKill, CrashMode::PowerLoss] {
            let enumerated = CrashTest::new(mode).states_per_point(1).run(cleaning, |env, deleted: &bool| {
                for start in 0..2 {
                    let db = open(env, options(LONG_BLOCK_MS));
                    let there = found(env, &db);
                    let old = there.iter().filter(|(_, t)| *t < LONG_BLOCK_MS).count();
                    assert!(!deleted || old == 0, "start {start}: {old} are back");
                    assert!(!deleted || there.len() == 4, "start {start}: {there:?}");
                }
            });
            assert!(enumerated.states > 80, "{enumerated:?}");
        }
    }
}
