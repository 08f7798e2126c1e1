//! Whether a result is what a script expects.

use crate::{
    histograms::Written,
    points::Point,
    run::Failure,
    script::{Eval, Expected, Text, When},
};
use skopos_model::{DurationMs, FloatHistogram, Labels, TimestampMs, is_stale_nan};
use skopos_promql::{Annotation, EvalError, Matrix, QueryResult, Severity, Value};
use std::collections::BTreeMap;

/// How far two numbers may be apart, relative to their sum.
const TOLERANCE: f64 = 1e-6;

type Found = Result<QueryResult, EvalError>;
type Points = Vec<(i64, Point)>;
type Series = BTreeMap<Labels, Points>;

/// Failure or not, annotations and value.
pub(crate) fn whole(eval: &Eval, found: Found) -> Result<(), Failure> {
    match (&eval.expected.fail, found) {
        (None, Ok(result)) => {
            annotations(eval, &result.annotations)?;
            value(eval, Ok(result))
        }
        (None, Err(e)) => Err(error(&e)),
        (Some(_), Ok(_)) => Err(Failure::new("should have failed", eval.query.clone())),
        (Some(text), Err(e)) => match text.matches(&e.to_string()) {
            true => Ok(()),
            false => Err(Failure::new("other error", format!("got {e}, want {text:?}"))),
        },
    }
}

fn error(e: &EvalError) -> Failure {
    Failure::new("error", e.to_string())
}

fn annotations(eval: &Eval, found: &[Annotation]) -> Result<(), Failure> {
    let of = |severity| -> Vec<String> {
        found.iter().filter(|a| a.severity == severity).map(|a| a.text(&eval.query)).collect()
    };
    let (warn, info) = (of(Severity::Warning), of(Severity::Info));
    for (found, expected, none) in [
        (warn, &eval.expected.warn, eval.expected.no_warn),
        (info, &eval.expected.info, eval.expected.no_info),
    ] {
        let unmatched = |found: &str| !expected.iter().any(|e: &Text| e.matches(found));
        let extra = found.iter().find(|f| none || (!expected.is_empty() && unmatched(f)));
        let missing = expected.iter().find(|e| !found.iter().any(|f| e.matches(f)));
        if let Some(extra) = extra {
            return Err(Failure::new("annotation too many", extra.clone()));
        }
        if let Some(missing) = missing {
            return Err(Failure::new("annotation missing", format!("want {missing:?}, got {found:?}")));
        }
    }
    Ok(())
}

/// The value alone.
pub(crate) fn value(eval: &Eval, found: Found) -> Result<(), Failure> {
    let expected = &eval.expected;
    let found = found.map_err(|e| error(&e))?.value;
    match (found, eval.when) {
        (Value::String { text, .. }, _) => match &expected.string {
            Some(want) if *want == text => Ok(()),
            want => Err(differs(format!("got {text:?}, want {want:?}"))),
        },
        (Value::Scalar { value, .. }, _) => scalar(expected, value),
        (Value::Vector(v), When::At(at)) => {
            let point = |i: usize| match v.histogram(i) {
                Some(h) => of_histogram(h),
                None => Point::Float(v.values[i]),
            };
            let entries: Vec<_> =
                v.labels.iter().enumerate().map(|(i, l)| (l.clone(), vec![(at.as_ms(), point(i))])).collect();
            if expected.ordered {
                return ordered(expected, &entries);
            }
            same(&of_expected(expected, at, DurationMs::from_ms(1)), &unique(entries)?)
        }
        (Value::Matrix(m), When::At(at)) => {
            let (start, step) = expected.times.unwrap_or((at, DurationMs::from_ms(1)));
            same(&of_expected(expected, start, step), &of_matrix(&m)?)
        }
        (Value::Matrix(m), When::Range { start, step, .. }) => {
            same(&of_expected(expected, start, step), &of_matrix(&m)?)
        }
        (Value::Vector(_), When::Range { .. }) => Err(differs("a range query gave a vector")),
    }
}

/// The value of an instant query that was asked as a range of one step.
pub(crate) fn value_of_range(eval: &Eval, found: Found, at: TimestampMs) -> Result<(), Failure> {
    let found = found.map_err(|e| error(&e))?.value;
    let Value::Matrix(m) = found else { return Err(differs("a range query gave no matrix")) };
    if eval.expected.scalar.is_some() {
        let only = (m.len() == 1).then(|| m.points(0).next()).flatten();
        return only.map_or_else(|| Err(differs("no scalar")), |(_, v)| scalar(&eval.expected, v));
    }
    same(&of_expected(&eval.expected, at, DurationMs::from_ms(1)), &of_matrix(&m)?)
}

