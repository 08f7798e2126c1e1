//! `Postings`: which series have which label, as sorted lists of their numbers. Knows no sample and
//! no matcher.

use super::series::SeriesIndex;
use skopos_model::Labels;
use std::{collections::BTreeMap, ops::Bound};

/// Sorted numbers of series. Most values of the largest labels belong to one series: no allocation for it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ids {
    One([u32; 1]),
    Many(Vec<u32>),
}

impl Ids {
    pub(crate) fn as_slice(&self) -> &[u32] {
        match self {
            Self::One(one) => one,
            Self::Many(many) => many,
        }
    }

    /// Takes a number out; whether none is left.
    fn remove(&mut self, id: u32) -> bool {
        match self {
            Self::One([one]) => *one == id,
            Self::Many(many) => {
                remove_id(many, id);
                many.is_empty()
            }
        }
    }

    fn push(&mut self, id: u32) {
        match self {
            Self::One([first]) => *self = Self::Many(vec![*first, id]),
            Self::Many(many) => many.push(id),
        }
    }
}

/// Takes a number out of a sorted list; it is mostly one of the last.
fn remove_id(ids: &mut Vec<u32>, id: u32) {
    if let Ok(at) = ids.binary_search(&id) {
        ids.remove(at);
    }
    if ids.capacity() > 4 * ids.len() + 64 {
        ids.shrink_to(2 * ids.len());
    }
}

/// The values of one label.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Values {
    by_value: BTreeMap<Box<str>, Ids>,
    /// How many series have the label.
    series: usize,
}

impl Values {
    pub(crate) fn get(&self, value: &str) -> &[u32] {
        self.by_value.get(value).map_or(&[], Ids::as_slice)
    }

    /// The values that begin with `prefix` and stand behind `after`, sorted, each with its series.
    pub(crate) fn with_prefix<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
    ) -> impl Iterator<Item = (&'a str, &'a [u32])> {
        let from = after.map_or(Bound::Included(prefix), Bound::Excluded);
        self.by_value
            .range::<str, _>((from, Bound::Unbounded))
            .take_while(move |(value, _)| value.starts_with(prefix))
            .map(|(value, ids)| (&**value, ids.as_slice()))
    }

    pub(crate) fn len(&self) -> usize {
        self.by_value.len()
    }

    pub(crate) fn series(&self) -> usize {
        self.series
    }
}

/// All labels of all series.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Postings {
    names: BTreeMap<Box<str>, Values>,
    all: Vec<u32>,
}

impl Postings {
    /// Adds a series. Its number is larger than every one before.
    pub(crate) fn add(&mut self, index: SeriesIndex, labels: &Labels) {
        assert!(self.all.last().is_none_or(|last| *last < index.0), "invariant: postings stay sorted");
        self.all.push(index.0);
        for (name, value) in labels {
            let values = match self.names.get_mut(name) {
                Some(values) => values,
                None => self.names.entry(name.into()).or_default(),
            };
            values.series += 1;
            match values.by_value.get_mut(value) {
                Some(ids) => ids.push(index.0),
                None => {
                    values.by_value.insert(value.into(), Ids::One([index.0]));
                }
            }
        }
    }

    /// Takes a series out that was added with these labels.
    pub(crate) fn remove(&mut self, index: SeriesIndex, labels: &Labels) {
        remove_id(&mut self.all, index.0);
        for (name, value) in labels {
            let Some(values) = self.names.get_mut(name) else { continue };
            values.series -= 1;
            if values.by_value.get_mut(value).is_some_and(|ids| ids.remove(index.0)) {
                values.by_value.remove(value);
            }
            if values.by_value.is_empty() {
                self.names.remove(name);
            }
        }
    }

    pub(crate) fn all(&self) -> &[u32] {
        &self.all
    }

    pub(crate) fn values(&self, name: &str) -> Option<&Values> {
        self.names.get(name)
    }

    /// The names of all labels, sorted.
    pub(crate) fn names(&self) -> impl Iterator<Item = (&str, &Values)> {
        self.names.iter().map(|(name, values)| (&**name, values))
    }
}

