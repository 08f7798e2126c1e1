//! `Families`: how a program writes the metrics that it has of itself. Keeps no counter: whoever counts
//! writes.

use crate::{Format, TextWriter, WriteError};
use skopos_model::MetricType;

/// A writer for families whose names and labels this program chose. Two parts of it may choose the same name
/// all the same: then the first has its family on the page, and the other is left out, with all its samples.
pub struct Families<'a> {
    writer: TextWriter<'a>,
    /// Whether samples are of a family that is written.
    is_open: bool,
    faults: Vec<WriteError>,
}

impl<'a> Families<'a> {
    /// Writes behind what stands in `out`.
    pub fn new(format: Format, out: &'a mut Vec<u8>) -> Self {
        Self { writer: TextWriter::new(format, out), is_open: false, faults: Vec::new() }
    }

    /// Ends the page, and says what was left out. Without it what was written is the beginning of one.
    pub fn finish(self) -> Vec<WriteError> {
        self.writer.finish();
        self.faults
    }

    /// What was left out so far.
    pub fn faults(&self) -> &[WriteError] {
        &self.faults
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
        let begun = self.writer.family(name, metric_type, help);
        self.is_open = begun.is_ok();
        self.faults.extend(begun.err());
    }

    /// A sample of the family begun last.
    pub fn sample(&mut self, suffix: &str, labels: &[(&str, &str)], value: f64) {
        if self.is_open {
            self.faults.extend(self.writer.sample(suffix, labels, value).err());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_that_is_told_twice_stands_once_and_is_said() {
        let mut page = Vec::new();
        let mut families = Families::new(Format::Text, &mut page);
        families.gauge("a", "First.", 1.0);
        families.gauge("b", "Between.", 2.0);
        families.family("a", MetricType::Counter, "Again.");
        families.sample("", &[("x", "y")], 3.0);
        families.sample("", &[("x", "z")], 4.0);
        families.gauge("c", "Behind.", 5.0);
        let said: Vec<String> = families.finish().iter().map(ToString::to_string).collect();
        assert_eq!(said, ["metric family \"a\" is begun twice; write all its samples in one go"]);
        let expected = "# HELP a First.\n# TYPE a gauge\na 1\n# HELP b Between.\n# TYPE b gauge\nb 2\n\
            # HELP c Behind.\n# TYPE c gauge\nc 5\n";
        assert_eq!(String::from_utf8(page).unwrap(), expected);
    }
}
