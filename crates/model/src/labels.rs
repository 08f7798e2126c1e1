//! `Labels`: what identifies a series. One immutable allocation, shared by reference count.
//!
//! Byte form: for each label in the order of names, `len(name) name len(value) value`. A length is
//! written in digits of six bits, lowest first, each in one ASCII byte whose bit 6 says that another
//! follows. So the whole is valid UTF-8, and reading it needs no unchecked conversion.

use crate::name::METRIC_NAME;
use std::{cmp::Ordering, fmt, sync::Arc};

/// A set of labels: sorted by name, no name twice, no empty value.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Labels(Arc<str>);

impl Labels {
    /// The empty set.
    pub fn empty() -> Self {
        Self(Arc::from(""))
    }

    /// A set of the given pairs in any order. Of a name that stands twice the last value counts;
    /// pairs with an empty value are left out.
    pub fn from_pairs<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut builder = LabelsBuilder::default();
        for (name, value) in pairs {
            builder.set(name.as_ref(), value.as_ref());
        }
        builder.build()
    }

    /// A set of pairs that come in the order of their names, none twice and without empty values, as another
    /// set has them.
    ///
    /// # Panics
    /// When they do not.
    pub fn from_sorted<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> Self {
        // A text is seldom longer than two digits can say.
        let len = pairs.clone().map(|(name, value)| name.len() + value.len() + 4).sum();
        let mut out = String::with_capacity(len);
        let mut before: Option<&str> = None;
        for (name, value) in pairs {
            assert!(before.is_none_or(|b| b < name) && !value.is_empty(), "invariant: labels are sorted");
            push_label(&mut out, name, value);
            before = Some(name);
        }
        Self(Arc::from(out))
    }

    /// The labels in the order of their names.
    pub fn iter(&self) -> Iter<'_> {
        Iter { rest: &self.0 }
    }

    /// The value of the label `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        // Names are sorted: the search ends at the first name beyond.
        for (n, v) in self.iter() {
            match n.cmp(name) {
                Ordering::Less => {}
                Ordering::Equal => return Some(v),
                Ordering::Greater => return None,
            }
        }
        None
    }

    /// The value of the label `name`, empty when it is absent, as matchers see it.
    pub fn value(&self, name: &str) -> &str {
        self.get(name).unwrap_or("")
    }

    /// The metric's name.
    pub fn metric_name(&self) -> Option<&str> {
        self.get(METRIC_NAME)
    }

    /// Whether these are just the labels of `pairs`, in this order. Far cheaper than to compare what `iter`
    /// gives, since nothing is taken apart.
    pub fn is<'a>(&self, mut pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> bool {
        let rest = pairs
            .try_fold(self.0.as_bytes(), |rest, (name, value)| behind_text(behind_text(rest, name)?, value));
        rest.is_some_and(<[u8]>::is_empty)
    }

    /// How many labels there are.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there is no label.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many bytes the set occupies.
    pub fn byte_len(&self) -> usize {
        self.0.len()
    }

    /// A hash of the whole set, the same in every process and on every machine.
    pub fn hash64(&self) -> u64 {
        xxhash_rust::xxh3::xxh3_64(self.0.as_bytes())
    }

    /// The labels for which `keep` says so.
    #[must_use]
    pub fn filtered(&self, mut keep: impl FnMut(&str) -> bool) -> Self {
        let mut out = String::with_capacity(self.0.len());
        for (n, v) in self.iter() {
            if keep(n) {
                push_label(&mut out, n, v);
            }
        }
        Self(Arc::from(out))
    }

    /// The labels without the metric's name.
    #[must_use]
    pub fn without_metric_name(&self) -> Self {
        if self.metric_name().is_none() { self.clone() } else { self.filtered(|n| n != METRIC_NAME) }
    }
}

impl Default for Labels {
    fn default() -> Self {
        Self::empty()
    }
}

