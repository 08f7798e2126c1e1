//! `Batch`: one request while it is read. Samples of known series are gathered in rows and appended together,
//! with no work on labels and no allocation; others find their series by their labels first. Knows no
//! protocol.

use crate::{
    cache::{Key, Known, SeriesCache},
    tally::Tally,
};
use skopos_model::{Exemplar, Labels, LabelsBuilder, Metadata, SeriesRef, TimestampMs, name::METRIC_NAME};
use skopos_proto::pushed::AnyHistogram;
use skopos_storage::{Append, AppendError, Appender, CommitError, Committed, Row, SeriesId, Value};

/// So many rows are appended together.
const ROWS: usize = 4096;

/// Where the labels of a series stand in a request: up to two pieces, each from where and how many bytes.
pub(crate) type Place = [(u32, u32); 2];

/// Who can read the labels at a place of the request.
pub(crate) trait Names {
    /// Sets the labels; the text says why that cannot be.
    fn read(&self, place: Place, into: &mut LabelsBuilder) -> Result<(), &'static str>;

    /// The line of the request in which the place is, counted from 1; none where there are no lines.
    fn line_of(&self, _place: Place) -> Option<usize> {
        None
    }
}

/// Memory that serves for one request after the other.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// A body, unpacked.
    pub(crate) plain: Vec<u8>,
    /// Free for what reads a request.
    pub(crate) bytes: Vec<u8>,
    /// Histograms, one after the other.
    pub(crate) histogram: AnyHistogram,
    rows: Vec<Row>,
    of_rows: Vec<(Key, Place)>,
    refused: Vec<(usize, AppendError)>,
    builder: LabelsBuilder,
}

/// A series of the request.
#[derive(Debug)]
pub(crate) struct Series {
    key: Key,
    place: Place,
    state: State,
}

#[derive(Debug)]
enum State {
    Known(Known),
    New(Labels),
}

/// What bounds and serves every batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting<'a> {
    pub(crate) cache: &'a SeriesCache,
    /// The most labels of a series.
    pub(crate) max_labels: usize,
    /// Samples that claim to be newer are refused.
    pub(crate) latest: TimestampMs,
}

/// One request while it is read. Dropping it rolls it back.
pub(crate) struct Batch<'a> {
    appender: Box<dyn Appender + 'a>,
    setting: Setting<'a>,
    names: &'a dyn Names,
    scratch: BatchScratch<'a>,
    pub(crate) tally: Tally,
}

/// What of the scratch a batch needs itself.
struct BatchScratch<'a> {
    rows: &'a mut Vec<Row>,
    of_rows: &'a mut Vec<(Key, Place)>,
    refused: &'a mut Vec<(usize, AppendError)>,
    builder: &'a mut LabelsBuilder,
}

/// What of the scratch remains for who reads the request.
pub(crate) struct Rest<'a> {
    pub(crate) bytes: &'a mut Vec<u8>,
    pub(crate) histogram: &'a mut AnyHistogram,
}

impl<'a> Batch<'a> {
    pub(crate) fn begin(
        appender: Box<dyn Appender + 'a>,
        setting: Setting<'a>,
        names: &'a dyn Names,
        scratch: &'a mut Scratch,
    ) -> (Self, Rest<'a>) {
        let Scratch { bytes, histogram, rows, of_rows, refused, builder, .. } = scratch;
        rows.clear();
        of_rows.clear();
        let scratch = BatchScratch { rows, of_rows, refused, builder };
        let batch = Self { appender, setting, names, scratch, tally: Tally::default() };
        (batch, Rest { bytes, histogram })
    }

    /// The series whose labels stand at `place` and come to `key`; none when it was refused, which is noted
    /// with so many samples.
    #[inline]
    pub(crate) fn series(&mut self, key: Key, place: Place, samples: impl FnOnce() -> u64) -> Option<Series> {
        if let Some(known) = self.setting.cache.get(key) {
            return Some(Series { key, place, state: State::Known(known) });
        }
        match self.labels(place) {
            Ok(labels) => Some(Series { key, place, state: State::New(labels) }),
            Err(reason) => {
                self.refuse_labels(samples(), reason, place);
                None
            }
        }
    }

