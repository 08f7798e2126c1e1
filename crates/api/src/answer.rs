//! A query's result as JSON, sent while it is written: what is held of it is a piece. Evaluates nothing.

use crate::{
    blocking::Sink,
    json,
    params::Params,
    parts::Parts,
    query_stats::Stats,
    reply::{self, ApiError, ErrorType},
};
use skopos_promql::{Annotation, Matrix, QueryResult, Severity, Value, Vector};

/// The most bytes of an answer where no flag says it.
pub const DEFAULT_RESPONSE_MAX_BYTES: u64 = 1 << 30;
/// So many bytes are sent as one piece.
const PIECE_BYTES: usize = 256 << 10;
/// A point of a matrix is at least `[1435781451,"1"],`.
const POINT_MIN_BYTES: u64 = 16;

/// An answer while it is written.
pub(crate) struct Answer<'a> {
    parts: &'a Parts,
    sink: &'a mut Sink,
    out: Vec<u8>,
    sent: u64,
}

impl<'a> Answer<'a> {
    pub(crate) fn new(parts: &'a Parts, sink: &'a mut Sink) -> Self {
        Self { parts, sink, out: reply::BEGIN.to_vec(), sent: 0 }
    }

    /// Writes and sends the result, cut to `limit` series (zero: all of them).
    pub(crate) fn write(
        mut self,
        result: &QueryResult,
        params: &Params,
        limit: usize,
        stats: &Stats,
    ) -> Result<(), ApiError> {
        let query = params.required("query")?;
        let mut cut = false;
        let kept = |len: usize| if limit == 0 { len } else { limit.min(len) };
        match &result.value {
            Value::Scalar { timestamp, value } => {
                self.out.extend_from_slice(br#"{"resultType":"scalar","result":"#);
                json::point(&mut self.out, *timestamp, *value);
            }
            Value::String { timestamp, text } => {
                self.out.extend_from_slice(br#"{"resultType":"string","result":["#);
                json::timestamp(&mut self.out, *timestamp);
                self.out.push(b',');
                json::string(&mut self.out, text);
                self.out.push(b']');
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
        stats.write(&result.operators, &mut self.out)?;
        self.out.push(b'}');
        let of = |severity| remarks(&result.annotations, severity, query);
        let mut warnings = of(Severity::Warning);
        if cut {
            warnings.push("results truncated due to limit".to_owned());
        }
        reply::end(&mut self.out, &warnings, &of(Severity::Info));
        self.check_size(0)?;
        self.sink.send_last(self.parts, self.out)
    }

    /// Sends what is written if it is a piece. Asked for every series; one has at most some hundred
    /// kilobytes.
    fn series_follows(&mut self) -> Result<(), ApiError> {
        self.check_size(0)?;
        if self.out.len() < PIECE_BYTES {
            return Ok(());
        }
        self.sent += self.out.len() as u64;
        let piece = std::mem::replace(&mut self.out, Vec::with_capacity(PIECE_BYTES + PIECE_BYTES / 4));
        self.sink.send(self.parts, piece)
    }

    /// Whether an answer that is so long, and will have at least so many bytes more, may be.
    fn check_size(&self, more: u64) -> Result<(), ApiError> {
        let max = self.parts.response_max_bytes;
        if self.sent + self.out.len() as u64 + more <= max {
            return Ok(());
        }
        let reason = format!(
            "the answer is longer than {max} bytes (query.max-response-bytes): ask for fewer series, a \
             shorter range or a longer step"
        );
        Err(ApiError::new(ErrorType::Execution, reason))
    }

    fn vector(&mut self, vector: &Vector, series: usize) -> Result<(), ApiError> {
        self.out.extend_from_slice(br#"{"resultType":"vector","result":["#);
        for i in 0..series {
            self.series_follows()?;
            let out = &mut self.out;
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
        self.out.push(b']');
        Ok(())
    }

    fn matrix(&mut self, matrix: &Matrix, series: usize) -> Result<(), ApiError> {
        // Counting is cheap, and an error before the first piece is one that a client can read.
        let points: u64 = (0..series).map(|i| matrix.points(i).count() as u64).sum();
        self.check_size(points * POINT_MIN_BYTES)?;
        self.out.extend_from_slice(br#"{"resultType":"matrix","result":["#);
        for i in 0..series {
            self.series_follows()?;
            let out = &mut self.out;
            out.extend_from_slice(if i == 0 { b"{\"metric\":" } else { b",{\"metric\":" });
            json::labels(out, matrix.labels(i));
            let mut numbers = 0;
            for (t, v) in matrix.points(i) {
                out.extend_from_slice(if numbers == 0 { b",\"values\":[" } else { b"," });
                json::point(out, t, v);
                numbers += 1;
            }
            if numbers > 0 {
                out.push(b']');
            }
            let mut histograms = 0;
            for (t, h) in matrix.histograms(i) {
                out.extend_from_slice(if histograms == 0 { b",\"histograms\":[" } else { b"," });
                json::histogram(out, t, &h);
                histograms += 1;
            }
            if histograms > 0 {
                out.push(b']');
            }
            out.push(b'}');
        }
        self.out.push(b']');
        Ok(())
    }
}

fn remarks(annotations: &[Annotation], severity: Severity, query: &str) -> Vec<String> {
    annotations.iter().filter(|a| a.severity == severity).map(|a| a.text(query)).collect()
}
