//! The messages of remote write 1.0 and 2.0 and of remote read, to and from `Content`. Sends nothing.

use std::collections::BTreeMap;

use super::protobuf::{Field, Message, fields, unpack_doubles, unpack_sints};
use crate::series::{Content, Counts, Exemplar, Histogram, LabelPairs, Reset, Series, Value};

/// The type of a metric as remote write 2.0 numbers it.
const METRIC_TYPES: [&str; 8] =
    ["unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset"];

/// A `prometheus.WriteRequest`.
pub(super) fn write_v1(content: &Content) -> Vec<u8> {
    let mut request = Message::default();
    for (labels, series) in content {
        let mut out = Message::default();
        write_labels(&mut out, labels);
        write_samples(&mut out, series, &FieldsOfSeries { samples: 2, histograms: 4 });
        for exemplar in &series.exemplars {
            let mut e = Message::default();
            write_labels(&mut e, &exemplar.labels);
            e.double(2, exemplar.value);
            e.int(3, exemplar.timestamp_ms);
            out.message(3, &e);
        }
        request.message(1, &out);
    }
    request.finish()
}

/// An `io.prometheus.write.v2.Request`.
pub(super) fn write_v2(content: &Content) -> Vec<u8> {
    let mut symbols = Symbols::default();
    symbols.number_of("");
    let mut all = Vec::new();
    for (labels, series) in content {
        let mut out = Message::default();
        out.packed_uints(1, symbols.numbers_of(labels));
        write_samples(&mut out, series, &FieldsOfSeries { samples: 2, histograms: 3 });
        for exemplar in &series.exemplars {
            let mut e = Message::default();
            e.packed_uints(1, symbols.numbers_of(&exemplar.labels));
            e.double(2, exemplar.value);
            e.int(3, exemplar.timestamp_ms);
            out.message(4, &e);
        }
        if let Some(metadata) = &series.metadata {
            let mut m = Message::default();
            let metric_type = METRIC_TYPES.iter().position(|one| *one == metadata.metric_type);
            m.uint(1, metric_type.unwrap_or_default() as u64);
            m.uint(3, symbols.number_of(&metadata.help));
            m.uint(4, symbols.number_of(&metadata.unit));
            out.message(5, &m);
        }
        all.push(out);
    }
    let mut request = Message::default();
    symbols.texts.iter().for_each(|text| request.bytes(4, text.as_bytes()));
    all.into_iter().for_each(|series| request.message(5, &series));
    request.finish()
}

/// A `prometheus.ReadRequest` for everything in a range of time.
pub(super) fn read_request(min_ms: i64, max_ms: i64) -> Vec<u8> {
    let mut matcher = Message::default();
    // Type 2 is `=~`.
    matcher.uint(1, 2);
    matcher.bytes(2, b"__name__");
    matcher.bytes(3, b".+");
    let mut query = Message::default();
    query.int(1, min_ms);
    query.int(2, max_ms);
    query.message(3, &matcher);
    let mut request = Message::default();
    request.message(1, &query);
    request.finish()
}

/// Reads a `prometheus.ReadResponse`.
pub(super) fn read_response(message: &[u8]) -> Option<Content> {
    let mut content = Content::new();
    for (_, result) in fields(message)?.iter().filter(|(field, _)| *field == 1) {
        for (_, series) in fields(result.bytes()?)?.iter().filter(|(field, _)| *field == 1) {
            let (labels, series) = read_series(series.bytes()?)?;
            content.insert(labels, series);
        }
    }
    Some(content)
}

/// The texts of a request of 2.0, each once.
#[derive(Default)]
struct Symbols {
    texts: Vec<String>,
    numbers: BTreeMap<String, u64>,
}

impl Symbols {
    fn number_of(&mut self, text: &str) -> u64 {
        let next = self.texts.len() as u64;
        *self.numbers.entry(text.to_owned()).or_insert_with(|| {
            self.texts.push(text.to_owned());
            next
        })
    }

    fn numbers_of(&mut self, labels: &LabelPairs) -> Vec<u64> {
        labels.iter().flat_map(|(name, value)| [self.number_of(name), self.number_of(value)]).collect()
    }
}

fn write_labels(out: &mut Message, labels: &LabelPairs) {
    for (name, value) in labels {
        let mut label = Message::default();
        label.bytes(1, name.as_bytes());
        label.bytes(2, value.as_bytes());
        out.message(1, &label);
    }
}

/// The numbers of fields in which the versions differ.
struct FieldsOfSeries {
    samples: u32,
    histograms: u32,
}

