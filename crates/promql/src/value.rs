//! What a query yields: a scalar, a text, a vector or a matrix, in columns, and the annotations beside
//! it. Owns no evaluation and no JSON.

use crate::ast::Span;
use crate::exec::bits;
use crate::exec::histograms::HistogramSteps;
use crate::exec::matrix::StepMatrix;
use crate::profile::{OperatorStats, QueriedSamples};
use skopos_model::{Columns, DurationMs, FloatHistogram, HistogramView, Labels, TimestampMs};
use std::{borrow::Cow, ops::Range, sync::Arc};

/// The answer to a query.
#[derive(Debug)]
pub struct QueryResult {
    /// The value.
    pub value: Value,
    /// What the one who asked should know about it; each once, in the order of their position.
    pub annotations: Vec<Annotation>,
    /// How many samples were looked at.
    pub samples: QueriedSamples,
    /// What each operator did, if that was asked for (`Engine::profiling`).
    pub operators: Vec<OperatorStats>,
}

impl QueryResult {
    /// A value about which there is nothing to say.
    pub(crate) fn of(value: Value) -> Self {
        let (annotations, operators) = (Vec::new(), Vec::new());
        Self { value, annotations, samples: QueriedSamples::default(), operators }
    }
}

/// The value of an expression.
#[derive(Debug)]
pub enum Value {
    /// One number at one time.
    Scalar {
        /// When.
        timestamp: TimestampMs,
        /// The number.
        value: f64,
    },
    /// A text.
    String {
        /// When.
        timestamp: TimestampMs,
        /// The text.
        text: String,
    },
    /// One number per series at one time.
    Vector(Vector),
    /// Any number of samples per series.
    Matrix(Matrix),
}

/// One number or native histogram per series at one time. `labels[i]` belongs to `values[i]`; the order is
/// that of the operator that sorts, else that of labels.
#[derive(Debug, Default, PartialEq)]
pub struct Vector {
    /// The time of all values.
    pub timestamp: TimestampMs,
    /// What identifies each series.
    pub labels: Vec<Labels>,
    /// The values; the sum of one that is a histogram.
    pub values: Vec<f64>,
    /// The histograms among them: the index of each, growing, and the histogram.
    pub histograms: Vec<(usize, Arc<FloatHistogram>)>,
}

impl Vector {
    /// The histogram at index `i`, if there is one.
    pub fn histogram(&self, i: usize) -> Option<&FloatHistogram> {
        let at = self.histograms.binary_search_by_key(&i, |(index, _)| *index).ok()?;
        Some(&self.histograms[at].1)
    }
}

/// Samples of several series, in the order of labels; no series is without samples.
#[derive(Debug)]
pub struct Matrix {
    series: Vec<Labels>,
    points: Points,
}

#[derive(Debug)]
enum Points {
    /// At the steps of a range query: a value per step and a bitmap of those that there are.
    Steps { start: TimestampMs, step: DurationMs, rows: Vec<usize>, matrix: StepMatrix },
    /// At any time: those of series `i` stand at `places[i]`.
    Samples { places: Vec<Place>, parts: Vec<Columns> },
}

/// Where the samples of a series stand.
#[derive(Debug)]
pub(crate) struct Place {
    /// In which of several columns.
    pub(crate) part: usize,
    pub(crate) samples: Range<usize>,
}

impl Matrix {
    /// The rows of `matrix` named by `rows`, whose labels are `series`.
    pub(crate) fn of_steps(
        (start, step): (TimestampMs, DurationMs),
        series: Vec<Labels>,
        rows: Vec<usize>,
        matrix: StepMatrix,
    ) -> Self {
        assert_eq!(series.len(), rows.len(), "labels and rows differ in number");
        Self { series, points: Points::Steps { start, step, rows, matrix } }
    }

    /// Series whose samples stand at `places` of `parts`.
    pub(crate) fn of_samples(series: Vec<Labels>, places: Vec<Place>, parts: Vec<Columns>) -> Self {
        assert_eq!(series.len(), places.len(), "labels and places differ in number");
        Self { series, points: Points::Samples { places, parts } }
    }

    /// How many series there are.
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// Whether there is no series.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// What identifies series `i`.
    pub fn labels(&self, i: usize) -> &Labels {
        &self.series[i]
    }

