//! What the selections of the head and of blocks share: the order in which matchers are looked at, and the
//! intersection of sorted lists. Neither reads an index; `head::select` and `block::select` do, each weighing
//! what its own index costs.
//!
//! A matcher that an absent label fails names series by its values: their postings are joined. One
//! that an absent label fulfils excludes series by the values that fail. Either can also be asked of
//! each candidate's own labels, which is done where it is less work than gathering postings.

use skopos_model::{MatchOp, Matcher};

/// One matcher with what it costs.
pub(crate) struct Condition<'a> {
    pub(crate) matcher: &'a Matcher,
    /// Whether the gathered postings are those that fail.
    pub(crate) excludes: bool,
    /// About how much gathering looks at, in entries of postings.
    pub(crate) cost: usize,
}

impl<'a> Condition<'a> {
    /// What the matchers ask, in the order in which it is asked: the first one decides how many candidates
    /// the rest has to look at. `cost` is told the matcher and, where these are all that count, its values;
    /// it says none of a label that no series has. None when no series can fulfil all matchers.
    pub(crate) fn in_order<E>(
        matchers: &'a [Matcher],
        mut cost: impl FnMut(&Matcher, Option<&[String]>) -> Result<Option<usize>, E>,
    ) -> Result<Option<Vec<Self>>, E> {
        let mut conditions = Vec::with_capacity(matchers.len());
        for matcher in matchers.iter().filter(|m| !is_always_true(m)) {
            let mut condition = Self { matcher, excludes: matcher.matches_empty(), cost: 0 };
            match cost(matcher, condition.values())? {
                Some(cost) => condition.cost = cost,
                None if condition.excludes => {}
                None => return Ok(None),
            }
            conditions.push(condition);
        }
        conditions.sort_by_key(|c| (c.excludes, c.cost));
        Ok(Some(conditions))
    }

    /// The few values that gathering looks at, where the matcher knows them all. An empty one among them
    /// names no series.
    pub(crate) fn values(&self) -> Option<&'a [String]> {
        self.matcher.set().filter(|_| self.is_by_values())
    }

    /// What the values begin with that gathering looks at.
    pub(crate) fn prefix(&self) -> &'a str {
        if self.is_by_values() { self.matcher.prefix() } else { "" }
    }

    /// Whether gathering takes the series of a value.
    pub(crate) fn gathers(&self, value: &str) -> bool {
        self.matcher.matches(value) != self.excludes
    }

    /// What of the candidates is kept, once the postings are gathered.
    pub(crate) fn keeps(&self) -> Listed {
        if self.excludes { Listed::InNone } else { Listed::InAny }
    }

    /// Whether the comparison as such decides as gathering does: then the values it names are all there are.
    fn is_by_values(&self) -> bool {
        self.matcher.op().is_negative() == self.excludes
    }
}

fn is_always_true(matcher: &Matcher) -> bool {
    matcher.op() == MatchOp::Regex && matcher.value() == ".*"
}

/// What `retain` keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listed {
    /// What stands in a list.
    InAny,
    /// What stands in no list.
    InNone,
}

/// Keeps of `ids` those that stand in any of `lists`, or those that stand in none. All are sorted. The time
/// grows with the shorter ones.
pub(crate) fn retain(ids: &mut Vec<u32>, listed: Listed, lists: &mut [&[u32]]) {
    ids.retain(|id| {
        let is_in = |list: &mut &[u32]| {
            *list = skip_below(list, *id);
            list.first() == Some(id)
        };
        lists.iter_mut().any(is_in) == (listed == Listed::InAny)
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
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn set_operations_agree_with_sets(
            a in prop::collection::btree_set(0u32..300, 0..200),
            b in prop::collection::btree_set(0u32..300, 0..200),
        ) {
            let other: Vec<u32> = b.iter().copied().collect();
            let (low, high) = other.split_at(other.len() / 3);
            let retained = |listed, lists: &mut [&[u32]]| {
                let mut ids: Vec<u32> = a.iter().copied().collect();
                retain(&mut ids, listed, lists);
                ids.into_iter().collect::<BTreeSet<_>>()
            };
            prop_assert_eq!(retained(Listed::InAny, &mut [&other]), &a & &b);
            prop_assert_eq!(retained(Listed::InNone, &mut [&other]), &a - &b);
            prop_assert_eq!(retained(Listed::InAny, &mut [high, low, &[]]), &a & &b);
        }
    }
}
