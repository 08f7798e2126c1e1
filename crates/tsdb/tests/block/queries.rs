//! Selections of a block are those that one makes by looking at every series.

use crate::common::*;
use skopos_base::{Env, rng::Rng, sim::SimWorld};
use skopos_model::{Labels, Matcher};
use skopos_storage::{
    Querier, QueryBudget, QueryError, QueryLimits, SelectRequest, SeriesBatch, SeriesSet, Shard, TimeRange,
    parted,
};
use skopos_tsdb::block::{Block, BlockChain};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

/// Series with labels of few and of many values, some of them absent.
fn world(rng: &Rng) -> Dump {
    let mut all = Dump::new();
    for i in 0..700 {
        let mut pairs =
            BTreeMap::from([("__name__", format!("m{}", rng.below(4))), ("id", format!("id-{i}"))]);
        for (name, values) in [("job", 3), ("pod", 90), ("zone", 2)] {
            if rng.below(5) > 0 {
                pairs.insert(name, format!("{name}{}", rng.below(values)));
            }
        }
        let start = rng.below(500) as i64;
        let samples = (0..1 + rng.below(20)).map(|s| (start + 10 * s as i64, (i + s).to_be()));
        all.insert(Labels::from_pairs(pairs), samples.collect());
    }
    all
}

fn some_matchers(rng: &Rng) -> Vec<Matcher> {
    let all = [
        ("__name__", "=", "m1"),
        ("__name__", "=~", "m[0-2]"),
        ("__name__", "!=", "m2"),
        ("id", "=~", "id-6.*"),
        ("id", "=", "id-77"),
        ("id", "!~", "id-.*[13579]"),
        ("job", "=", "job1"),
        ("job", "=", ""),
        ("job", "!=", ""),
        ("job", "=~", "job0|job2|"),
        ("job", "!~", "job0|job2"),
        ("job", "=~", ".*"),
        ("pod", "=~", "pod1.*|pod22"),
        ("pod", "!~", "pod1.*|"),
        ("pod", "=~", ".+"),
        ("pod", "=~", "pod3|pod4|pod5|pod6|pod77"),
        ("zone", "=", "zone7"),
        ("absent", "=", ""),
        ("absent", "!=", "x"),
        ("absent", "=~", "x.*"),
    ];
    (0..1 + rng.below(3))
        .map(|_| all[rng.below(all.len() as u64) as usize])
        .map(|(name, op, value)| matcher(name, op, value))
        .collect()
}

fn expected(all: &Dump, matchers: &[Matcher], range: TimeRange) -> Dump {
    let mut out = all.clone();
    out.retain(|l, _| matchers.iter().all(|m| m.matches(l.value(m.name()))));
    for samples in out.values_mut() {
        samples.retain(|(t, _)| (range.min.as_ms()..=range.max.as_ms()).contains(t));
    }
    out.retain(|_, samples| !samples.is_empty());
    out
}

#[test]
fn any_selection_agrees_with_a_look_at_every_series() {
    for seed in 0..4 {
        println!("seed {seed}");
        let rng = Rng::from_seed(seed);
        let env = SimWorld::new(seed).env();
        let all = world(&rng);
        let dir = write(&env, Path::new(DIR), &all, 5);
        let block = open(&env, &dir);
        for _ in 0..60 {
            let matchers = some_matchers(&rng);
            let min = rng.below(700) as i64;
            let range =
                if rng.below(2) == 0 { TimeRange::ALL } else { range(min, min + rng.below(90) as i64) };
            let wanted = expected(&all, &matchers, range);
            let querier = block.querier(range);
            assert_eq!(
                select(&querier, &request(&env, &matchers, TimeRange::ALL)).unwrap(),
                wanted,
                "{matchers:?}"
            );
            assert_eq!(
                select(&block.querier(TimeRange::ALL), &request(&env, &matchers, range)).unwrap(),
                wanted
            );
            if range == TimeRange::ALL {
                check_labels(&env, &querier, &matchers, &wanted);
                let chunks = select_chunks(&querier, &request(&env, &matchers, range)).unwrap();
                assert_eq!(chunks, wanted, "{matchers:?}");
            }
        }
        check_labels(&env, &block.querier(TimeRange::ALL), &[], &all);
    }
}

