//! Requests of remote write 1.0 and 2.0 as they come, series by series and borrowing the bytes: nothing is
//! made of a request as a whole. Checks no label and no histogram: whoever stores them does.

use crate::{
    ProtoError,
    wire::{Fields, Value, WireError},
};
use skopos_model::{
    FloatHistogram, Histogram, TimestampMs,
    histogram::{CounterResetHint, Layout, Span},
    metadata::MetricType,
};

/// So much may come out of a byte of snappy: three bytes of it stand for 64.
const SNAPPY_GROWTH: usize = 22;

/// How many bytes a body says that it unpacks to, where that can be and is not more than `max`.
///
/// # Errors
/// When it is not.
pub fn unpacked_bytes(body: &[u8], max: usize) -> Result<usize, ProtoError> {
    let bytes = snap::raw::decompress_len(body).map_err(|e| ProtoError::Snappy(e.to_string()))?;
    if bytes > max {
        return Err(ProtoError::TooLong { bytes, max });
    }
    if bytes > SNAPPY_GROWTH * body.len() {
        return Err(ProtoError::Snappy(format!("{} bytes cannot unpack to {bytes}", body.len())));
    }
    Ok(bytes)
}

/// Unpacks a body into `plain`, of which nothing else remains. `unpacked_bytes` was asked before.
///
/// # Errors
/// When snappy did not write it.
pub fn unpack(body: &[u8], bytes: usize, plain: &mut Vec<u8>) -> Result<(), ProtoError> {
    plain.resize(bytes, 0);
    let unpacked = snap::raw::Decoder::new().decompress(body, plain);
    let unpacked = unpacked.map_err(|e| ProtoError::Snappy(e.to_string()))?;
    plain.truncate(unpacked);
    Ok(())
}

/// Which message a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `prometheus.WriteRequest`.
    One,
    /// `io.prometheus.write.v2.Request`.
    Two,
}

/// A part of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Part<'a> {
    /// The next text that series refer to.
    Symbol(&'a [u8]),
    /// A series.
    Series(&'a [u8]),
    /// What is known of a family.
    Family(&'a [u8]),
}

/// The parts of a request in order.
#[derive(Clone, Debug)]
pub struct Parts<'a> {
    fields: Fields<'a>,
    version: Version,
}

impl<'a> Parts<'a> {
    /// Those of `request`.
    pub fn of(request: &'a [u8], version: Version) -> Self {
        Self { fields: Fields::of(request), version }
    }

    /// The next part; none at the end.
    ///
    /// # Errors
    /// When the bytes are no request.
    #[inline]
    pub fn next_part(&mut self) -> Result<Option<Part<'a>>, WireError> {
        while let Some((number, value)) = self.fields.next_field()? {
            return Ok(Some(match (self.version, number) {
                (Version::One, 1) | (Version::Two, 5) => Part::Series(value.bytes()?),
                (Version::One, 3) => Part::Family(value.bytes()?),
                (Version::Two, 4) => Part::Symbol(value.bytes()?),
                _ => continue,
            }));
        }
        Ok(None)
    }
}

/// What a series has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Item<'a> {
    /// A float.
    Sample(Sample),
    /// A native histogram.
    Histogram(&'a [u8]),
    /// An exemplar.
    Exemplar(&'a [u8]),
    /// What its metric is.
    Metadata(&'a [u8]),
    /// Since when all its values have been counted.
    Created(i64),
}

/// A float at a time.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Sample {
    /// The float.
    pub value: f64,
    /// The time.
    pub timestamp_ms: i64,
}

/// A series of a request: its labels, and then one item after the other.
#[derive(Clone, Debug)]
pub struct Series<'a> {
    labels: &'a [u8],
    items: Fields<'a>,
    version: Version,
}

/// Field 1 of a series: a label, or all references to symbols.
const FIRST_WITH_LENGTH: u8 = 1 << 3 | 2;
/// The same of a single reference.
const FIRST_ALONE: u8 = 1 << 3;

impl<'a> Series<'a> {
    /// The series that `message` is. As every sender writes fields by their numbers, labels stand first.
    ///
    /// # Errors
    /// When it is none.
    #[inline]
    pub fn of(message: &'a [u8], version: Version) -> Result<Self, WireError> {
        let mut items = Fields::of(message);
        while let Some(&(FIRST_WITH_LENGTH | FIRST_ALONE)) = items.rest().first() {
            items.next_field()?;
        }
        let labels = &message[..message.len() - items.rest().len()];
        Ok(Self { labels, items, version })
    }

