//! A query's result as JSON, sent while it is written. Evaluates nothing.

use crate::{
    blocking::Sink,
    json,
    params::Params,
    parts::Parts,
    query_stats::Stats,
    reply::{self, ApiError},
    writing::Writing,
};
use skopos_promql::{Annotation, Matrix, QueryResult, Severity, Value, Vector};
use skopos_storage::QueryBudget;

/// A point of a matrix is at least `[1435781451,"1"],`.
const POINT_MIN_BYTES: u64 = 16;
/// A histogram of one is at least `[1435781451,{"count":"0","sum":"0"}],`.
const HISTOGRAM_MIN_BYTES: u64 = 38;
/// After so many points it is looked whether the answer may go on.
const POINTS_AT_ONCE: usize = 1024;
/// So many remarks of either kind are named; of further ones it is said how many there are.
const REMARKS_MAX: usize = 10;

/// An answer while it is written.
pub(crate) struct Answer<'a>(Writing<'a>);

impl<'a> Answer<'a> {
    pub(crate) fn new(parts: &'a Parts, budget: &'a QueryBudget, sink: &'a mut Sink) -> Self {
        Self(Writing::begin(parts, budget, sink, reply::BEGIN))
    }

    /// Writes and sends the result, cut to `limit` series (zero: all of them).
    pub(crate) fn write(
        mut self,
        result: &QueryResult,
        params: &Params,
        limit: usize,
        stats: &Stats,
    ) -> Result<(), ApiError> {
        let query = params.query();
        let mut cut = false;
        let kept = |len: usize| if limit == 0 { len } else { limit.min(len) };
        match &result.value {
            Value::Scalar { timestamp, value } => {
                self.0.out.extend_from_slice(br#"{"resultType":"scalar","result":"#);
                json::scalar(&mut self.0.out, *timestamp, *value);
            }
            Value::String { timestamp, text } => {
                self.0.out.extend_from_slice(br#"{"resultType":"string","result":"#);
                json::text(&mut self.0.out, *timestamp, text);
            }
            Value::Vector(vector) => {
                cut = kept(vector.values.len()) < vector.values.len();
                self.vector(vector, kept(vector.values.len()))?;
            }
            Value::Matrix(matrix) => {
                cut = kept(matrix.len()) < matrix.len();
                self.matrix(matrix, kept(matrix.len()))?;
            }
        }
        stats.write(&result.operators, &mut self.0)?;
        self.0.out.push(b'}');
        let of = |severity| remarks(&result.annotations, severity, query);
        let mut warnings = of(Severity::Warning);
        warnings.extend(self.0.budget().warnings());
        if cut {
            warnings.push("results truncated due to limit".to_owned());
        }
        let infos = first_remarks(of(Severity::Info), "info");
        reply::end(&mut self.0.out, &first_remarks(warnings, "warning"), &infos);
        self.0.end()
    }

    fn vector(&mut self, vector: &Vector, series: usize) -> Result<(), ApiError> {
        self.0.out.extend_from_slice(br#"{"resultType":"vector","result":["#);
        for i in 0..series {
            self.0.more()?;
            let out = &mut self.0.out;
            out.extend_from_slice(if i == 0 { b"{\"metric\":" } else { b",{\"metric\":" });
            json::labels(out, &vector.labels[i]);
            if let Some(histogram) = vector.histogram(i) {
                out.extend_from_slice(b",\"histogram\":");
                json::histogram(out, vector.timestamp, histogram);
            } else {
                out.extend_from_slice(b",\"value\":");
                json::point(out, vector.timestamp, vector.values[i]);
            }
            out.push(b'}');
        }
        self.0.out.push(b']');
        Ok(())
    }

    fn matrix(&mut self, matrix: &Matrix, series: usize) -> Result<(), ApiError> {
        // Counting is cheap, and an error before the first piece is one that a client can read.
        let least = |i| {
            let points = matrix.points(i).count() as u64 * POINT_MIN_BYTES;
            points + matrix.histogram_count(i) as u64 * HISTOGRAM_MIN_BYTES
        };
        let points: u64 = (0..series).map(least).sum();
        self.0.check_size(points)?;
        self.0.out.extend_from_slice(br#"{"resultType":"matrix","result":["#);
        for i in 0..series {
            self.0.more()?;
            let out = &mut self.0.out;
            out.extend_from_slice(if i == 0 { b"{\"metric\":" } else { b",{\"metric\":" });
            json::labels(out, matrix.labels(i));
            self.points(matrix, i)?;
            self.histograms(matrix, i)?;
            self.0.out.push(b'}');
        }
        self.0.out.push(b']');
        Ok(())
    }

    /// The numbers of series `i`, of which one series can have any number.
    fn points(&mut self, matrix: &Matrix, i: usize) -> Result<(), ApiError> {
        let mut written = 0;
        for (t, v) in matrix.points(i) {
            if written > 0 && written % POINTS_AT_ONCE == 0 {
                self.0.more()?;
            }
            let out = &mut self.0.out;
            out.extend_from_slice(if written == 0 { b",\"values\":[" } else { b"," });
            json::point(out, t, v);
            written += 1;
        }
        if written > 0 {
            self.0.out.push(b']');
        }
        Ok(())
    }

    fn histograms(&mut self, matrix: &Matrix, i: usize) -> Result<(), ApiError> {
        let mut written = 0;
        for (t, h) in matrix.histograms(i) {
            self.0.more()?;
            let out = &mut self.0.out;
            out.extend_from_slice(if written == 0 { b",\"histograms\":[" } else { b"," });
            json::histogram(out, t, &h);
            written += 1;
        }
        if written > 0 {
            self.0.out.push(b']');
        }
        Ok(())
    }
}

/// The first of all remarks of a kind, and how many there are besides.
fn first_remarks(mut all: Vec<String>, kind: &str) -> Vec<String> {
    let omitted = all.len().saturating_sub(REMARKS_MAX);
    if omitted > 0 {
        all.truncate(REMARKS_MAX);
        all.push(format!("{omitted} more {kind} annotations omitted"));
    }
    all
}

fn remarks(annotations: &[Annotation], severity: Severity, query: &str) -> Vec<String> {
    annotations.iter().filter(|a| a.severity == severity).map(|a| a.text(query)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_remarks_are_named_and_the_others_counted() {
        let all = |n: usize| (0..n).map(|i| i.to_string()).collect::<Vec<_>>();
        assert_eq!(first_remarks(all(10), "info"), all(10));
        let cut = first_remarks(all(21), "info");
        assert_eq!((&cut[..10], cut.len()), (&all(10)[..], 11));
        assert_eq!(cut[10], "11 more info annotations omitted");
    }
}
