//! `Postings`: which series have which label, as sorted lists of their numbers. Owns the pairs of name and
//! value that series share. Knows no sample and no matcher.

use super::{
    series::SeriesIndex,
    series_labels::{ByValue, Pair, SeriesLabels},
};
use crate::select::skip_below;
use skopos_model::Labels;
use std::{collections::BTreeMap, ops::Bound, sync::Arc};

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

    /// Takes a number out; how many that were. A list of one stays: its owner takes it away.
    fn remove(&mut self, id: u32) -> usize {
        match self {
            Self::One([one]) => usize::from(*one == id),
            Self::Many(many) => remove_id(many, id),
        }
    }

    /// Takes out what stands in `gone`, which is sorted; how many that were.
    fn remove_all(&mut self, gone: &[u32]) -> usize {
        match self {
            Self::One([one]) => usize::from(gone.binary_search(one).is_ok()),
            Self::Many(many) => remove_ids(many, gone),
        }
    }

    fn push(&mut self, id: u32) {
        match self {
            Self::One([first]) => *self = Self::Many(vec![*first, id]),
            Self::Many(many) => many.push(id),
        }
    }
}

/// Takes a number out of a sorted list, of which it is mostly one of the last; how many that were.
fn remove_id(ids: &mut Vec<u32>, id: u32) -> usize {
    let found = ids.binary_search(&id);
    if let Ok(at) = found {
        ids.remove(at);
    }
    if ids.capacity() > 4 * ids.len() + 64 {
        ids.shrink_to(2 * ids.len());
    }
    usize::from(found.is_ok())
}

/// About what a pair takes in memory with its place in the order of values.
fn pair_bytes(value: &str) -> usize {
    // Nodes of a B-tree are two thirds full.
    Pair::heap_bytes(value) + (size_of::<ByValue>() + size_of::<Ids>()) * 3 / 2
}

/// Takes the sorted numbers of `gone` out of a sorted list; how many were in it.
fn remove_ids(ids: &mut Vec<u32>, gone: &[u32]) -> usize {
    let (Some(first), Some(last)) = (gone.first(), gone.last()) else { return 0 };
    // What goes is mostly a small part of a long list, or the other way round.
    let from = ids.partition_point(|id| id < first);
    let to = from + ids[from..].partition_point(|id| id <= last);
    let (mut kept, mut rest) = (from, gone);
    for at in from..to {
        let id = ids[at];
        rest = skip_below(rest, id);
        if rest.first() != Some(&id) {
            ids[kept] = id;
            kept += 1;
        }
    }
    ids.drain(kept..to);
    if ids.capacity() > 2 * ids.len() + 64 {
        ids.shrink_to(ids.len() + ids.len() / 4);
    }
    to - kept
}

/// The values of one label.
#[derive(Debug, PartialEq)]
pub(crate) struct Values {
    name: Arc<Box<str>>,
    by_value: BTreeMap<ByValue, Ids>,
    /// How many series have the label.
    series: usize,
}

impl Values {
    /// Adds a number to the list of a value.
    fn add(&mut self, value: &str, id: u32, bytes: &mut usize) -> Arc<Pair> {
        self.series += 1;
        let here = (Bound::Included(value.as_bytes()), Bound::Included(value.as_bytes()));
        if let Some((known, ids)) = self.by_value.range_mut::<[u8], _>(here).next() {
            ids.push(id);
            return Arc::clone(&known.0);
        }
        let pair = Pair::new(&self.name, value);
        *bytes += pair_bytes(value);
        self.by_value.insert(ByValue(Arc::clone(&pair)), Ids::One([id]));
        pair
    }

    pub(crate) fn get(&self, value: &str) -> &[u32] {
        self.by_value.get(value.as_bytes()).map_or(&[], Ids::as_slice)
    }

    /// The values that begin with `prefix` and stand behind `after`, sorted, each with its series.
    pub(crate) fn with_prefix<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
    ) -> impl Iterator<Item = (&'a str, &'a [u32])> {
        let from = after.map_or(Bound::Included(prefix), Bound::Excluded).map(str::as_bytes);
        self.by_value
            .range::<[u8], _>((from, Bound::Unbounded))
            .take_while(move |(value, _)| value.0.value().starts_with(prefix))
            .map(|(value, ids)| (value.0.value(), ids.as_slice()))
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
    /// Numbers in the lists of labels.
    entries: usize,
    /// About what the pairs take.
    pair_bytes: usize,
}