    /// Its labels as they stand there; `labels` and `references` read them.
    pub fn labels(&self) -> &'a [u8] {
        self.labels
    }

    /// The next item; none at the end.
    ///
    /// # Errors
    /// When the bytes are no series.
    #[inline]
    pub fn next_item(&mut self) -> Result<Option<Item<'a>>, WireError> {
        while let Some((number, value)) = self.items.next_field()? {
            return Ok(Some(match (self.version, number) {
                (_, 1) => return Err(WireError("labels stand behind samples")),
                (_, 2) => Item::Sample(sample(value.bytes()?)?),
                (Version::One, 3) | (Version::Two, 4) => Item::Exemplar(value.bytes()?),
                (Version::One, 4) | (Version::Two, 3) => Item::Histogram(value.bytes()?),
                (Version::Two, 5) => Item::Metadata(value.bytes()?),
                (Version::Two, 6) => Item::Created(value.int()?),
                _ => continue,
            }));
        }
        Ok(None)
    }
}

/// Calls `each` with name and value of every label of a series or exemplar of version 1.
///
/// # Errors
/// When there is none, a text is not UTF-8, or what `each` says.
pub fn labels<'a, E: From<WireError>>(
    fields: &'a [u8],
    mut each: impl FnMut(&'a str, &'a str) -> Result<(), E>,
) -> Result<(), E> {
    let mut fields = Fields::of(fields);
    while let Some((number, value)) = fields.next_field()? {
        if number != 1 {
            continue;
        }
        let (mut label, mut name, mut of_name) = (Fields::of(value.bytes()?), "", "");
        while let Some((number, value)) = label.next_field()? {
            match number {
                1 => name = value.text()?,
                2 => of_name = value.text()?,
                _ => {}
            }
        }
        each(name, of_name)?;
    }
    Ok(())
}

/// Calls `each` with every reference of a series or exemplar of version 2.
///
/// # Errors
/// When there is none, or what `each` says.
pub fn references<E: From<WireError>>(
    fields: &[u8],
    mut each: impl FnMut(u64) -> Result<(), E>,
) -> Result<(), E> {
    let mut fields = Fields::of(fields);
    while let Some((number, value)) = fields.next_field()? {
        if number == 1 {
            value.uints(&mut each)?;
        }
    }
    Ok(())
}

#[inline]
fn sample(message: &[u8]) -> Result<Sample, WireError> {
    let (mut fields, mut sample) = (Fields::of(message), Sample::default());
    while let Some((number, value)) = fields.next_field()? {
        match number {
            1 => sample.value = value.double()?,
            2 => sample.timestamp_ms = value.int()?,
            _ => {}
        }
    }
    Ok(sample)
}

/// An exemplar without its labels, which stand in its first field as those of a series do.
///
/// # Errors
/// When it is none.
pub fn exemplar(message: &[u8]) -> Result<Sample, WireError> {
    let (mut fields, mut found) = (Fields::of(message), Sample::default());
    while let Some((number, value)) = fields.next_field()? {
        match number {
            2 => found.value = value.double()?,
            3 => found.timestamp_ms = value.int()?,
            _ => {}
        }
    }
    Ok(found)
}

/// What version 1 says of a family.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Family<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its type.
    pub metric_type: MetricType,
    /// What it means.
    pub help: &'a str,
    /// Its unit.
    pub unit: &'a str,
}

/// A family of version 1.
///
/// # Errors
/// When it is none.
pub fn family(message: &[u8]) -> Result<Family<'_>, WireError> {
    let (mut fields, mut family) = (Fields::of(message), Family::default());
    while let Some((number, value)) = fields.next_field()? {
        match number {
            1 => family.metric_type = metric_type(value.uint()?),
            2 => family.name = value.text()?,
            4 => family.help = value.text()?,
            5 => family.unit = value.text()?,
            _ => {}
        }
    }
    Ok(family)
}

/// What version 2 says of a metric, in symbols.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Metadata {
    /// Its type.
    pub metric_type: MetricType,
    /// What it means.
    pub help: u64,
    /// Its unit.
    pub unit: u64,
}

