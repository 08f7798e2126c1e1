//! Samples whose series storage does not have. Their series are made only when the whole body has been read
//! without an error: a target that sends ever new series and a broken line must not fill the storage with
//! them.

use super::{BodyError, Ingest, Refusal, Sample, Tally, sample};
use crate::{cache::EntryId, metadata::Families, series_labels::LabelsError};
use skopos_exposition::Series;
use skopos_model::{Exemplar, FloatHistogram, Histogram, Labels, SeriesRef, TimestampMs};
use skopos_storage::{AppendError, Appender, SeriesId, Value};

/// See above. The text of its series is in the cache.
pub(super) struct Pending {
    id: EntryId,
    /// Storage had it and has forgotten it.
    pub(super) forgotten: bool,
    /// The body has one of it already; nobody knows yet whether rules drop both.
    pub(super) twice: bool,
    timestamp: TimestampMs,
    value: Owned,
}

/// Very many may wait.
const _: () = assert!(size_of::<Pending>() <= 32);

enum Owned {
    /// A float, and nothing beside it.
    Float(f64),
    Other(Box<Other>),
}

/// What few samples have.
struct Other {
    value: OtherValue,
    start: Option<TimestampMs>,
    exemplars: Box<[Exemplar]>,
}

enum OtherValue {
    Float(f64),
    Histogram(Histogram),
    FloatHistogram(FloatHistogram),
}

impl OtherValue {
    fn of(value: Value<'_>) -> Self {
        match value {
            Value::Float(value) => Self::Float(value),
            Value::Histogram(h) => Self::Histogram(h.clone()),
            Value::FloatHistogram(h) => Self::FloatHistogram(h.clone()),
        }
    }

    fn as_value(&self) -> Value<'_> {
        match self {
            Self::Float(value) => Value::Float(*value),
            Self::Histogram(h) => Value::Histogram(h),
            Self::FloatHistogram(h) => Value::FloatHistogram(h),
        }
    }
}

impl Pending {
    pub(super) fn of(
        id: EntryId,
        timestamp: TimestampMs,
        start: Option<TimestampMs>,
        sample: &Sample<'_>,
    ) -> Self {
        let value = match sample.value {
            Value::Float(value) if start.is_none() && sample.has_no_exemplars() => Owned::Float(value),
            value => Owned::Other(Box::new(Other {
                value: OtherValue::of(value),
                start,
                exemplars: sample.exemplars().into(),
            })),
        };
        Self { id, timestamp, value, forgotten: false, twice: false }
    }

    /// A float of a series that storage has forgotten.
    pub(super) fn forgotten(id: EntryId, timestamp: TimestampMs, value: f64) -> Self {
        Self { id, timestamp, value: Owned::Float(value), forgotten: true, twice: false }
    }

    fn value(&self) -> Value<'_> {
        match &self.value {
            Owned::Float(value) => Value::Float(*value),
            Owned::Other(other) => other.value.as_value(),
        }
    }

    /// Since when it has been counted, and observations behind it.
    fn details(&self) -> (Option<TimestampMs>, &[Exemplar]) {
        match &self.value {
            Owned::Float(_) => (None, &[]),
            Owned::Other(other) => (other.start, &other.exemplars),
        }
    }
}

/// What became of a sample whose series storage did not have.
enum Appended {
    Series(SeriesRef),
    /// Rules drop it.
    Dropped,
}

impl Ingest {
    /// Makes the series of samples that storage does not have; not more than the target may have samples.
    pub(super) fn append_all_pending(
        &mut self,
        appender: &mut dyn Appender,
        pending: Vec<Pending>,
        said: &Families,
        tally: &mut Tally,
    ) -> Result<(), BodyError> {
        let max = match self.labels.reading().limits.samples {
            0 => u64::MAX,
            max => max,
        };
        let kept = |left: usize, tally: &Tally| (tally.kept() - left) as u64;
        let mut left = pending.len();
        for sample in pending {
            left -= 1;
            // What is beyond the limit is counted, and makes no series.
            if kept(left + 1, tally) < max {
                self.append_pending(appender, &sample, said, tally)?;
            } else if self.labels_of(sample.id, said).is_ok_and(|labels| labels.is_none()) {
                tally.dropped += 1;
            }
        }
        match tally.kept() {
            samples if samples as u64 > max => Err(BodyError::Samples { samples, max }),
            _ => Ok(()),
        }
    }

    /// The labels of a series; none where rules drop it.
    fn labels_of(&mut self, id: EntryId, said: &Families) -> Result<Option<Labels>, LabelsError> {
        let text = std::str::from_utf8(self.cache.text(id)).expect("invariant: series were read as text");
        let metric = || std::str::from_utf8(super::metric_of(text.as_bytes())).ok();
        self.labels.of(Series::again(text), || said.of_metric(metric()?))
    }

    pub(super) fn append_pending(
        &mut self,
        appender: &mut dyn Appender,
        sample: &Pending,
        said: &Families,
        tally: &mut Tally,
    ) -> Result<(), BodyError> {
        let (id, timestamp) = (sample.id, sample.timestamp);
        if self.cache.entry(id).is_dropped() {
            tally.dropped += 1;
            return Ok(());
        } else if sample.twice {
            tally.refuse(&self.counters, self.cache.text(id), AppendError::Duplicate { timestamp });
            return Ok(());
        }
        let known = self.cache.series(id).filter(|_| !sample.forgotten);
        if let Some(known) = known {
            match sample::append_known(appender, known, (timestamp, sample.value()), sample.details()) {
                Err(AppendError::UnknownRef(_)) => {}
                Err(e) => {
                    tally.refuse(&self.counters, self.cache.text(id), e);
                    return Ok(());
                }
                Ok(_) => return Ok(()),
            }
        }
        match self.append_by_text(appender, sample, said) {
            Ok(Appended::Series(made)) => {
                self.made.push(id);
                let before = self.cache.entry(id).series.replace(made);
                tally.series_added += usize::from(before.is_none() && !sample.forgotten);
            }
            Ok(Appended::Dropped) => {
                self.cache.entry(id).set_dropped();
                tally.dropped += 1;
            }
            Err(Refusal::ByLabels(e @ LabelsError::Twice(_))) => {
                tally.refuse(&self.counters, self.cache.text(id), Refusal::ByLabels(e));
            }
            Err(Refusal::ByLabels(e)) => return Err(BodyError::Labels(e)),
            Err(e) => tally.refuse(&self.counters, self.cache.text(id), e),
        }
        Ok(())
    }

    /// Appends a sample to the series that the target calls by its text.
    fn append_by_text(
        &mut self,
        appender: &mut dyn Appender,
        pending: &Pending,
        said: &Families,
    ) -> Result<Appended, Refusal> {
        let Some(labels) = self.labels_of(pending.id, said).map_err(Refusal::ByLabels)? else {
            return Ok(Appended::Dropped);
        };
        let (series, value) = (SeriesId::Labels(&labels), pending.value());
        let (start, exemplars) = pending.details();
        if let Some(start) = start {
            sample::append_zero(appender, series, start, value);
        }
        let point = (pending.timestamp, value);
        Ok(Appended::Series(sample::append(appender, series, point, exemplars)?))
    }
}
