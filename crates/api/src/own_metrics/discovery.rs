//! What the sources of targets say of themselves.

use super::{Families, MetricsSource};
use skopos_discovery::stats::{FamilyKind, Stats};
use skopos_model::MetricType;
use std::sync::Arc;

/// The counters of all sources as families.
pub fn discovery_source(stats: Arc<Stats>) -> MetricsSource {
    Arc::new(move |out: &mut Families<'_>| {
        for family in stats.families() {
            let kind = match family.kind {
                FamilyKind::Counter => MetricType::Counter,
                FamilyKind::Gauge => MetricType::Gauge,
                FamilyKind::Summary => MetricType::Summary,
            };
            out.family(family.name, kind, family.help);
            for (labels, observed) in &family.samples {
                let labels: Vec<_> = labels.iter().map(|(name, value)| (*name, value.as_str())).collect();
                match family.kind {
                    FamilyKind::Summary => {
                        out.sample("_sum", &labels, observed.value);
                        out.sample("_count", &labels, observed.count as f64);
                    }
                    _ => out.sample("", &labels, observed.value),
                }
            }
        }
    })
}
