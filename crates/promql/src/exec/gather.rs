//! Aggregations that see all rows of a group at once: `topk`, `bottomk`, `quantile`, `count_values`.

use super::{
    annotations::Annotations,
    bits,
    held::Held,
    labels::{group_key, names_work},
    matrix::{RowLabels, StepMatrix},
    order::sort_rows,
    quantile::quantile,
    topk::Heaps,
    window::Column,
    work::{WORK_OF_LABELS, Work},
};
use crate::ast::{AggregateOp, Grouping, Span};
use crate::error::EvalError;
use crate::plan::{Extreme, NameRemoval};
use skopos_model::{Labels, LabelsBuilder, float, name::METRIC_NAME};
use skopos_storage::QueryError;

/// What a gathering aggregation works on.
#[derive(Debug)]
pub(crate) struct GatherInput<'a> {
    pub matrix: &'a StepMatrix,
    pub grouping: &'a Grouping,
    pub name_removal: NameRemoval,
    pub span: Span,
    /// Where that which is aggregated stands in the query.
    pub argument: Span,
}

/// The rows without their histograms.
pub(crate) fn floats(matrix: &StepMatrix) -> Result<StepMatrix, EvalError> {
    let mut out = StepMatrix::new(matrix.steps(), matrix.budget());
    matrix.budget().check()?;
    matrix.iter().try_for_each(|(labels, row)| out.push_floats(labels.clone(), row))?;
    Ok(out)
}

/// Groups and their rows.
pub(crate) type Groups = Vec<(RowLabels, Vec<usize>)>;

/// The rows of each group and what they hold, groups in the order in which they first came up.
pub(crate) fn grouped(input: &GatherInput<'_>) -> Result<(Groups, Held), EvalError> {
    let (mut work, mut held) = (Work::new(input.matrix.budget()), Held::new(input.matrix.budget()));
    let mut ids = foldhash::HashMap::default();
    let mut groups: Groups = Vec::new();
    for i in 0..input.matrix.len() {
        let (Grouping::By(names) | Grouping::Without(names)) = input.grouping;
        work.spend(WORK_OF_LABELS + names_work(names))?;
        let key = group_key(input.matrix.labels(i), input.grouping, input.name_removal);
        let id = *ids.entry(key.labels.clone()).or_insert(groups.len());
        let drop_name = key.drop_name;
        held.grow_entries::<usize>(1)?;
        if id == groups.len() {
            held.grow_entries::<(Labels, RowLabels, Vec<usize>)>(1)?;
            held.grow_bytes(key.cost())?;
            groups.push((key, Vec::new()));
        }
        // A group of which one row is to lose its name loses it.
        groups[id].0.drop_name |= drop_name;
        groups[id].1.push(i);
    }
    Ok((groups, held))
}

/// The `k` greatest or least values of each group and step.
pub(crate) fn topk(
    op: AggregateOp,
    input: &GatherInput<'_>,
    k: Column<'_>,
    annotations: &mut Annotations,
) -> Result<StepMatrix, EvalError> {
    if input.matrix.has_histograms() {
        // As in Prometheus, the remark is about the whole aggregation.
        annotations.ignored_in_aggregation(op.as_str(), input.span);
    }
    let kept = if op == AggregateOp::Topk { Extreme::Max } else { Extreme::Min };
    let steps = input.matrix.steps();
    let mut held = Held::new(input.matrix.budget());
    let sizes = sizes(k, steps, input.span, &mut held)?;
    let words = input.matrix.len() * bits::words(steps);
    held.grow_bytes(words * size_of::<u64>())?;
    let mut present = vec![0u64; words];
    let mut order = Vec::new();
    let mut work = Work::new(input.matrix.budget());
    let (groups, _groups_held) = grouped(input)?;
    for (_, rows) in groups {
        let mut heaps_held = Held::new(input.matrix.budget());
        heaps_held.grow_bytes(Heaps::size(&sizes, rows.len()))?;
        let mut heaps = Heaps::new(kept, &sizes, rows.len());
        for &row in &rows {
            work.spend(1 + 4 * steps)?;
            let values = input.matrix.row(row);
            let floats = values.floats();
            heaps.add(row, super::matrix::Row { present: &floats, histograms: None, ..values });
        }
        heaps.each_chosen(|step, row| bits::set(&mut present[row * bits::words(steps)..], step));
        if steps == 1 {
            order.extend(heaps.best_first());
        }
    }
    if steps > 1 {
        order.extend(0..input.matrix.len());
    }
    let mut out = StepMatrix::new(steps, input.matrix.budget());
    for row in order {
        let present = &present[row * bits::words(steps)..][..bits::words(steps)];
        if bits::any(present) {
            let values = input.matrix.row(row).values;
            out.push(
                input.matrix.labels(row).clone(),
                super::matrix::Row { values, present, histograms: None },
            )?;
        }
    }
    Ok(out)
}

