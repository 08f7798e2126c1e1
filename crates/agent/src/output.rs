//! Where collectors write: families of samples. A family whose first sample never comes leaves no
//! trace. It owns no collector's decisions, only the written form.

use skopos_model::{float, metadata::MetricType};

/// A page under construction.
#[derive(Debug)]
pub struct Output<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Output<'a> {
    /// A page that is appended to `out`.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out }
    }

    /// Begins the family `name`. No other family of this name may be in the page.
    pub fn family<'o>(&'o mut self, name: &'o str, kind: MetricType, help: &'o str) -> Family<'o> {
        Family { out: self.out, name, kind, help, begun: false }
    }

    /// A gauge of one sample without labels.
    pub fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.family(name, MetricType::Gauge, help).sample(&[], value);
    }

    /// A counter of one sample without labels.
    pub fn counter(&mut self, name: &str, help: &str, value: f64) {
        self.family(name, MetricType::Counter, help).sample(&[], value);
    }
}

/// A family under construction.
#[derive(Debug)]
pub struct Family<'o> {
    out: &'o mut Vec<u8>,
    name: &'o str,
    kind: MetricType,
    help: &'o str,
    begun: bool,
}

impl Family<'_> {
    /// Adds a sample.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: f64) {
        if !self.begun {
            self.begun = true;
            self.header();
        }
        self.out.extend_from_slice(self.name.as_bytes());
        for (i, (name, text)) in labels.iter().enumerate() {
            self.out.push(if i == 0 { b'{' } else { b',' });
            self.out.extend_from_slice(name.as_bytes());
            self.out.extend_from_slice(b"=\"");
            escape(self.out, text);
            self.out.push(b'"');
        }
        if !labels.is_empty() {
            self.out.push(b'}');
        }
        self.out.push(b' ');
        float::write_shortest(self.out, value);
        self.out.push(b'\n');
    }

    fn header(&mut self) {
        let kind = if self.kind == MetricType::Unknown { "untyped" } else { self.kind.as_str() };
        for part in ["# HELP ", self.name, " ", self.help, "\n# TYPE ", self.name, " ", kind, "\n"] {
            self.out.extend_from_slice(part.as_bytes());
        }
    }
}

fn escape(out: &mut Vec<u8>, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'"' => out.extend_from_slice(b"\\\""),
            b'\n' => out.extend_from_slice(b"\\n"),
            _ => out.push(byte),
        }
    }
}
