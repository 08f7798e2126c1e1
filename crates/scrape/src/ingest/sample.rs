//! `Sample`: a sample as a body has it, of whichever format; and how it is appended.

use skopos_exposition::RawExemplar;
use skopos_model::{
    Exemplar, FloatHistogram, Histogram, SeriesRef, TimestampMs,
    histogram::{CounterResetHint, Layout},
};
use skopos_storage::{Append, AppendError, Appender, SeriesId, Value};
use std::borrow::Cow;

/// A sample of a body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample<'t> {
    /// The series as text formats write it.
    pub(super) text: &'t str,
    /// When it was observed, where the body says so.
    pub(super) timestamp: Option<TimestampMs>,
    /// Since when it has been counted, where the body says so.
    pub(super) start: Option<TimestampMs>,
    pub(super) value: Value<'t>,
    /// Observations behind it, of a line.
    pub(super) of_line: Option<RawExemplar<'t>>,
    /// The same of others.
    pub(super) exemplars: &'t [Exemplar],
}

impl<'t> Sample<'t> {
    pub(super) fn has_no_exemplars(&self) -> bool {
        self.of_line.is_none() && self.exemplars.is_empty()
    }

    pub(super) fn exemplars(&self) -> Cow<'t, [Exemplar]> {
        match self.of_line {
            Some(exemplar) => Cow::Owned(vec![exemplar.decode()]),
            None => Cow::Borrowed(self.exemplars),
        }
    }
}

pub(super) fn append(
    appender: &mut dyn Appender,
    series: SeriesId<'_>,
    (timestamp, value): (TimestampMs, Value<'_>),
    exemplars: &[Exemplar],
) -> Result<SeriesRef, AppendError> {
    appender.append(&Append { exemplars, value, ..Append::float(series, timestamp, 0.0) })
}

/// Appends to a series that storage has, behind the zero that it began with, where that is known.
pub(super) fn append_known(
    appender: &mut dyn Appender,
    series: SeriesRef,
    (timestamp, value): (TimestampMs, Value<'_>),
    (start, exemplars): (Option<TimestampMs>, &[Exemplar]),
) -> Result<SeriesRef, AppendError> {
    if let Some(start) = start {
        append_zero(appender, SeriesId::Ref(series), start, value);
    }
    append(appender, SeriesId::Ref(series), (timestamp, value), exemplars)
}

/// Appends what `value` was when it began to be counted. Where the series has a later sample there is nothing
/// to append.
pub(super) fn append_zero(
    appender: &mut dyn Appender,
    series: SeriesId<'_>,
    start: TimestampMs,
    value: Value<'_>,
) {
    let layout = |of: &Layout| Layout {
        schema: of.schema,
        zero_threshold: of.zero_threshold,
        custom_bounds: of.custom_bounds.clone(),
        counter_reset_hint: CounterResetHint::Reset,
        ..Layout::default()
    };
    let refused = match value {
        Value::Float(_) => append(appender, series, (start, Value::Float(0.0)), &[]),
        Value::Histogram(h) => {
            let zero = Histogram { layout: layout(&h.layout), ..Histogram::default() };
            append(appender, series, (start, Value::Histogram(&zero)), &[])
        }
        Value::FloatHistogram(h) => {
            let zero = FloatHistogram { layout: layout(&h.layout), ..FloatHistogram::default() };
            append(appender, series, (start, Value::FloatHistogram(&zero)), &[])
        }
    };
    if let Err(error) = refused {
        tracing::trace!(%error, "no zero for the time since when something has been counted");
    }
}
