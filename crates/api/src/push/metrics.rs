//! What pushes say of themselves: under Prometheus' names where it has one, by the way on which they came.

use crate::own_metrics::MetricsSource;
use skopos_exposition::Families;
use skopos_intake::{Intake, OfProtocol, Protocol};
use skopos_model::MetricType;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// The counters of `intake` as families.
pub(super) fn source(intake: Arc<Intake>) -> MetricsSource {
    Arc::new(move |out: &mut Families<'_>| {
        let stats = intake.stats();
        let of_writes = [Protocol::RemoteWrite1, Protocol::RemoteWrite2].map(|p| stats.of(p));
        let invalid: u64 = of_writes.iter().map(|of| of.invalid_labels.load(Ordering::Relaxed)).sum();
        out.counter(
            "prometheus_api_remote_write_invalid_labels_samples_total",
            "Samples of remote write that were refused since the labels of their series are not valid.",
            invalid as f64,
        );
        by_protocol(&intake, out);
        let (used, peak, max) = intake.memory().used_peak_max();
        for (name, help, value) in [
            ("skopos_push_memory_bytes", "Bytes that all pushes hold.", used),
            ("skopos_push_memory_peak_bytes", "The most bytes that all pushes held.", peak),
            ("skopos_push_memory_max_bytes", "What all pushes may hold (push.total-memory).", max),
            (
                "skopos_push_known_series",
                "Series that are known by the bytes of their labels.",
                intake.known_series(),
            ),
        ] {
            out.gauge(name, help, value as f64);
        }
    })
}

fn by_protocol(intake: &Intake, out: &mut Families<'_>) {
    type Counter = fn(&OfProtocol) -> &AtomicU64;
    let families: [(&str, &str, Counter); 5] = [
        ("skopos_push_requests_total", "Pushes of which something was taken.", |of| &of.requests),
        ("skopos_push_requests_failed_total", "Pushes of which nothing was taken.", |of| &of.failed),
        ("skopos_push_samples_total", "Samples that pushes stored.", |of| &of.samples),
        ("skopos_push_exemplars_total", "Exemplars that pushes stored.", |of| &of.exemplars),
        ("skopos_push_refused_total", "Samples and exemplars of pushes that were refused.", |of| &of.refused),
    ];
    for (name, help, counter) in families {
        out.family(name, MetricType::Counter, help);
        for protocol in Protocol::ALL {
            let count = counter(intake.stats().of(protocol)).load(Ordering::Relaxed);
            out.sample("", &[("protocol", protocol.as_str())], count as f64);
        }
    }
}
