//! What pipelines do to each row on its way: arithmetic with scalars, functions of one number, changes
//! of labels.

use super::{
    annotations::Annotations,
    arith, bits,
    histograms::{HistogramSteps, SAMPLE_BYTES},
    matrix::{RowBuffer, RowLabels, RowMut},
    native::{self, Operand, Operator, Outcome},
    scalars::Scalars,
    window::{Column, parts},
    work::Work,
};
use crate::ast::BinaryOp;
use crate::plan::{Grid, LabelJoin, LabelReplace, Map, NameRemoval, ScalarMap, Side};
use skopos_model::{Labels, LabelsBuilder};
use skopos_storage::{QueryBudget, QueryError};
use std::{ops::Range, sync::Arc};

/// A map with the scalars that it needs.
#[derive(Debug)]
pub(crate) struct MapRun<'p> {
    pub map: &'p Map,
    /// In the order of `Map::scalars`.
    pub scalars: Vec<Scalars>,
}

/// What was made of the histograms of a row.
struct Made {
    histograms: HistogramSteps,
    /// Numbers that came of them, with their steps.
    numbers: Vec<(usize, f64)>,
}

impl MapRun<'_> {
    fn column(&self, i: usize) -> Column<'_> {
        Column(&self.scalars[i])
    }

    /// Changes a row that may have histograms, and its labels.
    pub(crate) fn apply_to_all(
        &self,
        labels: &mut RowLabels,
        row: &mut RowBuffer,
        (grid, name_removal): (&Grid, NameRemoval),
        work: &mut Work,
        annotations: &mut Annotations,
    ) -> Result<(), QueryError> {
        let histograms = row.histograms.take();
        if let Some(h) = &histograms {
            // At most as much is made of them as they are.
            work.make(h.cost() * SAMPLE_BYTES + h.size())?;
            work.spend(h.cost())?;
        }
        if let (Some(h), false) = (&histograms, matches!(self.map, Map::StepTime)) {
            bits::and_not(&mut row.present, h.present());
        }
        if let Map::Scalar(map) = self.map
            && map.op.is_trim()
            && bits::any(&row.present)
        {
            // There is nothing to cut of a float.
            annotations.incompatible_types(map.op.as_str(), ("float", "float"), map.place.0);
            row.present.fill(0);
        }
        let made = histograms.and_then(|h| self.of_histograms(h, row, annotations));
        if let Map::Histogram(_) = self.map {
            only_name_goes(labels, name_removal);
            return Ok(());
        }
        self.apply(labels, row, (grid, name_removal), work)?;
        if let Some(Made { histograms, numbers }) = made {
            row.set_histograms(histograms);
            for (k, v) in numbers {
                row.row_mut().set(k, v);
            }
        }
        Ok(())
    }

    /// What becomes of the histograms of a row.
    fn of_histograms(
        &self,
        histograms: Box<HistogramSteps>,
        row: &mut RowBuffer,
        annotations: &mut Annotations,
    ) -> Option<Made> {
        let only = |histograms| Some(Made { histograms, numbers: Vec::new() });
        match self.map {
            Map::Replace(_) | Map::Join(_) => only(*histograms),
            Map::Negate => only(histograms.mapped(|_, h| {
                let mut h = h.clone();
                h.multiply(-1.0);
                Some(h)
            })),
            Map::Scalar(map) => Some(self.with_scalar(map, &histograms, annotations)),
            Map::Histogram(f) => {
                let mut buckets = Vec::new();
                row.present.fill(0);
                for (k, h) in histograms.iter() {
                    row.row_mut().set(k, native::number(*f, h, &mut buckets));
                }
                None
            }
            _ => None,
        }
    }

    fn with_scalar(
        &self,
        map: &ScalarMap,
        histograms: &HistogramSteps,
        annotations: &mut Annotations,
    ) -> Made {
        let operator = Operator { op: map.op, return_bool: map.return_bool, span: map.place.0 };
        let column = self.column(0);
        let mut numbers = Vec::new();
        let histograms = histograms.mapped(|k, h| {
            let (a, b) = (Operand::Float(column.at(k)), Operand::Histogram(h));
            let sides = if map.scalar_side == Side::Left { (a, b) } else { (b, a) };
            match native::binary(operator, sides, annotations) {
                Outcome::Nothing | Outcome::Unlike => None,
                Outcome::Kept => Some(h.clone()),
                Outcome::Float(v) => {
                    numbers.push((k, v));
                    None
                }
                Outcome::Histogram(h) => Some(*h),
            }
        });
        Made { histograms, numbers }
    }

    /// Changes a row of floats and its labels.
    pub(crate) fn apply(
        &self,
        labels: &mut RowLabels,
        row: &mut RowBuffer,
        (grid, name_removal): (&Grid, NameRemoval),
        work: &mut Work,
    ) -> Result<(), QueryError> {
        match self.map {
            Map::Replace(replace) => {
                pay_for_labels(labels, replaced_bytes(&labels.labels, replace), work)?;
                relabel(labels, name_removal, |l| replaced(l, replace));
            }
            Map::Join(join) => {
                pay_for_labels(labels, joined_bytes(&labels.labels, join, work)?, work)?;
                relabel(labels, name_removal, |l| joined(l, join));
            }
            // There is no histogram among floats.
            Map::Histogram(_) | Map::NoStart => row.present.fill(0),
            _ => {
                let mut row = row.row_mut();
                parts(row.values.len(), work, |steps| self.apply_part(&steps, &mut row.part(&steps), grid))?;
            }
        }
        labels.drop_name |= self.map.drops_name();
        Ok(())
    }

    /// Changes the values of some of the steps.
    fn apply_part(&self, steps: &Range<usize>, row: &mut RowMut<'_>, grid: &Grid) {
        let column = |i: usize| self.column(i).part(steps);
        match self.map {
            Map::Math(f) => arith::math(*f, row),
            Map::Negate => arith::each(row.values, |v| -v),
            Map::Scalar(map) => scalar(map, column(0), row),
            Map::Clamp { min, max } => {
                let low = min.map(|_| column(0));
                let high = max.map(|_| column(self.scalars.len() - 1));
                clamp(low, high, row);
            }
            Map::Round(to) => round(to.map(|_| column(0)), row.values),
            Map::StepTime => {
                let times = steps.clone().map(|k| grid.at(k).as_secs_f64());
                row.values.iter_mut().zip(times).for_each(|(v, t)| *v = t);
            }
            Map::Histogram(_) | Map::NoStart | Map::Replace(_) | Map::Join(_) => {}
        }
    }
}