fn write_samples(out: &mut Message, series: &Series, place: &FieldsOfSeries) {
    for (t, value) in &series.samples {
        match value {
            Value::Float(bits) => {
                let mut sample = Message::default();
                sample.double_bits(1, *bits);
                sample.int(2, *t);
                out.message(place.samples, &sample);
            }
            Value::Histogram(h) => out.message(place.histograms, &histogram(*t, h)),
        }
    }
}

/// A histogram of either version; they have the same fields.
fn histogram(t: i64, h: &Histogram) -> Message {
    let mut out = Message::default();
    match h.counts {
        Counts::Whole => out.uint(1, h.count as u64),
        Counts::Floats => out.double(2, h.count),
    }
    out.double_bits(3, h.sum_bits);
    out.sint(4, h.schema.into());
    out.double(5, h.zero_threshold);
    match h.counts {
        Counts::Whole => out.uint(6, h.zero_count as u64),
        Counts::Floats => out.double(7, h.zero_count),
    }
    write_buckets(&mut out, 8, h.counts, &h.negative);
    write_buckets(&mut out, 11, h.counts, &h.positive);
    out.uint(14, Reset::ALL.iter().position(|one| *one == h.reset).unwrap_or_default() as u64);
    out.int(15, t);
    if !h.custom_bounds.is_empty() {
        out.packed_doubles(16, &h.custom_bounds);
    }
    out
}

/// Spans in the field `first`, differences in the next one, absolute counts in the one behind.
fn write_buckets(out: &mut Message, first: u32, counts: Counts, buckets: &BTreeMap<i32, f64>) {
    let mut spans: Vec<(i64, u64)> = Vec::new();
    let mut next = 0;
    for index in buckets.keys().map(|index| i64::from(*index)) {
        match spans.last_mut() {
            Some((_, length)) if index == next => *length += 1,
            _ => spans.push((index - next, 1)),
        }
        next = index + 1;
    }
    for (offset, length) in spans {
        let mut span = Message::default();
        span.sint(1, offset);
        span.uint(2, length);
        out.message(first, &span);
    }
    let absolute: Vec<f64> = buckets.values().copied().collect();
    match counts {
        _ if absolute.is_empty() => {}
        Counts::Whole => {
            let before = std::iter::once(0).chain(absolute.iter().map(|count| *count as i64));
            out.packed_sints(
                first + 1,
                absolute.iter().zip(before).map(|(count, before)| *count as i64 - before),
            );
        }
        Counts::Floats => out.packed_doubles(first + 2, &absolute),
    }
}

fn read_series(message: &[u8]) -> Option<(LabelPairs, Series)> {
    let mut labels = LabelPairs::new();
    let mut series = Series::default();
    for (field, value) in fields(message)? {
        let inner = value.bytes()?;
        match field {
            1 => labels.extend([read_label(inner)?]),
            2 => series.samples.push(read_sample(inner)?),
            3 => series.exemplars.push(read_exemplar(inner)?),
            4 => series.samples.push(read_histogram(inner)?),
            _ => {}
        }
    }
    series.samples.sort_by_key(|(t, _)| *t);
    Some((labels, series))
}

fn read_label(message: &[u8]) -> Option<(String, String)> {
    let all = fields(message)?;
    let text =
        |number| all.iter().find(|(field, _)| *field == number).map_or(Some(String::new()), |f| f.1.text());
    Some((text(1)?, text(2)?))
}

fn read_sample(message: &[u8]) -> Option<(i64, Value)> {
    let (mut t, mut bits) = (0, 0);
    for (field, value) in fields(message)? {
        match field {
            1 => bits = value.number()?,
            2 => t = value.number()? as i64,
            _ => {}
        }
    }
    Some((t, Value::Float(bits)))
}

fn read_exemplar(message: &[u8]) -> Option<Exemplar> {
    let mut exemplar = Exemplar { labels: LabelPairs::new(), timestamp_ms: 0, value: 0.0 };
    for (field, value) in fields(message)? {
        match field {
            1 => exemplar.labels.extend([read_label(value.bytes()?)?]),
            2 => exemplar.value = value.double()?,
            3 => exemplar.timestamp_ms = value.number()? as i64,
            _ => {}
        }
    }
    Some(exemplar)
}

/// The buckets of one side as they stand in a message.
#[derive(Default)]
struct Side {
    spans: Vec<(i64, u64)>,
    deltas: Vec<i64>,
    absolute: Vec<f64>,
}

