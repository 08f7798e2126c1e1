//! How samples come in: one appender is one batch.

use crate::{AppendError, CommitError, SeriesLimit};
use skopos_model::{Exemplar, FloatHistogram, Histogram, Labels, Metadata, SeriesRef, TimestampMs};
use std::sync::Arc;

/// A storage that takes samples.
pub trait Appendable: Send + Sync {
    /// Begins a batch. Several may be open at once; each is committed on its own.
    fn appender(&self) -> Box<dyn Appender + '_>;

    /// The same for a source whose series are limited: each one that the batch makes is charged, and refused
    /// when the limit is reached. A storage that keeps no series has none to limit.
    fn appender_within(&self, limit: &Arc<SeriesLimit>) -> Box<dyn Appender + '_> {
        let _ = limit;
        self.appender()
    }

    /// Charges a source with the series that the storage has of it from before a restart, and that nobody is
    /// charged with.
    fn charge_kept(&self, limit: &Arc<SeriesLimit>, kept: KeptSeries<'_>) {
        let _ = (limit, kept);
    }
}

/// The series of a source, as a storage tells them from those of others.
#[derive(Clone, Copy, Debug)]
pub struct KeptSeries<'a> {
    /// What all of them are labelled with; without a label there are none.
    pub labels: &'a Labels,
    /// Series of these metrics are not the source's own.
    pub except_metrics: &'a [&'a str],
}

/// A batch being gathered. Dropping it rolls it back: nothing of it was ever visible.
pub trait Appender {
    /// Adds what one line of a scrape or one sample of a push says. A refusal concerns this sample
    /// only. The returned reference stands for the labels in later batches.
    fn append(&mut self, sample: &Append<'_>) -> Result<SeriesRef, AppendError>;

    /// Says what the metric of a series is, which has a sample in this batch or in one before. Costs nothing
    /// where that is known. A storage that keeps no metadata passes it over.
    fn metadata(&mut self, series: SeriesRef, metadata: &Metadata) {
        let _ = (series, metadata);
    }

    /// Adds an observation of a series that has a sample in this batch or in one before. What the series has
    /// already costs nothing. A storage that keeps no exemplars passes it over.
    fn exemplar(&mut self, series: SeriesRef, exemplar: &Exemplar) -> Result<(), AppendError> {
        let _ = (series, exemplar);
        Ok(())
    }

    /// From here on what the batch makes is charged to nobody: it is said of the source, not by it.
    fn charge_nobody(&mut self) {}

    /// Adds one float to each of `series` at one time: the way of a scrape whose series are known.
    /// Refusals are pushed to `refused` with the index of their series; an unknown reference is one.
    fn append_floats(
        &mut self,
        timestamp: TimestampMs,
        series: &[SeriesRef],
        values: &[f64],
        refused: &mut Vec<(usize, AppendError)>,
    );

    /// Adds floats of known series, each at a time of its own: the way of a push. Refusals are pushed to
    /// `refused` with the index of their row.
    fn append_rows(&mut self, rows: &[Row], refused: &mut Vec<(usize, AppendError)>) {
        for (i, row) in rows.iter().enumerate() {
            let float = Append::float(SeriesId::Ref(row.series), row.timestamp, row.value);
            if let Err(e) = self.append(&float) {
                refused.push((i, e));
            }
        }
    }

    /// Makes the batch visible as a whole. It survives the process from here on.
    fn commit(self: Box<Self>) -> Result<Committed, CommitError>;
}

/// A float of a known series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row {
    /// As an earlier append returned it.
    pub series: SeriesRef,
    /// When the value was observed.
    pub timestamp: TimestampMs,
    /// The value.
    pub value: f64,
}

/// What a commit did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Committed {
    /// Samples stored.
    pub samples: usize,
    /// Samples that were dropped since their series had a later one, or another at their time, by the commit:
    /// mostly those of another batch that was committed meanwhile.
    pub overtaken: usize,
    /// Series that did not exist before.
    pub new_series: usize,
}

/// One thing to append.
#[derive(Debug, Clone, Copy)]
pub struct Append<'a> {
    /// To which series.
    pub series: SeriesId<'a>,
    /// Since when the value has been counted up, where the source says so.
    pub start_timestamp: Option<TimestampMs>,
    /// When the value was observed.
    pub timestamp: TimestampMs,
    /// The value.
    pub value: Value<'a>,
    /// Observations picked out.
    pub exemplars: &'a [Exemplar],
    /// What the metric is, where that is new or has changed.
    pub metadata: Option<&'a Metadata>,
}

impl<'a> Append<'a> {
    /// A float without anything beside it.
    pub fn float(series: SeriesId<'a>, timestamp: TimestampMs, value: f64) -> Self {
        let value = Value::Float(value);
        Self { series, start_timestamp: None, timestamp, value, exemplars: &[], metadata: None }
    }
}

/// Which series is meant.
#[derive(Debug, Clone, Copy)]
pub enum SeriesId<'a> {
    /// By its labels.
    Labels(&'a Labels),
    /// By the reference that an earlier append returned.
    Ref(SeriesRef),
}

/// What a sample holds.
#[derive(Debug, Clone, Copy)]
pub enum Value<'a> {
    /// A float, or the staleness marker.
    Float(f64),
    /// A native histogram of whole counts.
    Histogram(&'a Histogram),
    /// A native histogram of float counts.
    FloatHistogram(&'a FloatHistogram),
}