fn scalar(map: &ScalarMap, column: Column<'_>, row: &mut RowMut<'_>) {
    let steps = row.values.len();
    if map.op.is_comparison() {
        let values = &mut *row.values;
        if map.return_bool {
            for (k, v) in values.iter_mut().enumerate() {
                let (a, b) = sides(map.scalar_side, column.at(k), *v);
                *v = arith::number(map.op, a, b);
            }
            return;
        }
        // The value is kept whichever side it stands on.
        let value = |k: usize| values[k];
        match map.scalar_side {
            Side::Left => arith::filter(map.op, |k| column.at(k), value, row.present, steps),
            Side::Right => arith::filter(map.op, value, |k| column.at(k), row.present, steps),
        }
        return;
    }
    arith::with_arithmetic!(map.op, f => match (column.0, map.scalar_side) {
        ([s], Side::Left) => arith::each(row.values, |v| f(*s, v)),
        ([s], Side::Right) => arith::each(row.values, |v| f(v, *s)),
        (s, Side::Left) => row.values.iter_mut().zip(s).for_each(|(v, s)| *v = f(*s, *v)),
        (s, Side::Right) => row.values.iter_mut().zip(s).for_each(|(v, s)| *v = f(*v, *s)),
    });
}

fn sides(scalar_side: Side, scalar: f64, value: f64) -> (f64, f64) {
    if scalar_side == Side::Left { (scalar, value) } else { (value, scalar) }
}

