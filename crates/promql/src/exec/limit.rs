//! `limitk` and `limit_ratio`: some rows of each group, whatever their values are.

use super::{
    annotations::Annotations,
    bits,
    gather::{GatherInput, extremes, grouped, sizes},
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
    let ratios = (0..steps).map(|step| capped(ratio.at(step), input.span)).collect::<Result<Vec<_>, _>>()?;
    // Of all ratios the ends alone, as in Prometheus.
    let (least, most) = extremes(ratio.0.iter().copied());
    for ratio in [most, least] {
        if ratio.abs() > 1.0 {
            annotations.ratio_out_of_range((ratio, ratio.clamp(-1.0, 1.0)), ratio_span);
        }
    }
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
fn capped(r: f64, span: Span) -> Result<f64, EvalError> {
    if r.is_nan() {
        return Err(EvalError::Invalid { message: "Ratio value is NaN".to_owned(), span });
    }
    Ok(r.clamp(-1.0, 1.0))
}

/// Where the labels' hash stands among all hashes, from 0 to 1: that of Prometheus as it is released, whose
/// labels are one text.
fn place(labels: &Labels) -> f64 {
    let mut bytes = Vec::with_capacity(labels.byte_len() + 16);
    for (name, value) in labels.iter() {
        for part in [name, value] {
            // The length stands before each text, in four bytes where one does not do.
            match u8::try_from(part.len()) {
                Ok(length) if length < 255 => bytes.push(length),
                _ => {
                    bytes.push(255);
                    bytes.extend_from_slice(&part.len().to_le_bytes()[..3]);
                }
            }
            bytes.extend_from_slice(part.as_bytes());
        }
    }
    xxh64(&bytes, 0) as f64 / u64::MAX as f64
}
