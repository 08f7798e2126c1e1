//! `TargetMetadata`: what a target says of its metrics: types, help texts, units. Holds no sample. A target
//! says mostly the same: lines that do are compared with what is known, in the order of the scrape before.

use crate::body::Exposition;
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use parking_lot::Mutex;
use skopos_exposition::{Entry, MetaLines, Parser};
use skopos_model::{Metadata, MetricType};
use skopos_proto::exposed::ExposedFamily;
use std::{borrow::Cow, collections::HashMap, hash::BuildHasher};

/// What was not said for so many scrapes is forgotten.
const FORGET_AFTER_SCRAPES: u64 = 10;
/// Where a family does not come as in the scrape before, so many are tried.
const LOOK_AHEAD: usize = 3;

/// What a body says behind so many families is passed over, and when what is known takes so many bytes.
const LINES_MAX: usize = 1 << 20;
const BYTES_MAX: usize = 64 << 20;

/// What a target says of its metrics, by the name of the family.
#[derive(Debug, Default)]
pub struct TargetMetadata(Mutex<Families>);

#[derive(Debug, Default)]
pub(crate) struct Families {
    known: Vec<Known>,
    by_name: HashTable<u32>,
    /// How the scrape before said it; empty between scrapes.
    before: Vec<Lines>,
    /// The one of `before` that is expected next.
    next: usize,
    /// How the scrape under way says it.
    now: Vec<Lines>,
    /// Of the last body.
    exposition: Option<Exposition>,
    scrape: u64,
    /// How many families were known when the scrape under way began.
    had: usize,
    /// About how many bytes what is known takes.
    bytes: usize,
    /// How many families the scrape under way has said something of.
    seen: usize,
    /// Whether something was said that storage has not been told.
    news: bool,
    /// The families of which another type or unit was said since a body was read to its end, and what they
    /// were then.
    retyped: HashMap<Box<str>, TypeAndUnit>,
}

/// What of a family's metadata may be labels of its series.
type TypeAndUnit = (MetricType, String);

#[derive(Debug)]
struct Known {
    name: Box<str>,
    metadata: Metadata,
    seen: u64,
}

/// Lines of one family behind one another.
#[derive(Clone, Copy, Debug)]
struct Lines {
    /// Its place in `known`.
    family: u32,
    lines: MetaLines,
}

impl Known {
    fn type_and_unit(&self) -> TypeAndUnit {
        (self.metadata.metric_type, self.metadata.unit.clone())
    }
}

impl TargetMetadata {
    /// What is known of the family `name`.
    pub fn get(&self, name: &str) -> Option<Metadata> {
        self.0.lock().find(name).cloned()
    }

    /// What is known of all families, by name.
    pub fn all(&self) -> Vec<(String, Metadata)> {
        let families = self.0.lock();
        let mut all: Vec<_> =
            families.known.iter().map(|known| (known.name.to_string(), known.metadata.clone())).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }

    /// How many families are known, and how many bytes what is known of them has.
    pub fn size(&self) -> (usize, usize) {
        let families = self.0.lock();
        let bytes = |Known { metadata, .. }: &Known| {
            metadata.help.len() + metadata.unit.len() + metadata.metric_type.as_str().len()
        };
        (families.known.len(), families.known.iter().map(bytes).sum())
    }

    /// Storage has not kept what it was told last.
    pub(crate) fn tell_again(&self) {
        self.0.lock().news = true;
    }

    /// Takes in what `read` finds in one body.
    pub(crate) fn update<T>(&self, read: impl FnOnce(&mut Families) -> T) -> T {
        let families = &mut *self.0.lock();
        families.begin_scrape();
        let result = read(families);
        families.end_scrape();
        result
    }

    /// A body comes in several parts.
    pub(crate) fn begin(&self) {
        self.0.lock().begin_scrape();
    }

    /// Takes in what `read` finds in one of them.
    pub(crate) fn with<T>(&self, read: impl FnOnce(&mut Families) -> T) -> T {
        read(&mut self.0.lock())
    }

    /// No further part comes.
    pub(crate) fn end(&self) {
        self.0.lock().end_scrape();
    }
}

impl Families {
    fn begin_scrape(&mut self) {
        self.scrape += 1;
        (self.seen, self.next) = (0, 0);
        let room = Vec::with_capacity(self.now.len());
        self.before = std::mem::replace(&mut self.now, room);
        self.had = self.known.len();
    }

