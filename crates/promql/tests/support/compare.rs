//! Results as plain maps, and whether two of them are the same but for rounding.

use skopos_model::Labels;
use skopos_promql::{QueryResult, Value};
use std::collections::BTreeMap;

/// How far numbers may be apart, relative to the greater one.
pub(crate) const CLOSE: f64 = 1e-9;

fn close(a: f64, b: f64, tolerance: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= tolerance * a.abs().max(b.abs()).max(1.0)
}

/// Samples by series.
pub(crate) type Series = BTreeMap<Labels, Vec<(i64, f64)>>;

/// What differs, if anything does.
pub(crate) fn difference(got: &Series, want: &Series) -> Option<String> {
    difference_beyond(CLOSE, got, want)
}

/// What differs by more than `tolerance`, if anything does.
pub(crate) fn difference_beyond(tolerance: f64, got: &Series, want: &Series) -> Option<String> {
    let close = |a, b| close(a, b, tolerance);
    for labels in got.keys().chain(want.keys()) {
        let (got, want) = (got.get(labels), want.get(labels));
        let (Some(got), Some(want)) = (got, want) else {
            return Some(format!("{labels}: got {got:?}, want {want:?}"));
        };
        let same =
            got.len() == want.len() && got.iter().zip(want).all(|(g, w)| g.0 == w.0 && close(g.1, w.1));
        if !same {
            let first = got.iter().zip(want).find(|(g, w)| g.0 != w.0 || !close(g.1, w.1));
            return Some(format!("{labels}: first difference {first:?}; got {got:?}, want {want:?}"));
        }
    }
    None
}

/// The samples of a result; a scalar is a series without labels.
pub(crate) fn series(result: &QueryResult) -> Series {
    match &result.value {
        Value::Matrix(m) => (0..m.len())
            .map(|i| (m.labels(i).clone(), m.points(i).map(|(t, v)| (t.as_ms(), v)).collect()))
            .collect(),
        Value::Vector(vector) => {
            let point = |v: &f64| vec![(vector.timestamp.as_ms(), *v)];
            vector.labels.iter().cloned().zip(vector.values.iter().map(point)).collect()
        }
        Value::Scalar { timestamp, value } => [(Labels::empty(), vec![(timestamp.as_ms(), *value)])].into(),
        Value::String { .. } => Series::new(),
    }
}
