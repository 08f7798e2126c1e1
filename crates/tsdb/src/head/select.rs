//! Matchers to series numbers. Decides by label values and postings alone; never looks at a sample.
//!
//! A matcher that an absent label fails names series by its values: their postings are joined. One
//! that an absent label fulfils excludes series by the values that fail. Either can also be asked of
//! each candidate's own labels, which is done where it is less work than gathering postings.
//!
//! New series and, behind them, appenders wait for the locks of the registry. So none is held while a regex
//! runs over more than `STRIDE` values, and never two of them. Between two strides series come and go, but
//! none that the asking view sees: those were there with a sample before it.

use super::{
    postings::{Postings, intersect, retain_in_any, subtract},
    registry::Registry,
    series::SeriesIndex,
};
use skopos_model::Matcher;
use skopos_storage::{QueryBudget, QueryError};

/// Asking one candidate's labels costs about as much as so many entries of a postings list: the series
/// is seldom in a cache.
const ASK_COST: usize = 32;
/// So many lists are walked at once without being joined first.
const MAX_CURSORS: usize = 8;
/// Values or series looked at before a lock is let go, and the budget asked.
pub(super) const STRIDE: usize = 256;
/// Numbers compared before a lock is let go; each costs far less than a value.
const WALK_STRIDE: usize = 16 * STRIDE;

/// The numbers of the series that fulfil all matchers, sorted.
pub(crate) fn select(
    registry: &Registry,
    matchers: &[Matcher],
    budget: &QueryBudget,
) -> Result<Vec<u32>, QueryError> {
    let mut conditions = Vec::with_capacity(matchers.len());
    for matcher in matchers.iter().filter(|m| !is_always_true(m)) {
        match Condition::of(matcher, &registry.postings()) {
            Some(condition) => conditions.push(condition),
            None => return Ok(Vec::new()),
        }
    }
    // The first one decides how many candidates the rest has to look at.
    conditions.sort_by_key(|c| (c.excludes, c.cost));
    let search = Search { registry, budget };
    let mut conditions = conditions.into_iter();
    let mut ids = match conditions.next() {
        None => return Ok(registry.postings().all().to_vec()),
        Some(c) if c.excludes => {
            let mut ids = registry.postings().all().to_vec();
            search.apply(&c, &mut ids)?;
            ids
        }
        Some(c) => search.gather(&c)?,
    };
    for condition in conditions {
        if ids.is_empty() {
            break;
        }
        search.apply(&condition, &mut ids)?;
    }
    Ok(ids)
}

fn is_always_true(matcher: &Matcher) -> bool {
    matcher.op() == skopos_model::MatchOp::Regex && matcher.value() == ".*"
}

/// One matcher with what it costs.
struct Condition<'a> {
    matcher: &'a Matcher,
    /// Whether the gathered postings are those that fail.
    excludes: bool,
    /// About how many values and entries gathering looks at.
    cost: usize,
}

impl<'a> Condition<'a> {
    /// `None` when no series can fulfil the matcher.
    fn of(matcher: &'a Matcher, postings: &Postings) -> Option<Self> {
        let excludes = matcher.matches_empty();
        let values = match postings.values(matcher.name()) {
            Some(values) => values,
            None if excludes => return Some(Self { matcher, excludes, cost: 0 }),
            None => return None,
        };
        let cost = match matcher.set() {
            Some(set) if matcher.op().is_negative() == excludes => {
                set.iter().map(|v| values.get(v).len() + 1).sum()
            }
            _ => values.len() + values.series(),
        };
        Some(Self { matcher, excludes, cost })
    }
}

/// Where conditions look, and how long they may.
struct Search<'a> {
    registry: &'a Registry,
    budget: &'a QueryBudget,
}

