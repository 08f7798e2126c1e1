//! Head and blocks as one: whatever is cut, truncated and opened again, every sample is answered once.

use crate::common::{
    DIR, Dump, budget, commit, dump, labels, matcher, open, range, select, series, try_append,
};
use skopos_base::{
    Env,
    fs::{OpenMode, append_all, read_all},
    rng::Rng,
    sim::SimWorld,
};
use skopos_chunk::XorIter;
use skopos_model::{DurationMs, Labels, SeriesRef, TimestampMs};
use skopos_storage::{
    Append, AppendError, Appendable, Querier, Queryable, SelectRequest, SeriesId, Shard, TimeRange,
};
use skopos_tsdb::{
    Db, Maintained, Options, SnapshotOf,
    block::{BlockDir, CREATION_SUFFIX, DELETION_SUFFIX, META_FILE},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

const BLOCK_MS: i64 = 10_000;

/// Short blocks, and small files so that some go.
fn options() -> Options {
    Options {
        min_block_duration: DurationMs::from_ms(BLOCK_MS),
        head_chunk_file_bytes: 3000,
        segment_bytes: 64 << 10,
        max_block_duration: DurationMs::from_ms(9 * BLOCK_MS),
        // Tests drive the maintenance themselves.
        maintenance_interval: DurationMs::from_secs(36_000),
        ..Options::default()
    }
}

/// The whole blocks of the data directory.
fn block_dirs(env: &Env) -> Vec<PathBuf> {
    let entries = env.fs.read_dir(Path::new(DIR)).expect("all is sound");
    let whole = |name: &String| matches!(BlockDir::of(name), Some(BlockDir::Whole(_)));
    entries.into_iter().map(|e| e.name).filter(whole).map(|name| Path::new(DIR).join(name)).collect()
}

/// Samples of three series every half second, from `from` on until before `to`.
fn fill(db: &Db, from: i64, to: i64) {
    for t in (from..to).step_by(500) {
        let batch: Vec<_> = (0..3).map(|i| (series(i), t, (t * i as i64) as f64)).collect();
        commit(db, &batch).expect("all is sound");
    }
}

/// What a view hands out as chunks, decoded; of equal times the first.
fn dump_chunks(env: &Env, db: &Db) -> Dump {
    let querier = db.chunk_querier(TimeRange::ALL).expect("all is sound");
    let request =
        SelectRequest { matchers: &[], range: TimeRange::ALL, shard: Shard::WHOLE, budget: budget(env) };
    let mut set = querier.select_chunks(&request).expect("all is sound");
    let mut out = Dump::new();
    while let Some(series) = set.next_series().expect("all is sound") {
        let mut samples = BTreeMap::new();
        for chunk in &series.chunks {
            for sample in XorIter::new(&chunk.bytes).map(|s| s.expect("all is sound")) {
                samples.entry(sample.timestamp.as_ms()).or_insert(sample.value.to_bits());
            }
        }
        out.insert(series.labels, samples.into_iter().collect());
    }
    out
}

#[test]
fn what_is_cut_stays_answered_and_is_found_again() {
    SimWorld::new(1).run(|env| {
        let db = open(env, options());
        fill(&db, 0, 45_000);
        let all = dump(env, &db);
        let done = db.maintain().expect("all is sound");
        assert_eq!(done, Maintained { cut: 3, truncated: 3, checkpoints: 1, ..done });
        assert_eq!(db.maintain().expect("all is sound"), Maintained::default(), "nothing more is due");
        assert_eq!((db.stats().blocks_loaded, block_dirs(env).len()), (3, 3));
        assert_eq!(db.time_range(), Some(range(0, 44_500)));
        let check = |db: &Db| {
            assert_eq!(dump(env, db), all);
            assert_eq!(dump_chunks(env, db), all);
            for (min, max) in
                [(0, 9_999), (9_999, 10_000), (5000, 31_000), (30_000, 40_000), (44_500, 99_000)]
            {
                let querier = db.querier(range(min, max)).expect("all is sound");
                let mut expected = all.clone();
                expected.values_mut().for_each(|s| s.retain(|(t, _)| (min..=max).contains(t)));
                assert_eq!(select(env, &*querier, &[], TimeRange::ALL), expected, "{min} to {max}");
                let request = crate::common::label_request(env, &[], 0);
                assert_eq!(querier.label_values("i", &request).expect("all is sound"), ["0", "1", "2"]);
            }
            assert_eq!(
                db.querier(range(50_000, 60_000)).map(|q| select(env, &*q, &[], TimeRange::ALL)).ok(),
                Some(Dump::new())
            );
        };
        check(&db);
        assert!(matches!(try_append(&db, &series(1), 29_999, 0.0), Err(AppendError::OutOfBounds { .. })));
        drop(db);
        let db = open(env, options());
        check(&db);
        assert_eq!(db.maintain().expect("all is sound").cut, 0, "what blocks have is not cut again");
        assert!(matches!(try_append(&db, &series(7), 29_999, 0.0), Err(AppendError::OutOfBounds { .. })));
    });
}

#[test]
fn a_reader_of_before_keeps_the_head_as_it_is_until_it_ends() {
    SimWorld::new(1).run(|env| {
        let db = open(env, options());
        fill(&db, 0, 26_000);
        let all = dump(env, &db);
        let before = db.querier(TimeRange::ALL).expect("all is sound");
        let done = db.maintain().expect("all is sound");
        assert_eq!((done.cut, done.truncated), (1, 0));
        let between = db.querier(TimeRange::ALL).expect("all is sound");
        assert_eq!(db.maintain().expect("all is sound"), Maintained::default());
        assert_eq!(dump(env, &db), all);
        drop(before);
        assert_eq!(db.maintain().expect("all is sound").truncated, 1, "a later reader is not in the way");
        assert_eq!(select(env, &*between, &[], TimeRange::ALL), all);
        assert_eq!(dump(env, &db), all);
    });
}

#[test]
fn the_thread_maintains_by_the_clock() {
    SimWorld::new(1).run(|env| {
        let options = Options { maintenance_interval: DurationMs::from_secs(1), ..options() };
        let db = open(env, options);
        fill(&db, 0, 45_000);
        let all = dump(env, &db);
        env.clock.sleep(Duration::from_millis(1100));
        let stats = db.stats();
        assert_eq!((stats.blocks_loaded, stats.head_truncations_total), (3, 3));
        assert_eq!((stats.compactions_total, stats.checkpoint_creations_total), (3, 1));
        assert_eq!(dump(env, &db), all);
    });
}

#[test]
fn what_a_crash_left_is_removed_and_a_damaged_block_is_left_out() {
    SimWorld::new(1).run(|env| {
        let db = open(env, options());
        fill(&db, 0, 45_000);
        db.maintain().expect("all is sound");
        let all = dump(env, &db);
        drop(db);
        let dirs = block_dirs(env);
        for (suffix, id) in [(CREATION_SUFFIX, 1), (DELETION_SUFFIX, 2)] {
            let name = format!("{}{suffix}", skopos_tsdb::block::BlockId::new(id));
            env.fs.create_dir_all(&Path::new(DIR).join(name)).expect("all is sound");
        }
        env.fs.create_dir_all(&Path::new(DIR).join("other")).expect("all is sound");
        env.fs.remove_file(&dirs[1].join(META_FILE)).expect("all is sound");
        let db = open(env, options());
        let mut expected = all.clone();
        expected.values_mut().for_each(|s| s.retain(|(t, _)| !(10_000..20_000).contains(t)));
        assert_eq!(dump(env, &db), expected);
        assert_eq!((db.stats().blocks_unreadable, db.stats().blocks_loaded), (1, 2));
        assert_eq!(block_dirs(env), dirs, "a damaged block is not removed");
        let names: Vec<String> =
            env.fs.read_dir(Path::new(DIR)).expect("all is sound").into_iter().map(|e| e.name).collect();
        assert!(names.iter().all(|n| BlockDir::of(n) != Some(BlockDir::Leftover)), "{names:?}");
        assert!(names.iter().any(|n| n == "other"));
    });
}

#[test]
fn queries_of_the_times_of_a_block_that_cannot_be_read_fail_and_others_do_not() {
    SimWorld::new(1).run(|env| {
        let db = open(env, options());
        fill(&db, 0, 45_000);
        db.maintain().expect("all is sound");
        let all = dump(env, &db);
        drop(db);
        let block = &block_dirs(env)[1];
        let sound = read_all(&*env.fs, &block.join("index")).expect("all is sound");
        let write = |name: &str, bytes: &[u8]| {
            env.fs.remove_file(&block.join(name)).expect("it is there");
            let mut file = env.fs.open(&block.join(name), OpenMode::CreateNew).expect("all is sound");
            append_all(&mut *file, bytes).expect("all is sound");
        };
        write("index", &vec![7; sound.len()]);
        let db = open(env, options());
        for _ in 0..2 {
            for (min, max, sound) in [
                (0, 9_999, true),
                (0, 10_000, false),
                (15_000, 15_000, false),
                (19_999, 40_000, false),
                (20_000, 50_000, true),
            ] {
                let (querier, chunks) = (db.querier(range(min, max)), db.chunk_querier(range(min, max)));
                assert_eq!((querier.is_ok(), chunks.is_ok()), (sound, sound), "{min} to {max}");
                let said = querier.err().map(|e| e.to_string()).unwrap_or_default();
                let place = format!("{} is corrupt at byte 0: ", block.join("index").display());
                assert!(sound || said.starts_with(&place), "{said}");
                assert!(sound || said.matches(" at byte ").count() == 1, "{said}");
            }
            db.maintain().expect("it stops nothing");
        }
        let meta = read_all(&*env.fs, &block.join(META_FILE)).expect("all is sound");
        write(META_FILE, b"{");
        drop(db);
        let db = open(env, options());
        assert!(db.querier(range(40_000, 50_000)).is_err(), "nobody knows of which times the block is");
        write(META_FILE, &meta);
        write("index", &sound);
        db.maintain().expect("all is sound");
        assert_eq!(dump(env, &db), all);
    });
}

#[test]
fn blocks_that_are_not_compacted_any_more_are_counted() {
    SimWorld::new(1).run(|env| {
        let db = open(env, options());
        fill(&db, 0, 45_000);
        db.maintain().expect("all is sound");
        drop(db);
        let chunks = block_dirs(env)[1].join("chunks").join("000001");
        let mut bytes = read_all(&*env.fs, &chunks).expect("all is sound");
        let at = bytes.len() - 10;
        bytes[at] ^= 4;
        env.fs.remove_file(&chunks).expect("it is there");
        let mut file = env.fs.open(&chunks, OpenMode::CreateNew).expect("all is sound");
        append_all(&mut *file, &bytes).expect("all is sound");
        let db = open(env, options());
        assert_eq!(db.stats().blocks_not_compacted, 0);
        fill(&db, 45_000, 75_000);
        (0..3).for_each(|_| drop(db.maintain()));
        assert_eq!(db.stats().blocks_not_compacted, 1);
        drop(db);
        assert_eq!(open(env, options()).stats().blocks_not_compacted, 1, "a restart knows it too");
    });
}

/// A life with long-living readers, restarts and maintenance in between, against an oracle.
#[test]
fn random_lives_agree_with_the_oracle() {
    let (mut cut, mut compacted) = (0, 0);
    for seed in 0..6 {
        println!("seed {seed}");
        let done = SimWorld::new(seed).run(|env| random_life(env, &Rng::from_seed(seed)));
        (cut, compacted) = (cut + done.cut, compacted + done.compacted);
    }
    assert!(cut > 30 && compacted > 12, "{cut} blocks were cut, {compacted} compacted");
}

/// A living view and what it must show.
struct Reader {
    querier: Box<dyn Querier>,
    range: TimeRange,
    seen: Dump,
}

fn between(all: &Dump, range: TimeRange) -> Dump {
    let mut all = all.clone();
    all.values_mut().for_each(|s| s.retain(|(t, _)| (range.min.as_ms()..=range.max.as_ms()).contains(t)));
    all.retain(|_, s| !s.is_empty());
    all
}

/// That both are the same; says what is missing and what is too much.
fn assert_same(got: &Dump, expected: &Dump, what: &str) {
    let without = |a: &Dump, b: &Dump| -> Vec<(Labels, (i64, u64))> {
        let flat = |d: &Dump| -> BTreeSet<(Labels, (i64, u64))> {
            d.iter().flat_map(|(l, s)| s.iter().map(|s| (l.clone(), *s))).collect()
        };
        flat(a).difference(&flat(b)).cloned().collect()
    };
    assert!(
        got == expected,
        "{what}: missing {:?}, too much {:?}",
        without(expected, got),
        without(got, expected)
    );
}

fn check_reader(env: &Env, reader: &Reader) {
    let mut got = select(env, &*reader.querier, &[], TimeRange::ALL);
    got.retain(|_, s| !s.is_empty());
    assert_same(&got, &reader.seen, &format!("{:?}", reader.range));
}

/// What a random life has come to.
struct Life<'a> {
    env: &'a Env,
    rng: &'a Rng,
    db: Option<Db>,
    oracle: Dump,
    /// Of each series, also where it is deleted.
    newest: BTreeMap<Labels, i64>,
    readers: Vec<Reader>,
    now: i64,
    done: Maintained,
}

