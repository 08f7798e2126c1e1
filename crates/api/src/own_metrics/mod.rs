//! What this process says of itself, under the names that Prometheus' dashboards and rules know.

mod http;
mod process;
mod queries;
mod scrape;

pub(crate) use http::HttpStats;
pub(crate) use process::threads;
pub use queries::query_source;
pub use scrape::scrape_source;

use crate::parts::App;
use skopos_exposition::{Format, TextWriter};
use skopos_model::MetricType;
use std::sync::Arc;

/// Writes the families of one part of the program. Every part has families of its own.
pub type MetricsSource = Arc<dyn Fn(&mut Families<'_>) + Send + Sync>;

/// All sources together.
pub struct OwnMetrics {
    sources: Vec<MetricsSource>,
    http: Arc<HttpStats>,
}

impl OwnMetrics {
    /// What `sources` say, and what the process and the web server of `app` say.
    pub fn new(app: &App, sources: Vec<MetricsSource>) -> Self {
        Self::of_http(Arc::clone(app.http()), sources)
    }

    pub(crate) fn of_http(http: Arc<HttpStats>, sources: Vec<MetricsSource>) -> Self {
        Self { sources, http }
    }

    /// Appends all families to `out`.
    pub fn write(&self, format: Format, out: &mut Vec<u8>) {
        let mut families = Families { writer: TextWriter::new(format, out) };
        process::write(&mut families);
        self.http.write(&mut families);
        for source in &self.sources {
            source(&mut families);
        }
        families.writer.finish();
    }
}

/// Appends what the system says of this process, as the beginning of a page.
pub fn write_process(format: Format, out: &mut Vec<u8>) {
    process::write(&mut Families { writer: TextWriter::new(format, out) });
}

/// A writer for families whose names and labels this program chose, so that writing cannot fail.
pub struct Families<'a> {
    writer: TextWriter<'a>,
}

const OURS: &str = "invariant: own families have names of their own and samples of their type";

impl Families<'_> {
    /// A counter without labels.
    pub fn counter(&mut self, name: &str, help: &str, value: f64) {
        self.single(name, MetricType::Counter, help, value);
    }

    /// A gauge without labels.
    pub fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.single(name, MetricType::Gauge, help, value);
    }

    fn single(&mut self, name: &str, metric_type: MetricType, help: &str, value: f64) {
        self.family(name, metric_type, help);
        self.sample("", &[], value);
    }

    /// Begins a family.
    pub fn family(&mut self, name: &str, metric_type: MetricType, help: &str) {
        self.writer.family(name, metric_type, help).expect(OURS);
    }

    /// A sample of the family begun last.
    pub fn sample(&mut self, suffix: &str, labels: &[(&str, &str)], value: f64) {
        self.writer.sample(suffix, labels, value).expect(OURS);
    }
}
