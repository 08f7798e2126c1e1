//! What pages say of their families (type, help, unit), as requests of remote write 1.0 that say nothing
//! else. Keeps the newest alone, in memory: it is told again and again, and of what is old nobody wants to
//! know.

use crate::message::compressed;
use prost::Message as _;
use skopos_exposition::Entry;
use skopos_model::{Metadata as OfMetric, MetricType};
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

    /// What is said of the family of a series' metric.
    pub(crate) fn of_metric(&self, metric: &str) -> Option<OfMetric> {
        let fits =
            |(name, of): (&str, MetricType)| self.0.get(name).filter(|family| family.r#type() == type_of(of));
        let family = self.0.get(metric).or_else(|| MetricType::families_of(metric).find_map(fits))?;
        let metric_type = TYPES.into_iter().find(|of| type_of(*of) == family.r#type()).unwrap_or_default();
        Some(OfMetric { metric_type, help: family.help.clone(), unit: family.unit.clone() })
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

impl FromIterator<(String, OfMetric)> for PageFamilies {
    /// What is known of the metrics of series, by their names.
    fn from_iter<I: IntoIterator<Item = (String, OfMetric)>>(all: I) -> Self {
        let family = |(metric, known): (String, OfMetric)| {
            let name = known.metric_type.family_of(&metric).to_owned();
            let mut family =
                MetricMetadata { help: known.help, unit: known.unit, ..MetricMetadata::default() };
            family.set_type(type_of(known.metric_type));
            family.family_name.clone_from(&name);
            (name, family)
        };
        Self(all.into_iter().take(MAX_FAMILIES).map(family).collect())
    }
}

const TYPES: [MetricType; 8] = [
    MetricType::Unknown,
    MetricType::Counter,
    MetricType::Gauge,
    MetricType::Histogram,
    MetricType::GaugeHistogram,
    MetricType::Summary,
    MetricType::Info,
    MetricType::StateSet,
];

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

/// A request that tells of families.
#[derive(Debug)]
pub(crate) struct Told {
    /// Of how many.
    pub(crate) families: u64,
    /// The message, compressed by snappy.
    pub(crate) body: Vec<u8>,
}

/// The newest requests.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    /// Which they are, from 1 on; 0 for none.
    pub(crate) number: u64,
    pub(crate) batches: Vec<Told>,
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
            Told { families: some.len() as u64, body: compressed(&request.encode_to_vec()) }
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
        let of = |batch: &Told| {
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
    fn series_have_what_is_said_of_their_families() {
        let page = "# TYPE h histogram\n# HELP h Hs.\n# TYPE c_total counter\n# TYPE g gauge\ng 1\n";
        let families = families(Format::Text, page);
        let of = |metric: &str| families.of_metric(metric).map(|m| (m.metric_type, m.help));
        assert_eq!(of("h_bucket"), Some((MetricType::Histogram, "Hs.".to_owned())));
        assert_eq!(of("c_total"), Some((MetricType::Counter, String::new())));
        assert_eq!((of("g_bucket"), of("other")), (None, None));
        let stored = [("h_bucket", MetricType::Histogram), ("h_sum", MetricType::Histogram)];
        let stored = stored.map(|(name, metric_type)| {
            (name.to_owned(), OfMetric { metric_type, help: "Hs.".to_owned(), unit: String::new() })
        });
        let kept = PageFamilies::from_iter(stored);
        assert_eq!(kept.0.keys().collect::<Vec<_>>(), ["h"], "as a family");
    }

    #[test]
    fn units_are_told_where_a_page_has_them() {
        let page = "# TYPE a_seconds histogram\n# UNIT a_seconds seconds\n# EOF\n";
        let families = families(Format::OpenMetrics, page);
        let family = &families.0["a_seconds"];
        assert_eq!((family.r#type(), family.unit.as_str()), (FamilyType::Histogram, "seconds"));
    }
}
