//! Binary operators between vectors. Which series meet is decided once for all steps; whether they do at
//! a step is a matter of bitmaps.

mod fill;

use super::{
    annotations::Annotations,
    arith, bits,
    held::Held,
    histograms::HistogramSteps,
    labels::{goes_with_name, match_key, names_work},
    matrix::{Row, RowLabels, StepMatrix},
    native::{self, Operand, Operator, Outcome},
    window::parts,
    work::{WORK_OF_LABELS, Work},
};
use crate::ast::{BinaryOp, Cardinality, MatchOn, Matching, Span};
use crate::error::EvalError;
use crate::plan::{Join, NameRemoval};
use skopos_model::{Labels, LabelsBuilder};
use std::sync::Arc;

/// Where a join stands and how names are treated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JoinContext {
    pub span: Span,
    pub name_removal: NameRemoval,
}

/// What an entry of the table of groups takes beside its labels, with room to grow.
const GROUP_BYTES: usize = 2 * (size_of::<(Labels, usize)>() + size_of::<Vec<usize>>()) + 64;

/// What the operators need beside the rows: where they stand, and what they use.
#[derive(Debug)]
struct Tools<'a> {
    span: Span,
    annotations: &'a mut Annotations,
    work: Work,
    /// Tables of keys.
    held: Held,
}

/// The rows of one side by the labels that the sides are matched by.
#[derive(Debug)]
struct Groups {
    ids: foldhash::HashMap<Labels, usize>,
    rows: Vec<Vec<usize>>,
}

impl Groups {
    fn of(matrix: &StepMatrix, on: &MatchOn, tools: &mut Tools<'_>) -> Result<Self, EvalError> {
        let mut groups = Self { ids: foldhash::HashMap::default(), rows: Vec::new() };
        for i in 0..matrix.len() {
            let (MatchOn::On(names) | MatchOn::Ignoring(names)) = on;
            tools.work.spend(WORK_OF_LABELS + names_work(names))?;
            tools.held.grow_bytes(matrix.labels(i).cost() + GROUP_BYTES)?;
            let next = groups.rows.len();
            let id = *groups.ids.entry(match_key(matrix.labels(i), on)).or_insert(next);
            if id == next {
                groups.rows.push(Vec::new());
            }
            groups.rows[id].push(i);
        }
        Ok(groups)
    }
}

/// The steps at which any row has a value.
fn any_present(matrix: &StepMatrix) -> Vec<u64> {
    let mut any = vec![0; bits::words(matrix.steps())];
    matrix.iter().for_each(|(_, row)| bits::or(&mut any, row.present));
    any
}

/// The values of `lhs` and `rhs` put together.
pub(crate) fn join(
    join: &Join,
    lhs: &StepMatrix,
    rhs: &StepMatrix,
    (context, annotations): (JoinContext, &mut Annotations),
) -> Result<StepMatrix, EvalError> {
    let swapped = join.matching.cardinality == Cardinality::OneToMany;
    let (many, one) = if swapped { (rhs, lhs) } else { (lhs, rhs) };
    let (work, held) = (Work::new(many.budget()), Held::new(many.budget()));
    let mut tools = Tools { span: context.span, annotations, work, held };
    let groups = Groups::of(one, &join.matching.on, &mut tools)?;
    check_one_side(join, &groups, (many, one), &mut tools)?;
    let mut out = StepMatrix::new(many.steps(), many.budget());
    let mut taken = Taken::default();
    let mut met = Vec::new();
    let (MatchOn::On(names) | MatchOn::Ignoring(names)) = &join.matching.on;
    for i in 0..many.len() {
        tools.work.spend(WORK_OF_LABELS + names_work(names))?;
        let key = match_key(many.labels(i), &join.matching.on);
        let Some(group) = groups.ids.get(&key) else { continue };
        for &j in &groups.rows[*group] {
            tools.work.spend(1 + bits::words(many.steps()))?;
            met.clear();
            met.extend_from_slice(many.row(i).present);
            bits::and(&mut met, one.row(j).present);
            if !bits::any(&met) {
                continue;
            }
            let labels = result_labels(join, many.labels(i), one.labels(j), context.name_removal);
            tools.work.spend(WORK_OF_LABELS + names_work(&join.matching.include))?;
            let (l, r) = if swapped { (j, i) } else { (i, j) };
            push_any(join, (lhs.row(l), rhs.row(r)), (labels.clone(), &mut met), &mut out, &mut tools)?;
            taken.take(join, (*group, labels), &met, &mut tools)?;
        }
    }
    if !join.matching.fill.is_none() {
        fill::add_filled(join, (many, one), &groups, &mut taken, (context, &mut tools), &mut out)?;
    }
    out.merged(context.span)
}

