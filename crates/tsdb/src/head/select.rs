//! Matchers to series numbers of the head. Decides by label values and postings alone; never looks at a
//! sample.
//!
//! New series and, behind them, appenders wait for the locks of the registry. So none is held for more than
//! one stride of values or series, never two of them, and the budget is asked between two strides. Between
//! them series come and go, but none that the asking view sees: those were there with a sample before it.

use super::{postings::Values, registry::Registry, series::SeriesIndex};
use crate::select::{Condition, Listed, retain};
use skopos_model::Matcher;
use skopos_storage::{QueryBudget, QueryError};

/// Asking one candidate's labels costs about as much as so many entries of a postings list: the series
/// is seldom in a cache.
const ASK_COST: usize = 32;
/// So many lists are walked at once without being joined first.
const MAX_CURSORS: usize = 8;
/// Values or series looked at under one lock.
pub(crate) const STRIDE: usize = 256;
/// Numbers compared under one lock; each costs far less than a value.
const WALK_STRIDE: usize = 16 * STRIDE;

/// The numbers of the series that fulfil all matchers, sorted.
pub(crate) fn select(
    registry: &Registry,
    matchers: &[Matcher],
    budget: &QueryBudget,
) -> Result<Vec<u32>, QueryError> {
    let cost = |matcher: &Matcher, values: Option<&[String]>| {
        Ok::<_, QueryError>(registry.cost(matcher.name(), values))
    };
    let Some(conditions) = Condition::in_order(matchers, cost)? else { return Ok(Vec::new()) };
    let search = Search { registry, budget };
    let mut conditions = conditions.into_iter();
    let mut ids = match conditions.next() {
        None => return Ok(registry.all()),
        Some(c) if c.excludes => {
            let mut ids = registry.all();
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

/// Where conditions look, and how long they may.
struct Search<'a> {
    registry: &'a Registry,
    budget: &'a QueryBudget,
}

impl Search<'_> {
    /// The series that the matcher's values name: those that fulfil it, or those that fail.
    fn gather(&self, condition: &Condition<'_>) -> Result<Vec<u32>, QueryError> {
        let name = condition.matcher.name();
        let mut ids = Vec::new();
        let mut lists = 0;
        if let Some(values) = condition.values() {
            for values in values.chunks(STRIDE) {
                self.budget.check()?;
                lists += self.registry.add_values(name, values, &mut ids);
            }
        } else {
            let mut after: Option<Box<str>> = None;
            loop {
                self.budget.check()?;
                let walk = Walk { name, prefix: condition.prefix(), after: after.as_deref() };
                let stride = self.registry.add_wanted(walk, |value| condition.gathers(value), &mut ids);
                lists += stride.lists;
                if stride.last.is_none() {
                    break;
                }
                after = stride.last;
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
        let name = matcher.name();
        // Of a few values, each list is walked beside the candidates.
        if let Some(set) = matcher.set().filter(|s| s.len() <= MAX_CURSORS && !s.iter().any(String::is_empty))
        {
            let listed = if matcher.op().is_negative() { Listed::InNone } else { Listed::InAny };
            return self.by_strides(ids, WALK_STRIDE, |part| {
                self.registry.retain_listed(name, set, listed, part);
            });
        }
        if ids.len().saturating_mul(ASK_COST) < condition.cost {
            return self.by_strides(ids, STRIDE, |part| {
                self.registry.retain_wanted(name, |value| matcher.matches(value), part);
            });
        }
        let named = self.gather(condition)?;
        retain(ids, condition.keeps(), &mut [&named]);
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

/// One stride through the values of a label.
#[derive(Debug, Default)]
struct Stride {
    /// How many lists were added.
    lists: usize,
    /// The last value looked at; none when there was none left.
    last: Option<Box<str>>,
}

/// Where a stride begins, and how far it goes.
#[derive(Clone, Copy, Debug)]
struct Walk<'a> {
    /// Of the label of this name …
    name: &'a str,
    /// … the values that begin with this …
    prefix: &'a str,
    /// … and stand behind this one, at most `STRIDE` of them.
    after: Option<&'a str>,
}

/// Each of these holds a lock once, or stride by stride.
impl Registry {
    /// The numbers of all series.
    fn all(&self) -> Vec<u32> {
        self.postings().all().to_vec()
    }

    /// About how many values and entries gathering looks at; none when no series has the label.
    fn cost(&self, name: &str, values: Option<&[String]>) -> Option<usize> {
        let all = self.postings().values(name).map(|all| all.len() + all.series())?;
        let Some(values) = values else { return Some(all) };
        Some(values.chunks(STRIDE).fold(0, |cost, values| cost + self.cost_of(name, values)))
    }

    fn cost_of(&self, name: &str, values: &[String]) -> usize {
        let postings = self.postings();
        let entries = |all: &Values| values.iter().map(|v| all.get(v).len()).sum();
        values.len() + postings.values(name).map_or(0, entries)
    }

    /// Adds the lists of these values to `out`, one behind the other; how many were not empty.
    fn add_values(&self, name: &str, values: &[String], out: &mut Vec<u32>) -> usize {
        let postings = self.postings();
        let Some(all) = postings.values(name) else { return 0 };
        let mut lists = 0;
        for value in values {
            let list = all.get(value);
            out.extend_from_slice(list);
            lists += usize::from(!list.is_empty());
        }
        lists
    }

    /// Adds the lists of those values of a stride for which `wanted` says so.
    fn add_wanted(&self, walk: Walk<'_>, wanted: impl Fn(&str) -> bool, out: &mut Vec<u32>) -> Stride {
        let postings = self.postings();
        let Some(all) = postings.values(walk.name) else { return Stride::default() };
        let (mut lists, mut last) = (0, None);
        for (value, list) in all.with_prefix(walk.prefix, walk.after).take(STRIDE) {
            last = Some(value);
            if wanted(value) {
                out.extend_from_slice(list);
                lists += 1;
            }
        }
        Stride { lists, last: last.map(Box::from) }
    }

    /// Keeps of `part` the series whose value of the label (empty: absent) is wanted. One that has gone
    /// meanwhile goes here too.
    fn retain_wanted(&self, name: &str, wanted: impl Fn(&str) -> bool, part: &mut Vec<u32>) {
        let table = self.table();
        part.retain(|id| table.get(SeriesIndex(*id)).is_some_and(|s| wanted(s.labels.value(name))));
    }

    /// Keeps of `part` what stands in the list of any of `values`, or in none of them.
    fn retain_listed(&self, name: &str, values: &[String], listed: Listed, part: &mut Vec<u32>) {
        let postings = self.postings();
        let all = postings.values(name);
        let list = |v: &String| all.map_or(&[][..], |all| all.get(v));
        let mut lists: Vec<&[u32]> = values.iter().map(list).collect();
        retain(part, listed, &mut lists);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        head::{limits::Limits, registry::Origin},
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
                let wal_ref = registry.wal_refs.reserve(i).unwrap();
                registry.get_or_create(labels, Origin::Wal(wal_ref)).unwrap();
            }
            let timeout = DurationMs::from_secs(1);
            let limits = QueryLimits { max_samples: 0, max_series: 0, max_memory: 0, timeout };
            let got = select(&registry, &matchers, &QueryBudget::new(limits, Arc::new(Still))).unwrap();
            let fulfils = |l: &Labels| matchers.iter().all(|m| m.matches(l.value(m.name())));
            let expected: Vec<u32> = (0..).zip(&all).filter(|(_, l)| fulfils(l)).map(|(i, _)| i).collect();
            prop_assert_eq!(got, expected, "{:?}", matchers);
        }
    }
}
