//! `TargetMetadata`: what a target says of its metrics: types, help texts, units. Holds no sample.

use parking_lot::Mutex;
use skopos_exposition::Entry;
use skopos_model::{Metadata, MetricType};
use std::collections::BTreeMap;

/// What was not said for so many scrapes is forgotten.
const FORGET_AFTER_SCRAPES: u64 = 10;

/// What a target says of its metrics, by the name of the family.
#[derive(Debug, Default)]
pub struct TargetMetadata(Mutex<Families>);

#[derive(Debug, Default)]
pub(crate) struct Families {
    by_name: BTreeMap<Box<str>, Known>,
    scrape: u64,
    /// How many families the scrape under way has said something of.
    seen: usize,
    /// Whether something was said that storage has not been told.
    news: bool,
}

#[derive(Debug, Default)]
struct Known {
    metadata: Metadata,
    seen: u64,
}

impl TargetMetadata {
    /// What is known of the family `name`.
    pub fn get(&self, name: &str) -> Option<Metadata> {
        self.0.lock().by_name.get(name).map(|known| known.metadata.clone())
    }

    /// What is known of all families, by name.
    pub fn all(&self) -> Vec<(String, Metadata)> {
        let families = self.0.lock();
        families.by_name.iter().map(|(name, known)| (name.to_string(), known.metadata.clone())).collect()
    }

    /// Storage has not kept what it was told last.
    pub(crate) fn tell_again(&self) {
        self.0.lock().news = true;
    }

    /// Takes in what `read` finds in one body.
    pub(crate) fn update<T>(&self, read: impl FnOnce(&mut Families) -> T) -> T {
        let families = &mut *self.0.lock();
        families.scrape += 1;
        families.seen = 0;
        let result = read(families);
        if families.seen < families.by_name.len() {
            let scrape = families.scrape;
            families.by_name.retain(|_, known| known.seen + FORGET_AFTER_SCRAPES > scrape);
        }
        result
    }
}

impl Families {
    /// Takes in a line of a body; samples say nothing.
    pub(crate) fn entry(&mut self, entry: &Entry<'_>) {
        match entry {
            Entry::Help { name, text } => {
                let known = self.known(name);
                self.news |= set(&mut known.metadata.help, text);
            }
            Entry::Type { name, metric_type } => {
                let held = &mut self.known(name).metadata.metric_type;
                let before = std::mem::replace(held, *metric_type);
                self.news |= before != *metric_type;
            }
            Entry::Unit { name, unit } => {
                let known = self.known(name);
                self.news |= set(&mut known.metadata.unit, unit);
            }
            Entry::Comment(_) | Entry::Sample(_) => {}
        }
    }

    /// Whether something was said that storage has not been told; from here on it has.
    pub(crate) fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.news)
    }

    /// What is known of the family that a metric is of.
    pub(crate) fn of_metric(&self, metric: &str) -> Option<&Metadata> {
        if let Some(known) = self.by_name.get(metric) {
            return Some(&known.metadata);
        }
        MetricType::families_of(metric).find_map(|(family, metric_type)| {
            let known = self.by_name.get(family)?;
            (known.metadata.metric_type == metric_type).then_some(&known.metadata)
        })
    }

    fn known(&mut self, name: &str) -> &mut Known {
        if !self.by_name.contains_key(name) {
            self.by_name.insert(name.into(), Known::default());
        }
        let known = self.by_name.get_mut(name).expect("invariant: it was put there if it was missing");
        if known.seen != self.scrape {
            known.seen = self.scrape;
            self.seen += 1;
        }
        known
    }
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

    fn scrape(metadata: &TargetMetadata, body: &str) {
        metadata.update(|families| {
            Parser::new(Format::OpenMetrics, body.as_bytes()).for_each(|e| families.entry(&e.unwrap()));
        });
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
        (0..FORGET_AFTER_SCRAPES).for_each(|_| scrape(&metadata, new));
        assert_eq!(metadata.get("b"), None);
        assert_eq!(metadata.all().len(), 2);
    }
}