/// The `k` of every step as a number of rows.
pub(crate) fn sizes(
    k: Column<'_>,
    steps: usize,
    span: Span,
    held: &mut Held,
) -> Result<Vec<usize>, EvalError> {
    held.grow_bytes(steps.saturating_mul(size_of::<usize>()))?;
    (0..steps).map(|step| size(k.at(step), span)).collect()
}

/// The `k` of one step as a number of rows.
fn size(k: f64, span: Span) -> Result<usize, EvalError> {
    let invalid = |message: String| Err(EvalError::Invalid { message, span });
    if k.is_nan() {
        return invalid("Parameter value is NaN".to_owned());
    }
    if k >= i64::MAX as f64 {
        return invalid(format!("Scalar value {k} overflows int64"));
    }
    if k <= i64::MIN as f64 {
        return invalid(format!("Scalar value {k} underflows int64"));
    }
    Ok(if k < 1.0 { 0 } else { k as usize })
}

/// The φ-quantile of each group and step.
pub(crate) fn quantiles(
    input: &GatherInput<'_>,
    phi: Column<'_>,
    phi_span: Span,
    annotations: &mut Annotations,
) -> Result<StepMatrix, EvalError> {
    let mut work = Work::new(input.matrix.budget());
    work.spend(phi.0.len())?;
    // As in Prometheus: whatever there is to be put in order, and of all quantiles the ends alone.
    let any_nan = phi.0.iter().copied().find(|phi| phi.is_nan());
    let (least, most) = extremes(phi.0.iter().copied());
    let odd = any_nan.into_iter().chain([most].into_iter().filter(|v| *v > 1.0));
    for phi in odd.chain([least].into_iter().filter(|v| *v < 0.0)) {
        annotations.quantile_out_of_range(phi, phi_span);
    }
    if input.matrix.has_histograms() {
        annotations.ignored_in_aggregation(AggregateOp::Quantile.as_str(), input.argument);
    }
    let steps = input.matrix.steps();
    let mut out = StepMatrix::new(steps, input.matrix.budget());
    let mut values = Vec::new();
    let (mut groups, mut held) = grouped(input)?;
    work.spend(groups.len())?;
    groups.sort_by(|a, b| a.0.labels.cmp(&b.0.labels));
    let most = groups.iter().map(|(_, rows)| rows.len()).max().unwrap_or(0);
    held.grow_entries::<f64>(most)?;
    for (key, rows) in groups {
        let mut row = out.push_empty(key)?;
        for k in 0..steps {
            work.spend(1 + 4 * rows.len())?;
            values.clear();
            let here = rows.iter().map(|i| input.matrix.row(*i)).filter(|r| bits::get(r.present, k));
            let here = here.filter(|r| r.histogram(k).is_none());
            values.extend(here.map(|r| r.values[k]));
            if !values.is_empty() {
                row.set(k, quantile(phi.at(k), &mut values));
            }
        }
    }
    Ok(out)
}