/// The metadata of version 2.
///
/// # Errors
/// When they are none.
pub fn metadata(message: &[u8]) -> Result<Metadata, WireError> {
    let (mut fields, mut metadata) = (Fields::of(message), Metadata::default());
    while let Some((number, value)) = fields.next_field()? {
        match number {
            1 => metadata.metric_type = metric_type(value.uint()?),
            3 => metadata.help = value.uint()?,
            4 => metadata.unit = value.uint()?,
            _ => {}
        }
    }
    Ok(metadata)
}

/// A number that nobody knows is a type that nobody knows.
fn metric_type(number: u64) -> MetricType {
    match number {
        1 => MetricType::Counter,
        2 => MetricType::Gauge,
        3 => MetricType::Histogram,
        4 => MetricType::GaugeHistogram,
        5 => MetricType::Summary,
        6 => MetricType::Info,
        7 => MetricType::StateSet,
        _ => MetricType::Unknown,
    }
}

/// A native histogram of either version. Its memory serves for one after the other.
#[derive(Clone, Debug, Default)]
pub struct AnyHistogram {
    /// Whether its counts are floats.
    pub is_float: bool,
    /// When it was observed.
    pub timestamp_ms: i64,
    /// With whole counts.
    pub whole: Histogram,
    /// With float counts.
    pub float: FloatHistogram,
}

impl AnyHistogram {
    fn clear(&mut self) {
        let layout = std::mem::take(&mut self.whole.layout);
        let Histogram { mut positive_deltas, mut negative_deltas, .. } = std::mem::take(&mut self.whole);
        positive_deltas.clear();
        negative_deltas.clear();
        self.whole =
            Histogram { layout: emptied(layout), positive_deltas, negative_deltas, ..Histogram::default() };
        let FloatHistogram { mut positive_buckets, mut negative_buckets, .. } =
            std::mem::take(&mut self.float);
        positive_buckets.clear();
        negative_buckets.clear();
        self.float = FloatHistogram { positive_buckets, negative_buckets, ..FloatHistogram::default() };
        (self.is_float, self.timestamp_ms) = (false, 0);
    }

    /// Becomes the histogram that `message` is.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(&mut self, message: &[u8]) -> Result<(), WireError> {
        self.clear();
        let mut fields = Fields::of(message);
        while let Some((number, value)) = fields.next_field()? {
            self.read_field(number, value)?;
        }
        if self.is_float {
            self.float.sum = self.whole.sum;
            std::mem::swap(&mut self.float.layout, &mut self.whole.layout);
        }
        Ok(())
    }

    fn read_field(&mut self, number: u32, value: Value<'_>) -> Result<(), WireError> {
        let (whole, float) = (&mut self.whole, &mut self.float);
        match number {
            1 => (whole.count, self.is_float) = (value.uint()?, false),
            2 => (float.count, self.is_float) = (value.double()?, true),
            3 => whole.sum = value.double()?,
            4 => whole.layout.schema = value.sint()? as i32,
            5 => whole.layout.zero_threshold = value.double()?,
            6 => whole.zero_count = value.uint()?,
            7 => float.zero_count = value.double()?,
            8 => whole.layout.negative_spans.push(span(value.bytes()?)?),
            9 => value.push_sints(&mut whole.negative_deltas)?,
            10 => value.push_fixed64s(&mut float.negative_buckets, f64::from_bits)?,
            11 => whole.layout.positive_spans.push(span(value.bytes()?)?),
            12 => value.push_sints(&mut whole.positive_deltas)?,
            13 => value.push_fixed64s(&mut float.positive_buckets, f64::from_bits)?,
            14 => {
                whole.layout.counter_reset_hint = match value.uint()? {
                    1 => CounterResetHint::Reset,
                    2 => CounterResetHint::NotReset,
                    3 => CounterResetHint::Gauge,
                    _ => CounterResetHint::Unknown,
                }
            }
            15 => self.timestamp_ms = value.int()?,
            16 => value.push_fixed64s(&mut whole.layout.custom_bounds, f64::from_bits)?,
            _ => {}
        }
        Ok(())
    }

    /// When it was observed.
    pub fn timestamp(&self) -> TimestampMs {
        TimestampMs::new(self.timestamp_ms)
    }
}

fn emptied(mut layout: Layout) -> Layout {
    layout.positive_spans.clear();
    layout.negative_spans.clear();
    layout.custom_bounds.clear();
    let Layout { positive_spans, negative_spans, custom_bounds, .. } = layout;
    Layout { positive_spans, negative_spans, custom_bounds, ..Layout::default() }
}

