//! `LocalSource`: our own engine over any storage.

use crate::source::{Answer, AnswerSeries, RangeSource, SourceError};
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
        let series = (0..matrix.len())
            .map(|i| AnswerSeries { labels: matrix.labels(i).clone(), samples: matrix.points(i).collect() })
            .collect();
        Ok(Answer { series, warnings })
    }
}