impl Search<'_> {
    /// The series that the matcher's values name: those that fulfil it, or those that fail.
    fn gather(&self, condition: &Condition<'_>) -> Result<Vec<u32>, QueryError> {
        let matcher = condition.matcher;
        let wanted = !condition.excludes;
        let mut ids = Vec::new();
        let mut lists = 0;
        let mut add = |list: &[u32]| {
            ids.extend_from_slice(list);
            lists += usize::from(!list.is_empty());
        };
        match matcher.set() {
            // Where the comparison as such decides as wanted, its few values are all there are. An
            // empty one names no series.
            Some(set) if matcher.op().is_negative() != wanted => {
                for values in set.chunks(STRIDE) {
                    self.budget.check()?;
                    let postings = self.registry.postings();
                    let Some(all) = postings.values(matcher.name()) else { break };
                    values.iter().for_each(|v| add(all.get(v)));
                }
            }
            _ => {
                let prefix = if matcher.op().is_negative() != wanted { matcher.prefix() } else { "" };
                let mut after: Option<Box<str>> = None;
                loop {
                    self.budget.check()?;
                    let postings = self.registry.postings();
                    let Some(all) = postings.values(matcher.name()) else { break };
                    let mut last = None;
                    let stride = all.with_prefix(prefix, after.as_deref()).take(STRIDE);
                    let seen = stride.inspect(|(value, _)| last = Some(*value));
                    seen.filter(|(v, _)| matcher.matches(v) == wanted).for_each(|(_, list)| add(list));
                    let Some(last) = last else { break };
                    after = Some(last.into());
                }
            }
        }
        // A series has one value of a label, so that no number stands twice. The sort finds the runs.
        if lists > 1 {
            ids.sort();
        }
        Ok(ids)
    }

    /// Keeps the candidates that fulfil the matcher.
    fn apply(&self, condition: &Condition<'_>, ids: &mut Vec<u32>) -> Result<(), QueryError> {
        let matcher = condition.matcher;
        // Of a few values, each list is walked beside the candidates.
        if let Some(set) = matcher.set().filter(|s| s.len() <= MAX_CURSORS && !s.iter().any(String::is_empty))
        {
            return self.by_strides(ids, WALK_STRIDE, |part| {
                let postings = self.registry.postings();
                let values = postings.values(matcher.name());
                let list = |v: &String| values.map_or(&[][..], |values| values.get(v));
                let mut lists: Vec<&[u32]> = set.iter().map(list).collect();
                retain_in_any(part, &mut lists, !matcher.op().is_negative());
            });
        }
        if ids.len().saturating_mul(ASK_COST) < condition.cost {
            let name = matcher.name();
            return self.by_strides(ids, STRIDE, |part| {
                let table = self.registry.table();
                part.retain(|id| {
                    table.get(SeriesIndex(*id)).is_some_and(|s| matcher.matches(s.labels.value(name)))
                });
            });
        }
        let named = self.gather(condition)?;
        if condition.excludes {
            subtract(ids, &named);
        } else {
            intersect(ids, &named);
        }
        Ok(())
    }

    /// Lets `retain` take numbers out of one part of `ids` after the other.
    fn by_strides(
        &self,
        ids: &mut Vec<u32>,
        stride: usize,
        mut retain: impl FnMut(&mut Vec<u32>),
    ) -> Result<(), QueryError> {
        let mut part = Vec::new();
        let mut kept = 0;
        for from in (0..ids.len()).step_by(stride) {
            self.budget.check()?;
            part.clear();
            part.extend_from_slice(&ids[from..ids.len().min(from + stride)]);
            retain(&mut part);
            ids[kept..kept + part.len()].copy_from_slice(&part);
            kept += part.len();
        }
        ids.truncate(kept);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        head::{
            limits::Limits,
            registry::{Origin, Registry},
        },
        options::Options,
    };
    use proptest::prelude::*;
    use skopos_base::clock::Clock;
    use skopos_model::{DurationMs, Labels, MatchOp};
    use skopos_storage::QueryLimits;
    use std::{sync::Arc, time::Duration};

    /// Time stands still.
    #[derive(Debug)]
    struct Still;

    impl Clock for Still {
        fn wall_ms(&self) -> i64 {
            0
        }

        fn monotonic(&self) -> Duration {
            Duration::ZERO
        }

        fn sleep(&self, _: Duration) {}
    }

    fn matcher() -> impl Strategy<Value = Matcher> {
        const OPS: [MatchOp; 4] = [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex];
        const VALUES: [&str; 13] =
            ["", "1", "2", "x", "1|2", "1.*", ".*", ".+", "|1", "[12]", ".*2", "(x|)", "1|2|x|3|4|5|6|7|8|9"];
        const NAMES: [&str; 5] = ["a", "b", "c", "d", "none"];
        (prop::sample::select(&NAMES), prop::sample::select(&OPS), prop::sample::select(&VALUES))
            .prop_map(|(name, op, value)| Matcher::new(name, op, value).unwrap())
    }

    proptest! {
        /// Against asking every series; an absent label has the empty value.
        #[test]
        fn finds_what_asking_each_series_finds(
            series in prop::collection::btree_set(
                prop::collection::btree_map("[abc]", "[12x]{1,2}", 1..4), 0..60),
            sparse in 0u32..2000,
            matchers in prop::collection::vec(matcher(), 0..4),
        ) {
            let registry = Registry::new(Limits::new(&Options::default()));
            // One label that many have and the others do not changes which way is the cheapest.
            let many = (0..sparse).map(|i| Labels::from_pairs([("d", i.to_string())]));
            let all: Vec<Labels> = series.into_iter().map(Labels::from_pairs).chain(many).collect();
            for (i, labels) in (1..).zip(&all) {
                registry.get_or_create(labels, Origin::Wal(i)).unwrap();
            }
            let limits =
                QueryLimits { max_samples: 0, max_series: 0, timeout: DurationMs::from_secs(1) };
            let got = select(&registry, &matchers, &QueryBudget::new(limits, Arc::new(Still))).unwrap();
            let fulfils = |l: &Labels| matchers.iter().all(|m| m.matches(l.value(m.name())));
            let expected: Vec<u32> = (0..).zip(&all).filter(|(_, l)| fulfils(l)).map(|(i, _)| i).collect();
            prop_assert_eq!(got, expected, "{:?}", matchers);
        }
    }
}