/// By the first label that differs, first its name, then its value; of a set and its beginning the
/// beginning comes first.
impl Ord for Labels {
    fn cmp(&self, other: &Self) -> Ordering {
        self.iter().cmp(other.iter())
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<'a> IntoIterator for &'a Labels {
    type Item = (&'a str, &'a str);
    type IntoIter = Iter<'a>;
    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// Writes the PromQL form, `name{a="b"}`, with values quoted and escaped.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.metric_name();
        let plain_name = name.filter(|n| crate::name::is_classic_metric_name(n));
        if let Some(name) = plain_name {
            f.write_str(name)?;
        }
        let mut inside = self.iter().filter(|(n, _)| plain_name.is_none() || *n != METRIC_NAME).peekable();
        if inside.peek().is_none() && plain_name.is_some() {
            return Ok(());
        }
        f.write_str("{")?;
        for (i, (n, v)) in inside.enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            if n == METRIC_NAME {
                write!(f, "{v:?}")?;
            } else if crate::name::is_classic_label_name(n) {
                write!(f, "{n}={v:?}")?;
            } else {
                write!(f, "{n:?}={v:?}")?;
            }
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Iterates over name and value.
#[derive(Clone)]
pub struct Iter<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a str, &'a str);
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let (name, rest) = split_text(self.rest);
        let (value, rest) = split_text(rest);
        self.rest = rest;
        Some((name, value))
    }
}

const DIGIT_BITS: u32 = 6;
const DIGIT_MASK: usize = (1 << DIGIT_BITS) - 1;
const MORE: u8 = 1 << DIGIT_BITS;

fn split_text(s: &str) -> (&str, &str) {
    let (mut len, mut shift, mut at) = (0usize, 0, 0);
    for b in s.bytes() {
        at += 1;
        len |= (usize::from(b) & DIGIT_MASK) << shift;
        if b & MORE == 0 {
            break;
        }
        shift += DIGIT_BITS;
    }
    s[at..].split_at(len)
}

/// What follows `text`, if `bytes` begin with it as `push_text` writes it.
#[inline]
fn behind_text<'a>(mut bytes: &'a [u8], text: &[u8]) -> Option<&'a [u8]> {
    let mut len = text.len();
    while len > DIGIT_MASK {
        bytes = bytes.strip_prefix(&[(len & DIGIT_MASK) as u8 | MORE])?;
        len >>= DIGIT_BITS;
    }
    bytes.strip_prefix(&[len as u8])?.strip_prefix(text)
}

fn push_text(out: &mut String, text: &str) {
    let mut len = text.len();
    while len > DIGIT_MASK {
        out.push(char::from((len & DIGIT_MASK) as u8 | MORE));
        len >>= DIGIT_BITS;
    }
    out.push(char::from(len as u8));
    out.push_str(text);
}

fn push_label(out: &mut String, name: &str, value: &str) {
    push_text(out, name);
    push_text(out, value);
}

/// Collects labels in any order. Keeps its memory between sets: `clear` and use it again.
#[derive(Debug, Default, Clone)]
pub struct LabelsBuilder {
    /// Names and values one behind the other, as they were set.
    text: String,
    /// Where in `text` each label stands: start of the name, start of the value, end.
    at: Vec<[usize; 3]>,
    /// Whether they may be in another order than that of their names.
    unsorted: bool,
    scratch: String,
}

impl LabelsBuilder {
    /// A builder that begins with the labels of `base`.
    pub fn from_labels(base: &Labels) -> Self {
        let mut builder = Self::default();
        builder.extend(base);
        builder
    }

