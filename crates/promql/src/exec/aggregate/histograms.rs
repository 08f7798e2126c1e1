//! The native histograms of `sum` and `avg`: one sum a group and step that has any.

use crate::ast::Span;
use crate::error::EvalError;
use crate::exec::{
    Annotations, bits,
    held::Held,
    histograms::{HistogramSteps, SAMPLE_BYTES},
    matrix::Row,
};
use skopos_model::histogram::{HistogramSum, SumKind};
use std::{collections::BTreeMap, sync::Arc};

/// What a group has come to at one step.
#[derive(Debug)]
enum Slot {
    Sum(Box<HistogramSum>),
    /// What came does not fit together: there is no result.
    Lost,
}

/// The histograms of all groups, by group and step.
#[derive(Debug)]
pub(super) struct HistogramGroups {
    kind: SumKind,
    slots: BTreeMap<(usize, usize), Slot>,
}

impl HistogramGroups {
    pub(super) fn new(kind: SumKind) -> Self {
        Self { kind, slots: BTreeMap::new() }
    }

    /// Adds the histograms of a row to group `group`.
    pub(super) fn add(
        &mut self,
        group: usize,
        (row, metric): (&HistogramSteps, &str),
        held: &mut Held,
        (span, annotations): (Span, &mut Annotations),
    ) -> Result<(), EvalError> {
        for (k, histogram) in row.iter() {
            match self.slots.get_mut(&(group, k)) {
                None => {
                    let sum = Box::new(HistogramSum::new(self.kind, &histogram.view()));
                    held.grow(sum.size() / SAMPLE_BYTES)?;
                    self.slots.insert((group, k), Slot::Sum(sum));
                }
                Some(Slot::Lost) => {}
                Some(slot @ Slot::Sum(_)) => {
                    let Slot::Sum(sum) = slot else { continue };
                    let before = sum.size();
                    if sum.add(&histogram.view()).is_err() {
                        annotations.mixed_buckets(metric, span);
                        *slot = Slot::Lost;
                    } else {
                        held.grow(sum.size().saturating_sub(before) / SAMPLE_BYTES)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The histograms of a group, whose floats stand in `row`; which floats have to go.
    pub(super) fn finish(
        &mut self,
        group: usize,
        row: Row<'_>,
        (span, annotations): (Span, &mut Annotations),
    ) -> (HistogramSteps, Vec<u64>) {
        let mut found = HistogramSteps::new(row.values.len());
        let mut mixed = vec![0; row.present.len()];
        let later = self.slots.split_off(&(group + 1, 0));
        for ((_, k), slot) in std::mem::replace(&mut self.slots, later) {
            if bits::get(row.present, k) {
                bits::set(&mut mixed, k);
                annotations.mixed_in_aggregation(span);
                continue;
            }
            let Slot::Sum(sum) = slot else { continue };
            let remarks = sum.remarks();
            if remarks.conflicting_resets {
                annotations.conflicting_resets("aggregation", span);
            }
            if remarks.bounds_reconciled {
                annotations.bounds_reconciled("aggregation", span);
            }
            found.push(k, Arc::new(sum.value()));
        }
        (found, mixed)
    }
}
