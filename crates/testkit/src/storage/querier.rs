//! The contract of `Querier` and `SeriesSet` as one suite: sorted, each once, range, shards, parts, limits,
//! budget and cancellation. Knows no implementation.

use super::{MemoryStorage, budget, budget_of, check_series_limit_and_cancellation};
use skopos_model::{Labels, MatchOp, Matcher, TimestampMs};
use skopos_storage::{
    EvenWindows, LabelRequest, Querier, QueryBudget, QueryError, QueryLimits, SelectRequest, SeriesBatch,
    Shard, TimeRange, parted,
};
use std::{collections::BTreeSet, sync::Arc};

/// Checks a storage that was filled with the samples of `expected`; `open` gives its views.
///
/// What is wanted: all samples of the range, and exactly those; series sorted and each once; times that grow;
/// shards that part the series; parts that are the whole one behind the other; all samples within windows,
/// where no others are wanted; label answers sorted, each once, cut to their limit, of series that have
/// samples at least; samples charged when they are handed out, and no more once all are; a limit, a
/// cancellation or a time that is up ends the work with the error that says so.
///
/// # Panics
/// When the storage does not do that.
pub fn check_querier(expected: &MemoryStorage, open: &dyn Fn(TimeRange) -> Box<dyn Querier>) {
    for range in ranges(expected) {
        let querier = open(range);
        for matchers in matchers(expected) {
            check_samples(expected, &*querier, range, &matchers);
            check_shards(expected, &*querier, range, &matchers);
            check_parts(expected, &*querier, range, &matchers);
            check_windows(expected, &*querier, range, &matchers);
            check_labels(expected, &*querier, range, &matchers);
        }
    }
    let whole = open(TimeRange::ALL);
    for range in ranges(expected) {
        let got = MemoryStorage::collect(&*whole, &[], range);
        assert_eq!(got, expected.part(&[], range), "the request's range {range:?} cuts");
    }
    check_account(expected, &*whole);
    check_ends(expected, &*whole);
}

/// Ranges whose ends lie on samples, between them and beyond them.
fn ranges(expected: &MemoryStorage) -> Vec<TimeRange> {
    let times: BTreeSet<TimestampMs> = expected.iter().flat_map(|(_, s)| s.keys().copied()).collect();
    let times: Vec<i64> = times.into_iter().map(TimestampMs::as_ms).collect();
    let mut out = vec![TimeRange::ALL];
    let range = |min, max| TimeRange { min: TimestampMs::new(min), max: TimestampMs::new(max) };
    if let ([first, .., last], n) = (&times[..], times.len()) {
        let (early, late) = (times[n / 3], times[2 * n / 3]);
        out.extend([range(*first, *first), range(early, late), range(early.saturating_add(1), late - 1)]);
        out.extend([range(*last, i64::MAX), range(i64::MIN, first.saturating_sub(1))]);
        out.retain(|r| r.min <= r.max);
    }
    out
}

fn matchers(expected: &MemoryStorage) -> Vec<Vec<Matcher>> {
    let new = |name: &str, op, value: &str| Matcher::new(name, op, value).expect("a matcher of the suite");
    let mut out = vec![vec![], vec![new("no_such_label", MatchOp::Equal, "x")]];
    if let Some((labels, _)) = expected.iter().nth(expected.len() / 2) {
        out.push(labels.iter().map(|(n, v)| Matcher::equal(n, v)).collect());
        if let Some((name, value)) = labels.iter().next() {
            out.push(vec![Matcher::equal(name, value)]);
            out.push(vec![new(name, MatchOp::NotEqual, value)]);
            out.push(vec![new(name, MatchOp::Regex, ".+"), new("no_such_label", MatchOp::Equal, "")]);
        }
    }
    out
}

fn check_samples(expected: &MemoryStorage, querier: &dyn Querier, range: TimeRange, matchers: &[Matcher]) {
    let got = MemoryStorage::collect(querier, matchers, TimeRange::ALL);
    assert_eq!(got, expected.part(matchers, range), "matchers {matchers:?} of {range:?}");
    let again = MemoryStorage::collect(querier, matchers, TimeRange::ALL);
    assert_eq!(again, got, "the second answer of one view");
}

fn check_shards(expected: &MemoryStorage, querier: &dyn Querier, range: TimeRange, matchers: &[Matcher]) {
    let mut all = MemoryStorage::default();
    for index in 0..3 {
        let shard = Shard::new(index, 3).expect("an index below the count");
        let request = SelectRequest { matchers, range: TimeRange::ALL, shard, budget: budget() };
        let mut set = querier.select(&request).unwrap_or_else(|e| panic!("select failed: {e}"));
        let part = MemoryStorage::collect_set(&mut *set);
        for (labels, _) in part.iter() {
            assert!(shard.contains(labels), "{labels} is not in {shard:?}");
        }
        all.merge(&part);
    }
    assert_eq!(all, expected.part(matchers, range), "all shards of {matchers:?} together");
}