    /// The numbers of series `i` in the order of time.
    pub fn points(&self, i: usize) -> impl Iterator<Item = (TimestampMs, f64)> + '_ {
        let (steps, samples) = match &self.points {
            Points::Steps { start, step, rows, matrix } => {
                let row = matrix.row(rows[i]);
                let at = move |k: usize| TimestampMs::new(start.as_ms() + k as i64 * step.as_ms());
                let floats = bits::iter(row.present).filter(move |k| row.histogram(*k).is_none());
                (Some(floats.map(move |k| (at(k), row.values[k]))), None)
            }
            Points::Samples { places, parts } => {
                let (samples, range) = places[i].of(parts);
                let mut histograms = histograms_of(samples, range.clone()).map(|h| h.sample).peekable();
                let floats = range.filter(move |sample| histograms.next_if_eq(sample).is_none());
                (None, Some(floats.map(|sample| (samples.timestamps[sample], samples.values[sample]))))
            }
        };
        steps.into_iter().flatten().chain(samples.into_iter().flatten())
    }

    /// How many native histograms series `i` has.
    pub fn histogram_count(&self, i: usize) -> usize {
        match &self.points {
            Points::Steps { rows, matrix, .. } => {
                matrix.row(rows[i]).histograms.into_iter().flat_map(HistogramSteps::iter).count()
            }
            Points::Samples { places, parts } => {
                let (samples, range) = places[i].of(parts);
                histograms_of(samples, range).count()
            }
        }
    }

    /// The native histograms of series `i` in the order of time.
    pub fn histograms(&self, i: usize) -> impl Iterator<Item = (TimestampMs, Cow<'_, FloatHistogram>)> + '_ {
        let (steps, samples) = match &self.points {
            Points::Steps { start, step, rows, matrix } => {
                let at = move |k: usize| TimestampMs::new(start.as_ms() + k as i64 * step.as_ms());
                let all = matrix.row(rows[i]).histograms.into_iter().flat_map(HistogramSteps::iter);
                (Some(all.map(move |(k, h)| (at(k), Cow::Borrowed(h.as_ref())))), None)
            }
            Points::Samples { places, parts } => {
                let (samples, range) = places[i].of(parts);
                let all = histograms_of(samples, range);
                let owned = all.map(|h| (samples.timestamps[h.sample], Cow::Owned(h.to_histogram())));
                (None, Some(owned))
            }
        };
        steps.into_iter().flatten().chain(samples.into_iter().flatten())
    }

    /// How many samples all series have together.
    pub fn point_count(&self) -> usize {
        match &self.points {
            Points::Steps { rows, matrix, .. } => {
                rows.iter().map(|r| bits::count(matrix.row(*r).present)).sum()
            }
            Points::Samples { places, .. } => places.iter().map(|place| place.samples.len()).sum(),
        }
    }
}

impl Place {
    /// The columns, and which of their samples. Histograms are named by their sample.
    fn of<'a>(&self, parts: &'a [Columns]) -> (&'a Columns, Range<usize>) {
        (&parts[self.part], self.samples.clone())
    }
}

fn histograms_of(samples: &Columns, range: Range<usize>) -> impl Iterator<Item = HistogramView<'_>> {
    let rows = samples.histograms.rows_of(range);
    rows.map(|row| samples.histograms.get(row))
}

/// How much an annotation matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The result may not be what was meant.
    Warning,
    /// Something about the query could be better.
    Info,
}

/// A remark on the result that is no error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Annotation {
    /// How much it matters.
    pub severity: Severity,
    /// What there is to say, without position.
    pub message: String,
    /// Which part of the expression it is about.
    pub span: Span,
}

impl Annotation {
    /// The form of the query API: severity, message, and line and column of its place in `query`; columns are
    /// bytes, as in Prometheus.
    pub fn text(&self, query: &str) -> String {
        let before = query.get(..self.span.start as usize).unwrap_or(query);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, str::len) + 1;
        let severity = match self.severity {
            Severity::Warning => "warning",
            Severity::Info => "info",
        };
        format!("PromQL {severity}: {} ({line}:{column})", self.message)
    }
}