    /// Reads and checks labels.
    fn labels(&mut self, place: Place) -> Result<Labels, &'static str> {
        let builder = &mut *self.scratch.builder;
        builder.clear();
        self.names.read(place, builder)?;
        if builder.get(METRIC_NAME).is_none() {
            return Err("there is no metric name");
        }
        if builder.iter().nth(self.setting.max_labels).is_some() {
            return Err("there are more labels than --push.max-labels");
        }
        Ok(builder.build())
    }

    /// Adds a float.
    #[inline]
    pub(crate) fn float(&mut self, series: &mut Series, timestamp: TimestampMs, value: f64) {
        if timestamp > self.setting.latest {
            return self.refuse_late(series.place, timestamp);
        }
        if let State::Known(known) = series.state {
            self.scratch.rows.push(Row { series: known.series, timestamp, value });
            self.scratch.of_rows.push((series.key, series.place));
            if self.scratch.rows.len() >= ROWS {
                self.flush();
            }
            return;
        }
        if self.append(series, timestamp, Value::Float(value)) {
            self.tally.samples += 1;
        }
    }

    /// Adds a histogram.
    pub(crate) fn histogram(&mut self, series: &mut Series, histogram: &AnyHistogram) {
        let timestamp = histogram.timestamp();
        if timestamp > self.setting.latest {
            return self.refuse_late(series.place, timestamp);
        }
        let value = match histogram.is_float {
            true => Value::FloatHistogram(&histogram.float),
            false => Value::Histogram(&histogram.whole),
        };
        if self.append(series, timestamp, value) {
            self.tally.histograms += 1;
        }
    }

    /// Adds an exemplar of a series that has a sample. An exemplar of one that nobody has seen is passed
    /// over.
    pub(crate) fn exemplar(&mut self, series: &Series, exemplar: &Exemplar) {
        let State::Known(known) = series.state else {
            self.tally.exemplars_passed_over += 1;
            return;
        };
        self.flush();
        match self.appender.exemplar(known.series, exemplar) {
            Ok(()) => self.tally.exemplars += 1,
            Err(AppendError::UnknownRef(_)) => self.tally.exemplars_passed_over += 1,
            Err(e) => self.refuse(series.place, &e),
        }
    }

    /// Says what the metric of a series is, unless that was said before: `said` tells one from the other.
    pub(crate) fn metadata(&mut self, series: &mut Series, said: u32, metadata: impl FnOnce() -> Metadata) {
        let State::Known(known) = &mut series.state else { return };
        if known.metadata == said {
            return;
        }
        known.metadata = said;
        self.setting.cache.put(series.key, *known);
        let series = known.series;
        self.flush();
        self.appender.metadata(series, &metadata());
    }

    /// Says what the metric of a series is that an earlier batch had.
    pub(crate) fn metadata_of(&mut self, series: SeriesRef, metadata: &Metadata) {
        self.appender.metadata(series, metadata);
    }

    /// Appends one sample, and learns which series it is of.
    fn append(&mut self, series: &mut Series, timestamp: TimestampMs, value: Value<'_>) -> bool {
        // What was gathered before stands before it.
        self.flush();
        let sample = |series| Append { value, ..Append::float(series, timestamp, 0.0) };
        let appended = match &series.state {
            State::Known(known) => self.appender.append(&sample(SeriesId::Ref(known.series))),
            State::New(labels) => self.appender.append(&sample(SeriesId::Labels(labels))),
        };
        let appended = match appended {
            Err(AppendError::UnknownRef(_)) => match self.labels(series.place) {
                Ok(labels) => {
                    let appended = self.appender.append(&sample(SeriesId::Labels(&labels)));
                    series.state = State::New(labels);
                    appended
                }
                Err(reason) => {
                    self.refuse_labels(1, reason, series.place);
                    return false;
                }
            },
            appended => appended,
        };
        match appended {
            Ok(found) => {
                if let State::New(labels) = &series.state {
                    self.tally.met(labels, found);
                    let known = Known { series: found, metadata: 0 };
                    self.setting.cache.put(series.key, known);
                    series.state = State::Known(known);
                }
                true
            }
            Err(e) => {
                self.refuse(series.place, &e);
                false
            }
        }
    }

    /// Appends what was gathered.
    pub(crate) fn flush(&mut self) {
        if self.scratch.rows.is_empty() {
            return;
        }
        let mut refused = std::mem::take(self.scratch.refused);
        self.appender.append_rows(self.scratch.rows, &mut refused);
        self.tally.samples += (self.scratch.rows.len() - refused.len()) as u64;
        let (rows, of_rows) = (std::mem::take(self.scratch.rows), std::mem::take(self.scratch.of_rows));
        for (i, error) in refused.drain(..) {
            let ((key, place), row) = (of_rows[i], rows[i]);
            if let AppendError::UnknownRef(_) = error {
                let state = State::Known(Known { series: row.series, metadata: 0 });
                let mut series = Series { key, place, state };
                if self.append(&mut series, row.timestamp, Value::Float(row.value)) {
                    self.tally.samples += 1;
                }
            } else {
                self.refuse(place, &error);
            }
        }
        (*self.scratch.rows, *self.scratch.of_rows, *self.scratch.refused) = (rows, of_rows, refused);
        self.scratch.rows.clear();
        self.scratch.of_rows.clear();
    }

    #[cold]
    fn refuse_late(&mut self, place: Place, timestamp: TimestampMs) {
        let error = AppendError::OutOfBounds { timestamp, min: TimestampMs::MIN, max: self.setting.latest };
        self.refuse(place, &error);
    }

    #[cold]
    fn refuse_labels(&mut self, samples: u64, reason: &str, place: Place) {
        let line = if self.tally.tells_more() { self.names.line_of(place) } else { None };
        match line {
            Some(line) => {
                let reason = format!("line {line}: {reason}");
                self.tally.refuse_labels(samples, &reason, self.scratch.builder);
            }
            None => self.tally.refuse_labels(samples, reason, self.scratch.builder),
        }
    }

    #[cold]
    fn refuse(&mut self, place: Place, error: &AppendError) {
        let labels = if self.tally.tells_more() { self.labels(place).ok() } else { None };
        self.tally.refuse(error, labels.as_ref());
    }

    /// Makes the batch visible as a whole.
    pub(crate) fn commit(mut self) -> Result<(Committed, Tally), CommitError> {
        self.flush();
        let committed = self.appender.commit()?;
        self.tally.overtaken(committed.overtaken as u64);
        Ok((committed, self.tally))
    }
}