/// What is left after some batches, in parts: one behind the other they are the rest, in order.
fn check_parts(expected: &MemoryStorage, querier: &dyn Querier, range: TimeRange, matchers: &[Matcher]) {
    let expected = expected.part(matchers, range);
    for (batches, parts) in [(0, 1), (0, 2), (0, 7), (1, 3), (2, 50), (9, 4)] {
        let budget = budget();
        let (all, shard) = (TimeRange::ALL, Shard::WHOLE);
        let request = SelectRequest { matchers, range: all, shard, budget: Arc::clone(&budget) };
        let mut set = querier.select(&request).unwrap_or_else(|e| panic!("select failed: {e}"));
        let mut read = MemoryStorage::collect_batches(&mut *set, batches);
        let parts = parted(set, parts).unwrap_or_else(|e| panic!("parting failed: {e}"));
        for mut part in parts {
            let part = MemoryStorage::collect_set(&mut *part);
            let (before, first) = (read.iter().last(), part.iter().next());
            if let (Some((before, _)), Some((first, _))) = (before, first) {
                assert!(before < first, "{first} stands in a part behind {before}");
            }
            read.merge(&part);
        }
        assert_eq!(read, expected, "{matchers:?} in parts after {batches} batches");
        let samples: u64 = read.iter().map(|(_, s)| s.len() as u64).sum();
        assert_eq!(budget.samples(), samples, "samples charged after {batches} batches and all parts");
    }
}

/// Where samples outside of windows may be left out, those within come. Beside them there may be some of
/// other times that have one: where sources have several of one time, not always the one that counts.
fn check_windows(expected: &MemoryStorage, querier: &dyn Querier, range: TimeRange, matchers: &[Matcher]) {
    let expected = expected.part(matchers, range);
    let times: BTreeSet<i64> =
        expected.iter().flat_map(|(_, s)| s.keys().copied()).map(TimestampMs::as_ms).collect();
    let (Some(first), Some(last)) = (times.first(), times.last()) else { return };
    let span = last.saturating_sub(*first);
    for (first_end, step, count, len) in [
        (*first, span / 4 + 2, 5, 1),
        (first.saturating_add(span / 3), span / 40 + 2, 9, span / 90 + 1),
        (first.saturating_sub(span), span / 7 + 2, 100, span / 8 + 1),
        (*last, i64::MAX, 1, span / 2 + 1),
    ] {
        let windows = EvenWindows { first_end, step, count, len };
        let (all, shard) = (TimeRange::ALL, Shard::WHOLE);
        let request = SelectRequest { matchers, range: all, shard, budget: budget() };
        let mut set = querier.select(&request).unwrap_or_else(|e| panic!("select failed: {e}"));
        set.only_within(windows);
        let mut got = MemoryStorage::collect_set(&mut *set);
        let mut wanted = expected.clone();
        for (labels, samples) in got.iter() {
            let stored = wanted.iter().find(|(l, _)| *l == labels).map(|(_, s)| s);
            let is_stored = |at| stored.is_some_and(|s| s.contains_key(at));
            assert!(samples.keys().all(is_stored), "{labels} within {windows:?}");
        }
        let is_within = |_: &Labels, at| windows.within(TimeRange::at(at)).is_some();
        got.retain(is_within);
        wanted.retain(is_within);
        assert_eq!(got, wanted, "{matchers:?} within {windows:?}");
    }
}