/// Fails where two rows of one group of the one side have a value at a step at which both sides have any.
fn check_one_side(
    join: &Join,
    groups: &Groups,
    (many, one): (&StepMatrix, &StepMatrix),
    tools: &mut Tools<'_>,
) -> Result<(), EvalError> {
    let span = tools.span;
    let swapped = join.matching.cardinality == Cardinality::OneToMany;
    if groups.rows.iter().all(|rows| rows.len() < 2) {
        return Ok(());
    }
    let mut both = any_present(many);
    if !join.matching.fill.is_none() {
        // As in Prometheus, either half makes it look at all that there is.
        bits::fill(&mut both, many.steps());
    }
    bits::and(&mut both, &any_present(one));
    // In the order of rows, so that the same group is named each time.
    for rows in &groups.rows {
        let mut seen = vec![0; both.len()];
        for &i in rows.iter().filter(|_| rows.len() > 1) {
            tools.work.spend(1 + both.len())?;
            let mut here = one.row(i).present.to_vec();
            bits::and(&mut here, &both);
            if bits::intersects(&here, &seen) {
                let other = rows.iter().find(|j| bits::intersects(one.row(**j).present, &here));
                return Err(EvalError::ManyToMany {
                    group: match_key(one.labels(i), &join.matching.on),
                    side: if swapped { "left" } else { "right" },
                    first: one.labels(*other.unwrap_or(&i)).clone().resolved(),
                    second: one.labels(i).clone().resolved(),
                    span,
                });
            }
            bits::or(&mut seen, &here);
        }
    }
    Ok(())
}

/// Adds the row of the two, where both have a value and a comparison holds.
fn push_result(
    join: &Join,
    l: Row<'_>,
    r: Row<'_>,
    labels: RowLabels,
    out: &mut StepMatrix,
    work: &mut Work,
) -> Result<(), EvalError> {
    let steps = out.steps();
    out.push(labels, l)?;
    let mut row = out.row_mut(out.len() - 1);
    bits::and(row.present, r.present);
    parts(steps, work, |steps| {
        let row = row.part(&steps);
        let (l, r) = (&l.values[steps.clone()], &r.values[steps.clone()]);
        if !join.op.is_comparison() {
            arith::zip(join.op, row.values, r);
        } else if join.return_bool {
            row.values.iter_mut().zip(r).for_each(|(a, b)| *a = arith::number(join.op, *a, *b));
        } else {
            arith::filter(join.op, |k| l[k], |k| r[k], row.present, steps.len());
        }
    })?;
    Ok(())
}

/// Adds the row of the two, which meet at the steps `met`; clears those at which they are too unlike to.
fn push_any(
    join: &Join,
    (l, r): (Row<'_>, Row<'_>),
    (labels, met): (RowLabels, &mut [u64]),
    out: &mut StepMatrix,
    tools: &mut Tools<'_>,
) -> Result<(), EvalError> {
    if l.histograms.is_some() || r.histograms.is_some() || join.op.is_trim() {
        push_mixed(join, (l, r), (labels, met), out, tools)?;
        tools.work.row_done();
        return Ok(());
    }
    push_result(join, l, r, labels, out, &mut tools.work)
}

/// Adds the row of the two, of which one has histograms at least.
fn push_mixed(
    join: &Join,
    (l, r): (Row<'_>, Row<'_>),
    (labels, met): (RowLabels, &mut [u64]),
    out: &mut StepMatrix,
    Tools { span, annotations, work, .. }: &mut Tools<'_>,
) -> Result<(), EvalError> {
    let span = *span;
    let Join { op, return_bool, .. } = *join;
    let operator = Operator { op, return_bool, span };
    let mut found = HistogramSteps::new(out.steps());
    let at = out.len();
    let mut unlike = vec![0; met.len()];
    let mut row = out.push_empty(labels)?;
    for k in bits::iter(met) {
        if let (None, None, false) = (l.histogram(k), r.histogram(k), op.is_trim()) {
            let (a, b) = (l.values[k], r.values[k]);
            if !op.is_comparison() || return_bool {
                row.set(k, arith::number(op, a, b));
            } else if arith::holds(op, a, b) {
                row.set(k, a);
            }
            continue;
        }
        let (left, right) = (l.histogram(k), r.histogram(k));
        let buckets = [left, right].map(|h| h.map_or(0, |h| h.view().bucket_count()));
        work.spend(1 + buckets[0] + buckets[1])?;
        let sides = (
            left.map_or(Operand::Float(l.values[k]), |h| Operand::Histogram(h)),
            right.map_or(Operand::Float(r.values[k]), |h| Operand::Histogram(h)),
        );
        match native::binary(operator, sides, annotations) {
            Outcome::Nothing => {}
            Outcome::Unlike => bits::set(&mut unlike, k),
            Outcome::Kept => left.into_iter().for_each(|h| found.push(k, Arc::clone(h))),
            Outcome::Float(v) => row.set(k, v),
            Outcome::Histogram(h) => found.push(k, work.made(*h)?),
        }
    }
    bits::and_not(met, &unlike);
    out.add_histograms(at, &found)
}

/// At which steps something was taken already.
#[derive(Debug)]
struct SeenSteps<K>(foldhash::HashMap<K, Vec<u64>>);

impl<K> Default for SeenSteps<K> {
    fn default() -> Self {
        Self(foldhash::HashMap::default())
    }
}

