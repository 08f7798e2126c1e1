//! What pipelines do to each row on its way: arithmetic with scalars, functions of one number, changes
//! of labels.

use super::{
    annotations::Annotations,
    arith, bits,
    histograms::HistogramSteps,
    matrix::{RowBuffer, RowLabels, RowMut},
    native::{self, Operand, Operator, Outcome},
    window::Column,
};
use crate::ast::BinaryOp;
use crate::plan::{Grid, LabelJoin, LabelReplace, Map, ScalarMap, Side};
use skopos_model::LabelsBuilder;
use std::sync::Arc;

/// A map with the scalars that it needs.
#[derive(Debug)]
pub(crate) struct MapRun<'p> {
    pub map: &'p Map,
    /// In the order of `Map::scalars`.
    pub scalars: Vec<Arc<[f64]>>,
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
        grid: &Grid,
        late_names: bool,
        annotations: &mut Annotations,
    ) {
        let histograms = row.histograms.take();
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
            labels.drop_name = true;
            return;
        }
        self.apply(labels, row, grid, late_names);
        if let Some(Made { histograms, numbers }) = made {
            row.set_histograms(histograms);
            for (k, v) in numbers {
                row.row_mut().set(k, v);
            }
        }
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
                Outcome::Nothing => None,
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
    pub(crate) fn apply(&self, labels: &mut RowLabels, row: &mut RowBuffer, grid: &Grid, late_names: bool) {
        let mut values = row.row_mut();
        match self.map {
            Map::Math(f) => arith::math(*f, &mut values),
            Map::Negate => arith::each(values.values, |v| -v),
            Map::Scalar(map) => scalar(map, self.column(0), &mut values),
            Map::Clamp { min, max } => {
                let low = min.map(|_| self.column(0));
                let high = max.map(|_| self.column(self.scalars.len() - 1));
                clamp(low, high, &mut values);
            }
            Map::Round(to) => round(to.map(|_| self.column(0)), values.values),
            Map::StepTime => {
                values.values.iter_mut().enumerate().for_each(|(k, v)| *v = grid.at(k).as_secs_f64());
            }
            // There is no histogram among floats.
            Map::Histogram(_) | Map::NoStart => values.present.fill(0),
            Map::Replace(replace) => relabel(labels, late_names, |l| replaced(l, replace)),
            Map::Join(join) => relabel(labels, late_names, |l| joined(l, join)),
        }
        labels.drop_name |= self.map.drops_name();
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

fn relabel(labels: &mut RowLabels, late_names: bool, change: impl FnOnce(&RowLabels) -> RowLabels) {
    if labels.drop_name && !late_names {
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
    let Some(captures) = replace.regex.captures(source) else { return labels.clone() };
    let mut value = String::new();
    captures.expand(&replace.replacement, &mut value);
    with_label(labels, &replace.destination, &value)
}

fn joined(labels: &RowLabels, join: &LabelJoin) -> RowLabels {
    let values: Vec<_> = join.sources.iter().map(|s| labels.labels.value(s)).collect();
    with_label(labels, &join.destination, &values.join(&join.separator))
}

/// `f` of the numbers of two columns, as long as the longer of both.
pub(crate) fn scalars(a: &[f64], b: &[f64], f: impl Fn(f64, f64) -> f64) -> Arc<[f64]> {
    let (ca, cb) = (Column(a), Column(b));
    (0..a.len().max(b.len())).map(|k| f(ca.at(k), cb.at(k))).collect()
}
