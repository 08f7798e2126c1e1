//! The functions over windows, by their definitions.

use super::Window;

/// `name` over the samples of `(from, to]`; none when there are too few.
pub(super) fn apply(name: &str, w: &Window, from: i64, to: i64, param: f64) -> Option<f64> {
    let values: Vec<f64> = w.iter().map(|s| s.1).collect();
    let (first, last) = (w[0], w[w.len() - 1]);
    let n = values.len() as f64;
    let seconds = |t: i64| t as f64 / 1000.0;
    Some(match name {
        "rate" | "increase" | "delta" => return extrapolated(name, w, from, to),
        "irate" | "idelta" => {
            let [.., before, last] = &w[..] else { return None };
            if name == "idelta" {
                last.1 - before.1
            } else {
                let difference = if last.1 < before.1 { last.1 } else { last.1 - before.1 };
                difference / seconds(last.0 - before.0)
            }
        }
        "changes" => changes(&values),
        "resets" => resets(&values),
        "sum_over_time" => values.iter().sum(),
        "avg_over_time" => values.iter().sum::<f64>() / n,
        "count_over_time" => n,
        "min_over_time" => least(&values),
        "max_over_time" => most(&values),
        "stddev_over_time" => variance(&values).sqrt(),
        "stdvar_over_time" => variance(&values),
        "last_over_time" => last.1,
        "first_over_time" => first.1,
        "present_over_time" => 1.0,
        "quantile_over_time" => quantile(param, values),
        "mad_over_time" => {
            if values.iter().any(|v| v.is_nan()) {
                return Some(f64::NAN);
            }
            let median = quantile(0.5, values.clone());
            quantile(0.5, values.iter().map(|v| (v - median).abs()).collect())
        }
        "deriv" => return line(w, to).map(|(slope, _)| slope),
        "ts_of_first_over_time" => seconds(first.0),
        "ts_of_last_over_time" => seconds(last.0),
        "ts_of_max_over_time" => seconds(extreme(w, |new, best| new >= best)),
        "ts_of_min_over_time" => seconds(extreme(w, |new, best| new <= best)),
        _ => unreachable!("{name} is not known here"),
    })
}

/// How often a value is another than the one before.
pub(super) fn changes(values: &[f64]) -> f64 {
    values.windows(2).filter(|p| p[0] != p[1] && !(p[0].is_nan() && p[1].is_nan())).count() as f64
}

/// How often a value is less than the one before.
pub(super) fn resets(values: &[f64]) -> f64 {
    values.windows(2).filter(|p| p[1] < p[0]).count() as f64
}

fn extreme(w: &Window, at_least: impl Fn(f64, f64) -> bool) -> i64 {
    w.iter()
        .copied()
        .reduce(|best, s| if at_least(s.1, best.1) || best.1.is_nan() { s } else { best })
        .expect("not empty")
        .0
}

/// The slope of the line that is nearest to the samples, per second, and its value at `at`.
pub(super) fn line(w: &Window, at: i64) -> Option<(f64, f64)> {
    if w.len() < 2 {
        return None;
    }
    if w.iter().any(|s| !s.1.is_finite()) {
        return Some((f64::NAN, f64::NAN));
    }
    let n = w.len() as f64;
    let time = |t: i64| (t - w[0].0) as f64 / 1000.0;
    let (mean_t, mean_v) =
        (w.iter().map(|s| time(s.0)).sum::<f64>() / n, w.iter().map(|s| s.1).sum::<f64>() / n);
    let together: f64 = w.iter().map(|s| (time(s.0) - mean_t) * (s.1 - mean_v)).sum();
    let slope = together / w.iter().map(|s| (time(s.0) - mean_t).powi(2)).sum::<f64>();
    Some((slope, mean_v + slope * (time(at) - mean_t)))
}

/// Level and trend, each a mixture of what was expected and what came.
pub(super) fn smoothed(w: &Window, smoothing: f64, trend: f64) -> Option<f64> {
    if w.len() < 2 {
        return None;
    }
    let mut slope = w[1].1 - w[0].1;
    let mut level = w[0].1;
    for (i, s) in w.iter().enumerate().skip(1) {
        let next = smoothing * s.1 + (1.0 - smoothing) * (level + slope);
        if i + 1 < w.len() {
            slope = trend * (next - level) + (1.0 - trend) * slope;
        }
        level = next;
    }
    Some(level)
}

fn extrapolated(name: &str, w: &Window, from: i64, to: i64) -> Option<f64> {
    if w.len() < 2 {
        return None;
    }
    let (first, last) = (w[0], w[w.len() - 1]);
    let counter = name != "delta";
    let mut difference = last.1 - first.1;
    if counter {
        for pair in w.windows(2).filter(|p| p[1].1 < p[0].1) {
            difference += pair[0].1;
        }
    }
    let sampled = (last.0 - first.0) as f64 / 1000.0;
    let spacing = sampled / (w.len() - 1) as f64;
    let reach = |gap: i64| {
        let gap = gap as f64 / 1000.0;
        if gap >= spacing * 1.1 { spacing / 2.0 } else { gap }
    };
    let mut to_start = reach(first.0 - from);
    if counter && difference > 0.0 && first.1 >= 0.0 {
        to_start = to_start.min(sampled * (first.1 / difference));
    }
    let factor = (sampled + to_start + reach(to - last.0)) / sampled;
    let per = if name == "rate" { (to - from) as f64 / 1000.0 } else { 1.0 };
    Some(difference * factor / per)
}

/// The least number, not a number only if there is no other.
pub(super) fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NAN, f64::min)
}

/// The greatest number, not a number only if there is no other.
pub(super) fn most(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NAN, f64::max)
}

pub(super) fn variance(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n
}

pub(super) fn quantile(phi: f64, mut values: Vec<f64>) -> f64 {
    if phi.is_nan() {
        return f64::NAN;
    }
    if !(0.0..=1.0).contains(&phi) {
        return if phi < 0.0 { f64::NEG_INFINITY } else { f64::INFINITY };
    }
    values.sort_by(|a, b| b.is_nan().cmp(&a.is_nan()).then(a.total_cmp(b)));
    let rank = phi * (values.len() - 1) as f64;
    let (low, share) = (rank.floor() as usize, rank.fract());
    let high = (low + 1).min(values.len() - 1);
    values[low] * (1.0 - share) + values[high] * share
}