fn differs(detail: impl Into<String>) -> Failure {
    Failure::new("differs", detail)
}

fn scalar(expected: &Expected, found: f64) -> Result<(), Failure> {
    match expected.scalar {
        Some(want) if almost_equal(want, found) => Ok(()),
        want => Err(differs(format!("got scalar {found}, want {want:?}"))),
    }
}

fn ordered(expected: &Expected, found: &[(Labels, Points)]) -> Result<(), Failure> {
    let want: Vec<_> =
        expected.series.iter().map(|s| (&s.labels, s.values.first().cloned().flatten())).collect();
    let holds = want.len() == found.len()
        && want.iter().zip(found).all(|((labels, value), (got, points))| {
            *labels == got && value.as_ref().is_some_and(|v| same_point(v, &points[0].1))
        });
    if holds { Ok(()) } else { Err(differs(format!("got in this order {found:?}, want {want:?}"))) }
}

fn of_expected(expected: &Expected, start: TimestampMs, step: DurationMs) -> Series {
    let at = |i: usize| start.as_ms() + i as i64 * step.as_ms();
    let points = |values: &[Option<Point>]| {
        values.iter().enumerate().filter_map(|(i, v)| Some((at(i), v.clone()?))).collect()
    };
    let all = expected.series.iter().map(|s| (s.labels.clone(), points(&s.values)));
    all.filter(|(_, points): &(_, Vec<_>)| !points.is_empty()).collect()
}

fn of_matrix(m: &Matrix) -> Result<Series, Failure> {
    let points = |i| {
        let floats = m.points(i).map(|(t, v)| (t.as_ms(), Point::Float(v)));
        let mut all: Points =
            floats.chain(m.histograms(i).map(|(t, h)| (t.as_ms(), of_histogram(&h)))).collect();
        all.sort_by_key(|(t, _)| *t);
        all
    };
    unique((0..m.len()).map(|i| (m.labels(i).clone(), points(i))).collect())
}

fn unique(entries: Vec<(Labels, Points)>) -> Result<Series, Failure> {
    let count = entries.len();
    let series: Series = entries.into_iter().collect();
    if series.len() == count { Ok(series) } else { Err(differs("the same series twice")) }
}

fn same(want: &Series, found: &Series) -> Result<(), Failure> {
    for (labels, got) in found {
        let Some(points) = want.get(labels) else {
            return Err(differs(format!("got {labels} {got:?}, want no such series")));
        };
        let equal = points.len() == got.len()
            && points.iter().zip(got).all(|(a, b)| a.0 == b.0 && same_point(&a.1, &b.1));
        if !equal {
            return Err(differs(format!("{labels}: got {got:?}, want {points:?}")));
        }
    }
    match want.iter().find(|(labels, _)| !found.contains_key(*labels)) {
        Some((labels, points)) => Err(differs(format!("want {labels} {points:?}, got no such series"))),
        None => Ok(()),
    }
}

fn of_histogram(h: &FloatHistogram) -> Point {
    Point::Histogram(Written { histogram: h.clone(), has_hint: true })
}

/// Whether what was found is what was expected.
fn same_point(want: &Point, got: &Point) -> bool {
    match (want, got) {
        (Point::Float(a), Point::Float(b)) => almost_equal(*a, *b),
        (Point::Histogram(a), Point::Histogram(b)) => {
            let (mut x, mut y) = (a.histogram.clone(), b.histogram.clone());
            x.compact();
            y.compact();
            (!a.has_hint || x.layout.counter_reset_hint == y.layout.counter_reset_hint)
                && same_histogram(&x, &y)
        }
        _ => false,
    }
}

fn same_histogram(a: &FloatHistogram, b: &FloatHistogram) -> bool {
    let all = |a: &[f64], b: &[f64]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| almost_equal(*a, *b));
    let (x, y) = (&a.layout, &b.layout);
    x.schema == y.schema
        && x.positive_spans == y.positive_spans
        && x.negative_spans == y.negative_spans
        && all(&x.custom_bounds, &y.custom_bounds)
        && all(
            &[a.count, a.sum, a.zero_count, x.zero_threshold],
            &[b.count, b.sum, b.zero_count, y.zero_threshold],
        )
        && all(&a.positive_buckets, &b.positive_buckets)
        && all(&a.negative_buckets, &b.negative_buckets)
}

fn almost_equal(a: f64, b: f64) -> bool {
    if is_stale_nan(a) || is_stale_nan(b) {
        return is_stale_nan(a) && is_stale_nan(b);
    }
    if a == b || (a.is_nan() && b.is_nan()) {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < TOLERANCE * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < TOLERANCE
}
