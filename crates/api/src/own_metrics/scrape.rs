//! What scraping says of itself.

use super::{Families, MetricsSource};
use skopos_scrape::status::ScrapeCounters;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// The counters over all targets as families.
pub fn scrape_source(counters: Arc<ScrapeCounters>) -> MetricsSource {
    Arc::new(move |out: &mut Families<'_>| {
        let c = &*counters;
        let families: [(&str, &str, &AtomicU64); 10] = [
            ("skopos_scrapes_total", "Scrapes that ended, well or badly.", &c.scrapes),
            ("skopos_scrapes_failed_total", "Scrapes that failed.", &c.failed),
            (
                "prometheus_target_scrapes_skipped_total",
                "Scrapes that were left out since the one before took longer than the interval.",
                &c.skipped,
            ),
            ("skopos_scrape_samples_total", "Samples that scrapes stored.", &c.samples),
            (
                "prometheus_target_scrapes_sample_duplicate_timestamp_total",
                "Samples refused since their series already had another value at that time.",
                &c.duplicates,
            ),
            (
                "prometheus_target_scrapes_sample_out_of_order_total",
                "Samples refused since their series already had a later one.",
                &c.out_of_order,
            ),
            (
                "prometheus_target_scrapes_sample_out_of_bounds_total",
                "Samples refused since their timestamp is outside of what storage accepts.",
                &c.out_of_bounds,
            ),
            (
                "skopos_scrape_samples_beyond_max_series_total",
                "Samples refused since their target has as many series as it may.",
                &c.beyond_max_series,
            ),
            ("skopos_scrape_samples_refused_total", "Samples refused for any other reason.", &c.refused),
            (
                "skopos_scrape_commit_failures_total",
                "Scrapes whose samples storage could not write.",
                &c.commit_failures,
            ),
        ];
        for (name, help, value) in families {
            out.counter(name, help, value.load(Ordering::Relaxed) as f64);
        }
    })
}
