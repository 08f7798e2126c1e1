//! `LocalSource`: our own engine over any storage.

use crate::source::{Answer, AnswerSeries, AnswerValue, RangeSource, SourceError};
use skopos_promql::{Engine, Steps, Value, ast::Expr};
use skopos_storage::Queryable;

/// Evaluates in this process.
#[derive(Debug)]
pub struct LocalSource<'a, Q> {
    engine: Engine,
    storage: &'a Q,
}

impl<'a, Q: Queryable> LocalSource<'a, Q> {
    /// Evaluates over `storage`.
    pub fn new(engine: Engine, storage: &'a Q) -> Self {
        Self { engine, storage }
    }
}

impl<Q: Queryable> RangeSource for LocalSource<'_, Q> {
    fn range(&mut self, expr: &Expr, steps: Steps) -> Result<Answer, SourceError> {
        let result = self.engine.range(self.storage, expr, steps, &self.engine.budget())?;
        let query = expr.to_string();
        let warnings = result.annotations.iter().map(|a| a.text(&query)).collect();
        let Value::Matrix(matrix) = result.value else {
            unreachable!("invariant: a range query gives a matrix")
        };
        let series = (0..matrix.len()).map(|i| {
            let floats = matrix.points(i).map(|(at, value)| (at, AnswerValue::Float(value)));
            let histograms = matrix
                .histograms(i)
                .map(|(at, histogram)| (at, AnswerValue::Histogram(Box::new(histogram.into_owned()))));
            let mut samples: Vec<_> = floats.chain(histograms).collect();
            samples.sort_by_key(|(at, _)| *at);
            AnswerSeries { labels: matrix.labels(i).clone(), samples }
        });
        Ok(Answer { series: series.collect(), warnings })
    }
}
