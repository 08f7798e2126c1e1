//! `SeriesLabels`: the labels of a series as the head keeps them: each a pointer to a pair of name and
//! value that all series with this label share. `Postings` makes the pairs and keeps each once; a pair goes
//! with the last series that has it. Reading takes no lock.

use skopos_model::Labels;
use std::{borrow::Borrow, cmp::Ordering, fmt, sync::Arc};

/// The longest value that stands in its pair.
const SHORT_BYTES: usize = 38;

/// A label, shared by its series. With the counts of its pointer it takes one line of the processor's cache.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    /// A thin pointer; there are few names.
    name: Arc<Box<str>>,
    value: Value,
}

/// The text of a value.
#[derive(Debug, PartialEq, Eq)]
enum Value {
    /// Behind its end stand zeros.
    Short {
        len: u8,
        bytes: [u8; SHORT_BYTES],
    },
    Long(Box<str>),
}

impl Value {
    fn new(text: &str) -> Self {
        let mut bytes = [0; SHORT_BYTES];
        match bytes.get_mut(..text.len()) {
            Some(to) => {
                to.copy_from_slice(text.as_bytes());
                Self::Short { len: text.len() as u8, bytes }
            }
            None => Self::Long(text.into()),
        }
    }

    #[inline]
    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Short { len, bytes } => &bytes[..usize::from(*len)],
            Self::Long(text) => text.as_bytes(),
        }
    }

    fn as_str(&self) -> &str {
        match self {
            Self::Short { .. } => str::from_utf8(self.as_bytes()).expect("invariant: it was made of a text"),
            Self::Long(text) => text,
        }
    }
}

impl Pair {
    pub(super) fn new(name: &Arc<Box<str>>, value: &str) -> Arc<Self> {
        Arc::new(Self { name: Arc::clone(name), value: Value::new(value) })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn value(&self) -> &str {
        self.value.as_str()
    }

    /// What orders pairs of the same name or another as `Labels` are.
    fn key(&self) -> (&[u8], &[u8]) {
        (self.name.as_bytes(), self.value.as_bytes())
    }

    /// About what one pair takes in memory, without what names it in postings.
    pub(super) fn heap_bytes(value: &str) -> usize {
        // Two counts of the pointer, and the allocation of a long text.
        let long = if value.len() > SHORT_BYTES { value.len().next_multiple_of(16) } else { 0 };
        16 + size_of::<Self>() + long
    }
}

/// A pair in the order of values, found by the bytes of its value; the name is the same in one map.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ByValue(pub(super) Arc<Pair>);

impl Borrow<[u8]> for ByValue {
    fn borrow(&self) -> &[u8] {
        self.0.value.as_bytes()
    }
}

impl Ord for ByValue {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.value.as_bytes().cmp(other.0.value.as_bytes())
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
        other.is(self.pairs.iter().map(|pair| pair.key()))
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
                let order = a.key().cmp(&b.key());
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
        let pairs = labels.iter().map(|(name, value)| Pair::new(&Arc::new(name.into()), value)).collect();
        Self { hash: labels.hash64(), pairs }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_pair_takes_one_line_of_the_cache_and_values_of_any_length() {
        assert_eq!(size_of::<Pair>() + 2 * size_of::<usize>(), 64);
        let name = Arc::new(Box::from("name"));
        for len in 0..3 * SHORT_BYTES {
            let value = "é".repeat(len / 2) + &"x".repeat(len % 2);
            let pair = Pair::new(&name, &value);
            assert_eq!((pair.name(), pair.value()), ("name", &value[..]));
            assert_eq!(matches!(pair.value, Value::Short { .. }), len <= SHORT_BYTES);
        }
    }

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
