//! What the engine says of its queries: how many wait and run, how long they take, what they hold and what
//! cut them off.

use super::{Families, MetricsSource};
use skopos_model::MetricType;
use skopos_promql::{
    Engine,
    queries::{CUT_OFF_BY, Counts, DURATION_BOUNDS_MS, Queries, Slice},
};
use std::sync::Arc;

/// The queries of `engine` as families.
pub fn query_source(engine: Engine, queries: Arc<Queries>) -> MetricsSource {
    Arc::new(move |out: &mut Families<'_>| {
        write_counts(&queries, out);
        write_durations(&queries, out);
        let memory = engine.memory();
        for (name, help, value) in [
            ("skopos_query_memory_bytes", "Bytes that all queries hold.", memory.used()),
            ("skopos_query_memory_peak_bytes", "The most bytes that all queries held.", memory.peak()),
            (
                "skopos_query_memory_max_bytes",
                "What all queries may hold (query.total-memory).",
                memory.max(),
            ),
        ] {
            out.gauge(name, help, value as f64);
        }
        let (shards, help) = (engine.shards(), "Threads that help queries beside these' own.");
        out.gauge("skopos_query_helpers", help, shards.helping() as f64);
        let help = "How many threads may help queries: one less than query.max-shards.";
        out.gauge("skopos_query_helpers_max", help, shards.options().max.saturating_sub(1) as f64);
    })
}

fn write_counts(queries: &Queries, out: &mut Families<'_>) {
    let Counts { running, waiting } = queries.counts();
    out.gauge("prometheus_engine_queries", "Queries that run or wait.", (running + waiting) as f64);
    out.gauge(
        "skopos_queries_waiting",
        "Queries that wait for a place among those that run.",
        waiting as f64,
    );
    let max = queries.max_concurrent() as f64;
    out.gauge("prometheus_engine_queries_concurrent_max", "How many queries may run at a time.", max);
    let samples = queries.samples();
    out.counter(
        "prometheus_engine_query_samples_total",
        "Samples that queries have looked at, each as often as it is in a window.",
        samples.queried as f64,
    );
    let help = "Samples that queries have read, those of a window that the one before had not.";
    out.counter("prometheus_engine_query_samples_read_total", help, samples.read as f64);
    let failures = queries.log_failures() as f64;
    out.counter("skopos_active_query_log_failures_total", "Failed writes to queries.active.", failures);
    out.family(
        "skopos_queries_cut_off_total",
        MetricType::Counter,
        "Queries that were cut off, by the limit that they reached; client: nobody waited any more.",
    );
    for (by, count) in CUT_OFF_BY.iter().zip(queries.cut_off()) {
        out.sample("", &[("by", by)], count as f64);
    }
}

/// The name of a slice in Prometheus.
fn name(slice: Slice) -> &'static str {
    match slice {
        Slice::Queue => "queue_time",
        Slice::Prepare => "prepare_time",
        Slice::Evaluate => "inner_eval",
        Slice::Answer => "result_write",
    }
}

fn write_durations(queries: &Queries, out: &mut Families<'_>) {
    let help = "How long the parts of queries took.";
    out.family("prometheus_engine_query_duration_seconds", MetricType::Summary, help);
    for slice in Slice::ALL {
        let (count, total) = queries.durations(slice).total();
        out.sample("_sum", &[("slice", name(slice))], total.as_secs_f64());
        out.sample("_count", &[("slice", name(slice))], count as f64);
    }
    out.family("skopos_query_duration_seconds", MetricType::Histogram, help);
    for slice in Slice::ALL {
        let durations = queries.durations(slice);
        let (count, total) = durations.total();
        for (bound, below) in DURATION_BOUNDS_MS.iter().zip(durations.within_bounds()) {
            let bound = (*bound as f64 / 1000.0).to_string();
            out.sample("_bucket", &[("slice", name(slice)), ("le", &bound)], below as f64);
        }
        out.sample("_bucket", &[("slice", name(slice)), ("le", "+Inf")], count as f64);
        out.sample("_sum", &[("slice", name(slice))], total.as_secs_f64());
        out.sample("_count", &[("slice", name(slice))], count as f64);
    }
}