impl Life<'_> {
    fn db(&self) -> &Db {
        self.db.as_ref().expect("it is open")
    }

    fn append(&mut self, step: u64) {
        self.now += self.rng.below(300) as i64;
        if self.rng.below(200) == 0 {
            self.now += 5 * BLOCK_MS;
        }
        let mut batch: BTreeMap<Labels, f64> = BTreeMap::new();
        for _ in 0..self.rng.below(6) {
            // Some series come and go.
            let i = if self.rng.below(4) == 0 { step / 40 + 100 } else { self.rng.below(8) };
            batch.insert(series(i as usize), self.rng.below(100) as f64);
        }
        let now = self.now;
        batch.retain(|l, _| self.newest.get(l).is_none_or(|last| *last < now));
        let batch: Vec<_> = batch.into_iter().map(|(l, v)| (l, now, v)).collect();
        commit(self.db(), &batch).expect("all is sound");
        for (l, t, v) in batch {
            self.newest.insert(l.clone(), t);
            self.oracle.entry(l).or_default().push((t, v.to_bits()));
        }
    }

    fn begin_reader(&mut self) {
        let (now, rng) = (self.now, self.rng);
        let range = range(now - rng.below(6 * BLOCK_MS as u64) as i64, now - rng.below(10) as i64);
        let querier = self.db().querier(range).expect("all is sound");
        self.readers.push(Reader { querier, range, seen: between(&self.oracle, range) });
    }

    fn maintain(&mut self) {
        let done = self.db().maintain().expect("all is sound");
        self.done.cut += done.cut;
        self.done.compacted += done.compacted;
        assert!(done.cut <= done.truncated || !self.readers.is_empty());
    }

    fn delete(&mut self) {
        self.readers.clear();
        let from = self.rng.below(self.now as u64 + 1) as i64;
        let span = range(from, from + self.rng.below(3 * BLOCK_MS as u64) as i64);
        let matcher = matcher("i", "=~", ["[0-3]", "7", ".+", "1.."][self.rng.below(4) as usize]);
        let budget = budget(self.env);
        self.db().delete_series(std::slice::from_ref(&matcher), span, &budget).expect("all is sound");
        for (labels, samples) in &mut self.oracle {
            if matcher.matches(labels.value("i")) {
                samples.retain(|(t, _)| !(span.min.as_ms()..=span.max.as_ms()).contains(t));
            }
        }
        self.oracle.retain(|_, samples| !samples.is_empty());
    }

    fn reopen(&mut self) {
        self.readers.iter().for_each(|r| check_reader(self.env, r));
        self.readers.clear();
        self.db = None;
        self.db = Some(open(self.env, options()));
        assert_same(&dump(self.env, self.db()), &self.oracle, "opened again");
    }

    fn check_snapshot(&self) {
        let name = self.db().snapshot(SnapshotOf::BlocksAndHead).expect("all is sound");
        let dir = Path::new(DIR).join("snapshots").join(name);
        let db = Db::open(&dir, options(), self.env).expect("a snapshot opens");
        assert_same(&dump(self.env, &db), &self.oracle, "in a snapshot");
        drop(db);
        self.env.fs.remove_dir_all(&dir).expect("all is sound");
    }
}