/// The least and the greatest of the numbers among `all`.
pub(crate) fn extremes(all: impl Iterator<Item = f64>) -> (f64, f64) {
    all.fold((f64::NAN, f64::NAN), |(least, most), v| (least.min(v), most.max(v)))
}

/// Remarks on quantiles that are no shares of a whole.
pub(crate) fn warn_quantile(
    phi: Column<'_>,
    span: Span,
    work: &mut Work,
    annotations: &mut Annotations,
) -> Result<(), QueryError> {
    work.spend(phi.0.len())?;
    for phi in phi.0.iter().filter(|phi| !(0.0..=1.0).contains(*phi)) {
        annotations.quantile_out_of_range(*phi, span);
    }
    Ok(())
}

/// How often each value occurs in each group and step, the value as the label `name`.
pub(crate) fn count_values(input: &GatherInput<'_>, name: &str) -> Result<StepMatrix, EvalError> {
    if name.is_empty() {
        let message = format!("invalid label name {name:?}");
        return Err(EvalError::Invalid { message, span: input.span });
    }
    let mut out = StepMatrix::new(input.matrix.steps(), input.matrix.budget());
    // The label is one of each series before these are put into groups, which may take it away again.
    let taken_away = match input.grouping {
        Grouping::By(_) => false,
        Grouping::Without(names) => name == METRIC_NAME || names.iter().any(|n| n == name),
    };
    // Groups may come to have the same labels; then they are counted as one.
    let mut row_of_labels = foldhash::HashMap::default();
    let (groups, mut held) = grouped(input)?;
    let mut work = Work::new(input.matrix.budget());
    for (key, rows) in groups {
        let mut row_of = foldhash::HashMap::default();
        for i in rows {
            let row = input.matrix.row(i);
            for k in bits::iter(row.present) {
                work.spend(16 + row.histogram(k).map_or(0, |h| h.view().bucket_count() * 16))?;
                let value = match row.histogram(k) {
                    Some(h) => Counted::Text(super::native::text(h)),
                    None if row.values[k].is_nan() => Counted::Bits(f64::NAN.to_bits()),
                    None => Counted::Bits(row.values[k].to_bits()),
                };
                let at = match row_of.get(&value) {
                    Some(at) => *at,
                    None => {
                        work.spend(WORK_OF_LABELS)?;
                        let labels = if taken_away {
                            key.labels.clone()
                        } else {
                            with_value(&key.labels, name, &value.text())
                        };
                        let labels = RowLabels::kept(labels);
                        held.grow_entries::<(RowLabels, Counted, [usize; 2])>(1)?;
                        held.grow_bytes(value.size())?;
                        let at = *row_of_labels.entry(labels.clone()).or_insert(out.len());
                        if at == out.len() {
                            out.push_empty(labels)?;
                        }
                        row_of.insert(value, at);
                        at
                    }
                };
                let mut into = out.row_mut(at);
                let count = if bits::get(into.present, k) { into.values[k] } else { 0.0 };
                into.set(k, count + 1.0);
            }
        }
    }
    let mut order: Vec<usize> = (0..out.len()).collect();
    sort_rows(&mut order, out.budget(), |a, b| out.labels(a).labels.cmp(&out.labels(b).labels))?;
    out.reordered(&order)
}

/// A value that is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Counted {
    Bits(u64),
    /// A histogram as text.
    Text(String),
}

impl Counted {
    /// The bytes that it has beside itself.
    fn size(&self) -> usize {
        if let Self::Text(text) = self { text.len() } else { 0 }
    }

    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Bits(bits) => {
                let v = f64::from_bits(*bits);
                if v.is_finite() { v.to_string() } else { float::to_shortest_string(v) }
            }
        }
    }
}

fn with_value(key: &Labels, name: &str, text: &str) -> Labels {
    let mut builder = LabelsBuilder::from_labels(key);
    builder.set(name, text);
    builder.build()
}