impl Side {
    fn read(&mut self, field: u32, value: Field<'_>) -> Option<()> {
        match field {
            0 => {
                let all = fields(value.bytes()?)?;
                let part = |number| all.iter().find(|(field, _)| *field == number).map(|(_, value)| *value);
                let offset = part(1).map_or(Some(0), Field::sint)?;
                self.spans.push((offset, part(2).map_or(Some(0), Field::number)?));
            }
            1 => self.deltas = unpack_sints(value.bytes()?)?,
            _ => self.absolute = unpack_doubles(value.bytes()?)?,
        }
        Some(())
    }

    fn buckets(self) -> Option<BTreeMap<i32, f64>> {
        let mut sum = 0;
        let summed = self.deltas.iter().map(|delta| {
            sum += delta;
            sum as f64
        });
        let counts: Vec<f64> = summed.chain(self.absolute.iter().copied()).collect();
        let mut counts = counts.into_iter();
        let mut next = 0;
        let mut all = BTreeMap::new();
        for (offset, length) in self.spans {
            next += offset;
            for _ in 0..length {
                let count = counts.next()?;
                if count != 0.0 {
                    all.insert(i32::try_from(next).ok()?, count);
                }
                next += 1;
            }
        }
        counts.next().is_none().then_some(all)
    }
}

fn read_histogram(message: &[u8]) -> Option<(i64, Value)> {
    let mut t = 0;
    let (mut negative, mut positive) = (Side::default(), Side::default());
    let mut h = Histogram {
        counts: Counts::Whole,
        schema: 0,
        zero_threshold: 0.0,
        zero_count: 0.0,
        count: 0.0,
        sum_bits: 0,
        reset: Reset::Unknown,
        positive: BTreeMap::new(),
        negative: BTreeMap::new(),
        custom_bounds: Vec::new(),
    };
    for (field, value) in fields(message)? {
        match field {
            1 => h.count = value.number()? as f64,
            2 => (h.counts, h.count) = (Counts::Floats, value.double()?),
            3 => h.sum_bits = value.number()?,
            4 => h.schema = i32::try_from(value.sint()?).ok()?,
            5 => h.zero_threshold = value.double()?,
            6 => h.zero_count = value.number()? as f64,
            7 => (h.counts, h.zero_count) = (Counts::Floats, value.double()?),
            8..=10 => negative.read(field - 8, value)?,
            11..=13 => positive.read(field - 11, value)?,
            14 => h.reset = *Reset::ALL.get(usize::try_from(value.number()?).ok()?)?,
            15 => t = value.number()? as i64,
            16 => h.custom_bounds = unpack_doubles(value.bytes()?)?,
            _ => {}
        }
    }
    (h.negative, h.positive) = (negative.buckets()?, positive.buckets()?);
    Some((t, Value::Histogram(h)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(name: &str) -> LabelPairs {
        [("__name__".to_owned(), name.to_owned())].into()
    }

    /// What a server would answer that holds what `write_v1` says: its series stand in a result.
    fn answer(request: &[u8]) -> Vec<u8> {
        let mut response = Message::default();
        response.bytes(1, request);
        response.finish()
    }

    #[test]
    fn every_kind_of_sample_passes_through_its_message() {
        let histogram = |counts, reset| {
            Value::Histogram(Histogram {
                counts,
                schema: -53,
                zero_threshold: 0.5,
                zero_count: 1.0,
                count: 20.0,
                sum_bits: 0x7ff0_0000_0000_0002,
                reset,
                positive: [(-3, 4.0), (-2, 2.0), (0, 7.0), (900, 1.0)].into(),
                negative: [(5, 3.0)].into(),
                custom_bounds: vec![1.0, 2.5],
            })
        };
        let mut samples = vec![(-5, Value::float(-0.0)), (7, Value::Float(0x7ff0_0000_0000_0002))];
        samples.extend((8..).zip(Reset::ALL.map(|reset| histogram(Counts::Whole, reset))));
        samples.extend((20..).zip(Reset::ALL.map(|reset| histogram(Counts::Floats, reset))));
        let exemplars = vec![Exemplar { labels: labels("trace"), timestamp_ms: 3, value: 0.5 }];
        let all: Content = [
            (labels("all"), Series { samples, exemplars, metadata: None }),
            (labels("more"), Series { samples: vec![(1, Value::float(1.0))], ..Series::default() }),
        ]
        .into();
        assert_eq!(read_response(&answer(&write_v1(&all))), Some(all));
    }

    #[test]
    fn cut_answers_are_none() {
        let one = Series { samples: vec![(1, Value::float(1.0))], ..Series::default() };
        let whole = answer(&write_v1(&[(labels("m"), one)].into()));
        assert!((1..whole.len()).all(|cut| read_response(&whole[..cut]).is_none()));
    }
}
