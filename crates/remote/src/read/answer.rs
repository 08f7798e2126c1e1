//! What a server of remote read answers, sampled or as frames of chunks: its series, sorted, whose samples
//! are decoded when they are wanted. Trusts no length, no chunk and no order.

use bytes::Bytes;
use skopos_chunk::{Encoding, decode_columns};
use skopos_model::{Columns, FloatHistogram, Labels, LabelsBuilder, TimestampMs};
use skopos_proto::{
    frame,
    pushed::{self, AnyHistogram, Item, Version},
    wire::{Fields, WireError},
};
use skopos_storage::TimeRange;
use std::collections::BTreeSet;

/// Why bytes are no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// They are no message.
    #[error("its answer cannot be read: {0}")]
    Wire(#[from] WireError),
    /// A frame is damaged.
    #[error("its answer cannot be read: {0}")]
    Frame(#[from] skopos_proto::ProtoError),
    /// A frame is longer than it may be.
    #[error("a frame of its answer has {bytes} bytes, more than chunked_read_limit = {max}")]
    Long {
        /// What it has.
        bytes: usize,
        /// What it may have.
        max: usize,
    },
    /// Samples of a series are not as they must be.
    #[error("the samples of {labels} cannot be read: {reason}")]
    Samples {
        /// The series.
        labels: Labels,
        /// What is wrong.
        reason: String,
    },
}

/// Series of a server, sorted by their labels.
#[derive(Debug, Default)]
pub struct Answer {
    series: Vec<RemoteSeries>,
}

/// A series with what its samples are decoded from.
#[derive(Debug)]
pub struct RemoteSeries {
    /// What identifies it.
    pub labels: Labels,
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    /// A `TimeSeries`.
    Samples(Bytes),
    Chunk(Encoding, Bytes),
}

impl Answer {
    /// A `ReadResponse` to one query; labels of these names are taken away.
    ///
    /// # Errors
    /// When it is none.
    pub fn sampled(response: &Bytes, without: &BTreeSet<String>) -> Result<Self, AnswerError> {
        let (mut answer, mut builder) = (Self::default(), LabelsBuilder::default());
        let mut results = Fields::of(response);
        while let Some((number, result)) = results.next_field()? {
            if number != 1 {
                continue;
            }
            let mut series = Fields::of(result.bytes()?);
            while let Some((number, message)) = series.next_field()? {
                if number == 1 {
                    let message = response.slice_ref(message.bytes()?);
                    let labels = labels(&mut builder, &message, without)?;
                    answer.series.push(RemoteSeries { labels, parts: vec![Part::Samples(message)] });
                }
            }
        }
        Ok(answer.sorted())
    }

    /// Frames of `ChunkedReadResponse` to one query; labels of these names are taken away.
    ///
    /// # Errors
    /// When they are none, or longer than `max_frame` bytes.
    pub fn chunked(
        stream: &Bytes,
        max_frame: usize,
        without: &BTreeSet<String>,
    ) -> Result<Self, AnswerError> {
        let (mut answer, mut builder, mut offset) = (Self::default(), LabelsBuilder::default(), 0);
        while let Some((message, next)) = frame::read(stream, offset)? {
            if message.len() > max_frame {
                return Err(AnswerError::Long { bytes: message.len(), max: max_frame });
            }
            offset = next;
            let mut fields = Fields::of(message);
            while let Some((number, series)) = fields.next_field()? {
                if number == 1 {
                    answer.push_chunks(stream, series.bytes()?, &mut builder, without)?;
                }
            }
        }
        Ok(answer.sorted())
    }

    /// Adds a `ChunkedSeries`, which may go on where the one before ended.
    fn push_chunks(
        &mut self,
        stream: &Bytes,
        message: &[u8],
        builder: &mut LabelsBuilder,
        without: &BTreeSet<String>,
    ) -> Result<(), AnswerError> {
        let labels = labels(builder, message, without)?;
        let mut parts = Vec::new();
        let mut fields = Fields::of(message);
        while let Some((number, chunk)) = fields.next_field()? {
            if number != 2 {
                continue;
            }
            let (mut encoding, mut data) = (None, Bytes::new());
            let mut chunk = Fields::of(chunk.bytes()?);
            while let Some((number, value)) = chunk.next_field()? {
                match number {
                    3 => encoding = u8::try_from(value.uint()?).ok().and_then(Encoding::from_byte),
                    4 => data = stream.slice_ref(value.bytes()?),
                    _ => {}
                }
            }
            let unknown = WireError::new("a chunk is of an encoding that is not known");
            parts.push(Part::Chunk(encoding.ok_or(unknown)?, data));
        }
        match self.series.last_mut().filter(|last| last.labels == labels) {
            Some(last) => last.parts.append(&mut parts),
            None => self.series.push(RemoteSeries { labels, parts }),
        }
        Ok(())
    }

    /// Taking labels away changes the order, and may make one series of two, of which the first counts.
    fn sorted(mut self) -> Self {
        if !self.series.is_sorted_by(|a, b| a.labels < b.labels) {
            self.series.sort_by(|a, b| a.labels.cmp(&b.labels));
            self.series.dedup_by(|b, a| a.labels == b.labels);
        }
        self
    }

    /// All series in their order.
    pub fn series(&self) -> &[RemoteSeries] {
        &self.series
    }
}

fn labels(
    builder: &mut LabelsBuilder,
    message: &[u8],
    without: &BTreeSet<String>,
) -> Result<Labels, WireError> {
    builder.clear();
    let mut fields = Fields::of(message);
    while let Some(&LABEL) = fields.rest().first() {
        fields.next_field()?;
    }
    pushed::labels(&message[..message.len() - fields.rest().len()], |name, value| {
        if name.is_empty() {
            return Err(WireError::new("a label has no name"));
        }
        if !without.contains(name) {
            builder.set(name, value);
        }
        Ok(())
    })?;
    Ok(builder.build())
}

/// The first byte of a label of a series.
const LABEL: u8 = 1 << 3 | 2;

impl RemoteSeries {
    /// Appends the samples of a range.
    ///
    /// # Errors
    /// When they are not sound; then some may have been appended.
    pub fn decode(&self, range: TimeRange, columns: &mut Columns) -> Result<(), AnswerError> {
        let wrong = |reason: String| AnswerError::Samples { labels: self.labels.clone(), reason };
        let before = columns.timestamps.len();
        for part in &self.parts {
            match part {
                Part::Chunk(encoding, bytes) => {
                    decode_columns(*encoding, bytes, range.min, range.max, columns)
                        .map_err(|e| wrong(e.to_string()))?;
                }
                Part::Samples(message) => decode_samples(message, range, columns).map_err(wrong)?,
            }
        }
        if !columns.timestamps[before..].is_sorted_by(|a, b| a < b) {
            return Err(wrong("they are not in the order of time".to_owned()));
        }
        Ok(())
    }
}

/// Floats stand before histograms in a message; in a series they follow time.
fn decode_samples(message: &[u8], range: TimeRange, columns: &mut Columns) -> Result<(), String> {
    let text = |e: WireError| e.to_string();
    let mut series = pushed::Series::of(message, Version::One).map_err(text)?;
    let (mut floats, mut histograms) = (Vec::new(), Vec::<(TimestampMs, FloatHistogram)>::new());
    let mut histogram = AnyHistogram::default();
    let is_in = |at: TimestampMs| at >= range.min && at <= range.max;
    while let Some(item) = series.next_item().map_err(text)? {
        match item {
            Item::Sample(sample) => {
                let at = TimestampMs::new(sample.timestamp_ms);
                if is_in(at) {
                    floats.push((at, sample.value));
                }
            }
            Item::Histogram(bytes) => {
                histogram.read(bytes).map_err(text)?;
                if is_in(histogram.timestamp()) {
                    histograms.push((histogram.timestamp(), float(&histogram)?));
                }
            }
            _ => {}
        }
    }
    let mut histograms = histograms.iter().peekable();
    for (at, value) in floats {
        while let Some((before, histogram)) = histograms.next_if(|(time, _)| *time < at) {
            columns.push_histogram(*before, histogram);
        }
        columns.push_float(at, value);
    }
    histograms.for_each(|(at, histogram)| columns.push_histogram(*at, histogram));
    Ok(())
}

fn float(histogram: &AnyHistogram) -> Result<FloatHistogram, String> {
    if histogram.whole.is_stale() || histogram.float.is_stale() {
        return Ok(FloatHistogram::stale());
    }
    if histogram.is_float {
        histogram.float.validate().map_err(|e| e.to_string())?;
        return Ok(histogram.float.clone());
    }
    histogram.whole.validate().map_err(|e| e.to_string())?;
    Ok(histogram.whole.to_float())
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message as _;
    use skopos_model::{Histogram, histogram::Layout};
    use skopos_proto::{
        convert,
        messages::{
            Chunk, ChunkedReadResponse, ChunkedSeries, Label, QueryResult, ReadResponse, Sample, TimeSeries,
        },
    };

    fn pairs(texts: &[(&str, &str)]) -> Vec<Label> {
        texts.iter().map(|(n, v)| Label { name: (*n).to_owned(), value: (*v).to_owned() }).collect()
    }

    fn range(min: i64, max: i64) -> TimeRange {
        TimeRange { min: TimestampMs::new(min), max: TimestampMs::new(max) }
    }

    fn decoded(answer: &Answer, range: TimeRange) -> Vec<(String, Vec<(i64, f64)>)> {
        let of = |series: &RemoteSeries| {
            let mut columns = Columns::default();
            series.decode(range, &mut columns).unwrap();
            let samples = columns.timestamps.iter().map(|t| t.as_ms()).zip(columns.values.iter().copied());
            (series.labels.to_string(), samples.collect())
        };
        answer.series().iter().map(of).collect()
    }

    #[test]
    fn a_sampled_answer_is_sorted_and_floats_and_histograms_follow_time() {
        let sample = |timestamp, value| Sample { value, timestamp };
        let at = |ms| {
            let h = Histogram { layout: Layout::default(), sum: 0.5, ..Histogram::default() };
            convert::histogram(TimestampMs::new(ms), h)
        };
        let timeseries = vec![
            TimeSeries {
                labels: pairs(&[("a", "2"), ("zone", "z")]),
                samples: vec![sample(1, 1.0), sample(4, 4.0)],
                histograms: vec![at(2), at(5)],
            },
            TimeSeries { labels: pairs(&[("a", "1")]), samples: vec![sample(3, -0.0)], histograms: vec![] },
        ];
        let response = ReadResponse { results: vec![QueryResult { timeseries }] };
        let bytes = Bytes::from(response.encode_to_vec());
        let answer = Answer::sampled(&bytes, &BTreeSet::from(["zone".to_owned()])).unwrap();
        let two = vec![(2, 0.5), (4, 4.0)];
        assert_eq!(
            decoded(&answer, range(2, 4)),
            [("{a=\"1\"}".to_owned(), vec![(3, -0.0)]), ("{a=\"2\"}".to_owned(), two)]
        );
        for cut in 1..bytes.len() {
            // Whatever it is, it is no panic.
            let _read = Answer::sampled(&bytes.slice(..cut), &BTreeSet::new());
        }
    }

    fn chunk(samples: &[(i64, f64)]) -> Chunk {
        let (times, values): (Vec<_>, Vec<_>) =
            samples.iter().map(|(t, v)| (TimestampMs::new(*t), *v)).unzip();
        let mut data = Vec::new();
        skopos_chunk::encode_floats(&times, &values, &mut data);
        Chunk { min_time_ms: 0, max_time_ms: 0, r#type: 1, data: data.into() }
    }

    fn stream(frames: &[Vec<ChunkedSeries>]) -> Bytes {
        let mut out = Vec::new();
        for chunked_series in frames {
            let response = ChunkedReadResponse { chunked_series: chunked_series.clone(), query_index: 0 };
            frame::write(&response.encode_to_vec(), &mut out);
        }
        out.into()
    }

    #[test]
    fn a_series_goes_on_in_the_next_frame_and_chunks_in_disorder_are_refused() {
        let series = |a: &str, chunks: Vec<Chunk>| ChunkedSeries { labels: pairs(&[("a", a)]), chunks };
        let (first, second) = (chunk(&[(1, 1.0), (2, 2.0)]), chunk(&[(3, 3.0)]));
        let bytes = stream(&[
            vec![series("1", vec![first.clone()])],
            vec![series("1", vec![second.clone()]), series("2", vec![first.clone()])],
        ]);
        let answer = Answer::chunked(&bytes, 1000, &BTreeSet::new()).unwrap();
        let one = vec![(2, 2.0), (3, 3.0)];
        assert_eq!(
            decoded(&answer, range(2, 9)),
            [("{a=\"1\"}".to_owned(), one), ("{a=\"2\"}".to_owned(), vec![(2, 2.0)])]
        );
        assert!(matches!(
            Answer::chunked(&bytes, 10, &BTreeSet::new()),
            Err(AnswerError::Long { max: 10, .. })
        ));
        let bytes = stream(&[vec![series("1", vec![second, first])]]);
        let answer = Answer::chunked(&bytes, 1000, &BTreeSet::new()).unwrap();
        let read = answer.series()[0].decode(range(0, 9), &mut Columns::default());
        assert!(matches!(read, Err(AnswerError::Samples { .. })), "{read:?}");
        let unknown = Chunk { r#type: 99, ..chunk(&[]) };
        let bytes = stream(&[vec![series("1", vec![unknown])]]);
        assert!(Answer::chunked(&bytes, 1000, &BTreeSet::new()).is_err());
    }
}