/// The samples of each part of the time, as blocks in directories of their own.
fn blocks_of(env: &Env, all: &Dump, ends: &[i64]) -> Vec<Arc<Block>> {
    let mut start = i64::MIN;
    let one = |(i, end): (usize, &i64)| {
        let mut part = all.clone();
        part.values_mut().for_each(|samples| samples.retain(|(t, _)| (start..*end).contains(t)));
        part.retain(|_, samples| !samples.is_empty());
        start = *end;
        open(env, &write(env, &Path::new(DIR).join(i.to_string()), &part, 5))
    };
    ends.iter().enumerate().map(one).collect()
}

#[test]
fn blocks_behind_one_another_answer_as_one() {
    for seed in 0..4 {
        println!("seed {seed}");
        let rng = Rng::from_seed(seed);
        let env = SimWorld::new(seed).env();
        let all = world(&rng);
        let mut blocks = blocks_of(&env, &all, &[150, 170, 400, 1000]);
        blocks.swap(0, 2);
        for _ in 0..30 {
            let matchers = some_matchers(&rng);
            let min = rng.below(700) as i64;
            let range =
                if rng.below(2) == 0 { TimeRange::ALL } else { range(min, min + rng.below(90) as i64) };
            let wanted = expected(&all, &matchers, range);
            let chain = BlockChain::of(&blocks, range).expect("no two overlap");
            let got = select(&chain, &request(&env, &matchers, TimeRange::ALL)).unwrap();
            assert_eq!(got, wanted, "{matchers:?}");
            let whole = BlockChain::of(&blocks, TimeRange::ALL).expect("no two overlap");
            assert_eq!(select(&whole, &request(&env, &matchers, range)).unwrap(), wanted);
            if range == TimeRange::ALL {
                check_labels(&env, &chain, &matchers, &wanted);
            }
        }
        blocks.push(open(&env, &write(&env, Path::new("/more"), &all, 5)));
        assert!(BlockChain::of(&blocks, TimeRange::ALL).is_none(), "one has the times of all others");
    }
}

#[test]
fn blocks_behind_one_another_can_be_read_in_parts() {
    let env = SimWorld::new(1).env();
    let all = world(&Rng::from_seed(1));
    let blocks = blocks_of(&env, &all, &[150, 170, 400, 1000]);
    let chain = BlockChain::of(&blocks, TimeRange::ALL).expect("no two overlap");
    for batches in 0..3 {
        let request = request(&env, &[], TimeRange::ALL);
        let mut set = chain.select(&request).unwrap();
        let (mut batch, mut got) = (SeriesBatch::default(), Vec::new());
        let mut take = |set: &mut dyn SeriesSet, batches: usize| {
            for _ in 0..batches {
                if !set.next_batch(&mut batch).unwrap() {
                    break;
                }
                got.extend(batch.iter().map(|s| (s.labels.clone(), s.timestamps.len())));
            }
        };
        take(&mut *set, batches);
        for mut part in parted(set, 3).unwrap() {
            take(&mut *part, usize::MAX);
        }
        let wanted: Vec<_> = all.iter().map(|(labels, samples)| (labels.clone(), samples.len())).collect();
        assert_eq!(got, wanted, "behind {batches} batches");
    }
}

