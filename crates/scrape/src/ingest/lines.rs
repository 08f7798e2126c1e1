//! Bodies of lines of text: samples as they stand there, and classic histograms put together from several
//! lines where they are to become native ones.

use super::{Batch, BodyError, Ingest, Sample, StartTimes, created::Created, families::Coarser};
use crate::{
    body::Body,
    custom_buckets::{Collected, Converted},
    metadata::Families,
};
use skopos_exposition::{self as exposition, Entry, Format, Parser, Series};
use skopos_model::{Exemplar, MetricType, TimestampMs};
use skopos_storage::Value;

/// The classic histogram that lines behind one another are of.
#[derive(Default)]
pub(super) struct Histogram {
    /// The text of the native one; empty while there is none.
    text: String,
    collected: Collected,
    timestamp: Option<TimestampMs>,
    /// Since when it has been counted.
    start: Option<TimestampMs>,
    exemplars: Vec<Exemplar>,
}

impl Ingest {
    /// Reads a body; whether it is in the same format as the one before is said beside its own.
    pub(super) fn lines(
        &mut self,
        batch: &mut Batch<'_>,
        (format, same_format): (Format, bool),
        body: &Body,
        said: &mut Families,
    ) -> Result<(), BodyError> {
        let mut parser = Parser::new(format, &body.bytes);
        let mut histogram = self.new_histogram();
        let mut created = self.has_starts(format).then(|| Created::of(&body.bytes));
        self.entries(batch, (&mut parser, same_format), &mut histogram, &mut created, said)?;
        histogram.map_or(Ok(()), |mut last| self.convert(batch, &mut last))
    }

    /// Whether lines of a body say since when others have been counted.
    pub(super) fn has_starts(&self, format: Format) -> bool {
        format == Format::OpenMetrics && self.start_times == StartTimes::AsZeros
    }

    /// What classic histograms are put together in, where they are.
    pub(super) fn new_histogram(&self) -> Option<Histogram> {
        self.labels.reading().histograms.to_custom.then(Histogram::default)
    }

    /// Reads all that `parser` has.
    #[inline(always)]
    pub(super) fn entries(
        &mut self,
        batch: &mut Batch<'_>,
        (parser, same_format): (&mut Parser<'_>, bool),
        histogram: &mut Option<Histogram>,
        created: &mut Option<Created>,
        said: &mut Families,
    ) -> Result<(), BodyError> {
        loop {
            while parser.is_at_comment() && said.skip_known(parser) {}
            let expected = if same_format { self.cache.expected() } else { &[] };
            let Some(entry) = parser.next_expecting(expected) else { return Ok(()) };
            match entry? {
                Entry::Sample(sample) => {
                    let mut start = None;
                    if let Some(created) = created {
                        if Created::is_said_by(&sample, said.last()) {
                            continue;
                        }
                        start = created.start(&sample, said.last());
                    }
                    let taken = match histogram {
                        Some(histogram) => self.collect(batch, histogram, (&sample, start), said)?,
                        None => false,
                    };
                    if !taken || self.labels.reading().histograms.classic_too {
                        batch.tally.scraped += 1;
                        self.sample(batch, &Sample { start, ..Sample::of_line(&sample) });
                    }
                }
                other => said.entry(&other),
            }
        }
    }

    /// Takes a line that is of a classic histogram; whether it is.
    fn collect(
        &mut self,
        batch: &mut Batch<'_>,
        histogram: &mut Histogram,
        (sample, start): (&exposition::Sample<'_>, Option<TimestampMs>),
        said: &Families,
    ) -> Result<bool, BodyError> {
        let metric = sample.series.metric_name();
        let part = match said.last() {
            Some((family, MetricType::Histogram)) => metric.strip_prefix(family).map(|part| (family, part)),
            _ => None,
        };
        let le = || sample.series.label("le")?.parse().ok().filter(|le: &f64| !le.is_nan());
        let (family, part, le) = match part {
            Some((family, "_bucket")) => match le() {
                Some(le) => (family, "_bucket", le),
                None => return self.convert(batch, histogram).map(|()| false),
            },
            Some((family, part @ ("_count" | "_sum"))) => (family, part, 0.0),
            _ => return self.convert(batch, histogram).map(|()| false),
        };
        let mut text = String::with_capacity(histogram.text.len());
        sample.series.renamed_into(family, "le", &mut text);
        if text != histogram.text {
            self.convert(batch, histogram)?;
            histogram.text = text;
        }
        match part {
            "_bucket" => histogram.collected.bucket(le, sample.value),
            "_count" => histogram.collected.count(sample.value),
            _ => histogram.collected.sum(sample.value),
        }
        (histogram.timestamp, histogram.start) = (sample.timestamp, start);
        // Those without a time cannot be told from those of the scrape before.
        let exemplar = sample.exemplar.map(exposition::RawExemplar::decode);
        histogram.exemplars.extend(exemplar.filter(|exemplar| exemplar.timestamp.is_some()));
        Ok(true)
    }

    /// Stores the histogram that has been put together.
    pub(super) fn convert(
        &mut self,
        batch: &mut Batch<'_>,
        histogram: &mut Histogram,
    ) -> Result<(), BodyError> {
        if histogram.text.is_empty() {
            return Ok(());
        }
        let converted = histogram.collected.convert();
        if let Some(converted) = &converted {
            let value = converted.as_value();
            let coarser = Coarser::of(value, &self.labels.reading().histograms, &histogram.text)?;
            let sample = Sample {
                text: &histogram.text,
                timestamp: histogram.timestamp,
                start: histogram.start,
                value: coarser.as_ref().map_or(value, Coarser::as_value),
                of_line: None,
                exemplars: &histogram.exemplars,
            };
            batch.tally.scraped += 1;
            self.sample(batch, &sample);
        }
        histogram.text.clear();
        histogram.collected.clear();
        histogram.exemplars.clear();
        Ok(())
    }
}

impl Converted {
    pub(super) fn as_value(&self) -> Value<'_> {
        match self {
            Self::Whole(h) => Value::Histogram(h),
            Self::Float(h) => Value::FloatHistogram(h),
        }
    }
}

impl<'t> Sample<'t> {
    fn of_line(line: &exposition::Sample<'t>) -> Self {
        let exposition::Sample { series, value, timestamp, exemplar } = *line;
        let value = Value::Float(value);
        Self {
            text: Series::as_str(series),
            timestamp,
            start: None,
            value,
            of_line: exemplar,
            exemplars: &[],
        }
    }
}
