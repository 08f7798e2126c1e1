//! Matchers to series numbers. Decides by label values and postings alone; never looks at a sample.
//!
//! A matcher that an absent label fails names series by its values: their postings are joined. One
//! that an absent label fulfils excludes series by the values that fail. Either can also be asked of
//! each candidate's own labels, which is done where it is less work than gathering postings.

use super::{
    postings::{Postings, Values, intersect, retain_in_any, subtract},
    registry::Table,
    series::SeriesIndex,
};
use skopos_model::Matcher;

/// Asking one candidate's labels costs about as much as so many entries of a postings list: the series
/// is seldom in a cache.
const ASK_COST: usize = 32;
/// So many lists are walked at once without being joined first.
const MAX_CURSORS: usize = 8;

/// The numbers of the series that fulfil all matchers, sorted.
pub(crate) fn select(postings: &Postings, table: &Table<'_>, matchers: &[Matcher]) -> Vec<u32> {
    let mut conditions = Vec::with_capacity(matchers.len());
    for matcher in matchers.iter().filter(|m| !is_always_true(m)) {
        match Condition::of(matcher, postings) {
            Some(condition) => conditions.push(condition),
            None => return Vec::new(),
        }
    }
    // The first one decides how many candidates the rest has to look at.
    conditions.sort_by_key(|c| (c.excludes, c.cost));
    let mut conditions = conditions.into_iter();
    let mut ids = match conditions.next() {
        None => return postings.all().to_vec(),
        Some(c) if c.excludes => {
            let mut ids = postings.all().to_vec();
            c.apply(&mut ids, table);
            ids
        }
        Some(c) => c.gather(),
    };
    for condition in conditions {
        if ids.is_empty() {
            break;
        }
        condition.apply(&mut ids, table);
    }
    ids
}

fn is_always_true(matcher: &Matcher) -> bool {
    matcher.op() == skopos_model::MatchOp::Regex && matcher.value() == ".*"
}

/// One matcher with what it costs.
struct Condition<'a> {
    matcher: &'a Matcher,
    values: &'a Values,
    /// Whether the gathered postings are those that fail.
    excludes: bool,
    /// About how many values and entries gathering looks at.
    cost: usize,
}

impl<'a> Condition<'a> {
    /// `None` when no series can fulfil the matcher.
    fn of(matcher: &'a Matcher, postings: &'a Postings) -> Option<Self> {
        static NO_VALUES: std::sync::LazyLock<Values> = std::sync::LazyLock::new(Values::default);
        let excludes = matcher.matches_empty();
        let values = match postings.values(matcher.name()) {
            Some(values) => values,
            None if excludes => &NO_VALUES,
            None => return None,
        };
        let cost = match matcher.set() {
            Some(set) if matcher.op().is_negative() == excludes => {
                set.iter().map(|v| values.get(v).len() + 1).sum()
            }
            _ => values.len() + values.series(),
        };
        Some(Self { matcher, values, excludes, cost })
    }

    /// The series that the matcher's values name: those that fulfil it, or those that fail.
    fn gather(&self) -> Vec<u32> {
        let wanted = !self.excludes;
        let mut ids = Vec::new();
        let mut lists = 0;
        let mut add = |list: &[u32]| {
            ids.extend_from_slice(list);
            lists += usize::from(!list.is_empty());
        };
        match self.matcher.set() {
            // Where the comparison as such decides as wanted, its few values are all there are. An
            // empty one names no series.
            Some(set) if self.matcher.op().is_negative() != wanted => {
                set.iter().for_each(|v| add(self.values.get(v)));
            }
            _ => {
                let prefix =
                    if self.matcher.op().is_negative() != wanted { self.matcher.prefix() } else { "" };
                self.values
                    .with_prefix(prefix)
                    .filter(|(v, _)| self.matcher.matches(v) == wanted)
                    .for_each(|(_, list)| add(list));
            }
        }
        // A series has one value of a label, so that no number stands twice. The sort finds the runs.
        if lists > 1 {
            ids.sort();
        }
        ids
    }

    /// Keeps the candidates that fulfil the matcher.
    fn apply(&self, ids: &mut Vec<u32>, table: &Table<'_>) {
        // Of a few values, each list is walked beside the candidates.
        if let Some(set) =
            self.matcher.set().filter(|s| s.len() <= MAX_CURSORS && !s.iter().any(String::is_empty))
        {
            let mut lists: Vec<&[u32]> = set.iter().map(|v| self.values.get(v)).collect();
            return retain_in_any(ids, &mut lists, !self.matcher.op().is_negative());
        }
        if ids.len().saturating_mul(ASK_COST) < self.cost {
            let name = self.matcher.name();
            ids.retain(|id| {
                table.get(SeriesIndex(*id)).is_some_and(|s| self.matcher.matches(s.labels.value(name)))
            });
        } else if self.excludes {
            subtract(ids, &self.gather());
        } else {
            intersect(ids, &self.gather());
        }
    }
}