impl<K: Eq + std::hash::Hash> SeenSteps<K> {
    /// Takes `key` at these steps; false when it was taken at one of them before.
    fn take(&mut self, key: K, present: &[u64], held: &mut Held) -> Result<bool, EvalError> {
        let seen = self.0.entry(key).or_default();
        let is_first = !bits::intersects(seen, present);
        if seen.is_empty() {
            held.grow_entries::<(K, Vec<u64>)>(1)?;
            held.grow_bytes(size_of_val(present))?;
        }
        seen.resize(present.len(), 0);
        bits::or(seen, present);
        Ok(is_first)
    }

    /// Leaves those of the steps at which `key` was not taken.
    fn leave_others(&self, key: &K, steps: &mut [u64]) {
        if let Some(seen) = self.0.get(key) {
            bits::and_not(steps, seen);
        }
    }
}

/// What may be there only once at a step: a series that meets a group of the one side, or with
/// `group_left` and `group_right` a result of the group.
#[derive(Debug, Default)]
struct Taken {
    /// At which steps any has met the group.
    groups: SeenSteps<usize>,
    results: SeenSteps<(usize, RowLabels)>,
}

impl Taken {
    /// Takes what a series and one of the group make of one another at these steps. Two that meet the same
    /// one, or make the same result of it, are an error even if a comparison keeps neither: whether a query
    /// fails must not depend on the values. Those that are too unlike for the operator have not met.
    fn take(
        &mut self,
        join: &Join,
        (group, labels): (usize, RowLabels),
        met: &[u64],
        Tools { span, held, .. }: &mut Tools<'_>,
    ) -> Result<(), EvalError> {
        let is_first = self.groups.take(group, met, held)?;
        if join.matching.cardinality == Cardinality::OneToOne {
            return if is_first { Ok(()) } else { Err(EvalError::ManyToOne { span: *span }) };
        }
        if self.results.take((group, labels), met, held)? {
            return Ok(());
        }
        Err(EvalError::GroupingNotUnique { span: *span })
    }
}

/// The labels of the result of two rows.
fn result_labels(join: &Join, many: &RowLabels, one: &RowLabels, name_removal: NameRemoval) -> RowLabels {
    let drops = !(join.op.is_comparison() || join.op.is_trim()) || join.return_bool;
    let strips = drops && !name_removal.is_late();
    let Matching { cardinality, on, include, .. } = &join.matching;
    let keep = |n: &str| {
        if strips && goes_with_name(n) {
            return false;
        }
        match on {
            _ if *cardinality != Cardinality::OneToOne => true,
            MatchOn::On(names) => names.iter().any(|m| m == n),
            MatchOn::Ignoring(names) => !names.iter().any(|m| m == n),
        }
    };
    let mut labels = many.labels.filtered(keep);
    if !include.is_empty() {
        let mut builder = LabelsBuilder::from_labels(&labels);
        for name in include {
            builder.set(name, one.labels.value(name));
        }
        labels = builder.build();
        if join.return_bool && !name_removal.is_late() {
            // What is neither metric keeps no name that was taken over.
            labels = labels.filtered(|n| !goes_with_name(n));
        }
    }
    let drop_name = name_removal.is_late() && (many.drop_name || drops);
    RowLabels { labels, drop_name }
}

/// `and`, `or`, `unless`.
pub(crate) fn set(
    op: BinaryOp,
    matching: &Matching,
    lhs: &StepMatrix,
    rhs: &StepMatrix,
    context: JoinContext,
) -> Result<StepMatrix, EvalError> {
    let (kept, by) = if op == BinaryOp::Or { (rhs, lhs) } else { (lhs, rhs) };
    let mut present: foldhash::HashMap<Labels, Vec<u64>> = foldhash::HashMap::default();
    let (mut work, mut held) = (Work::new(lhs.budget()), Held::new(lhs.budget()));
    for (labels, row) in by.iter() {
        work.spend(WORK_OF_LABELS + row.present.len())?;
        held.grow_bytes(labels.cost() + GROUP_BYTES + size_of_val(row.present))?;
        let seen = present.entry(match_key(labels, &matching.on)).or_default();
        seen.resize(row.present.len(), 0);
        bits::or(seen, row.present);
    }
    let mut out = StepMatrix::new(lhs.steps(), lhs.budget());
    if op == BinaryOp::Or {
        for (labels, row) in lhs.iter() {
            out.push(labels.clone(), row)?;
        }
    }
    let mut left = Vec::new();
    for (labels, row) in kept.iter() {
        work.spend(WORK_OF_LABELS + row.present.len())?;
        left.clear();
        left.extend_from_slice(row.present);
        match (present.get(&match_key(labels, &matching.on)), op) {
            (Some(seen), BinaryOp::And) => bits::and(&mut left, seen),
            (None, BinaryOp::And) => continue,
            (Some(seen), _) => bits::and_not(&mut left, seen),
            (None, _) => {}
        }
        if bits::any(&left) {
            out.push(labels.clone(), Row { present: &left, ..row })?;
        }
    }
    if op == BinaryOp::Or { out.merged(context.span) } else { Ok(out) }
}
