//! What pages say of their families (type, help, unit), as requests of remote write 1.0 that say nothing
//! else. Keeps the newest alone, in memory: it is told again and again, and of what is old nobody wants to
//! know.

use crate::batch::{Batch, compressed};
use prost::Message as _;
use skopos_exposition::Entry;
use skopos_model::MetricType;
use skopos_proto::messages::{FamilyType, MetricMetadata, WriteRequest};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// So many families are told of. A page has some hundred.
const MAX_FAMILIES: usize = 20_000;

/// The families of a page, by their names.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct PageFamilies(BTreeMap<String, MetricMetadata>);

impl PageFamilies {
    /// Takes note of what a line says, if it says something of a family.
    pub(crate) fn note(&mut self, entry: &Entry<'_>) {
        match entry {
            Entry::Help { name, text } => self.family(name, |family| family.help = text.to_string()),
            Entry::Unit { name, unit } => self.family(name, |family| family.unit = (*unit).to_owned()),
            Entry::Type { name, metric_type } => {
                self.family(name, |family| family.set_type(type_of(*metric_type)));
            }
            _ => {}
        }
    }

    fn family(&mut self, name: &str, set: impl FnOnce(&mut MetricMetadata)) {
        if let Some(known) = self.0.get_mut(name) {
            set(known);
        } else if self.0.len() < MAX_FAMILIES {
            let mut family = MetricMetadata { family_name: name.to_owned(), ..MetricMetadata::default() };
            set(&mut family);
            self.0.insert(name.to_owned(), family);
        }
    }
}

const fn type_of(metric_type: MetricType) -> FamilyType {
    match metric_type {
        MetricType::Unknown => FamilyType::Unknown,
        MetricType::Counter => FamilyType::Counter,
        MetricType::Gauge => FamilyType::Gauge,
        MetricType::Histogram => FamilyType::Histogram,
        MetricType::GaugeHistogram => FamilyType::GaugeHistogram,
        MetricType::Summary => FamilyType::Summary,
        MetricType::Info => FamilyType::Info,
        MetricType::StateSet => FamilyType::StateSet,
    }
}

/// The newest requests.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    /// Which they are, from 1 on; 0 for none.
    pub(crate) number: u64,
    pub(crate) batches: Vec<Batch>,
}

#[derive(Debug, Default)]
struct Latest {
    families: PageFamilies,
    requests: Arc<Requests>,
}

/// See above.
#[derive(Debug, Default)]
pub(crate) struct Metadata(Mutex<Latest>);

impl Metadata {
    /// These are the families now; a request tells of at most so many.
    pub(crate) fn set(&self, families: PageFamilies, max_families: usize) {
        let mut latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if latest.families == families {
            return;
        }
        let all: Vec<MetricMetadata> = families.0.values().cloned().collect();
        let batches = all.chunks(max_families).map(|some| {
            let request = WriteRequest { metadata: some.to_vec(), ..WriteRequest::default() };
            Batch { samples: some.len() as u32, body: compressed(&request.encode_to_vec()) }
        });
        let number = latest.requests.number + 1;
        latest.requests = Arc::new(Requests { number, batches: batches.collect() });
        latest.families = families;
    }

    pub(crate) fn latest(&self) -> Arc<Requests> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner).requests)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skopos_exposition::{Format, Parser};

    fn families(format: Format, page: &str) -> PageFamilies {
        let mut families = PageFamilies::default();
        Parser::new(format, page.as_bytes()).for_each(|entry| families.note(&entry.unwrap()));
        families
    }

    #[test]
    fn families_become_requests_once_they_change() {
        let metadata = Metadata::default();
        assert_eq!(metadata.latest().number, 0);
        let page =
            "# HELP a_total As.\n# TYPE a_total counter\na_total 1\n# TYPE b gauge\nb 1\n# HELP c C.\n";
        metadata.set(families(Format::Text, page), 2);
        metadata.set(families(Format::Text, &page.replace(" 1\n", " 2\n")), 2);
        let latest = metadata.latest();
        assert_eq!((latest.number, latest.batches.len()), (1, 2));
        let of = |batch: &Batch| {
            let bytes = snap::raw::Decoder::new().decompress_vec(&batch.body).unwrap();
            let request = WriteRequest::decode(&bytes[..]).unwrap();
            assert!(request.timeseries.is_empty());
            request.metadata.into_iter().map(|m| (m.r#type, m.family_name, m.help, m.unit))
        };
        let told: Vec<_> = latest.batches.iter().flat_map(of).collect();
        let row = |kind, name: &str, help: &str| (kind, name.to_owned(), help.to_owned(), String::new());
        assert_eq!(told, [row(1, "a_total", "As."), row(2, "b", ""), row(0, "c", "C.")]);
        metadata.set(families(Format::Text, "# TYPE b counter\nb 1\n"), 2);
        assert_eq!(metadata.latest().number, 2);
    }

    #[test]
    fn units_are_told_where_a_page_has_them() {
        let page = "# TYPE a_seconds histogram\n# UNIT a_seconds seconds\n# EOF\n";
        let families = families(Format::OpenMetrics, page);
        let family = &families.0["a_seconds"];
        assert_eq!((family.r#type(), family.unit.as_str()), (FamilyType::Histogram, "seconds"));
    }
}
