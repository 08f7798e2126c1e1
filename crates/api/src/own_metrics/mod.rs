//! What this process says of itself, under the names that Prometheus' dashboards and rules know.

mod discovery;
mod http;
mod queries;
mod scrape;

pub use discovery::discovery_source;
pub(crate) use http::HttpStats;
pub use queries::query_source;
pub use scrape::scrape_source;

use crate::{parts::App, status::API_VERSION};
use parking_lot::Mutex;
use skopos_exposition::{Families, Format, WriteError};
use skopos_model::MetricType;
use skopos_web::process;
use std::{collections::HashSet, sync::Arc};

/// Writes the families of one part of the program. Every part has families of its own.
pub type MetricsSource = Arc<dyn Fn(&mut Families<'_>) + Send + Sync>;

/// That the server is there, and which Prometheus it stands in for. Before it is ready it says nothing.
fn write_build(out: &mut Families<'_>) {
    let help = "Which Prometheus' API this is, and of which release of Skopos.";
    out.family("prometheus_build_info", MetricType::Gauge, help);
    let (arch, os) = (std::env::consts::ARCH, std::env::consts::OS);
    let labels =
        [("goarch", arch), ("goos", os), ("skopos", env!("CARGO_PKG_VERSION")), ("version", API_VERSION)];
    out.sample("", &labels, 1.0);
    out.gauge("prometheus_ready", "Whether the server is ready.", 1.0);
}

/// All sources together.
pub struct OwnMetrics {
    sources: Vec<MetricsSource>,
    http: Arc<HttpStats>,
    /// What was said of families that are left out.
    said: Mutex<HashSet<String>>,
}

impl OwnMetrics {
    /// What `sources` say, and what the process and the web server of `app` say.
    pub fn new(app: &App, sources: Vec<MetricsSource>) -> Self {
        Self::of_http(Arc::clone(app.http()), sources)
    }

    pub(crate) fn of_http(http: Arc<HttpStats>, sources: Vec<MetricsSource>) -> Self {
        Self { sources, http, said: Mutex::default() }
    }

    /// Appends all families to `out`.
    pub fn write(&self, format: Format, out: &mut Vec<u8>) {
        let mut families = Families::new(format, out);
        process::write(&mut families);
        write_build(&mut families);
        self.http.write(&mut families);
        for source in &self.sources {
            source(&mut families);
        }
        self.say(&families.finish());
    }

    /// Says of each family that is left out once that it is, and why.
    fn say(&self, faults: &[WriteError]) {
        for fault in faults.iter().map(ToString::to_string) {
            if self.said.lock().insert(fault.clone()) {
                tracing::error!(error = %fault, "a part of the server's own metrics is left out");
            }
        }
    }
}
