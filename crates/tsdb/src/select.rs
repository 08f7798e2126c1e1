//! Matchers to series numbers, over any index of labels: that of the head and those of blocks
//! (`PostingsSource`). Decides by label values and postings alone; never looks at a sample.
//!
//! A matcher that an absent label fails names series by its values: their postings are joined. One
//! that an absent label fulfils excludes series by the values that fail. Either can also be asked of
//! each candidate's own labels, which is done where it is less work than gathering postings.
//!
//! A source is asked for a stride of values or numbers at a time, and the budget between two strides: so a
//! source that others write to need not hold its lock for long, and a query that is cancelled ends soon.

use skopos_model::Matcher;
use skopos_storage::{QueryBudget, QueryError};

/// Asking one candidate's labels costs about as much as so many entries of a postings list: the series
/// is seldom in a cache.
const ASK_COST: usize = 32;
/// So many lists are walked at once without being joined first.
const MAX_CURSORS: usize = 8;
/// Values or series looked at in one call of a source.
pub(crate) const STRIDE: usize = 256;
/// Numbers compared in one call of a source; each costs far less than a value.
const WALK_STRIDE: usize = 16 * STRIDE;

/// How much there is of one label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// How many values it has.
    pub(crate) values: usize,
    /// How many series have it; where only a guess is cheap, a guess.
    pub(crate) series: usize,
}

/// One stride through the values of a label.
#[derive(Debug, Default)]
pub(crate) struct Stride {
    /// How many lists were added.
    pub(crate) lists: usize,
    /// The last value looked at; none when there was none left.
    pub(crate) last: Option<Box<str>>,
}

/// Where a stride begins, and how far it goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walk<'a> {
    /// Of the label of this name …
    pub(crate) name: &'a str,
    /// … the values that begin with this …
    pub(crate) prefix: &'a str,
    /// … and stand behind this one, at most `STRIDE` of them.
    pub(crate) after: Option<&'a str>,
}

/// Which series have which labels. Numbers are sorted in every list; what they stand for is the source's.
pub(crate) trait PostingsSource {
    /// The numbers of all series.
    fn all(&self) -> Result<Vec<u32>, QueryError>;

    /// How much there is of a label; none when no series has it.
    fn extent(&self, name: &str) -> Result<Option<Extent>, QueryError>;

    /// How many series have this value of the label; a guess is enough.
    fn len_of(&self, name: &str, value: &str) -> Result<usize, QueryError>;

    /// Adds the lists of these values to `out`, one behind the other; how many were not empty.
    fn add_values(&self, name: &str, values: &[String], out: &mut Vec<u32>) -> Result<usize, QueryError>;

    /// Adds the lists of those values of a stride for which `wanted` says so.
    fn add_wanted(
        &self,
        walk: Walk<'_>,
        wanted: impl Fn(&str) -> bool,
        out: &mut Vec<u32>,
    ) -> Result<Stride, QueryError>;

    /// Keeps of `part` the series whose value of the label (empty: absent) is wanted. One that has gone
    /// meanwhile goes here too.
    fn retain_wanted(
        &self,
        name: &str,
        wanted: impl Fn(&str) -> bool,
        part: &mut Vec<u32>,
    ) -> Result<(), QueryError>;

    /// Keeps of `part` what stands in the list of any of `values`, or in none of them.
    fn retain_listed(
        &self,
        name: &str,
        values: &[String],
        listed: Listed,
        part: &mut Vec<u32>,
    ) -> Result<(), QueryError>;
}

/// What `retain_listed` keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listed {
    /// What stands in a list.
    InAny,
    /// What stands in no list.
    InNone,
}

