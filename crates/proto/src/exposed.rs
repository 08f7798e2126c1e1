//! Metric families as targets expose them in protocol buffers (`io.prometheus.client.MetricFamily`, each
//! behind its length), read family by family and metric by metric, borrowing the bytes. Holds one histogram
//! at a time, of a bounded number of buckets; decides nothing about which series they become.

mod histogram;
#[cfg(test)]
mod tests;

pub use histogram::{ClassicBucket, ExposedHistogram, MOST_BUCKETS, Native};

use crate::{
    families::FamilyType,
    wire::{Fields, WireError},
};
use skopos_base::varint::uvarint;
use skopos_model::{Exemplar, Labels, MetricType, TimestampMs};

const CUT_OFF: WireError = WireError::new("a family is cut off");

/// The families of a page.
#[derive(Clone, Debug)]
pub struct ExposedFamilies<'a> {
    page: &'a [u8],
    at: usize,
}

/// A family.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExposedFamily<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it means.
    pub help: &'a str,
    /// What it is measured in.
    pub unit: &'a str,
    /// What its metrics are.
    pub family_type: FamilyType,
    message: &'a [u8],
}

/// The metrics of a family.
#[derive(Clone, Debug)]
pub struct ExposedMetrics<'a> {
    fields: Fields<'a>,
    /// The field of a metric that has what it says.
    value_field: u32,
}

/// A metric.
#[derive(Clone, Copy, Debug)]
pub struct ExposedMetric<'a> {
    message: &'a [u8],
    /// When it was seen, where it says so.
    pub timestamp: Option<TimestampMs>,
    value: &'a [u8],
}

/// What a counter, a gauge or an untyped metric says.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Single<'a> {
    /// The value.
    pub value: f64,
    /// An observation behind it.
    pub exemplar: Option<RawExemplar<'a>>,
    /// Since when it has been counted.
    pub created: Option<TimestampMs>,
}

/// What a summary says.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ExposedSummary {
    /// How many observations there are.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// Which part of them is below which value.
    pub quantiles: Vec<(f64, f64)>,
    /// Since when they have been counted.
    pub created: Option<TimestampMs>,
}

/// An observation as it stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawExemplar<'a>(&'a [u8]);

impl<'a> ExposedFamilies<'a> {
    /// Those of a page.
    pub fn of(page: &'a [u8]) -> Self {
        Self { page, at: 0 }
    }

    /// Where the next family begins, in bytes.
    pub fn offset(&self) -> usize {
        self.at
    }

    /// The next family; none at the end.
    ///
    /// # Errors
    /// When there is something that is none.
    pub fn next_family(&mut self) -> Result<Option<ExposedFamily<'a>>, WireError> {
        let rest = &self.page[self.at..];
        if rest.is_empty() {
            return Ok(None);
        }
        let (length, len) = uvarint(rest).ok_or(CUT_OFF)?;
        let length = usize::try_from(length).map_err(|_| CUT_OFF)?;
        let message = rest[len..].get(..length).ok_or(CUT_OFF)?;
        let family = ExposedFamily::of(message)?;
        self.at += len + length;
        Ok(Some(family))
    }
}

impl<'a> ExposedFamily<'a> {
    fn of(message: &'a [u8]) -> Result<Self, WireError> {
        let family_type = FamilyType::Counter;
        let mut family = Self { name: "", help: "", unit: "", family_type, message };
        let mut fields = Fields::of(message);
        while let Some((number, value)) = fields.next_field()? {
            match number {
                1 => family.name = value.text()?,
                2 => family.help = value.text()?,
                3 => {
                    let known = i32::try_from(value.uint()?).ok().and_then(|n| FamilyType::try_from(n).ok());
                    family.family_type = known.ok_or(WireError::new("a family is of no known type"))?;
                }
                5 => family.unit = value.text()?,
                _ => {}
            }
        }
        if family.name.is_empty() { Err(WireError::new("a family has no name")) } else { Ok(family) }
    }

    /// The type, as it is called elsewhere.
    pub fn metric_type(&self) -> MetricType {
        match self.family_type {
            FamilyType::Counter => MetricType::Counter,
            FamilyType::Gauge => MetricType::Gauge,
            FamilyType::Summary => MetricType::Summary,
            FamilyType::Untyped => MetricType::Unknown,
            FamilyType::Histogram => MetricType::Histogram,
            FamilyType::GaugeHistogram => MetricType::GaugeHistogram,
        }
    }

    /// Its metrics.
    pub fn metrics(&self) -> ExposedMetrics<'a> {
        let value_field = match self.family_type {
            FamilyType::Gauge => 2,
            FamilyType::Counter => 3,
            FamilyType::Summary => 4,
            FamilyType::Untyped => 5,
            FamilyType::Histogram | FamilyType::GaugeHistogram => 7,
        };
        ExposedMetrics { fields: Fields::of(self.message), value_field }
    }
}

impl<'a> ExposedMetrics<'a> {
    /// The next metric; none at the end.
    ///
    /// # Errors
    /// When there is something that is none, or is not of its family's type.
    pub fn next_metric(&mut self) -> Result<Option<ExposedMetric<'a>>, WireError> {
        while let Some((number, value)) = self.fields.next_field()? {
            if number == 4 {
                return ExposedMetric::of(value.bytes()?, self.value_field).map(Some);
            }
        }
        Ok(None)
    }
}

