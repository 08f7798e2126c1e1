//! Metric families in protocol buffers as other programs push them (`io.prometheus.client.MetricFamily`, each
//! behind its length), borrowing the bytes: floats, summaries and classic histograms as the samples that
//! they stand for. Native buckets are passed over.

use crate::{
    exposed::label,
    wire::{Fields, WireError},
};
use skopos_base::varint::uvarint;
use skopos_model::MetricType;

/// What a family says of all of its metrics.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Family<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it means.
    pub help: &'a str,
    /// Its type.
    pub metric_type: MetricType,
}

/// A metric.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Metric<'a> {
    /// Names and values.
    pub labels: Vec<(&'a str, &'a str)>,
    /// What it stands for.
    pub values: Vec<Sample>,
    /// Whether it has a time of its own.
    pub has_time: bool,
}

/// A sample of a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// What its name has behind that of its family.
    pub suffix: &'static str,
    /// The label that tells it from others of its metric.
    pub bound: Option<(&'static str, f64)>,
    /// The value.
    pub value: f64,
}

impl Sample {
    const fn of(suffix: &'static str, value: f64) -> Self {
        Self { suffix, bound: None, value }
    }
}

/// Calls `each` with every metric of a stream of families.
///
/// # Errors
/// When it is none, or what `each` says.
pub fn read<'a, E: From<WireError>>(
    mut stream: &'a [u8],
    mut each: impl FnMut(Family<'a>, &Metric<'a>) -> Result<(), E>,
) -> Result<(), E> {
    const CUT_OFF: WireError = WireError::new("a family is cut off");
    while !stream.is_empty() {
        let (length, len) = uvarint(stream).ok_or(CUT_OFF)?;
        let length = usize::try_from(length).map_err(|_| CUT_OFF)?;
        let (message, rest) = stream[len..].split_at_checked(length).ok_or(CUT_OFF)?;
        stream = rest;
        let family = family(message)?;
        let mut fields = Fields::of(message);
        while let Some((number, value)) = fields.next_field()? {
            if number == 4 {
                each(family, &metric(value.bytes()?, family.metric_type)?)?;
            }
        }
    }
    Ok(())
}

fn family(message: &[u8]) -> Result<Family<'_>, WireError> {
    let mut family = Family { metric_type: MetricType::Counter, ..Family::default() };
    let mut fields = Fields::of(message);
    while let Some((number, value)) = fields.next_field()? {
        match number {
            1 => family.name = value.text()?,
            2 => family.help = value.text()?,
            3 => {
                family.metric_type = match value.uint()? {
                    0 => MetricType::Counter,
                    1 => MetricType::Gauge,
                    2 => MetricType::Summary,
                    4 | 5 => MetricType::Histogram,
                    _ => MetricType::Unknown,
                }
            }
            _ => {}
        }
    }
    if family.name.is_empty() { Err(WireError::new("a family has no name")) } else { Ok(family) }
}

fn metric(message: &[u8], metric_type: MetricType) -> Result<Metric<'_>, WireError> {
    let (mut metric, mut fields) = (Metric::default(), Fields::of(message));
    let mut is_of_its_type = false;
    while let Some((number, value)) = fields.next_field()? {
        match (number, metric_type) {
            (1, _) => metric.labels.push(label(value.bytes()?)?),
            (2, MetricType::Gauge) | (3, MetricType::Counter) | (5, MetricType::Unknown) => {
                metric.values.push(Sample::of("", single(value.bytes()?)?));
                is_of_its_type = true;
            }
            (4, MetricType::Summary) => {
                summary(value.bytes()?, &mut metric.values)?;
                is_of_its_type = true;
            }
            (7, MetricType::Histogram) => {
                histogram(value.bytes()?, &mut metric.values)?;
                is_of_its_type = true;
            }
            (6, _) => metric.has_time = true,
            _ => {}
        }
    }
    if is_of_its_type { Ok(metric) } else { Err(WireError::new("a metric is not of its family's type")) }
}

fn single(message: &[u8]) -> Result<f64, WireError> {
    let (mut fields, mut found) = (Fields::of(message), 0.0);
    while let Some((number, value)) = fields.next_field()? {
        if number == 1 {
            found = value.double()?;
        }
    }
    Ok(found)
}

