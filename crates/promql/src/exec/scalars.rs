//! `Scalars`: the numbers of a scalar expression, one a step or one for all, on the account of the query as
//! long as anybody has them. Computes nothing.

use super::{held::Held, window::parts, work::Work};
use skopos_storage::{QueryBudget, QueryError};
use std::{ops::Deref, sync::Arc};

/// Numbers that are shared.
#[derive(Clone, Debug)]
pub(crate) struct Scalars {
    values: Arc<Vec<f64>>,
    _held: Option<Arc<Held>>,
}

impl Scalars {
    /// The same number at every step.
    pub(crate) fn one(value: f64) -> Self {
        Self { values: Arc::new(vec![value]), _held: None }
    }

    /// The number that `f` says for each of `steps` steps.
    pub(crate) fn each(
        steps: usize,
        budget: &Arc<QueryBudget>,
        mut f: impl FnMut(usize) -> f64,
    ) -> Result<Self, QueryError> {
        if steps == 1 {
            return Ok(Self { values: Arc::new((0..1).map(f).collect()), _held: None });
        }
        let mut held = Held::new(budget);
        held.grow_bytes(steps.saturating_mul(size_of::<f64>()))?;
        let mut values = Vec::with_capacity(steps);
        parts(steps, &mut Work::new(budget), |part| values.extend(part.map(&mut f)))?;
        Ok(Self { values: Arc::new(values), _held: Some(Arc::new(held)) })
    }
}

impl Deref for Scalars {
    type Target = [f64];

    fn deref(&self) -> &[f64] {
        &self.values
    }
}