fn random_life(env: &Env, rng: &Rng) -> Maintained {
    let mut life = Life {
        env,
        rng,
        db: Some(open(env, options())),
        oracle: Dump::new(),
        newest: BTreeMap::new(),
        readers: Vec::new(),
        now: 0,
        done: Maintained::default(),
    };
    for step in 0..1200 {
        life.append(step);
        match rng.below(80) {
            0..6 => life.db().sync().expect("all is sound"),
            6..8 if life.readers.len() < 4 => life.begin_reader(),
            8..12 if !life.readers.is_empty() => {
                let at = rng.below(life.readers.len() as u64) as usize;
                check_reader(env, &life.readers.swap_remove(at));
            }
            12..20 => life.maintain(),
            20..22 => {
                assert_same(&dump(env, life.db()), &life.oracle, "queried");
                assert_same(&dump_chunks(env, life.db()), &life.oracle, "as chunks");
            }
            22 if rng.below(2) == 0 => life.reopen(),
            23 => life.delete(),
            24 if rng.below(3) == 0 => {
                life.db().clean_tombstones().expect("all is sound");
                assert_same(&dump(env, life.db()), &life.oracle, "cleaned");
            }
            25 if rng.below(4) == 0 => life.check_snapshot(),
            _ => {}
        }
    }
    life.reopen();
    life.done
}