fn summary(message: &[u8], out: &mut Vec<Sample>) -> Result<(), WireError> {
    let (mut fields, mut count, mut sum) = (Fields::of(message), 0.0, 0.0);
    while let Some((number, value)) = fields.next_field()? {
        match number {
            1 => count = value.uint()? as f64,
            2 => sum = value.double()?,
            3 => {
                let (mut fields, mut quantile, mut at) = (Fields::of(value.bytes()?), 0.0, 0.0);
                while let Some((number, value)) = fields.next_field()? {
                    match number {
                        1 => quantile = value.double()?,
                        2 => at = value.double()?,
                        _ => {}
                    }
                }
                out.push(Sample { suffix: "", bound: Some(("quantile", quantile)), value: at });
            }
            _ => {}
        }
    }
    out.extend([Sample::of("_sum", sum), Sample::of("_count", count)]);
    Ok(())
}

fn histogram(message: &[u8], out: &mut Vec<Sample>) -> Result<(), WireError> {
    let (mut fields, mut count, mut sum, mut has_last) = (Fields::of(message), 0.0, 0.0, false);
    while let Some((number, value)) = fields.next_field()? {
        match number {
            1 => count = value.uint()? as f64,
            4 => count = value.double()?,
            2 => sum = value.double()?,
            3 => {
                let (mut fields, mut below, mut bound) = (Fields::of(value.bytes()?), 0.0, 0.0);
                while let Some((number, value)) = fields.next_field()? {
                    match number {
                        1 => below = value.uint()? as f64,
                        2 => bound = value.double()?,
                        4 => below = value.double()?,
                        _ => {}
                    }
                }
                has_last |= bound == f64::INFINITY;
                out.push(Sample { suffix: "_bucket", bound: Some(("le", bound)), value: below });
            }
            _ => {}
        }
    }
    if !has_last {
        out.push(Sample { suffix: "_bucket", bound: Some(("le", f64::INFINITY)), value: count });
    }
    out.extend([Sample::of("_sum", sum), Sample::of("_count", count)]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::families::{FamilyType, FamilyWriter, LabelPair, untyped};
    use skopos_model::TimestampMs;

    fn samples(stream: &[u8]) -> Result<Vec<(String, Vec<Sample>, bool)>, WireError> {
        let mut all = Vec::new();
        read(stream, |family, metric| {
            all.push((
                format!("{} {:?}", family.name, metric.labels),
                metric.values.clone(),
                metric.has_time,
            ));
            Ok(())
        })
        .map(|()| all)
    }

    #[test]
    fn families_are_the_samples_that_they_stand_for() {
        let mut writer = FamilyWriter::begin("m", FamilyType::Untyped);
        writer.push(&untyped(vec![LabelPair::new("a", "b")], TimestampMs::new(7), 1.5));
        let (length, body) = writer.finish();
        let expected = ("m [(\"a\", \"b\")]".to_owned(), vec![Sample::of("", 1.5)], true);
        assert_eq!(samples(&[length, body].concat()), Ok(vec![expected]));
        // A histogram of two buckets, the last of which is not said.
        let bucket = [&[0x1a, 11, 0x08, 2, 0x11][..], &0.5_f64.to_le_bytes()].concat();
        let histogram = [&[0x08, 3][..], &[0x11], &4.0_f64.to_le_bytes(), &bucket].concat();
        let metric = [&[0x3a, histogram.len() as u8][..], &histogram].concat();
        let family = [&[0x0a, 1, b'h', 0x18, 4, 0x22, metric.len() as u8][..], &metric].concat();
        let stream = [&[family.len() as u8][..], &family].concat();
        let bucket = |bound, value| Sample { suffix: "_bucket", bound: Some(("le", bound)), value };
        let values = vec![
            bucket(0.5, 2.0),
            bucket(f64::INFINITY, 3.0),
            Sample::of("_sum", 4.0),
            Sample::of("_count", 3.0),
        ];
        assert_eq!(samples(&stream), Ok(vec![("h []".to_owned(), values, false)]));
        for cut in 1..stream.len() {
            assert!(samples(&stream[..cut]).is_err(), "{cut}");
        }
    }
}
