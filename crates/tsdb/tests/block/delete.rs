//! What is deleted from a block is gone, and nothing else is.

use crate::common::*;
use skopos_base::{Env, rng::Rng, sim::SimWorld};
use skopos_model::{Matcher, SeriesRef};
use skopos_storage::TimeRange;
use skopos_tsdb::block::{Interval, Tombstones};
use std::path::Path;

fn delete(all: &mut Dump, matchers: &[Matcher], range: TimeRange) {
    let gone = range.min.as_ms()..=range.max.as_ms();
    for (_, samples) in all.iter_mut().filter(|(l, _)| matchers.iter().all(|m| m.matches(l.value(m.name()))))
    {
        samples.retain(|(t, _)| !gone.contains(t));
    }
    all.retain(|_, samples| !samples.is_empty());
}

fn some_range(rng: &Rng) -> TimeRange {
    let min = 1_000_000 + rng.below(500_000) as i64;
    range(min, min + [0, 25_000, 200_000, i64::MAX / 2][rng.below(4) as usize])
}

#[test]
fn any_deletions_take_away_exactly_their_samples() {
    for seed in 0..8 {
        println!("seed {seed}");
        let rng = Rng::from_seed(seed);
        let env: Env = SimWorld::new(seed).env();
        let mut left = some_series(40, 50);
        let dir = write(&env, Path::new(DIR), &left, 8);
        let block = open(&env, &dir);
        for _ in 0..6 {
            let zone = ["z1", "z2", "zone-3", ""][rng.below(4) as usize];
            let matchers = [matcher("zone", "=", zone)];
            let range = some_range(&rng);
            let before = block.querier(TimeRange::ALL);
            block.delete(&*env.fs, &matchers, range, &budget(&env)).unwrap();
            let unchanged = select(&before, &request(&env, &[], TimeRange::ALL)).unwrap();
            assert_eq!(unchanged, left, "a view stays as it is");
            delete(&mut left, &matchers, range);
            assert_eq!(dump(&env, &block).unwrap(), left);
            assert_eq!(dump(&env, &open(&env, &dir)).unwrap(), left);
        }
        let stats = open(&env, &dir).meta().stats;
        assert_eq!(stats.num_tombstones, block.tombstones().len() as u64);
    }
}

#[test]
fn tombstones_come_back_as_they_were_written() {
    let env = SimWorld::new(1).env();
    let dir = Path::new(DIR);
    env.fs.create_dir_all(dir).unwrap();
    assert!(Tombstones::read(&*env.fs, dir).unwrap().is_empty(), "no file, nothing deleted");
    let mut all = Tombstones::default();
    for (series, min, max) in
        [(1, i64::MIN, -5), (1, 7, i64::MAX), (u64::MAX, 0, 0), (300, 5, 6), (300, 7, 9)]
    {
        all.add(SeriesRef::new(series).unwrap(), Interval::new(min, max).unwrap());
    }
    all.write(&*env.fs, dir).unwrap();
    let read = Tombstones::read(&*env.fs, dir).unwrap();
    assert_eq!((&read, read.len()), (&all, 4));
}
