//! `Exemplar`: one observation picked out of a metric, with labels that lead to its trace.

use crate::{Labels, TimestampMs};

/// One observation behind a sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// Labels that identify the observation, such as a trace id.
    pub labels: Labels,
    /// The observed value.
    pub value: f64,
    /// When it was observed; unset means the sample's own time.
    pub timestamp: Option<TimestampMs>,
}
