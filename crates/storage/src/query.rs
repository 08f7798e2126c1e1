//! How samples are asked for.

use crate::{QueryBudget, QueryError, SeriesSet};
use skopos_model::{Labels, Matcher, TimestampMs};
use std::sync::Arc;

/// Both ends belong to the range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    /// The earliest time.
    pub min: TimestampMs,
    /// The latest time.
    pub max: TimestampMs,
}

impl TimeRange {
    /// All of time.
    pub const ALL: Self = Self { min: TimestampMs::MIN, max: TimestampMs::MAX };

    /// One moment.
    pub const fn at(time: TimestampMs) -> Self {
        Self { min: time, max: time }
    }

    /// The shortest range that has both.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self { min: self.min.min(other.min), max: self.max.max(other.max) }
    }
}

/// A storage that can be asked.
pub trait Queryable: Send + Sync {
    /// A view of `range`. It sees every batch committed before the call, and each either whole or
    /// not at all, however long it lives.
    fn querier(&self, range: TimeRange) -> Result<Box<dyn Querier>, QueryError>;
}

/// A view of one time range. It may be asked by several threads at once.
pub trait Querier: Send + Sync {
    /// The series that fulfil all matchers, with their samples of the view's range that lie in the
    /// request's range too. A series without a sample there may come with none or be left out.
    fn select(&self, request: &SelectRequest<'_>) -> Result<Box<dyn SeriesSet>, QueryError>;

    /// The labels alone of the series that `select` would hand out and that may have samples.
    fn series(&self, request: &LabelRequest<'_>) -> Result<Vec<Labels>, QueryError>;

    /// The names of all labels of the matching series, sorted.
    fn label_names(&self, request: &LabelRequest<'_>) -> Result<Vec<String>, QueryError>;

    /// The values of the label `name` of the matching series, sorted.
    fn label_values(&self, name: &str, request: &LabelRequest<'_>) -> Result<Vec<String>, QueryError>;
}

/// Which samples are wanted.
#[derive(Clone, Debug)]
pub struct SelectRequest<'a> {
    /// Conditions, all of which must hold.
    pub matchers: &'a [Matcher],
    /// Of which time.
    pub range: TimeRange,
    /// Only a part of the series, for parallel work.
    pub shard: Shard,
    /// What the query may still use.
    pub budget: Arc<QueryBudget>,
}

/// Part `index` of `count` parts of all series, split by a hash of the labels: every series is in
/// exactly one part, the same in every storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: u32,
    count: u32,
}

impl Shard {
    /// Everything.
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    /// Part `index` of `count`; none unless `index < count`.
    pub const fn new(index: u32, count: u32) -> Option<Self> {
        if index < count { Some(Self { index, count }) } else { None }
    }

    /// Whether a series of these labels is in this part.
    pub fn contains(self, labels: &Labels) -> bool {
        self.count == 1 || self.contains_hash(labels.hash64())
    }

    /// The same of the labels whose `hash64` is given.
    pub fn contains_hash(self, hash: u64) -> bool {
        hash % u64::from(self.count) == u64::from(self.index)
    }
}

/// Which labels are wanted.
#[derive(Clone, Debug)]
pub struct LabelRequest<'a> {
    /// Conditions, all of which must hold; none means all series.
    pub matchers: &'a [Matcher],
    /// The most results to hand out; the first in order are taken. Zero means the budget's own limit.
    pub limit: usize,
    /// What the request may still use.
    pub budget: Arc<QueryBudget>,
}
