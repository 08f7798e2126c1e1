//! By which labels rows are put into groups and find one another; computed once per series.

use super::matrix::RowLabels;
use crate::ast::{Grouping, MatchOn};
use skopos_model::{Labels, name::METRIC_NAME};

/// The labels of the group that a row belongs to.
pub(crate) fn group_key(labels: &RowLabels, grouping: &Grouping, late_names: bool) -> RowLabels {
    match grouping {
        Grouping::By(names) if names.is_empty() => RowLabels::kept(Labels::empty()),
        Grouping::By(names) => {
            let hidden = |n: &str| labels.drop_name && !late_names && n == METRIC_NAME;
            let key = labels.labels.filtered(|n| names.iter().any(|m| m == n) && !hidden(n));
            let drop_name = labels.drop_name && late_names && key.metric_name().is_some();
            RowLabels { labels: key, drop_name }
        }
        Grouping::Without(names) => {
            RowLabels::kept(labels.labels.filtered(|n| n != METRIC_NAME && !names.iter().any(|m| m == n)))
        }
    }
}

/// The labels by which the sides of an operator find one another.
pub(crate) fn match_key(labels: &RowLabels, on: &MatchOn) -> Labels {
    match on {
        MatchOn::On(names) => labels.labels.filtered(|n| names.iter().any(|m| m == n)),
        MatchOn::Ignoring(names) => {
            labels.labels.filtered(|n| n != METRIC_NAME && !names.iter().any(|m| m == n))
        }
    }
}
