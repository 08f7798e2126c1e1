//! `SeriesLabels`: the labels of a series as the head keeps them: each a pointer to a pair of name and
//! value that all series with this label share. `Postings` makes the pairs and keeps each once; a pair goes
//! with the last series that has it. Reading takes no lock.

use skopos_model::Labels;
use std::{borrow::Borrow, cmp::Ordering, fmt, sync::Arc};

/// A label, shared by its series.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    name: Arc<str>,
    value: Box<str>,
}

impl Pair {
    pub(super) fn new(name: &Arc<str>, value: &str) -> Arc<Self> {
        Arc::new(Self { name: Arc::clone(name), value: value.into() })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn value(&self) -> &str {
        &self.value
    }

    /// About what one pair takes in memory, without what names it in postings.
    pub(super) fn heap_bytes(value: &str) -> usize {
        // Two counts of the pointer, and the text's own allocation.
        16 + size_of::<Self>() + value.len().next_multiple_of(16)
    }
}

/// A pair in the order of values; the name is the same in one map.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ByValue(pub(super) Arc<Pair>);

impl Borrow<str> for ByValue {
    fn borrow(&self) -> &str {
        &self.0.value
    }
}

impl Ord for ByValue {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.value.cmp(&other.0.value)
    }
}

impl PartialOrd for ByValue {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The labels of one series, sorted by name.
#[derive(Clone)]
pub(crate) struct SeriesLabels {
    /// That of `Labels` with the same content.
    hash: u64,
    pairs: Box<[Arc<Pair>]>,
}

impl SeriesLabels {
    /// `pairs` are those of the `Labels` whose hash is given, in the same order.
    pub(super) fn new(hash: u64, pairs: Box<[Arc<Pair>]>) -> Self {
        Self { hash, pairs }
    }

    pub(super) fn pairs(&self) -> &[Arc<Pair>] {
        &self.pairs
    }

    /// As everything beyond the head knows them; costs an allocation.
    pub(crate) fn to_labels(&self) -> Labels {
        Labels::from_sorted(self.iter())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        self.pairs.iter().map(|p| (p.name(), p.value()))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|p| p.name() == name).map(|p| p.value())
    }

    /// The value of the label `name`, empty when it is absent, as matchers see it.
    pub(crate) fn value(&self, name: &str) -> &str {
        self.get(name).unwrap_or("")
    }

    pub(crate) fn metric_name(&self) -> Option<&str> {
        self.get(skopos_model::name::METRIC_NAME)
    }

    /// `Labels::hash64`.
    pub(crate) fn hash64(&self) -> u64 {
        self.hash
    }

    /// Whether these are the labels of `other`.
    pub(crate) fn is(&self, other: &Labels) -> bool {
        self.iter().eq(other.iter())
    }

    /// What a series takes in memory for its labels, beside the pairs that it shares.
    pub(crate) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.pairs)
    }
}

/// The order of `Labels`. Pairs that series share need not be read.
impl Ord for SeriesLabels {
    fn cmp(&self, other: &Self) -> Ordering {
        for (a, b) in self.pairs.iter().zip(&other.pairs) {
            if !Arc::ptr_eq(a, b) {
                let order = (a.name(), a.value()).cmp(&(b.name(), b.value()));
                if order != Ordering::Equal {
                    return order;
                }
            }
        }
        self.pairs.len().cmp(&other.pairs.len())
    }
}

impl PartialOrd for SeriesLabels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for SeriesLabels {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.cmp(other) == Ordering::Equal
    }
}

impl Eq for SeriesLabels {}

impl fmt::Display for SeriesLabels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.to_labels(), f)
    }
}

impl fmt::Debug for SeriesLabels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Labels that share nothing, as those of a series that is not in the registry.
impl From<&Labels> for SeriesLabels {
    fn from(labels: &Labels) -> Self {
        let pairs = labels.iter().map(|(name, value)| Pair::new(&Arc::from(name), value)).collect();
        Self { hash: labels.hash64(), pairs }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn behave_as_the_labels_they_stand_for(
            a in prop::collection::btree_map("[ab]{1,2}", "[ab]{1,2}", 0..5),
            b in prop::collection::btree_map("[ab]{1,2}", "[ab]{1,2}", 0..5),
        ) {
            let (a, b) = (Labels::from_pairs(a), Labels::from_pairs(b));
            let (x, y) = (SeriesLabels::from(&a), SeriesLabels::from(&b));
            prop_assert_eq!(x.to_labels(), a.clone());
            prop_assert_eq!(x.hash64(), x.to_labels().hash64());
            prop_assert_eq!(x.cmp(&y), a.cmp(&b));
            prop_assert_eq!((x == y, x.is(&b), x.is(&a)), (a == b, a == b, true));
            prop_assert_eq!(x.to_string(), a.to_string());
            for name in ["a", "b", "aa", "ab", "ba", "bb", "c"] {
                prop_assert_eq!(x.value(name), a.value(name));
            }
        }
    }
}