/// The numbers of the series that fulfil all matchers, sorted.
pub(crate) fn select<S: PostingsSource>(
    source: &S,
    matchers: &[Matcher],
    budget: &QueryBudget,
) -> Result<Vec<u32>, QueryError> {
    let mut conditions = Vec::with_capacity(matchers.len());
    for matcher in matchers.iter().filter(|m| !is_always_true(m)) {
        match Condition::of(matcher, source)? {
            Some(condition) => conditions.push(condition),
            None => return Ok(Vec::new()),
        }
    }
    // The first one decides how many candidates the rest has to look at.
    conditions.sort_by_key(|c| (c.excludes, c.cost));
    let search = Search { source, budget };
    let mut conditions = conditions.into_iter();
    let mut ids = match conditions.next() {
        None => return source.all(),
        Some(c) if c.excludes => {
            let mut ids = source.all()?;
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
    fn of<S: PostingsSource>(matcher: &'a Matcher, source: &S) -> Result<Option<Self>, QueryError> {
        let excludes = matcher.matches_empty();
        let extent = match source.extent(matcher.name())? {
            Some(extent) => extent,
            None if excludes => return Ok(Some(Self { matcher, excludes, cost: 0 })),
            None => return Ok(None),
        };
        let cost = match matcher.set() {
            Some(set) if matcher.op().is_negative() == excludes => {
                let mut cost = set.len();
                for value in set {
                    cost += source.len_of(matcher.name(), value)?;
                }
                cost
            }
            _ => extent.values + extent.series,
        };
        Ok(Some(Self { matcher, excludes, cost }))
    }
}

/// Where conditions look, and how long they may.
struct Search<'a, S> {
    source: &'a S,
    budget: &'a QueryBudget,
}

impl<S: PostingsSource> Search<'_, S> {
    /// The series that the matcher's values name: those that fulfil it, or those that fail.
    fn gather(&self, condition: &Condition<'_>) -> Result<Vec<u32>, QueryError> {
        let matcher = condition.matcher;
        let wanted = !condition.excludes;
        let mut ids = Vec::new();
        let mut lists = 0;
        match matcher.set() {
            // Where the comparison as such decides as wanted, its few values are all there are. An
            // empty one names no series.
            Some(set) if matcher.op().is_negative() != wanted => {
                for values in set.chunks(STRIDE) {
                    self.budget.check()?;
                    lists += self.source.add_values(matcher.name(), values, &mut ids)?;
                }
            }
            _ => {
                let prefix = if matcher.op().is_negative() != wanted { matcher.prefix() } else { "" };
                let mut after: Option<Box<str>> = None;
                loop {
                    self.budget.check()?;
                    let walk = Walk { name: matcher.name(), prefix, after: after.as_deref() };
                    let stride =
                        self.source.add_wanted(walk, |value| matcher.matches(value) == wanted, &mut ids)?;
                    lists += stride.lists;
                    if stride.last.is_none() {
                        break;
                    }
                    after = stride.last;
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
        let name = matcher.name();
        // Of a few values, each list is walked beside the candidates.
        if let Some(set) = matcher.set().filter(|s| s.len() <= MAX_CURSORS && !s.iter().any(String::is_empty))
        {
            let listed = if matcher.op().is_negative() { Listed::InNone } else { Listed::InAny };
            return self
                .by_strides(ids, WALK_STRIDE, |part| self.source.retain_listed(name, set, listed, part));
        }
        if ids.len().saturating_mul(ASK_COST) < condition.cost {
            return self.by_strides(ids, STRIDE, |part| {
                self.source.retain_wanted(name, |value| matcher.matches(value), part)
            });
        }
        let named = self.gather(condition)?;
        retain_in_any(ids, &mut [&named], !condition.excludes);
        Ok(())
    }

    /// Lets `retain` take numbers out of one part of `ids` after the other.
    fn by_strides(
        &self,
        ids: &mut Vec<u32>,
        stride: usize,
        mut retain: impl FnMut(&mut Vec<u32>) -> Result<(), QueryError>,
    ) -> Result<(), QueryError> {
        let mut part = Vec::new();
        let mut kept = 0;
        for from in (0..ids.len()).step_by(stride) {
            self.budget.check()?;
            part.clear();
            part.extend_from_slice(&ids[from..ids.len().min(from + stride)]);
            retain(&mut part)?;
            ids[kept..kept + part.len()].copy_from_slice(&part);
            kept += part.len();
        }
        ids.truncate(kept);
        Ok(())
    }
}

/// Keeps of `ids` those that stand in any of `lists`, or those that stand in none. All are sorted. The time
/// grows with the shorter ones.
pub(crate) fn retain_in_any(ids: &mut Vec<u32>, lists: &mut [&[u32]], wanted: bool) {
    ids.retain(|id| {
        let is_in = |list: &mut &[u32]| {
            *list = skip_below(list, *id);
            list.first() == Some(id)
        };
        lists.iter_mut().any(is_in) == wanted
    });
}

/// The part of `sorted` from the first number on that is not below `id`, found by doubling steps.
pub(crate) fn skip_below(sorted: &[u32], id: u32) -> &[u32] {
    let mut step = 1;
    while step <= sorted.len() && sorted[step - 1] < id {
        step *= 2;
    }
    let (from, to) = (step / 2, step.min(sorted.len()));
    &sorted[from + sorted[from..to].partition_point(|x| *x < id)..]
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
    use std::{collections::BTreeSet, sync::Arc, time::Duration};

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
            let timeout = DurationMs::from_secs(1);
            let limits = QueryLimits { max_samples: 0, max_series: 0, max_memory: 0, timeout };
            let got = select(&registry, &matchers, &QueryBudget::new(limits, Arc::new(Still))).unwrap();
            let fulfils = |l: &Labels| matchers.iter().all(|m| m.matches(l.value(m.name())));
            let expected: Vec<u32> = (0..).zip(&all).filter(|(_, l)| fulfils(l)).map(|(i, _)| i).collect();
            prop_assert_eq!(got, expected, "{:?}", matchers);
        }

        #[test]
        fn set_operations_agree_with_sets(
            a in prop::collection::btree_set(0u32..300, 0..200),
            b in prop::collection::btree_set(0u32..300, 0..200),
        ) {
            let other: Vec<u32> = b.iter().copied().collect();
            let (low, high) = other.split_at(other.len() / 3);
            let retained = |lists: &mut [&[u32]], wanted| {
                let mut ids: Vec<u32> = a.iter().copied().collect();
                retain_in_any(&mut ids, lists, wanted);
                ids.into_iter().collect::<BTreeSet<_>>()
            };
            prop_assert_eq!(retained(&mut [&other], true), &a & &b);
            prop_assert_eq!(retained(&mut [&other], false), &a - &b);
            prop_assert_eq!(retained(&mut [high, low, &[]], true), &a & &b);
        }
    }
}
