//! Where collectors write: families of samples. A family whose first sample never comes leaves no
//! trace. What the format refuses is kept and told at the end, so that collectors need not ask.

use skopos_exposition::{Format, PreparedLabels, TextWriter, WriteError};
use skopos_model::MetricType;

/// A collector's part of the page.
#[derive(Debug)]
pub struct Output<'a> {
    writer: TextWriter<'a>,
    refused: Option<WriteError>,
}

impl<'a> Output<'a> {
    /// Writes behind what stands in `out`.
    pub fn new(format: Format, out: &'a mut Vec<u8>) -> Self {
        Self { writer: TextWriter::new(format, out), refused: None }
    }

    /// Begins the family `name`. No other family of this name may be in the page.
    pub fn family<'o>(&'o mut self, name: &'o str, metric_type: MetricType, help: &'o str) -> Family<'o, 'a> {
        Family { output: self, name, metric_type, help, begun: false }
    }

    /// A gauge of one sample without labels.
    pub fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.family(name, MetricType::Gauge, help).sample(&[], value);
    }

    /// A counter of one sample without labels.
    pub fn counter(&mut self, name: &str, help: &str, value: f64) {
        self.family(name, MetricType::Counter, help).sample(&[], value);
    }

    /// Ends a part of a page.
    ///
    /// # Errors
    /// The first thing that the format refused.
    pub fn end_part(self) -> Result<(), WriteError> {
        self.refused.map_or(Ok(()), Err)
    }

    /// Ends the page.
    ///
    /// # Errors
    /// As `end_part`.
    pub fn end_page(self) -> Result<(), WriteError> {
        self.writer.finish();
        self.refused.map_or(Ok(()), Err)
    }

    fn note(&mut self, written: Result<(), WriteError>) {
        if let Err(error) = written {
            self.refused.get_or_insert(error);
        }
    }
}

/// A family under construction.
#[derive(Debug)]
pub struct Family<'o, 'a> {
    output: &'o mut Output<'a>,
    name: &'o str,
    metric_type: MetricType,
    help: &'o str,
    begun: bool,
}

impl Family<'_, '_> {
    /// Adds a sample.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: f64) {
        self.sample_with("", labels, value);
    }

    /// Adds a sample whose name has `suffix` behind the family's, as those of histograms have.
    pub fn sample_with(&mut self, suffix: &str, labels: &[(&str, &str)], value: f64) {
        self.begin();
        let written = self.output.writer.sample(suffix, labels, value);
        self.output.note(written);
    }

    /// Adds a sample whose first labels were written before.
    pub fn sample_prepared(&mut self, prepared: &PreparedLabels, labels: &[(&str, &str)], value: f64) {
        self.begin();
        let written = self.output.writer.sample_prepared(prepared, labels, value);
        self.output.note(written);
    }

    fn begin(&mut self) {
        if !self.begun {
            self.begun = true;
            let written = self.output.writer.family(self.name, self.metric_type, self.help);
            self.output.note(written);
        }
    }
}
