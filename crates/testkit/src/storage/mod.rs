//! Storage for tests: `MemoryStorage`, which is right because it does nothing clever, made data, and the
//! suites of the storage contracts. Never asks the code under test what is right.
//!
//! A storage's test fills it with the samples of a `MemoryStorage` and calls `check_querier` or
//! `check_chunk_querier` with both.

mod chunks;
mod memory;
mod querier;

pub use chunks::{check_chunk_querier, check_chunks_exactly, decode};
pub use memory::{MemoryStorage, Point, Samples};
pub use querier::check_querier;

use skopos_base::{
    rng::Rng,
    sim::{SimClock, clock::WALL_START_MS},
};
use skopos_model::{
    FloatHistogram, Labels, MatchOp, Matcher, TimestampMs,
    histogram::{Layout, Span},
};
use skopos_storage::{QueryBudget, QueryError, QueryLimits};
use std::sync::Arc;

/// A budget of `limits` whose clock stands still.
pub fn budget_of(limits: QueryLimits) -> Arc<QueryBudget> {
    QueryBudget::new(limits, Arc::new(SimClock::new(WALL_START_MS)))
}

/// A budget of the default limits.
pub fn budget() -> Arc<QueryBudget> {
    budget_of(QueryLimits::default())
}

/// That reading all of `series` series is allowed when so many are, and ends with the error that says why
/// when fewer are, and when it was cancelled.
fn check_series_limit_and_cancellation(
    series: u64,
    drain: impl Fn(&Arc<QueryBudget>) -> Result<(), QueryError>,
) {
    let limits = QueryLimits { max_series: series, ..QueryLimits::default() };
    drain(&budget_of(limits)).expect("as many series as are allowed");
    let limits = QueryLimits { max_series: series - 1, ..QueryLimits::default() };
    let refused = drain(&budget_of(limits));
    assert!(matches!(refused, Err(QueryError::Limit { limit: "query.max-series", .. })), "{refused:?}");
    let cancelled = budget();
    cancelled.cancel();
    let refused = drain(&cancelled);
    assert!(matches!(refused, Err(QueryError::Cancelled)), "{refused:?}");
}

/// A matcher whose operator is written as in a selector.
///
/// # Panics
/// When there is no such operator, or the expression is none.
pub fn matcher(name: &str, op: &str, value: &str) -> Matcher {
    let op = match op {
        "=" => MatchOp::Equal,
        "!=" => MatchOp::NotEqual,
        "=~" => MatchOp::Regex,
        "!~" => MatchOp::NotRegex,
        _ => panic!("no operator {op}"),
    };
    Matcher::new(name, op, value).expect("the expression is valid")
}

/// What made data consist of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kinds {
    /// Floats alone.
    Floats,
    /// Floats, and in some series native histograms.
    FloatsAndHistograms,
}

/// Up to `series` series with up to `samples` samples each between the times `from` and `to`, in
/// milliseconds. The series are drawn from a small world, so that two storages of different seeds have
/// many in common.
pub fn made_data(rng: &Rng, kinds: Kinds, size: Size) -> MemoryStorage {
    let mut out = MemoryStorage::default();
    for _ in 0..rng.below(size.series + 1) {
        let labels = made_labels(rng, size.series);
        let histograms = kinds == Kinds::FloatsAndHistograms && labels.hash64().is_multiple_of(3);
        let width = (size.to - size.from).max(1) as u64;
        for _ in 0..rng.below(size.samples + 1) {
            // Mostly on a grid, so that times of different storages meet.
            let at = rng.below(width) as i64;
            let at = size.from + if rng.below(4) > 0 { at / 1000 * 1000 } else { at };
            let point = match rng.below(20) {
                0 => Point::Float(skopos_model::stale_nan()),
                _ if histograms => Point::Histogram(made_histogram(rng)),
                _ => Point::Float(rng.below(1000) as f64 / 8.0),
            };
            out.insert(&labels, TimestampMs::new(at), point);
        }
    }
    out
}

/// How much data is made, of which time.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// The most series.
    pub series: u64,
    /// The most samples of a series.
    pub samples: u64,
    /// The earliest time in milliseconds.
    pub from: i64,
    /// The latest time in milliseconds, not included.
    pub to: i64,
}

fn made_labels(rng: &Rng, world: u64) -> Labels {
    let n = rng.below(world * 2 + 1);
    let mut pairs = vec![
        ("__name__", format!("metric_{}", n % 3)),
        ("job", format!("job{}", n % 5)),
        ("instance", n.to_string()),
    ];
    if n.is_multiple_of(4) {
        pairs.push(("zone", "a".into()));
    }
    Labels::from_pairs(pairs)
}

fn made_histogram(rng: &Rng) -> FloatHistogram {
    let buckets = 1 + rng.below(3) as u32;
    let positive_spans = vec![Span { offset: rng.below(3) as i32, length: buckets }];
    let layout = Layout { schema: rng.below(4) as i32, positive_spans, ..Layout::default() };
    let positive_buckets: Vec<f64> = (0..buckets).map(|_| 1.0 + rng.below(9) as f64).collect();
    let count = positive_buckets.iter().sum();
    FloatHistogram {
        layout,
        count,
        sum: rng.below(100) as f64,
        positive_buckets,
        ..FloatHistogram::default()
    }
}