impl<'a> ExposedMetric<'a> {
    fn of(message: &'a [u8], value_field: u32) -> Result<Self, WireError> {
        let (mut said, mut timestamp, mut fields) = (None, None, Fields::of(message));
        while let Some((number, value)) = fields.next_field()? {
            if number == value_field {
                said = Some(value.bytes()?);
            } else if number == 6 {
                // As in Prometheus, nothing is ever of 1970's first millisecond.
                timestamp = Some(value.int()?).filter(|ms| *ms != 0).map(TimestampMs::new);
            }
        }
        let value = said.ok_or(WireError::new("a metric is not of its family's type"))?;
        Ok(Self { message, timestamp, value })
    }

    /// Calls `each` with the name and the value of every label.
    ///
    /// # Errors
    /// When one of them is none.
    #[inline]
    pub fn each_label(&self, each: impl FnMut(&'a str, &'a str)) -> Result<(), WireError> {
        each_label(self.message, each)
    }

    /// What it says, if it is a counter, a gauge or untyped.
    ///
    /// # Errors
    /// When it says nothing of the kind.
    pub fn single(&self) -> Result<Single<'a>, WireError> {
        let (mut fields, mut single) = (Fields::of(self.value), Single::default());
        while let Some((number, value)) = fields.next_field()? {
            match number {
                1 => single.value = value.double()?,
                2 => single.exemplar = Some(RawExemplar(value.bytes()?)),
                3 => single.created = timestamp(value.bytes()?)?,
                _ => {}
            }
        }
        Ok(single)
    }

    /// What it says, if it is a summary, in place of what `into` holds.
    ///
    /// # Errors
    /// When it says nothing of the kind, or more than may be.
    pub fn summary_into(&self, into: &mut ExposedSummary) -> Result<(), WireError> {
        into.quantiles.clear();
        (into.count, into.sum, into.created) = (0, 0.0, None);
        let mut fields = Fields::of(self.value);
        while let Some((number, value)) = fields.next_field()? {
            match number {
                1 => into.count = value.uint()?,
                2 => into.sum = value.double()?,
                3 => {
                    let (mut fields, mut quantile) = (Fields::of(value.bytes()?), (0.0, 0.0));
                    while let Some((number, value)) = fields.next_field()? {
                        match number {
                            1 => quantile.0 = value.double()?,
                            2 => quantile.1 = value.double()?,
                            _ => {}
                        }
                    }
                    if into.quantiles.len() == MOST_BUCKETS {
                        return Err(WireError::new("a summary has more than 65,536 quantiles"));
                    }
                    into.quantiles.push(quantile);
                }
                4 => into.created = timestamp(value.bytes()?)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// What it says, if it is a histogram, in place of what `into` holds.
    ///
    /// # Errors
    /// When it says nothing of the kind, or more than may be.
    pub fn histogram_into(&self, into: &mut ExposedHistogram<'a>) -> Result<(), WireError> {
        into.read(self.value)
    }
}

impl RawExemplar<'_> {
    /// The observation; its labels are as `Labels` has them.
    ///
    /// # Errors
    /// When it is none.
    pub fn decode(self) -> Result<Exemplar, WireError> {
        let (mut labels, mut fields) = (Vec::new(), Fields::of(self.0));
        let mut exemplar = Exemplar { labels: Labels::empty(), value: 0.0, timestamp: None };
        each_label(self.0, |name, value| labels.push((name, value)))?;
        while let Some((number, value)) = fields.next_field()? {
            match number {
                2 => exemplar.value = value.double()?,
                3 => exemplar.timestamp = timestamp(value.bytes()?)?,
                _ => {}
            }
        }
        exemplar.labels = Labels::from_pairs(labels);
        Ok(exemplar)
    }
}

/// The labels of a metric, or of an observation: both have them in field 1.
#[inline]
fn each_label<'a>(message: &'a [u8], mut each: impl FnMut(&'a str, &'a str)) -> Result<(), WireError> {
    let mut fields = Fields::of(message);
    while let Some((number, value)) = fields.next_field()? {
        if number == 1 {
            let (name, value) = label(value.bytes()?)?;
            each(name, value);
        }
    }
    Ok(())
}

/// Name and value of an `io.prometheus.client.LabelPair`.
#[inline]
pub(crate) fn label(message: &[u8]) -> Result<(&str, &str), WireError> {
    let (mut fields, mut label) = (Fields::of(message), ("", ""));
    while let Some((number, value)) = fields.next_field()? {
        match number {
            1 => label.0 = value.text()?,
            2 => label.1 = value.text()?,
            _ => {}
        }
    }
    if label.0.is_empty() { Err(WireError::new("a label has no name")) } else { Ok(label) }
}

/// A `google.protobuf.Timestamp`; none where it is beyond all times.
fn timestamp(message: &[u8]) -> Result<Option<TimestampMs>, WireError> {
    let (mut fields, mut seconds, mut nanos) = (Fields::of(message), 0, 0);
    while let Some((number, value)) = fields.next_field()? {
        match number {
            1 => seconds = value.int()?,
            2 => nanos = value.int()?,
            _ => {}
        }
    }
    let ms = seconds.checked_mul(1000).and_then(|ms| ms.checked_add(nanos / 1_000_000));
    Ok(ms.map(TimestampMs::new))
}
