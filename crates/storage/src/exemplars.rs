//! How exemplars are asked for. Owns none.

use crate::{QueryBudget, QueryError, TimeRange};
use skopos_model::{Exemplar, Labels, Matcher};

/// The exemplars of some series: their labels, and the exemplars in the order of time.
pub type SeriesExemplars = (Labels, Vec<Exemplar>);

/// A source of exemplars.
pub trait ExemplarQueryable: Send + Sync {
    /// The exemplars of `range` of the series that fulfil all matchers of any set, in the order of labels.
    /// A series without one there is left out.
    fn exemplars(
        &self,
        range: TimeRange,
        sets: &[Vec<Matcher>],
        budget: &QueryBudget,
    ) -> Result<Vec<SeriesExemplars>, QueryError>;
}

/// A source that has none.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoExemplars;

impl ExemplarQueryable for NoExemplars {
    fn exemplars(
        &self,
        _: TimeRange,
        _: &[Vec<Matcher>],
        _: &QueryBudget,
    ) -> Result<Vec<SeriesExemplars>, QueryError> {
        Ok(Vec::new())
    }
}