    /// Empties the builder and keeps its memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.at.clear();
        self.unsorted = false;
    }

    /// Sets all of `labels`.
    pub fn extend(&mut self, labels: &Labels) {
        for (n, v) in labels {
            self.set(n, v);
        }
    }

    /// Sets a label; an empty value removes it.
    pub fn set(&mut self, name: &str, value: &str) {
        if !self.is_behind_all(name) {
            self.remove(name);
            self.unsorted = true;
        }
        if !value.is_empty() {
            self.push(name, value);
        }
    }

    /// Whether all labels so far are in order and before `name`, as those of a stored series come.
    fn is_behind_all(&self, name: &str) -> bool {
        !self.unsorted && self.at.last().is_none_or(|[start, middle, _]| &self.text[*start..*middle] < name)
    }

    fn push(&mut self, name: &str, value: &str) {
        let start = self.text.len();
        self.text.push_str(name);
        let middle = self.text.len();
        self.text.push_str(value);
        self.at.push([start, middle, self.text.len()]);
    }

    /// Sets a label that is not set yet; whether that was so. An empty value sets nothing.
    pub fn insert(&mut self, name: &str, value: &str) -> bool {
        if !self.is_behind_all(name) {
            let text = &self.text;
            if self.at.iter().any(|[start, middle, _]| &text[*start..*middle] == name) {
                return false;
            }
            self.unsorted = true;
        }
        if !value.is_empty() {
            self.push(name, value);
        }
        true
    }

    /// Removes a label.
    pub fn remove(&mut self, name: &str) {
        let text = &self.text;
        self.at.retain(|[start, middle, _]| &text[*start..*middle] != name);
    }

    /// The value of the label `name` as set so far.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(n, _)| *n == name).map(|(_, v)| v)
    }

    /// The labels as set so far, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.at.iter().map(|[start, middle, end]| (&self.text[*start..*middle], &self.text[*middle..*end]))
    }

    /// The finished set. The builder keeps its labels.
    pub fn build(&mut self) -> Labels {
        let text = &self.text;
        if self.unsorted {
            self.at.sort_unstable_by(|a, b| text[a[0]..a[1]].cmp(&text[b[0]..b[1]]));
            self.unsorted = false;
        }
        self.scratch.clear();
        for [start, middle, end] in &self.at {
            push_label(&mut self.scratch, &text[*start..*middle], &text[*middle..*end]);
        }
        Labels(Arc::from(self.scratch.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(l: &Labels) -> Vec<(String, String)> {
        l.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect()
    }

    #[test]
    fn are_sorted_unique_and_without_empty_values() {
        let l = Labels::from_pairs([("b", "2"), ("a", "1"), ("c", ""), ("b", "3")]);
        assert_eq!(pairs(&l), [("a".into(), "1".into()), ("b".into(), "3".into())]);
        assert_eq!((l.get("a"), l.get("b"), l.get("c"), l.value("c")), (Some("1"), Some("3"), None, ""));
        assert_eq!(l, Labels::from_pairs([("a", "1"), ("b", "3")]));
        assert!(Labels::from_pairs([("a", "")]).is_empty());
    }

    #[test]
    fn sorted_pairs_need_no_builder() {
        let long = "v".repeat(5000);
        let l = Labels::from_pairs([("a", "1"), ("b", long.as_str()), ("c", "3")]);
        assert_eq!(Labels::from_sorted(l.iter()), l);
        assert_eq!(Labels::from_sorted(std::iter::empty()), Labels::empty());
    }

    #[test]
    fn are_those_of_equal_pairs_alone() {
        let long = "v".repeat(5000);
        let all = [("a", "1"), ("b", long.as_str()), ("c", "3")];
        let of = |pairs: &[(&str, &str)], of: &[(&str, &str)]| {
            Labels::from_pairs(pairs.iter().copied()).is(of.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())))
        };
        assert!(of(&all, &all) && of(&[], &[]));
        for at in 0..all.len() {
            assert!(!of(&all[..at], &all) && !of(&all, &all[..at]) && !of(&all, &all[at + 1..]));
            let mut other = all;
            other[at].1 = &other[at].1[1..];
            assert!(!of(&all, &other), "a value cut at its front");
            other[at].1 = "12";
            assert!(!of(&all, &other) && !of(&other, &all), "a longer value");
        }
    }

    #[test]
    #[should_panic(expected = "labels are sorted")]
    fn pairs_out_of_order_are_no_set() {
        Labels::from_sorted([("b", "1"), ("a", "2")].into_iter());
    }

    #[test]
    fn texts_of_every_length_come_back() {
        for len in [1, 63, 64, 127, 128, 4095, 4096, 300_000] {
            let l =
                Labels::from_pairs([("n".repeat(len), "ü".repeat(len)), ("z".to_owned(), "é".to_owned())]);
            let all: Vec<_> = l.iter().collect();
            assert_eq!(all, [("n".repeat(len).as_str(), "ü".repeat(len).as_str()), ("z", "é")]);
        }
    }

    #[test]
    fn order_is_that_of_names_then_values() {
        let l = |p: &[(&str, &str)]| Labels::from_pairs(p.iter().copied());
        let sorted =
            [l(&[]), l(&[("a", "1")]), l(&[("a", "1"), ("b", "1")]), l(&[("a", "10")]), l(&[("aa", "1")])];
        assert!(sorted.is_sorted());
    }

    #[test]
    fn are_shown_as_promql_writes_them() {
        for (pairs, text) in [
            (vec![(METRIC_NAME, "up"), ("job", "a\"b")], r#"up{job="a\"b"}"#),
            (vec![(METRIC_NAME, "up")], "up"),
            (vec![("a", "b")], r#"{a="b"}"#),
            (vec![], "{}"),
            (vec![(METRIC_NAME, "http.requests"), ("a.b", "c")], r#"{"http.requests", "a.b"="c"}"#),
        ] {
            assert_eq!(Labels::from_pairs(pairs).to_string(), text);
        }
    }

    #[test]
    fn the_builder_is_reusable() {
        let mut b = LabelsBuilder::from_labels(&Labels::from_pairs([("a", "1"), ("b", "2")]));
        b.set("a", "");
        b.set("c", "3");
        assert_eq!(b.build(), Labels::from_pairs([("b", "2"), ("c", "3")]));
        assert_eq!(b.get("c"), Some("3"));
        assert!(!b.insert("c", "4") && b.insert("d", "") && b.insert("d", "4"));
        assert_eq!(b.build(), Labels::from_pairs([("b", "2"), ("c", "3"), ("d", "4")]));
        b.clear();
        assert_eq!(b.build(), Labels::empty());
        assert_eq!(b.build().hash64(), Labels::empty().hash64());
    }
}
