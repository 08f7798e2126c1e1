//! Bodies of families in protocol buffers: which series each metric becomes. The series of one metric are in
//! the order of Prometheus: the native histogram, the count, the sum, the buckets or quantiles.

use super::{Batch, BodyError, Ingest, Sample};
use crate::{
    body::Body,
    custom_buckets::Collected,
    metadata::Families,
    series_text::{Bound, SeriesText},
    target::HistogramReading,
};
use skopos_model::{
    Exemplar, FloatHistogram, Histogram, TimestampMs,
    histogram::{CounterResetHint, EXPONENTIAL_SCHEMAS, Layout, absolute},
};
use skopos_proto::{
    exposed::{
        ExposedFamilies, ExposedFamily, ExposedHistogram, ExposedMetric, ExposedSummary, Native, RawExemplar,
    },
    families::FamilyType,
    wire::WireError,
};
use skopos_storage::Value;

/// Why a body is no page of families.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the family {name:?} at byte {at} of the body cannot be read: {reason}")]
pub(super) struct FamiliesError {
    name: String,
    at: usize,
    reason: String,
}

/// What is read of one metric after the other; its memory is used again.
#[derive(Default)]
struct Held<'a> {
    text: SeriesText,
    summary: ExposedSummary,
    histogram: ExposedHistogram<'a>,
    collected: Collected,
    exemplars: Vec<Exemplar>,
}

/// A histogram that had to be made coarser.
pub(super) enum Coarser {
    Whole(Histogram),
    Float(FloatHistogram),
}

impl Ingest {
    pub(super) fn families(
        &mut self,
        batch: &mut Batch<'_>,
        body: &Body,
        said: &mut Families,
    ) -> Result<(), BodyError> {
        let mut families = ExposedFamilies::of(&body.bytes);
        let mut held = Held::default();
        loop {
            let at = families.offset();
            let wrong = |name: &str, reason: String| FamiliesError { name: name.to_owned(), at, reason };
            let family = families.next_family().map_err(|e| wrong("", e.to_string()))?;
            let Some(family) = family else { return Ok(()) };
            if let Some(reason) = foreign_unit(&family) {
                return Err(wrong(family.name, reason).into());
            }
            said.family(&family);
            held.text.begin(family.name);
            let mut metrics = family.metrics();
            loop {
                let next = metrics.next_metric().map_err(|e| wrong(family.name, e.to_string()))?;
                let Some(metric) = next else { break };
                match self.metric(batch, &mut held, &family, &metric) {
                    Ok(()) => {}
                    Err(Failed::Body(e)) => return Err(e),
                    Err(Failed::Wire(e)) => return Err(wrong(family.name, e.to_string()).into()),
                }
            }
        }
    }

