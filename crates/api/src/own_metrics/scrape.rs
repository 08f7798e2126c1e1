//! What scraping says of itself.

use super::{Families, MetricsSource};
use skopos_model::MetricType;
use skopos_scrape::{
    pools::{Counted, JobStats, Recent},
    status::ScrapeCounters,
};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// The counters over all targets as families.
pub fn scrape_source(counters: Arc<ScrapeCounters>) -> MetricsSource {
    Arc::new(move |out: &mut Families<'_>| {
        let c = &*counters;
        let families: [(&str, &str, &AtomicU64); 14] = [
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
            (
                "prometheus_target_scrapes_exceeded_body_size_limit_total",
                "Scrapes that failed as their body was longer than body_size_limit.",
                &c.beyond_body_size,
            ),
            (
                "prometheus_target_scrapes_exceeded_sample_limit_total",
                "Scrapes that failed as they had more samples than sample_limit.",
                &c.beyond_samples,
            ),
            (
                "prometheus_target_scrapes_exceeded_native_histogram_bucket_limit_total",
                "Scrapes that failed as a histogram had more buckets than native_histogram_bucket_limit.",
                &c.beyond_buckets,
            ),
            (
                "prometheus_target_scrape_pool_exceeded_label_limits_total",
                "Scrapes that failed as a series had more or longer labels than the limits of labels.",
                &c.beyond_labels,
            ),
        ];
        for (name, help, value) in families {
            out.counter(name, help, value.load(Ordering::Relaxed) as f64);
        }
        let counted = c.pools.counted();
        write_pools(&counted, out);
        write_jobs(&counted, out);
        write_intervals(&counted, out);
    })
}

fn write_pools(counted: &Counted, out: &mut Families<'_>) {
    for (name, help, value) in [
        ("prometheus_target_scrape_pools_total", "Jobs that were begun.", counted.made),
        (
            "prometheus_target_scrape_pools_failed_total",
            "Jobs that could not be begun, since their targets cannot be spoken to as they say.",
            counted.failed,
        ),
        (
            "prometheus_target_scrape_pool_reloads_failed_total",
            "Jobs of which a new configuration was refused for the same.",
            counted.reloads_failed,
        ),
        (
            "prometheus_target_scrape_pool_reloads_total",
            "Jobs that went on when the configuration changed.",
            counted.reloads,
        ),
        (
            "prometheus_target_scrape_pool_exceeded_target_limit_total",
            "How often a job had more targets than target_limit.",
            counted.exceeded_target_limit,
        ),
    ] {
        out.counter(name, help, value as f64);
    }
}

/// What a family says of a job.
type OfJob = fn(&JobStats) -> f64;

fn write_jobs(counted: &Counted, out: &mut Families<'_>) {
    use MetricType::{Counter, Gauge};
    let families: [(&str, MetricType, &str, OfJob); 6] = [
        (
            "prometheus_target_scrape_pool_sync_total",
            Counter,
            "How often the targets of a job were put together.",
            |job| job.syncs as f64,
        ),
        (
            "prometheus_target_sync_failed_total",
            Counter,
            "Targets that could not be scraped when those of their job were put together.",
            |job| job.failed as f64,
        ),
        ("prometheus_target_scrape_pool_targets", Gauge, "Targets of a job.", |job| job.targets as f64),
        (
            "prometheus_target_scrape_pool_target_limit",
            Gauge,
            "Targets that a job may have; 0 is no limit.",
            |job| job.target_limit as f64,
        ),
        (
            "prometheus_target_metadata_cache_entries",
            Gauge,
            "Metrics of which targets of a job say what they are.",
            |job| job.metadata.iter().map(|metadata| metadata.size().0).sum::<usize>() as f64,
        ),
        (
            "prometheus_target_metadata_cache_bytes",
            Gauge,
            "Bytes of what targets of a job say of their metrics.",
            |job| job.metadata.iter().map(|metadata| metadata.size().1).sum::<usize>() as f64,
        ),
    ];
    for (name, metric_type, help, of) in families {
        out.family(name, metric_type, help);
        for (job, stats) in &counted.jobs {
            out.sample("", &[("scrape_job", job)], of(stats));
        }
    }
    let help = "Targets that were found for a job, those that are not scraped among them.";
    out.family("prometheus_sd_discovered_targets", Gauge, help);
    for (job, stats) in &counted.jobs {
        out.sample("", &[("config", job), ("name", "scrape")], stats.discovered as f64);
    }
    let help = "How long it took to put the targets of a job together.";
    out.family("prometheus_target_sync_length_seconds", MetricType::Summary, help);
    for (job, stats) in &counted.jobs {
        write_recent(("scrape_job", job), &stats.length_secs, out);
    }
}

fn write_intervals(counted: &Counted, out: &mut Families<'_>) {
    let help = "How far apart scrapes of a target were.";
    out.family("prometheus_target_interval_length_seconds", MetricType::Summary, help);
    for (interval, recent) in &counted.interval_secs {
        write_recent(("interval", &interval.to_string()), recent, out);
    }
}

fn write_recent(label: (&str, &str), recent: &Recent, out: &mut Families<'_>) {
    const QUANTILES: [(f64, &str); 5] =
        [(0.01, "0.01"), (0.05, "0.05"), (0.5, "0.5"), (0.9, "0.9"), (0.99, "0.99")];
    let values = recent.quantiles(QUANTILES.map(|(quantile, _)| quantile));
    for ((_, text), value) in QUANTILES.iter().zip(values) {
        out.sample("", &[label, ("quantile", text)], value);
    }
    out.sample("_sum", &[label], recent.sum);
    out.sample("_count", &[label], recent.count as f64);
}
