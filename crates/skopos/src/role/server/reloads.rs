//! How the last reload of the configuration went, for alerts on it.

use skopos_api::{about::LastReload, own_metrics::MetricsSource};
use skopos_exposition::Families;
use skopos_model::TimestampMs;
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicI64, Ordering},
};

/// The last reload, and the last one that succeeded.
#[derive(Debug)]
pub(super) struct Reloads {
    last_succeeded: AtomicBool,
    success_ms: AtomicI64,
}

impl Reloads {
    /// Nothing was reloaded since the configuration was loaded at the start.
    pub(super) fn loaded_at(now_ms: i64) -> Arc<Self> {
        Arc::new(Self { last_succeeded: AtomicBool::new(true), success_ms: AtomicI64::new(now_ms) })
    }

    pub(super) fn succeeded(&self, now_ms: i64) {
        self.last_succeeded.store(true, Ordering::Relaxed);
        self.success_ms.store(now_ms, Ordering::Relaxed);
    }

    pub(super) fn failed(&self) {
        self.last_succeeded.store(false, Ordering::Relaxed);
    }

    /// How the last one went, for the API.
    pub(super) fn last(&self) -> LastReload {
        LastReload {
            succeeded: self.last_succeeded.load(Ordering::Relaxed),
            loaded_at: TimestampMs::new(self.success_ms.load(Ordering::Relaxed)),
        }
    }

    /// Under the names of Prometheus.
    pub(super) fn source(self: &Arc<Self>) -> MetricsSource {
        let reloads = Arc::clone(self);
        Arc::new(move |out: &mut Families<'_>| {
            let succeeded = reloads.last_succeeded.load(Ordering::Relaxed);
            out.gauge(
                "prometheus_config_last_reload_successful",
                "Whether the last reload of the configuration succeeded.",
                f64::from(u8::from(succeeded)),
            );
            out.gauge(
                "prometheus_config_last_reload_success_timestamp_seconds",
                "When the configuration in force was loaded, since the Unix epoch.",
                reloads.success_ms.load(Ordering::Relaxed) as f64 / 1e3,
            );
        })
    }
}