    fn metric<'a>(
        &mut self,
        batch: &mut Batch<'_>,
        held: &mut Held<'a>,
        family: &ExposedFamily<'a>,
        metric: &ExposedMetric<'a>,
    ) -> Result<(), Failed> {
        let text = &mut held.text;
        text.begin_metric();
        metric.each_label(|name, value| text.label(name, value))?;
        match family.family_type {
            FamilyType::Counter | FamilyType::Gauge | FamilyType::Untyped => {
                let single = metric.single()?;
                held.exemplars.clear();
                // The same field of others is nothing that is known.
                let counts = family.family_type == FamilyType::Counter;
                decode(&mut held.exemplars, single.exemplar.filter(|_| counts), Timed::OrNot)?;
                let start = single.created.filter(|_| counts);
                let (value, exemplars) = (Value::Float(single.value), &*held.exemplars);
                let (text, timestamp) = (held.text.series("", None), metric.timestamp);
                batch.tally.scraped += 1;
                self.sample(batch, &Sample { text, timestamp, start, value, of_line: None, exemplars });
            }
            FamilyType::Summary => {
                metric.summary_into(&mut held.summary)?;
                held.exemplars.clear();
                let mut series = Series { times: (metric.timestamp, held.summary.created), held };
                let (count, sum) = (series.held.summary.count as f64, series.held.summary.sum);
                series.float(self, batch, ("_count", None), count);
                series.float(self, batch, ("_sum", None), sum);
                for place in 0..series.held.summary.quantiles.len() {
                    let (quantile, below) = series.held.summary.quantiles[place];
                    let bound = Bound { label: "quantile", place, value: quantile };
                    series.float(self, batch, ("", Some(bound)), below);
                }
            }
            FamilyType::Histogram | FamilyType::GaugeHistogram => {
                metric.histogram_into(&mut held.histogram)?;
                self.histogram(batch, held, family, metric.timestamp)?;
            }
        }
        Ok(())
    }

    fn histogram(
        &mut self,
        batch: &mut Batch<'_>,
        held: &mut Held<'_>,
        family: &ExposedFamily<'_>,
        timestamp: Option<TimestampMs>,
    ) -> Result<(), Failed> {
        let reading = self.labels.reading().histograms;
        let is_gauge = family.family_type == FamilyType::GaugeHistogram;
        let mut has_one = false;
        if reading.native && held.histogram.is_native() {
            held.native_exemplars()?;
            let hint = if is_gauge { CounterResetHint::Gauge } else { CounterResetHint::Unknown };
            let start = held.histogram.created;
            let value = match held.histogram.native(hint) {
                Native::Whole(h) => Value::Histogram(h),
                Native::Float(h) => Value::FloatHistogram(h),
            };
            let text = held.text.series("", None);
            self.one_histogram(batch, (text, value), (timestamp, start), &held.exemplars)?;
            if !reading.classic_too || held.histogram.buckets.is_empty() {
                return Ok(());
            }
            has_one = true;
        }
        // As in Prometheus, the buckets of gauges stay classic.
        if reading.to_custom && !has_one && !is_gauge {
            held.collect();
            held.native_exemplars()?;
            if let Some(converted) = held.collected.convert() {
                let text = held.text.series("", None);
                let times = (timestamp, held.histogram.created);
                self.one_histogram(batch, (text, converted.as_value()), times, &held.exemplars)?;
            }
            if !reading.classic_too {
                return Ok(());
            }
        }
        Series { times: (timestamp, held.histogram.created), held }.classic(self, batch)
    }

    fn one_histogram(
        &mut self,
        batch: &mut Batch<'_>,
        (text, value): (&str, Value<'_>),
        (timestamp, start): (Option<TimestampMs>, Option<TimestampMs>),
        exemplars: &[Exemplar],
    ) -> Result<(), BodyError> {
        let coarser = Coarser::of(value, &self.labels.reading().histograms, text)?;
        let value = coarser.as_ref().map_or(value, Coarser::as_value);
        batch.tally.scraped += 1;
        self.sample(batch, &Sample { text, timestamp, start, value, of_line: None, exemplars });
        Ok(())
    }
}

/// Why a metric ends the body.
enum Failed {
    Wire(WireError),
    Body(BodyError),
}

impl From<WireError> for Failed {
    fn from(error: WireError) -> Self {
        Self::Wire(error)
    }
}

impl From<BodyError> for Failed {
    fn from(error: BodyError) -> Self {
        Self::Body(error)
    }
}

/// The floats of one metric.
struct Series<'h, 'a> {
    held: &'h mut Held<'a>,
    /// When they were observed, and since when they have been counted.
    times: (Option<TimestampMs>, Option<TimestampMs>),
}

impl Series<'_, '_> {
    fn float(
        &mut self,
        ingest: &mut Ingest,
        batch: &mut Batch<'_>,
        (suffix, bound): (&str, Option<Bound>),
        value: f64,
    ) {
        let ((timestamp, start), value) = (self.times, Value::Float(value));
        let Held { text, exemplars, .. } = &mut *self.held;
        // Those of another series are not its own.
        let exemplars = if bound.is_some() { &**exemplars } else { &[] };
        let text = text.series(suffix, bound);
        batch.tally.scraped += 1;
        ingest.sample(batch, &Sample { text, timestamp, start, value, of_line: None, exemplars });
    }

    /// The count, the sum and the buckets of a classic histogram, whose last bucket may go without saying.
    fn classic(&mut self, ingest: &mut Ingest, batch: &mut Batch<'_>) -> Result<(), Failed> {
        let (count, sum) = (self.held.histogram.count(), self.held.histogram.sum());
        self.float(ingest, batch, ("_count", None), count);
        self.float(ingest, batch, ("_sum", None), sum);
        let buckets = self.held.histogram.buckets.len();
        let last = self.held.histogram.buckets.last().map(|last| last.upper);
        for place in 0..buckets {
            let bucket = self.held.histogram.buckets[place];
            self.held.exemplars.clear();
            decode(&mut self.held.exemplars, bucket.exemplar, Timed::OrNot)?;
            let bound = Bound { label: "le", place, value: bucket.upper };
            self.float(ingest, batch, ("_bucket", Some(bound)), bucket.count);
        }
        if last != Some(f64::INFINITY) {
            self.held.exemplars.clear();
            let bound = Bound { label: "le", place: buckets, value: f64::INFINITY };
            self.float(ingest, batch, ("_bucket", Some(bound)), count);
        }
        Ok(())
    }
}

