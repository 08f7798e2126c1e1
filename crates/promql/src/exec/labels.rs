//! By which labels rows are put into groups and find one another; computed once per series.

use super::matrix::RowLabels;
use crate::ast::{Grouping, MatchOn};
use crate::plan::NameRemoval;
use skopos_model::{Labels, name::METRIC_NAME};

/// The labels that say of what type and unit a metric is; they go with its name.
pub(crate) const TYPE: &str = "__type__";
const UNIT: &str = "__unit__";

/// Whether the label goes when the row is no longer the metric that was read.
pub(crate) fn goes_with_name(label: &str) -> bool {
    matches!(label, METRIC_NAME | TYPE | UNIT)
}

/// Whether labels other than the name would go with it.
pub(crate) fn has_type_or_unit(labels: &Labels) -> bool {
    labels.get(TYPE).is_some() || labels.get(UNIT).is_some()
}

/// The labels without the name and what goes with it.
pub(crate) fn without_name(labels: &Labels) -> Labels {
    if has_type_or_unit(labels) {
        labels.filtered(|n| !goes_with_name(n))
    } else {
        labels.without_metric_name()
    }
}

/// The labels of the group that a row belongs to.
pub(crate) fn group_key(labels: &RowLabels, grouping: &Grouping, name_removal: NameRemoval) -> RowLabels {
    match grouping {
        Grouping::By(names) if names.is_empty() => RowLabels::kept(Labels::empty()),
        Grouping::By(names) => {
            let hidden = |n: &str| labels.drop_name && !name_removal.is_late() && goes_with_name(n);
            let key = labels.labels.filtered(|n| names.iter().any(|m| m == n) && !hidden(n));
            let drop_name =
                labels.drop_name && name_removal.is_late() && key.iter().any(|(n, _)| goes_with_name(n));
            RowLabels { labels: key, drop_name }
        }
        Grouping::Without(names) => {
            let gone = |n: &str| {
                if labels.drop_name && !name_removal.is_late() { goes_with_name(n) } else { n == METRIC_NAME }
            };
            let key = labels.labels.filtered(|n| !gone(n) && !names.iter().any(|m| m == n));
            let drop_name = labels.drop_name && name_removal.is_late() && has_type_or_unit(&key);
            RowLabels { labels: key, drop_name }
        }
    }
}

/// What it costs to hold the labels of one row against `names`, in samples touched.
pub(crate) fn names_work(names: &[String]) -> usize {
    4 * names.len()
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
