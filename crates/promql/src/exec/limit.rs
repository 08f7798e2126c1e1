//! `limitk` and `limit_ratio`: some rows of each group, whatever their values are.

use super::{
    annotations::Annotations,
    bits,
    gather::{GatherInput, grouped, sizes},
    held::Held,
    matrix::{Row, StepMatrix},
    window::Column,
    work::{WORK_OF_LABELS, Work},
};
use crate::ast::Span;
use crate::error::EvalError;
use skopos_model::Labels;
use xxhash_rust::xxh64::xxh64;

/// The first `k` rows of each group that have a value, at each step.
pub(crate) fn limitk(input: &GatherInput<'_>, k: Column<'_>) -> Result<StepMatrix, EvalError> {
    let steps = input.matrix.steps();
    let (groups, mut held) = grouped(input)?;
    let sizes = sizes(k, steps, input.span, &mut held)?;
    held.grow_bytes(steps.saturating_mul(2 * size_of::<usize>()))?;
    let mut work = Work::new(input.matrix.budget());
    let mut out = StepMatrix::new(steps, input.matrix.budget());
    let mut present = Vec::new();
    for (_, rows) in groups {
        work.spend(1 + steps)?;
        let mut left = sizes.clone();
        for i in rows {
            work.spend(1 + steps)?;
            let row = input.matrix.row(i);
            present.clear();
            present.extend_from_slice(row.present);
            for step in bits::iter(row.present) {
                match left[step].checked_sub(1) {
                    Some(less) => left[step] = less,
                    None => bits::clear(&mut present, step),
                }
            }
            if bits::any(&present) {
                out.push(input.matrix.labels(i).clone(), Row { present: &present, ..row })?;
            }
        }
    }
    Ok(out)
}

/// The rows whose labels' hash lies in the lower share `ratio` of all hashes, or of a negative one in the
/// upper share, at each step.
pub(crate) fn limit_ratio(
    input: &GatherInput<'_>,
    ratio: Column<'_>,
    ratio_span: Span,
    annotations: &mut Annotations,
) -> Result<StepMatrix, EvalError> {
    let steps = input.matrix.steps();
    let mut held = Held::new(input.matrix.budget());
    held.grow_bytes(steps.saturating_mul(size_of::<f64>()))?;
    let mut work = Work::new(input.matrix.budget());
    let ratios = (0..steps)
        .map(|step| checked(ratio.at(step), input.span, ratio_span, annotations))
        .collect::<Result<Vec<_>, _>>()?;
    let mut out = StepMatrix::new(steps, input.matrix.budget());
    let mut present = Vec::new();
    for (labels, row) in input.matrix.iter() {
        work.spend(WORK_OF_LABELS + steps)?;
        let place = place(&labels.labels);
        present.clear();
        present.extend_from_slice(row.present);
        for step in bits::iter(row.present) {
            let r = ratios[step];
            if !(r >= 0.0 && place < r || r < 0.0 && place >= 1.0 + r) {
                bits::clear(&mut present, step);
            }
        }
        if bits::any(&present) {
            out.push(labels.clone(), Row { present: &present, ..row })?;
        }
    }
    Ok(out)
}

/// The ratio of one step, which is capped where it is no share of a whole.
fn checked(r: f64, span: Span, ratio_span: Span, annotations: &mut Annotations) -> Result<f64, EvalError> {
    if r.is_nan() {
        return Err(EvalError::Invalid { message: "Ratio value is NaN".to_owned(), span });
    }
    let capped = r.clamp(-1.0, 1.0);
    if capped != r {
        annotations.ratio_out_of_range((r, capped), ratio_span);
    }
    Ok(capped)
}

/// Where the labels' hash stands among all hashes, from 0 to 1.
fn place(labels: &Labels) -> f64 {
    let mut bytes = Vec::with_capacity(labels.byte_len() + 16);
    for (name, value) in labels.iter() {
        for part in [name, value] {
            bytes.extend_from_slice(part.as_bytes());
            // In no text: so that different labels are different bytes.
            bytes.push(0xff);
        }
    }
    xxh64(&bytes, 0) as f64 / u64::MAX as f64
}
