//! `fill` and its halves: what finds no match on the other side of an operator at a step meets a number
//! there instead.

use super::{GROUP_BYTES, Groups, JoinContext, Taken, Tools, match_key, push_any, result_labels};
use crate::ast::Cardinality;
use crate::error::EvalError;
use crate::exec::{
    bits,
    matrix::{Row, RowLabels, StepMatrix},
    work::WORK_OF_LABELS,
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
    (context, tools): (JoinContext, &mut Tools<'_>),
    out: &mut StepMatrix,
) -> Result<(), EvalError> {
    tools.held.grow(2 * many.steps())?;
    let (for_many, for_one) = values(join);
    let mut all = vec![0; bits::words(many.steps())];
    bits::fill(&mut all, many.steps());
    if let Some(v) = for_one {
        let other = vec![v; many.steps()];
        let other = Row { values: &other, present: &all, histograms: None };
        fill_one(join, (many, one), groups, (taken, context, tools), other, out)?;
    }
    if let Some(v) = for_many {
        let other = vec![v; many.steps()];
        let other = Row { values: &other, present: &all, histograms: None };
        fill_many(join, one, groups, (taken, context, tools), other, out)?;
    }
    Ok(())
}

/// The rows of the many side at the steps at which their group has none on the one side.
fn fill_one(
    join: &Join,
    (many, one): (&StepMatrix, &StepMatrix),
    groups: &Groups,
    (taken, context, tools): (&mut Taken, JoinContext, &mut Tools<'_>),
    other: Row<'_>,
    out: &mut StepMatrix,
) -> Result<(), EvalError> {
    // Groups that the one side does not have are numbered behind those that it has.
    let mut without: foldhash::HashMap<Labels, usize> = foldhash::HashMap::default();
    let nothing = RowLabels::kept(Labels::empty());
    for (labels, row) in many.iter() {
        tools.work.spend(WORK_OF_LABELS + row.present.len())?;
        let key = match_key(labels, &join.matching.on);
        let mut alone = row.present.to_vec();
        let next = groups.rows.len() + without.len();
        let group = match groups.ids.get(&key) {
            Some(group) => {
                groups.rows[*group].iter().for_each(|j| bits::and_not(&mut alone, one.row(*j).present));
                *group
            }
            None => {
                tools.held.grow_bytes(labels.cost() + GROUP_BYTES)?;
                *without.entry(key).or_insert(next)
            }
        };
        if !bits::any(&alone) {
            continue;
        }
        let labels = result_labels(join, labels, &nothing, context.name_removal);
        let mut met = alone.clone();
        let many = Row { present: &alone, ..row };
        push(join, (many, other), (labels.clone(), &mut met), out, tools)?;
        taken.take(join, (group, labels), &met, tools)?;
    }
    Ok(())
}

/// The rows of the one side at the steps at which none of the many side has met their group, which then has
/// one of the labels that the sides are matched by.
fn fill_many(
    join: &Join,
    one: &StepMatrix,
    groups: &Groups,
    (taken, context, tools): (&Taken, JoinContext, &mut Tools<'_>),
    other: Row<'_>,
    out: &mut StepMatrix,
) -> Result<(), EvalError> {
    for (labels, row) in one.iter() {
        tools.work.spend(WORK_OF_LABELS + other.present.len())?;
        let key = match_key(labels, &join.matching.on);
        let Some(group) = groups.ids.get(&key) else { continue };
        let mut alone = row.present.to_vec();
        taken.groups.leave_others(group, &mut alone);
        if !bits::any(&alone) {
            continue;
        }
        let result = result_labels(join, &RowLabels::kept(key), labels, context.name_removal);
        let mut with = alone.clone();
        push(join, (other, Row { present: &alone, ..row }), (result, &mut with), out, tools)?;
    }
    Ok(())
}

/// Adds the result of a row of the many side and one of the one side.
fn push(
    join: &Join,
    (many, one): (Row<'_>, Row<'_>),
    result: (RowLabels, &mut [u64]),
    out: &mut StepMatrix,
    tools: &mut Tools<'_>,
) -> Result<(), EvalError> {
    let swapped = join.matching.cardinality == Cardinality::OneToMany;
    let (l, r) = if swapped { (one, many) } else { (many, one) };
    push_any(join, (l, r), result, out, tools)
}
