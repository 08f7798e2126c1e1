//! `Limits`: when a new series is refused. Samples of series that are there are never refused by any of them.

use super::memory::MemoryBudget;
use crate::{options::Options, stats::Stats};
use skopos_storage::AppendError;

/// How limits are named to an operator: as the flag.
const SERIES: &str = "storage.tsdb.max-series";
const PER_METRIC: &str = "storage.tsdb.max-series-per-metric";
const MEMORY: &str = "storage.memory-budget";
/// There is no flag: a restart gives numbers from the beginning on.
const NUMBERS: &str = "series-made-since-start (tsdb)";

/// When a new series is refused.
#[derive(Debug)]
pub(crate) struct Limits {
    pub(super) max_series: u32,
    pub(super) max_per_metric: u32,
    pub(crate) memory: MemoryBudget,
}

/// Why a new series is refused.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum LimitReached {
    /// There are as many series as may be.
    Series(u32),
    /// All numbers have been given since the start, those of series that have gone among them.
    Numbers(u32),
    /// There are as many of its metric as may be.
    PerMetric(u32),
    /// The head takes as much memory as it may.
    Memory(u64),
    /// Its source has as many as it may.
    PerSource(AppendError),
}

impl Limits {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            max_series: options.max_series,
            max_per_metric: options.max_series_per_metric,
            memory: MemoryBudget::new(options.memory_budget_bytes),
        }
    }

    /// Whether one more may be made where there are so many series, and so many of its metric.
    pub(super) fn check(&self, series: usize, of_metric: usize) -> Result<(), LimitReached> {
        if series >= self.max_series as usize {
            return Err(LimitReached::Series(self.max_series));
        }
        if of_metric >= self.max_per_metric as usize {
            return Err(LimitReached::PerMetric(self.max_per_metric));
        }
        if self.memory.is_exceeded() {
            return Err(LimitReached::Memory(self.memory.max_bytes()));
        }
        Ok(())
    }
}

impl LimitReached {
    /// Counts the refusal and says it to whoever appends.
    pub(crate) fn refuse(self, stats: &Stats) -> AppendError {
        let (counter, limit, max) = match self {
            Self::Series(max) => (&stats.refused_series_total, SERIES, u64::from(max)),
            Self::Numbers(max) => (&stats.refused_series_total, NUMBERS, u64::from(max)),
            Self::PerMetric(max) => (&stats.refused_per_metric_total, PER_METRIC, u64::from(max)),
            Self::Memory(max) => (&stats.refused_memory_total, MEMORY, max),
            Self::PerSource(error) => {
                Stats::add(&stats.refused_per_source_total, 1);
                return error;
            }
        };
        Stats::add(counter, 1);
        AppendError::Limit { limit, max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_is_named_and_counted() {
        let options = Options {
            max_series: 10,
            max_series_per_metric: 5,
            memory_budget_bytes: 1000,
            ..Options::default()
        };
        let (limits, stats) = (Limits::new(&options), Stats::default());
        assert_eq!(limits.check(9, 4), Ok(()));
        assert_eq!(limits.check(10, 0), Err(LimitReached::Series(10)));
        assert_eq!(limits.check(9, 5), Err(LimitReached::PerMetric(5)));
        limits.memory.grow(1000);
        assert_eq!(limits.check(0, 0), Err(LimitReached::Memory(1000)));
        for (reached, limit, max) in [
            (LimitReached::Series(10), "storage.tsdb.max-series", 10),
            (LimitReached::Numbers(u32::MAX), "series-made-since-start (tsdb)", u64::from(u32::MAX)),
            (LimitReached::PerMetric(5), "storage.tsdb.max-series-per-metric", 5),
            (LimitReached::Memory(1000), "storage.memory-budget", 1000),
            (LimitReached::PerSource(AppendError::Limit { limit: "x", max: 3 }), "x", 3),
        ] {
            assert_eq!(reached.refuse(&stats), AppendError::Limit { limit, max });
        }
        let s = stats.snapshot();
        let counted = [
            s.refused_series_total,
            s.refused_per_metric_total,
            s.refused_memory_total,
            s.refused_per_source_total,
        ];
        assert_eq!(counted, [2, 1, 1, 1]);
    }
}
