//! The systems that are measured: how each is started, and how it counts samples. Never measures.

use std::path::Path;

use skopos_testkit::peers;
use skopos_testkit::service::Service;
use skopos_testkit::skopos::Skopos;

/// A system.
pub(super) struct System {
    /// What it is called.
    pub(super) name: &'static str,
    /// What the command line calls it.
    pub(super) key: &'static str,
    /// Its counter of stored samples in its own metrics.
    pub(super) samples: &'static str,
    /// Starts it with a configuration; the path is that of our own program.
    pub(super) start: fn(&Path, &str) -> Service,
    /// Starts it to take remote write.
    pub(super) start_receiver: fn(&Path) -> Service,
}

const NOTHING_TO_SCRAPE: &str = "global: {}\n";

/// All of them, in the order in which they are measured.
pub(super) const SYSTEMS: [System; 3] = [
    System {
        name: "Prometheus",
        key: "prometheus",
        samples: "prometheus_tsdb_head_samples_appended_total",
        start: |_, config| peers::prometheus(config, &[]),
        start_receiver: |_| peers::prometheus(NOTHING_TO_SCRAPE, &["--web.enable-remote-write-receiver"]),
    },
    System {
        name: "VictoriaMetrics",
        key: "victoria-metrics",
        samples: "vm_rows_inserted_total{type=\"promscrape\"",
        // It is asked for what it has just stored.
        start: |_, config| peers::victoria_metrics(config, &["-search.latencyOffset=0s"]),
        start_receiver: |_| peers::victoria_metrics(NOTHING_TO_SCRAPE, &["-search.latencyOffset=0s"]),
    },
    System {
        name: "Skopos",
        key: "skopos",
        samples: "prometheus_tsdb_head_samples_appended_total",
        start: |binary, config| Skopos::server(binary).config(config).start(),
        start_receiver: |binary| {
            let server = Skopos::server(binary).config(NOTHING_TO_SCRAPE);
            server.flag("--web.enable-remote-write-receiver").start()
        },
    },
];
