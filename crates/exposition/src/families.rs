//! `Families`: how a program writes the metrics that it has of itself. Keeps no counter: whoever counts
//! writes.

use crate::{Format, TextWriter};
use skopos_model::MetricType;

/// A writer for families whose names and labels this program chose, so that writing cannot fail.
pub struct Families<'a> {
    writer: TextWriter<'a>,
}

const OURS: &str = "invariant: own families have names of their own and samples of their type";

impl<'a> Families<'a> {
    /// Writes behind what stands in `out`.
    pub fn new(format: Format, out: &'a mut Vec<u8>) -> Self {
        Self { writer: TextWriter::new(format, out) }
    }

    /// Ends the page. Without it what was written is the beginning of one.
    pub fn finish(self) {
        self.writer.finish();
    }

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
