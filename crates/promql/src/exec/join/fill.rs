//! `fill` and its halves: what finds no match on the other side of an operator at a step meets a number
//! there instead.

use super::{Groups, JoinContext, Taken, budget_check, match_key, push_any, result_labels};
use crate::ast::{Cardinality, Span};
use crate::error::EvalError;
use crate::exec::{
    Annotations, bits,
    matrix::{Row, RowLabels, StepMatrix},
};
use crate::plan::Join;
use skopos_model::Labels;

/// What is filled in on the many side and on the one side.
pub(super) fn values(join: &Join) -> (Option<f64>, Option<f64>) {
    // As in Prometheus, the left one is the many side's, on whichever side of the operator that stands.
    (join.matching.fill.left, join.matching.fill.right)
}

/// Adds the results of the rows of either side at the steps at which they meet none of the other.
pub(super) fn add_filled(
    join: &Join,
    (many, one): (&StepMatrix, &StepMatrix),
    groups: &Groups,
    taken: &mut Taken,
    (context, annotations): (JoinContext, &mut Annotations),
    out: &mut StepMatrix,
) -> Result<(), EvalError> {
    let (for_many, for_one) = values(join);
    let mut all = vec![0; bits::words(many.steps())];
    bits::fill(&mut all, many.steps());
    if let Some(v) = for_one {
        let other = vec![v; many.steps()];
        let other = Row { values: &other, present: &all, histograms: None };
        fill_one(join, (many, one), groups, (taken, context, annotations), other, out)?;
    }
    if let Some(v) = for_many {
        let other = vec![v; many.steps()];
        let other = Row { values: &other, present: &all, histograms: None };
        fill_many(join, (many, one), groups, (context, annotations), other, out)?;
    }
    Ok(())
}

/// The rows of the many side at the steps at which their group has none on the one side.
fn fill_one(
    join: &Join,
    (many, one): (&StepMatrix, &StepMatrix),
    groups: &Groups,
    (taken, context, annotations): (&mut Taken, JoinContext, &mut Annotations),
    other: Row<'_>,
    out: &mut StepMatrix,
) -> Result<(), EvalError> {
    // Groups that the one side does not have are numbered behind those that it has.
    let mut without: foldhash::HashMap<Labels, usize> = foldhash::HashMap::default();
    let nothing = RowLabels::kept(Labels::empty());
    for (i, (labels, row)) in many.iter().enumerate() {
        budget_check(many, i)?;
        let key = match_key(labels, &join.matching.on);
        let mut alone = row.present.to_vec();
        let next = groups.rows.len() + without.len();
        let group = match groups.ids.get(&key) {
            Some(group) => {
                groups.rows[*group].iter().for_each(|j| bits::and_not(&mut alone, one.row(*j).present));
                *group
            }
            None => *without.entry(key).or_insert(next),
        };
        if !bits::any(&alone) {
            continue;
        }
        if join.matching.cardinality == Cardinality::OneToOne && !taken.groups.take(group, &alone) {
            return Err(EvalError::ManyToOne { span: context.span });
        }
        let labels = result_labels(join, labels, &nothing, context.late_names);
        push(join, (Row { present: &alone, ..row }, other), labels, out, (context.span, annotations))?;
    }
    Ok(())
}

/// The rows of the one side at the steps at which their group has none on the many side, which then has
/// one of the labels that the sides are matched by.
fn fill_many(
    join: &Join,
    (many, one): (&StepMatrix, &StepMatrix),
    groups: &Groups,
    (context, annotations): (JoinContext, &mut Annotations),
    other: Row<'_>,
    out: &mut StepMatrix,
) -> Result<(), EvalError> {
    let words = other.present.len();
    let mut met = vec![0; groups.rows.len() * words];
    for (labels, row) in many.iter() {
        if let Some(group) = groups.ids.get(&match_key(labels, &join.matching.on)) {
            bits::or(&mut met[group * words..][..words], row.present);
        }
    }
    for (i, (labels, row)) in one.iter().enumerate() {
        budget_check(one, i)?;
        let key = match_key(labels, &join.matching.on);
        let Some(group) = groups.ids.get(&key) else { continue };
        let mut alone = row.present.to_vec();
        bits::and_not(&mut alone, &met[group * words..][..words]);
        if !bits::any(&alone) {
            continue;
        }
        let result = result_labels(join, &RowLabels::kept(key), labels, context.late_names);
        push(join, (other, Row { present: &alone, ..row }), result, out, (context.span, annotations))?;
    }
    Ok(())
}

/// Adds the result of a row of the many side and one of the one side.
fn push(
    join: &Join,
    (many, one): (Row<'_>, Row<'_>),
    labels: RowLabels,
    out: &mut StepMatrix,
    place: (Span, &mut Annotations),
) -> Result<(), EvalError> {
    let swapped = join.matching.cardinality == Cardinality::OneToMany;
    let (l, r) = if swapped { (one, many) } else { (many, one) };
    push_any(join, (l, r), labels, out, place)
}