/// Keeps of `ids` those that stand in `other`. Both are sorted. The time grows with the shorter one.
pub(crate) fn intersect(ids: &mut Vec<u32>, other: &[u32]) {
    retain_by_presence(ids, other, true);
}

/// Removes from `ids` those that stand in `other`. Both are sorted.
pub(crate) fn subtract(ids: &mut Vec<u32>, other: &[u32]) {
    retain_by_presence(ids, other, false);
}

fn retain_by_presence(ids: &mut Vec<u32>, other: &[u32], wanted: bool) {
    retain_in_any(ids, &mut [other], wanted);
}

/// Keeps of `ids` those that stand in any of `lists`, or those that stand in none. All are sorted.
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
fn skip_below(sorted: &[u32], id: u32) -> &[u32] {
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

    #[test]
    fn prefixes_find_their_values() {
        let mut postings = Postings::default();
        for (i, v) in ["a", "ab", "abc", "b", "aé"].iter().enumerate() {
            postings.add(SeriesIndex(i as u32), &Labels::from_pairs([("l", *v)]));
        }
        let values = postings.values("l").unwrap();
        let found = |p| values.with_prefix(p, None).map(|(v, _)| v.to_owned()).collect::<Vec<_>>();
        assert_eq!(found("ab"), ["ab", "abc"]);
        assert_eq!(found("a"), ["a", "ab", "abc", "aé"]);
        assert_eq!(found("").len(), 5);
        assert!(found("c").is_empty());
        assert_eq!(values.get("abc"), [2]);
        let rest: Vec<_> = values.with_prefix("a", Some("ab")).map(|(v, _)| v).collect();
        assert_eq!(rest, ["abc", "aé"]);
    }

    proptest! {
        /// Those that stay are found as if the others had never been.
        #[test]
        fn what_is_taken_out_leaves_the_rest(gone in prop::collection::vec(any::<bool>(), 1..80)) {
            let labels = |i: usize| {
                let some = (i % 3).to_string();
                Labels::from_pairs([("all", "x".to_owned()), ("some", some), ("one", i.to_string())])
            };
            let index = |i: usize| SeriesIndex(i as u32);
            let mut postings = Postings::default();
            (0..gone.len()).for_each(|i| postings.add(index(i), &labels(i)));
            (0..gone.len()).rev().filter(|i| gone[*i]).for_each(|i| postings.remove(index(i), &labels(i)));
            for i in (0..gone.len()).filter(|i| !gone[*i]) {
                prop_assert_eq!(postings.values("one").unwrap().get(&i.to_string()), &[i as u32]);
                let some = postings.values("some").unwrap().get(&(i % 3).to_string());
                prop_assert!(some.contains(&(i as u32)));
            }
            let left = gone.iter().filter(|g| !**g).count();
            prop_assert_eq!(postings.all().len(), left);
            let counts: Vec<usize> = postings.names().map(|(_, v)| v.series()).collect();
            prop_assert_eq!(counts, vec![left; 3.min(left * 3)]);
            (0..gone.len()).filter(|i| !gone[*i]).for_each(|i| postings.remove(index(i), &labels(i)));
            prop_assert_eq!(postings, Postings::default());
        }

        #[test]
        fn set_operations_agree_with_sets(
            a in prop::collection::btree_set(0u32..300, 0..200),
            b in prop::collection::btree_set(0u32..300, 0..200),
        ) {
            let other: Vec<u32> = b.iter().copied().collect();
            let mut both: Vec<u32> = a.iter().copied().collect();
            let mut rest = both.clone();
            intersect(&mut both, &other);
            subtract(&mut rest, &other);
            let (low, high) = other.split_at(other.len() / 3);
            let mut in_any: Vec<u32> = a.iter().copied().collect();
            retain_in_any(&mut in_any, &mut [high, low, &[]], true);
            prop_assert_eq!(&in_any, &both);
            prop_assert_eq!(both.into_iter().collect::<BTreeSet<_>>(), &a & &b);
            prop_assert_eq!(rest.into_iter().collect::<BTreeSet<_>>(), &a - &b);
        }
    }
}