fn span(message: &[u8]) -> Result<Span, WireError> {
    let (mut fields, mut span) = (Fields::of(message), Span { offset: 0, length: 0 });
    while let Some((number, value)) = fields.next_field()? {
        match number {
            1 => span.offset = value.sint()? as i32,
            2 => span.length = value.uint()? as u32,
            _ => {}
        }
    }
    Ok(span)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        convert,
        messages::{Label, MetricMetadata, Sample as Written, TimeSeries, WriteRequest},
    };
    use prost::Message as _;

    fn histograms() -> (Histogram, FloatHistogram) {
        let layout = Layout {
            schema: 3,
            zero_threshold: 0.25,
            positive_spans: vec![Span { offset: -2, length: 2 }, Span { offset: 1, length: 1 }],
            negative_spans: vec![Span { offset: 5, length: 1 }],
            counter_reset_hint: CounterResetHint::NotReset,
            ..Layout::default()
        };
        let whole = Histogram {
            layout,
            count: 12,
            sum: -1.5,
            zero_count: 1,
            positive_deltas: vec![3, -1, 4],
            negative_deltas: vec![-7],
        };
        let mut float = whole.to_float();
        float.layout = Layout { schema: -53, custom_bounds: vec![0.5, 1.0], ..float.layout };
        (whole, float)
    }

    #[test]
    fn a_request_is_read_as_its_messages_are_written() {
        let (whole, float) = histograms();
        let label = |name: &str, value: &str| Label { name: name.to_owned(), value: value.to_owned() };
        let series = TimeSeries {
            labels: vec![label("__name__", "m"), label("a", "ü")],
            samples: vec![Written { value: 1.5, timestamp: -7 }, Written::default()],
            histograms: vec![
                convert::histogram(TimestampMs::new(8), whole.clone()),
                convert::float_histogram(TimestampMs::new(9), float.clone()),
            ],
        };
        let of = MetricMetadata { r#type: 2, family_name: "m".into(), help: "h".into(), unit: "s".into() };
        let request = WriteRequest { timeseries: vec![series], metadata: vec![of] }.encode_to_vec();
        let mut parts = Parts::of(&request, Version::One);
        let Ok(Some(Part::Series(message))) = parts.next_part() else { panic!("no series") };
        let mut series = Series::of(message, Version::One).unwrap();
        let mut pairs = Vec::new();
        labels::<WireError>(series.labels(), |name, value| {
            pairs.push((name, value));
            Ok(())
        })
        .unwrap();
        assert_eq!(pairs, [("__name__", "m"), ("a", "ü")]);
        let mut items = Vec::new();
        while let Some(item) = series.next_item().unwrap() {
            items.push(item);
        }
        assert_eq!(items[0], Item::Sample(Sample { value: 1.5, timestamp_ms: -7 }));
        assert_eq!(items[1], Item::Sample(Sample::default()));
        let mut any = AnyHistogram::default();
        for (item, at) in [(items[2], 8), (items[3], 9), (items[2], 8)] {
            let Item::Histogram(message) = item else { panic!("{item:?} is no histogram") };
            any.read(message).unwrap();
            assert_eq!(any.timestamp_ms, at);
            let same = if any.is_float { any.float == float } else { any.whole == whole };
            assert!(same && any.is_float == (at == 9), "{any:?}");
        }
        let Ok(Some(Part::Family(message))) = parts.next_part() else { panic!("no family") };
        let gauge = Family { name: "m", metric_type: MetricType::Gauge, help: "h", unit: "s" };
        assert_eq!((family(message), parts.next_part()), (Ok(gauge), Ok(None)));
    }

    #[test]
    fn a_length_of_snappy_is_not_believed() {
        let body = [0xff, 0xff, 0xff, 0x7f, 0x00];
        assert!(matches!(unpacked_bytes(&body, 1 << 20), Err(ProtoError::TooLong { .. })));
        assert!(matches!(unpacked_bytes(&[0x80, 0x80, 0x40, 0x00], 1 << 30), Err(ProtoError::Snappy(_))));
        let body = snap::raw::Encoder::new().compress_vec(&[7; 1000]).unwrap();
        let mut plain = vec![1; 5];
        unpack(&body, unpacked_bytes(&body, 1000).unwrap(), &mut plain).unwrap();
        assert_eq!(plain, [7; 1000]);
        assert!(unpacked_bytes(&body, 999).is_err());
    }
}