fn check_labels(expected: &MemoryStorage, querier: &dyn Querier, range: TimeRange, matchers: &[Matcher]) {
    let request = |limit| LabelRequest { matchers, limit, budget: budget() };
    let with_samples: Vec<Labels> = expected.matching(matchers, range).map(|(l, _)| l.clone()).collect();
    let selectable: BTreeSet<Labels> = {
        let of_any_time = expected.matching(matchers, TimeRange::ALL);
        of_any_time.map(|(l, _)| l.clone()).collect()
    };
    let series = querier.series(&request(0)).unwrap_or_else(|e| panic!("series failed: {e}"));
    check_answer(&series, &with_samples, |l| selectable.contains(l));
    let names = |of: &mut dyn Iterator<Item = &Labels>| -> Vec<String> {
        let set: BTreeSet<&str> = of.flat_map(|l| l.iter().map(|(n, _)| n)).collect();
        set.into_iter().map(str::to_owned).collect()
    };
    let all_names = names(&mut selectable.iter());
    let got = querier.label_names(&request(0)).unwrap_or_else(|e| panic!("label_names failed: {e}"));
    check_answer(&got, &names(&mut with_samples.iter()), |n| all_names.contains(n));
    for limit in [1, 2, got.len().max(1), got.len() + 1] {
        let cut = querier.label_names(&request(limit)).unwrap_or_else(|e| panic!("label_names failed: {e}"));
        assert_eq!(cut, got[..limit.min(got.len())], "the first {limit} names");
        let cut = querier.series(&request(limit)).unwrap_or_else(|e| panic!("series failed: {e}"));
        assert_eq!(cut, series[..limit.min(series.len())], "the first {limit} series");
    }
    for name in all_names.iter().map(String::as_str).chain(["no_such_label"]) {
        let values = |of: &mut dyn Iterator<Item = &Labels>| -> Vec<String> {
            let set: BTreeSet<&str> = of.filter_map(|l| l.get(name)).collect();
            set.into_iter().map(str::to_owned).collect()
        };
        let any_time = values(&mut selectable.iter());
        let got = querier.label_values(name, &request(0)).unwrap_or_else(|e| panic!("values failed: {e}"));
        check_answer(&got, &values(&mut with_samples.iter()), |v| any_time.contains(v));
        let cut = querier.label_values(name, &request(1)).unwrap_or_else(|e| panic!("values failed: {e}"));
        assert_eq!(cut, got[..got.len().min(1)], "the first value of {name}");
    }
}

/// Sorted, each once, all of `wanted`, and nothing that is not `allowed`.
fn check_answer<T: Ord + std::fmt::Debug>(got: &[T], wanted: &[T], allowed: impl Fn(&T) -> bool) {
    assert!(got.windows(2).all(|pair| pair[0] < pair[1]), "not sorted and each once: {got:?}");
    for one in wanted {
        assert!(got.binary_search(one).is_ok(), "{one:?} is missing from {got:?}");
    }
    for one in got {
        assert!(allowed(one), "{one:?} was not asked for");
    }
}

/// What a batch holds is charged when it is handed out, so that giving it back leaves nothing.
fn check_account(expected: &MemoryStorage, querier: &dyn Querier) {
    let all: u64 = expected.iter().map(|(_, s)| s.len() as u64).sum();
    let budget = budget();
    let mut batch = SeriesBatch::default();
    let mut set = select(querier, &budget).unwrap_or_else(|e| panic!("select failed: {e}"));
    let mut held = 0;
    while set.next_batch(&mut batch).unwrap_or_else(|e| panic!("next_batch failed: {e}")) {
        held += batch.sample_count() as u64;
        assert!(budget.samples() >= held, "{held} samples are handed out, {} charged", budget.samples());
    }
    assert_eq!((held, budget.samples()), (all, all), "samples handed out and charged at the end");
    budget.release_samples(held);
    assert_eq!(budget.samples(), 0);
    let mut set = select(querier, &budget).unwrap_or_else(|e| panic!("select failed: {e}"));
    if set.next_batch(&mut batch).unwrap_or_else(|e| panic!("next_batch failed: {e}")) {
        budget.release_samples(batch.sample_count() as u64);
    }
    drop(set);
    assert_eq!(budget.samples(), 0, "a set that is dropped early keeps samples charged");
}

fn select(
    querier: &dyn Querier,
    budget: &Arc<QueryBudget>,
) -> Result<Box<dyn skopos_storage::SeriesSet>, QueryError> {
    let budget = Arc::clone(budget);
    querier.select(&SelectRequest { matchers: &[], range: TimeRange::ALL, shard: Shard::WHOLE, budget })
}

/// Reads everything; the first error ends it.
fn drain(querier: &dyn Querier, budget: &Arc<QueryBudget>) -> Result<(), QueryError> {
    let mut batch = SeriesBatch::default();
    let mut set = select(querier, budget)?;
    while set.next_batch(&mut batch)? {}
    Ok(())
}

/// Limits hold at their value and not below; who cancels is heard.
fn check_ends(expected: &MemoryStorage, querier: &dyn Querier) {
    let samples: u64 = expected.iter().map(|(_, s)| s.len() as u64).sum();
    let series = expected.len() as u64;
    if samples == 0 {
        return;
    }
    // That as many as are allowed pass is not asked: a merge holds more while it works.
    let limits = QueryLimits { max_samples: samples - 1, ..QueryLimits::default() };
    let refused = drain(querier, &budget_of(limits));
    assert!(matches!(refused, Err(QueryError::Limit { limit: "query.max-samples", .. })), "{refused:?}");
    check_series_limit_and_cancellation(series, |budget| drain(querier, budget));
    let budget = budget();
    let mut set = select(querier, &budget).unwrap_or_else(|e| panic!("select failed: {e}"));
    budget.cancel();
    let refused = set.next_batch(&mut SeriesBatch::default());
    assert!(matches!(refused, Err(QueryError::Cancelled)), "{refused:?}");
}