impl Held<'_> {
    /// The observations of a native histogram: its own, or else those of its buckets. Those without a time
    /// cannot be told from those of the scrape before.
    fn native_exemplars(&mut self) -> Result<(), WireError> {
        self.exemplars.clear();
        let of_buckets = self.histogram.buckets.iter().filter_map(|bucket| bucket.exemplar);
        if self.histogram.exemplars.is_empty() {
            decode(&mut self.exemplars, of_buckets, Timed::Only)?;
        } else {
            decode(&mut self.exemplars, self.histogram.exemplars.iter().copied(), Timed::Only)?;
        }
        self.exemplars.sort_by_key(|exemplar| exemplar.timestamp);
        Ok(())
    }

    /// Puts the classic histogram together.
    fn collect(&mut self) {
        self.collected.clear();
        self.collected.count(self.histogram.count());
        self.collected.sum(self.histogram.sum());
        for bucket in &self.histogram.buckets {
            self.collected.bucket(bucket.upper, bucket.count);
        }
    }
}

/// Which observations are taken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Timed {
    Only,
    OrNot,
}

fn decode<'a>(
    into: &mut Vec<Exemplar>,
    all: impl IntoIterator<Item = RawExemplar<'a>>,
    timed: Timed,
) -> Result<(), WireError> {
    for exemplar in all {
        let exemplar = exemplar.decode()?;
        if timed == Timed::OrNot || exemplar.timestamp.is_some() {
            into.push(exemplar);
        }
    }
    Ok(())
}

/// What is wrong with the unit of a family: its name has to end in it, before `_total` of a counter.
fn foreign_unit(family: &ExposedFamily<'_>) -> Option<String> {
    let name = match family.family_type {
        FamilyType::Counter => family.name.strip_suffix("_total").unwrap_or(family.name),
        _ => family.name,
    };
    let before = name.strip_suffix(family.unit).filter(|before| before.ends_with('_'));
    let is_foreign = !family.unit.is_empty() && before.is_none();
    is_foreign.then(|| format!("its name does not end in _ and its unit {:?}", family.unit))
}

impl Coarser {
    /// The histogram as fine as it may be, where it is finer.
    pub(super) fn of(
        value: Value<'_>,
        reading: &HistogramReading,
        series: &str,
    ) -> Result<Option<Self>, BodyError> {
        let finest = reading.finest_schema;
        let (mut coarser, schema) = match value {
            Value::Float(_) => return Ok(None),
            Value::Histogram(h) => {
                let is_finer = !h.layout.has_custom_bounds() && h.layout.schema > finest;
                (is_finer.then(|| Self::Whole(h.reduced_to(finest))), h.layout.schema)
            }
            Value::FloatHistogram(h) => {
                let is_finer = !h.layout.has_custom_bounds() && h.layout.schema > finest;
                (is_finer.then(|| Self::Float(h.reduced_to(finest))), h.layout.schema)
            }
        };
        let max = match reading.buckets_max {
            0 => return Ok(coarser),
            max => max,
        };
        let mut schema = schema.min(finest);
        loop {
            let buckets = buckets(coarser.as_ref().map_or(value, Self::as_value));
            if buckets as u64 <= max {
                return Ok(coarser);
            }
            if schema <= *EXPONENTIAL_SCHEMAS.start() {
                return Err(BodyError::Buckets { series: series.to_owned(), buckets, max });
            }
            schema -= 1;
            coarser = match coarser.as_ref().map_or(value, Self::as_value) {
                Value::Histogram(h) => Some(Self::Whole(h.reduced_to(schema))),
                Value::FloatHistogram(h) => Some(Self::Float(h.reduced_to(schema))),
                Value::Float(_) => None,
            };
        }
    }

    pub(super) fn as_value(&self) -> Value<'_> {
        match self {
            Self::Whole(h) => Value::Histogram(h),
            Self::Float(h) => Value::FloatHistogram(h),
        }
    }
}

/// How many buckets Prometheus counts: those with observations, and of custom ones up to two empty ones
/// between them, which it keeps.
fn buckets(value: Value<'_>) -> usize {
    let gap = |layout: &Layout| if layout.has_custom_bounds() { 2 } else { 0 };
    match value {
        Value::Float(_) => 0,
        Value::Histogram(h) => [&h.positive_deltas, &h.negative_deltas]
            .map(|deltas| populated(absolute(deltas).map(|count| count != 0), gap(&h.layout)))
            .iter()
            .sum(),
        Value::FloatHistogram(h) => [&h.positive_buckets, &h.negative_buckets]
            .map(|counts| populated(counts.iter().map(|count| *count != 0.0), 0))
            .iter()
            .sum(),
    }
}

/// How many there are, up to `gap` empty ones between them among those.
fn populated(buckets: impl Iterator<Item = bool>, gap: usize) -> usize {
    let (mut count, mut empty) = (0, 0);
    for has_some in buckets {
        if has_some {
            count += 1 + if count > 0 && empty <= gap { empty } else { 0 };
            empty = 0;
        } else {
            empty += 1;
        }
    }
    count
}