/// A writer, readers and the maintenance thread on real threads: each reader sees whole batches, all that
/// were committed before it, each sample once.
#[test]
fn readers_see_every_batch_whole_and_once_while_blocks_are_cut() {
    const SERIES: usize = 20;
    const READERS: usize = 3;
    let env = Env::real();
    let dir = tempfile::tempdir().expect("all is sound");
    let options = Options { maintenance_interval: DurationMs::from_ms(1), ..options() };
    let db = Arc::new(Db::open(dir.path(), options, &env).expect("all is sound"));
    let (done, newest) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicI64::new(-10)));
    let views = Arc::new(AtomicI64::new(0));
    let reader = |id: u64| {
        let (env, db, done) = (env.clone(), Arc::clone(&db), Arc::clone(&done));
        let (newest, views) = (Arc::clone(&newest), Arc::clone(&views));
        move || {
            let rng = Rng::from_seed(id);
            while !done.load(Ordering::Acquire) {
                let committed = newest.load(Ordering::Acquire);
                let back = rng.below(committed.clamp(0, 60_000) as u64 + 1) as i64;
                let from = (committed - back).max(0) / 10 * 10;
                let querier = db.querier(range(from, i64::MAX)).expect("all is sound");
                let view = select(&env, &*querier, &[matcher("__name__", "=", "m")], TimeRange::ALL);
                assert!(view.len() == SERIES || committed < from, "{} series from {from}", view.len());
                let first = view.values().next().cloned().unwrap_or_default();
                assert!(view.values().all(|samples| *samples == first), "a batch is there in part");
                let times: Vec<i64> = first.iter().map(|(t, _)| *t).collect();
                let expected: Vec<i64> = (0..times.len() as i64).map(|i| from + 10 * i).collect();
                assert_eq!(times, expected, "a batch is missing or there twice");
                assert!(times.last().is_some_and(|t| *t >= committed) || committed < from);
                views.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    let readers: Vec<_> = (0..READERS)
        .map(|id| env.spawner.spawn("reader", Box::new(reader(id as u64))).expect("started"))
        .collect();
    let mut refs: Vec<SeriesRef> = Vec::new();
    for t in (0..5_000_000).step_by(10) {
        if t % 1000 == 0 && db.stats().head_truncations_total >= 6 {
            break;
        }
        let timestamp = TimestampMs::new(t);
        let mut appender = db.appender();
        if refs.is_empty() {
            refs.extend((0..SERIES).map(|i| {
                let labels = labels(&[("__name__", "m"), ("i", &i.to_string())]);
                appender
                    .append(&Append::float(SeriesId::Labels(&labels), timestamp, t as f64))
                    .expect("taken")
            }));
        } else {
            let mut refused = Vec::new();
            appender.append_floats(timestamp, &refs, &[t as f64; SERIES], &mut refused);
            assert_eq!(refused, []);
        }
        assert_eq!(appender.commit().expect("all is sound").samples, SERIES);
        newest.store(t, Ordering::Release);
    }
    done.store(true, Ordering::Release);
    readers.into_iter().for_each(|r| r.join().expect("a reader found nothing wrong"));
    let stats = db.stats();
    let views = views.load(Ordering::Relaxed);
    println!("{views} views, {} blocks, {} truncations", stats.blocks_loaded, stats.head_truncations_total);
    assert!(
        views > 20 && stats.head_truncations_total >= 3 && stats.maintenance_failed_total == 0,
        "{stats:?}"
    );
    let before = dump(&env, &db);
    drop(db);
    let db = Db::open(dir.path(), self::options(), &env).expect("all is sound");
    assert_eq!(dump(&env, &db), before);
}
