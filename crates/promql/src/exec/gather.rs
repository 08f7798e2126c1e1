//! Aggregations that see all rows of a group at once: `topk`, `bottomk`, `quantile`, `count_values`.

use super::{
    annotations::Annotations,
    bits,
    labels::group_key,
    matrix::{Held, RowLabels, StepMatrix},
    quantile::quantile,
    topk::Heaps,
    window::Column,
};
use crate::ast::{AggregateOp, Grouping, Span};
use crate::error::EvalError;
use skopos_model::{LabelsBuilder, float};

/// What a gathering aggregation works on.
#[derive(Debug)]
pub(crate) struct GatherInput<'a> {
    pub matrix: &'a StepMatrix,
    pub grouping: &'a Grouping,
    pub late_names: bool,
    pub span: Span,
    /// Where that which is aggregated stands in the query.
    pub argument: Span,
}

impl GatherInput<'_> {
    /// A remark if there are histograms, of which `op` makes nothing.
    fn remark_histograms(&self, op: AggregateOp, annotations: &mut Annotations) {
        if self.matrix.has_histograms() {
            annotations.ignored_in_aggregation(op.as_str(), self.argument);
        }
    }
}

/// The rows without their histograms.
pub(crate) fn floats(matrix: &StepMatrix) -> Result<StepMatrix, EvalError> {
    let mut out = StepMatrix::new(matrix.steps(), matrix.budget());
    matrix.iter().try_for_each(|(labels, row)| out.push_floats(labels.clone(), row))?;
    Ok(out)
}

/// The rows of each group, groups in the order in which they first came up.
pub(crate) fn grouped(input: &GatherInput<'_>) -> Vec<(RowLabels, Vec<usize>)> {
    let mut ids = foldhash::HashMap::default();
    let mut groups: Vec<(RowLabels, Vec<usize>)> = Vec::new();
    for i in 0..input.matrix.len() {
        let key = group_key(input.matrix.labels(i), input.grouping, input.late_names);
        let id = *ids.entry(key.labels.clone()).or_insert(groups.len());
        let drop_name = key.drop_name;
        if id == groups.len() {
            groups.push((key, Vec::new()));
        }
        // A group of which one row is to lose its name loses it.
        groups[id].0.drop_name |= drop_name;
        groups[id].1.push(i);
    }
    groups
}

/// The `k` greatest or least values of each group and step.
pub(crate) fn topk(
    op: AggregateOp,
    input: &GatherInput<'_>,
    k: Column<'_>,
    annotations: &mut Annotations,
) -> Result<StepMatrix, EvalError> {
    input.remark_histograms(op, annotations);
    let steps = input.matrix.steps();
    let sizes = (0..steps).map(|step| size(k.at(step), input.span)).collect::<Result<Vec<_>, _>>()?;
    let mut present = vec![0u64; input.matrix.len() * bits::words(steps)];
    let mut held = Held::new(input.matrix.budget());
    held.grow(present.len())?;
    let mut order = Vec::new();
    for (_, rows) in grouped(input) {
        input.matrix.budget().check()?;
        let mut heaps = Heaps::new(op == AggregateOp::Topk, &sizes, rows.len());
        held.grow(heaps.capacity())?;
        for &row in &rows {
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

/// The `k` of one step as a number of rows.
pub(crate) fn size(k: f64, span: Span) -> Result<usize, EvalError> {
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
    warn_quantile(phi, input.matrix.len(), phi_span, annotations);
    input.remark_histograms(AggregateOp::Quantile, annotations);
    let steps = input.matrix.steps();
    let mut out = StepMatrix::new(steps, input.matrix.budget());
    let mut values = Vec::new();
    let mut groups = grouped(input);
    groups.sort_by(|a, b| a.0.labels.cmp(&b.0.labels));
    for (key, rows) in groups {
        input.matrix.budget().check()?;
        let mut row = out.push_empty(key)?;
        for k in 0..steps {
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

/// Remarks on quantiles that are no shares of a whole.
pub(crate) fn warn_quantile(phi: Column<'_>, rows: usize, span: Span, annotations: &mut Annotations) {
    for phi in phi.0.iter().filter(|_| rows > 0).filter(|phi| !(0.0..=1.0).contains(*phi)) {
        annotations.quantile_out_of_range(*phi, span);
    }
}

/// How often each value occurs in each group and step, the value as the label `name`.
pub(crate) fn count_values(input: &GatherInput<'_>, name: &str) -> Result<StepMatrix, EvalError> {
    if name.is_empty() {
        let message = format!("invalid label name {name:?}");
        return Err(EvalError::Invalid { message, span: input.span });
    }
    let mut out = StepMatrix::new(input.matrix.steps(), input.matrix.budget());
    // Groups may come to have the same labels; then they are counted as one.
    let mut row_of_labels = foldhash::HashMap::default();
    for (key, rows) in grouped(input) {
        let mut row_of = foldhash::HashMap::default();
        for i in rows {
            let row = input.matrix.row(i);
            for k in bits::iter(row.present) {
                let value = match row.histogram(k) {
                    Some(h) => Counted::Text(super::native::text(h)),
                    None if row.values[k].is_nan() => Counted::Bits(f64::NAN.to_bits()),
                    None => Counted::Bits(row.values[k].to_bits()),
                };
                let at = match row_of.get(&value) {
                    Some(at) => *at,
                    None => {
                        let labels = with_value(&key, name, &value.text());
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
    order.sort_by(|a, b| out.labels(*a).labels.cmp(&out.labels(*b).labels));
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

fn with_value(key: &RowLabels, name: &str, text: &str) -> RowLabels {
    let mut builder = LabelsBuilder::from_labels(&key.labels);
    builder.set(name, text);
    RowLabels { labels: builder.build(), drop_name: key.drop_name }
}