    fn end_scrape(&mut self) {
        self.before = Vec::new();
        if self.seen < self.known.len() {
            self.forget();
        }
        if self.known.len() != self.had {
            self.known.shrink_to_fit();
            self.now.shrink_to_fit();
        }
    }

    /// Whether a body has said so much that the rest of what it says is passed over.
    fn is_full(&self) -> bool {
        self.now.len() >= LINES_MAX || self.bytes >= BYTES_MAX
    }

    /// Says how the body is written. Lines are compared only with those of the same format.
    pub(crate) fn begin(&mut self, exposition: Exposition) {
        if self.exposition.replace(exposition) != Some(exposition) {
            self.before.clear();
        }
    }

    /// The same body is read once more, in the same scrape.
    pub(crate) fn begin_again(&mut self) {
        self.next = 0;
        self.now.clear();
    }

    /// What was said of types and units is that of the series.
    pub(crate) fn settle(&mut self) {
        self.retyped.clear();
    }

    /// Skips lines that say what is known. False when others come next.
    pub(crate) fn skip_known(&mut self, parser: &mut Parser<'_>) -> bool {
        let end = (self.next + LOOK_AHEAD).min(self.before.len());
        for at in self.next..end {
            let said = self.before[at];
            let known = &self.known[said.family as usize];
            if parser.skip_known(said.lines, &known.name, &known.metadata) {
                self.see(said.family);
                self.now.push(said);
                self.next = at + 1;
                return true;
            }
        }
        false
    }

    /// Takes in what a family says of itself.
    pub(crate) fn family(&mut self, family: &ExposedFamily<'_>) {
        let metric_type = family.metric_type();
        let end = (self.next + LOOK_AHEAD).min(self.before.len());
        for at in self.next..end {
            let said = self.before[at];
            let Known { name, metadata, .. } = &self.known[said.family as usize];
            if **name == *family.name {
                let is_known = (metadata.metric_type, &*metadata.help, &*metadata.unit)
                    == (metric_type, family.help, family.unit);
                if !is_known {
                    break;
                }
                self.see(said.family);
                self.now.push(said);
                self.next = at + 1;
                return;
            }
        }
        let name = || Cow::Borrowed(family.name);
        self.entry(&Entry::Help { name: name(), text: Cow::Borrowed(family.help) });
        self.entry(&Entry::Type { name: name(), metric_type });
        self.entry(&Entry::Unit { name: name(), unit: family.unit });
    }

    /// The family that something was said of last, and its type.
    pub(crate) fn last(&self) -> Option<(&str, MetricType)> {
        let Known { name, metadata, .. } = &self.known[self.now.last()?.family as usize];
        Some((name, metadata.metric_type))
    }

    /// Takes in a line of a body; samples say nothing.
    pub(crate) fn entry(&mut self, entry: &Entry<'_>) {
        match entry {
            Entry::Comment(_) | Entry::Sample(_) => {}
            _ if self.is_full() => {}
            Entry::Help { name, text } => {
                let known = self.known(name, entry);
                let had = known.metadata.help.len();
                let is_new = set(&mut known.metadata.help, text);
                self.bytes = (self.bytes + text.len()).saturating_sub(had);
                self.news |= is_new;
            }
            Entry::Type { name, metric_type } => {
                let known = self.known(name, entry);
                if known.metadata.metric_type != *metric_type {
                    let before = known.type_and_unit();
                    known.metadata.metric_type = *metric_type;
                    self.retype(name, before);
                }
            }
            Entry::Unit { name, unit } => {
                let known = self.known(name, entry);
                if known.metadata.unit != *unit {
                    let before = known.type_and_unit();
                    (*unit).clone_into(&mut known.metadata.unit);
                    self.retype(name, before);
                }
            }
        }
    }