#[test]
fn a_series_of_many_blocks_is_charged_once_and_a_failure_leaves_no_sample_charged() {
    let env = SimWorld::new(1).env();
    let all = some_series(300, 80);
    let ends: Vec<i64> = (1..=8).map(|nth| 1_000_000 + 100_000 * nth).collect();
    let blocks = blocks_of(&env, &all, &ends);
    let chain = BlockChain::of(&blocks, TimeRange::ALL).expect("no two overlap");
    // Samples, and each series as often as four blocks have it: eight of them have it here.
    let max_memory = 300 * 80 * 16 + 4 * 300 * 256;
    let ask = |limits: QueryLimits| {
        let budget = QueryBudget::new(limits, Arc::clone(&env.clock));
        let request = SelectRequest { budget: Arc::clone(&budget), ..request(&env, &[], TimeRange::ALL) };
        (select(&chain, &request), budget)
    };
    let (got, budget) = ask(QueryLimits { max_memory, ..QueryLimits::default() });
    assert_eq!((got.unwrap(), budget.series()), (all, 300));
    for max_samples in [0, 79, 80, 1000] {
        let (got, budget) = ask(QueryLimits { max_samples, ..QueryLimits::default() });
        assert!(matches!(got, Err(QueryError::Limit { limit: "query.max-samples", .. })), "{got:?}");
        assert_eq!(budget.samples(), 0, "of {max_samples}");
    }
    let (got, _) = ask(QueryLimits { max_series: 299, ..QueryLimits::default() });
    assert!(matches!(got, Err(QueryError::Limit { limit: "query.max-series", .. })), "{got:?}");
}

fn check_labels(env: &Env, querier: &dyn Querier, matchers: &[Matcher], wanted: &Dump) {
    let series: Vec<Labels> = wanted.keys().cloned().collect();
    assert_eq!(querier.series(&label_request(env, matchers, 0)).unwrap(), series);
    let few = querier.series(&label_request(env, matchers, 3)).unwrap();
    assert_eq!(few, series[..3.min(series.len())]);
    let names: BTreeSet<&str> = series.iter().flatten().map(|(n, _)| n).collect();
    assert_eq!(querier.label_names(&label_request(env, matchers, 0)).unwrap(), Vec::from_iter(names));
    for name in ["pod", "id", "absent"] {
        let values: BTreeSet<&str> = series.iter().filter_map(|l| l.get(name)).collect();
        let values = Vec::from_iter(values);
        let request = |limit| label_request(env, matchers, limit);
        assert_eq!(querier.label_values(name, &request(0)).unwrap(), values);
        assert_eq!(querier.label_values(name, &request(2)).unwrap(), values[..2.min(values.len())]);
    }
}

#[test]
fn shards_are_disjoint_and_together_all() {
    let env = SimWorld::new(1).env();
    let all = some_series(300, 5);
    let block = open(&env, &write(&env, Path::new(DIR), &all, 2));
    let mut together = Dump::new();
    for index in 0..3 {
        let shard = Shard::new(index, 3).unwrap();
        let request = SelectRequest { shard, ..request(&env, &[], TimeRange::ALL) };
        let part = select(&block.querier(TimeRange::ALL), &request).unwrap();
        assert!(part.keys().all(|l| shard.contains(l)) && part.len() > 50);
        assert_eq!(part, select_chunks(&block.querier(TimeRange::ALL), &request).unwrap());
        together.extend(part);
    }
    assert_eq!(together, all);
}

#[test]
fn budgets_hold() {
    let env = SimWorld::new(1).env();
    let all = some_series(300, 50);
    let block = open(&env, &write(&env, Path::new(DIR), &all, 20));
    let querier = block.querier(TimeRange::ALL);
    for (limits, name) in [
        (QueryLimits { max_series: 299, ..QueryLimits::default() }, "query.max-series"),
        (QueryLimits { max_samples: 14_999, ..QueryLimits::default() }, "query.max-samples"),
    ] {
        for shard in [Shard::WHOLE, Shard::new(0, 1).unwrap()] {
            let budget = QueryBudget::new(limits, Arc::clone(&env.clock));
            let request = SelectRequest { matchers: &[], range: TimeRange::ALL, shard, budget };
            let results = [select(&querier, &request), select_chunks(&querier, &request)];
            for result in results {
                assert!(
                    matches!(result, Err(QueryError::Limit { limit, .. }) if limit == name),
                    "{result:?}"
                );
            }
        }
    }
    let cancelled = request(&env, &[], TimeRange::ALL);
    cancelled.budget.cancel();
    assert!(matches!(select(&querier, &cancelled), Err(QueryError::Cancelled)));
}