fn clamp(low: Option<Column<'_>>, high: Option<Column<'_>>, row: &mut RowMut<'_>) {
    for k in 0..row.values.len() {
        let (low, high) = (low.map(|c| c.at(k)), high.map(|c| c.at(k)));
        if let (Some(low), Some(high)) = (low, high)
            && high < low
        {
            bits::clear(row.present, k);
            continue;
        }
        let v = high.map_or(row.values[k], |high| arith::min(high, row.values[k]));
        row.values[k] = low.map_or(v, |low| arith::max(low, v));
    }
}

/// Halves are rounded up; multiplying by the inverse gives fewer digits than dividing.
fn round(to: Option<Column<'_>>, values: &mut [f64]) {
    for (k, v) in values.iter_mut().enumerate() {
        let inverse = 1.0 / to.map_or(1.0, |c| c.at(k));
        *v = (*v * inverse + 0.5).floor() / inverse;
    }
}

/// Charges a label of `bytes` beside those that there are, and the work of writing it.
fn pay_for_labels(labels: &RowLabels, bytes: usize, work: &mut Work) -> Result<(), QueryError> {
    let bytes = bytes.saturating_add(labels.labels.byte_len());
    // The label as it grows, the labels being put together as they grow, and these as they are kept.
    work.make(bytes.saturating_mul(6))?;
    work.spend(bytes)
}

/// The most bytes that the new label may have.
fn replaced_bytes(labels: &Labels, replace: &LabelReplace) -> usize {
    let references = replace.replacement.matches('$').count();
    let source = labels.value(&replace.source).len();
    replace.replacement.len().saturating_add(references.saturating_mul(source))
}

/// The bytes of the new label.
fn joined_bytes(labels: &Labels, join: &LabelJoin, work: &mut Work) -> Result<usize, QueryError> {
    let mut bytes = join.separator.len().saturating_mul(join.sources.len());
    for source in &join.sources {
        work.spend(1 + labels.byte_len() / 4)?;
        bytes = bytes.saturating_add(labels.value(source).len() + size_of::<&str>());
    }
    Ok(bytes)
}

/// As in Prometheus, the type and unit stay when a number is taken of a histogram.
fn only_name_goes(labels: &mut RowLabels, name_removal: NameRemoval) {
    if name_removal.is_late() {
        labels.drop_name = true;
    } else if !labels.drop_name {
        labels.labels = labels.labels.without_metric_name();
    }
}

fn relabel(labels: &mut RowLabels, name_removal: NameRemoval, change: impl FnOnce(&RowLabels) -> RowLabels) {
    if labels.drop_name && !name_removal.is_late() {
        *labels = RowLabels::kept(labels.clone().resolved());
    }
    *labels = change(labels);
}

fn with_label(labels: &RowLabels, name: &str, value: &str) -> RowLabels {
    let mut builder = LabelsBuilder::from_labels(&labels.labels);
    builder.set(name, value);
    let drop_name = labels.drop_name && name != skopos_model::name::METRIC_NAME;
    RowLabels { labels: builder.build(), drop_name }
}

fn replaced(labels: &RowLabels, replace: &LabelReplace) -> RowLabels {
    let source = labels.labels.value(&replace.source);
    let Some(value) = replace.regex.expand(source, &replace.replacement) else { return labels.clone() };
    with_label(labels, &replace.destination, &value)
}

fn joined(labels: &RowLabels, join: &LabelJoin) -> RowLabels {
    let values: Vec<_> = join.sources.iter().map(|s| labels.labels.value(s)).collect();
    with_label(labels, &join.destination, &values.join(&join.separator))
}

/// `f` of the numbers of two columns, as long as the longer of both.
pub(crate) fn scalars(
    (a, b): (&[f64], &[f64]),
    budget: &Arc<QueryBudget>,
    f: impl Fn(f64, f64) -> f64,
) -> Result<Scalars, QueryError> {
    let (ca, cb) = (Column(a), Column(b));
    Scalars::each(a.len().max(b.len()), budget, |k| f(ca.at(k), cb.at(k)))
}