    /// Whether something was said that storage has not been told; from here on it has.
    pub(crate) fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.news)
    }

    /// What is known of the family that a metric is of.
    pub(crate) fn of_metric(&self, metric: &str) -> Option<&Metadata> {
        self.family_of(metric).map(|i| &self.known[i as usize].metadata)
    }

    /// Whether another type or unit than before was said of the family of any of these metrics.
    pub(crate) fn has_retyped<'a>(&self, mut metrics: impl Iterator<Item = &'a str>) -> bool {
        let others = self.retyped.iter().filter_map(|(name, before)| {
            let family = self.place(name)?;
            (self.known[family as usize].type_and_unit() != *before).then_some(family)
        });
        let retyped: Vec<u32> = others.collect();
        !retyped.is_empty()
            && metrics.any(|metric| self.family_of(metric).is_some_and(|family| retyped.contains(&family)))
    }

    fn retype(&mut self, name: &str, before: TypeAndUnit) {
        self.news = true;
        self.retyped.entry(name.into()).or_insert(before);
    }

    /// The place of the family that a metric is of.
    fn family_of(&self, metric: &str) -> Option<u32> {
        if let Some(family) = self.place(metric) {
            return Some(family);
        }
        let type_of = |family: u32| self.known[family as usize].metadata.metric_type;
        let by_suffix = MetricType::families_of(metric)
            .find_map(|(name, of)| self.place(name).filter(|family| type_of(*family) == of));
        // When something was begun to be counted is said of what counts.
        let created = || {
            let family = self.place(metric.strip_suffix("_created")?)?;
            use MetricType as T;
            let counts =
                matches!(type_of(family), T::Counter | T::Histogram | T::GaugeHistogram | T::Summary);
            counts.then_some(family)
        };
        by_suffix.or_else(created)
    }

    fn place(&self, name: &str) -> Option<u32> {
        self.by_name.find(hash(name), |i| *self.known[*i as usize].name == *name).copied()
    }

    fn find(&self, name: &str) -> Option<&Metadata> {
        self.place(name).map(|i| &self.known[i as usize].metadata)
    }

    /// What is known of the family of a line.
    fn known(&mut self, name: &str, line: &Entry<'_>) -> &mut Known {
        let family = self.place(name).unwrap_or_else(|| self.insert(name));
        self.see(family);
        if self.now.last().is_none_or(|last| last.family != family) {
            self.now.push(Lines { family, lines: MetaLines::default() });
            // It says something else than before, and those behind it are expected next.
            self.next += usize::from(self.before.get(self.next).is_some_and(|said| said.family == family));
        }
        if let Some(last) = self.now.last_mut() {
            last.lines.push(line);
        }
        &mut self.known[family as usize]
    }

    fn insert(&mut self, name: &str) -> u32 {
        let family = u32::try_from(self.known.len()).expect("invariant: a body has fewer than 2^32 lines");
        self.bytes += name.len() + size_of::<Known>();
        self.known.push(Known { name: name.into(), metadata: Metadata::default(), seen: 0 });
        let known = &self.known;
        self.by_name.insert_unique(hash(name), family, |i| hash(&known[*i as usize].name));
        family
    }

    fn see(&mut self, family: u32) {
        let known = &mut self.known[family as usize];
        if known.seen != self.scrape {
            known.seen = self.scrape;
            self.seen += 1;
        }
    }

    /// Forgets families that were not said for long.
    fn forget(&mut self) {
        let (scrape, had) = (self.scrape, self.known.len());
        self.known.retain(|known| known.seen + FORGET_AFTER_SCRAPES > scrape);
        if self.known.len() == had {
            return;
        }
        let bytes_of = |k: &Known| k.name.len() + k.metadata.help.len() + size_of::<Known>();
        self.bytes = self.known.iter().map(bytes_of).sum();
        // Those that are left have other places.
        self.now = Vec::new();
        self.by_name.clear();
        let known = &self.known;
        for (i, family) in (0..).zip(known) {
            self.by_name.insert_unique(hash(&family.name), i, |i| hash(&known[*i as usize].name));
        }
    }
}

/// The table is one target's own and bounded by its body's size.
fn hash(name: &str) -> u64 {
    FixedState::default().hash_one(name)
}

/// Mostly a text is what it was. Whether it is another one now.
fn set(held: &mut String, text: &str) -> bool {
    let is_new = held != text;
    if is_new {
        text.clone_into(held);
    }
    is_new
}

#[cfg(test)]
mod tests {
    use super::*;
    use skopos_exposition::{Format, Parser};
    use skopos_model::MetricType;