impl Postings {
    /// Adds a series, whose number is larger than every one before, with its labels and their hash. They
    /// come back as a series keeps them.
    pub(crate) fn add(&mut self, index: SeriesIndex, labels: &Labels, hash: u64) -> SeriesLabels {
        assert!(self.all.last().is_none_or(|last| *last < index.0), "invariant: postings stay sorted");
        self.all.push(index.0);
        let pairs = labels.iter().map(|(name, value)| {
            if !self.names.contains_key(name) {
                let values = Values { name: Arc::new(name.into()), by_value: BTreeMap::new(), series: 0 };
                self.names.insert(name.into(), values);
            }
            let values = self.names.get_mut(name).expect("invariant: it was added above");
            values.add(value, index.0, &mut self.pair_bytes)
        });
        // Counted first, so that the list has no room to spare.
        let mut kept = Vec::with_capacity(labels.len());
        kept.extend(pairs);
        self.entries += kept.len();
        SeriesLabels::new(hash, kept.into_boxed_slice())
    }

    /// Takes the numbers of `gone`, which are sorted, out of the list of one label; how long the list was.
    pub(crate) fn remove_from(&mut self, name: &str, value: &str, gone: &[u32]) -> usize {
        let Some(values) = self.names.get_mut(name) else { return 0 };
        let Some(ids) = values.by_value.get_mut(value.as_bytes()) else { return 0 };
        let before = ids.as_slice().len();
        let removed = match gone {
            [one] => ids.remove(*one),
            _ => ids.remove_all(gone),
        };
        values.series -= removed;
        self.entries -= removed;
        if removed == before {
            values.by_value.remove(value.as_bytes());
            self.pair_bytes -= pair_bytes(value);
        }
        if values.by_value.is_empty() {
            self.names.remove(name);
        }
        before
    }

    /// Takes the numbers of `gone`, which are sorted, out of the list of all; how long the list was.
    pub(crate) fn remove_from_all(&mut self, gone: &[u32]) -> usize {
        let before = self.all.len();
        remove_ids(&mut self.all, gone);
        before
    }

    /// About how many bytes postings and the texts of labels take.
    pub(crate) fn heap_bytes(&self) -> usize {
        // Lists that grow by doubling have a third to spare on average.
        (self.entries + self.all.len()) * size_of::<u32>() * 4 / 3 + self.pair_bytes
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn prefixes_find_their_values() {
        let mut postings = Postings::default();
        for (i, v) in ["a", "ab", "abc", "b", "aé"].iter().enumerate() {
            postings.add(SeriesIndex(i as u32), &Labels::from_pairs([("l", *v)]), 0);
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

    fn take_out(postings: &mut Postings, id: u32, labels: &Labels) {
        labels.iter().for_each(|(name, value)| {
            postings.remove_from(name, value, &[id]);
        });
        postings.remove_from_all(&[id]);
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
            (0..gone.len()).for_each(|i| drop(postings.add(index(i), &labels(i), 0)));
            let going = (0..gone.len()).rev().filter(|i| gone[*i]);
            going.for_each(|i| take_out(&mut postings, i as u32, &labels(i)));
            for i in (0..gone.len()).filter(|i| !gone[*i]) {
                prop_assert_eq!(postings.values("one").unwrap().get(&i.to_string()), &[i as u32]);
                let some = postings.values("some").unwrap().get(&(i % 3).to_string());
                prop_assert!(some.contains(&(i as u32)));
            }
            let left = gone.iter().filter(|g| !**g).count();
            prop_assert_eq!(postings.all().len(), left);
            let counts: Vec<usize> = postings.names().map(|(_, v)| v.series()).collect();
            prop_assert_eq!(counts, vec![left; 3.min(left * 3)]);
            (0..gone.len()).filter(|i| !gone[*i]).for_each(|i| take_out(&mut postings, i as u32, &labels(i)));
            prop_assert_eq!(postings, Postings::default());
        }
    }
}