    /// Takes in a body as a scrape does; how often lines were skipped, and whether there was news.
    fn scrape(metadata: &TargetMetadata, body: &str) -> (usize, bool) {
        metadata.update(|families| {
            families.begin(Exposition::Lines(Format::OpenMetrics));
            let mut parser = Parser::new(Format::OpenMetrics, body.as_bytes());
            let mut skipped = 0;
            loop {
                while parser.is_at_comment() && families.skip_known(&mut parser) {
                    skipped += 1;
                }
                match parser.next() {
                    Some(entry) => families.entry(&entry.unwrap()),
                    None => return (skipped, families.take_news()),
                }
            }
        })
    }

    #[test]
    fn what_is_said_again_is_skipped_and_what_is_new_is_taken_in_wherever_it_stands() {
        let family =
            |name: &str, help: &str| format!("# HELP {name} {help}\n# TYPE {name} gauge\n{name} 1\n");
        let body = |families: &[(&str, &str)]| {
            families.iter().map(|(name, help)| family(name, help)).collect::<String>() + "# EOF\n"
        };
        let metadata = TargetMetadata::default();
        let (a, b, c, d) = (("a", "1"), ("b", "2"), ("c", "3"), ("d", "4"));
        for (families, expected) in [
            (&[a, b, c, d][..], (0, true)),
            (&[a, b, c, d], (4, false)),
            (&[a, ("b", "5"), c, d], (3, true)),
            (&[a, ("b", "5"), c, d], (4, false)),
            (&[a, ("new", "6"), ("b", "5"), c, d], (4, true)),
            (&[a, c, d], (3, false)),
            (&[a, c, d, ("b", "5")], (3, false)),
            // The last one counts, also where it says what another line of the same body does not.
            (&[a, c, ("a", "7"), d], (3, true)),
            (&[a, c, ("a", "7"), d], (2, true)),
            (&[a, c, d], (2, true)),
            (&[a, c, d], (3, false)),
        ] {
            assert_eq!(scrape(&metadata, &body(families)), expected, "{families:?}");
            for (name, help) in families {
                let last = families.iter().rev().find(|other| other.0 == *name).map(|other| other.1);
                assert_eq!(last, Some(&*metadata.get(name).unwrap().help), "{name} {help}");
            }
        }
    }

    #[test]
    fn what_is_skipped_is_not_forgotten_and_what_is_forgotten_is_not_skipped() {
        let metadata = TargetMetadata::default();
        let (all, fewer) =
            ("# TYPE a gauge\n# TYPE b gauge\n# TYPE c info\n# EOF\n", "# TYPE c info\n# EOF\n");
        scrape(&metadata, all);
        for _ in 0..2 * FORGET_AFTER_SCRAPES {
            assert_eq!(scrape(&metadata, all), (3, false));
        }
        for _ in 1..FORGET_AFTER_SCRAPES {
            assert_eq!(scrape(&metadata, fewer), (1, false));
        }
        assert_eq!(metadata.all().len(), 3);
        scrape(&metadata, fewer);
        assert_eq!(metadata.all().len(), 1);
        assert_eq!(scrape(&metadata, all), (0, true), "they have other places");
        assert_eq!(metadata.get("c").unwrap().metric_type, MetricType::Info);
        assert_eq!(scrape(&metadata, all), (3, false));
    }

    #[test]
    fn the_last_scrape_counts_and_what_is_gone_is_forgotten() {
        let metadata = TargetMetadata::default();
        scrape(&metadata, "# HELP a old\n# TYPE a counter\n# HELP b it goes\n# EOF\n");
        let (all, new) =
            (metadata.all(), "# HELP a new\n# TYPE a_seconds gauge\n# UNIT a_seconds seconds\n# EOF\n");
        assert_eq!(all.len(), 2);
        scrape(&metadata, new);
        let a = metadata.get("a").unwrap();
        assert_eq!((a.metric_type, a.help.as_str(), a.unit.as_str()), (MetricType::Counter, "new", ""));
        assert_eq!(metadata.get("a_seconds").unwrap().unit, "seconds");
        assert!(metadata.get("b").is_some(), "one scrape without it is chance");
        for _ in 0..FORGET_AFTER_SCRAPES {
            scrape(&metadata, new);
        }
        assert_eq!(metadata.get("b"), None);
        assert_eq!(metadata.all().len(), 2);
    }
}
