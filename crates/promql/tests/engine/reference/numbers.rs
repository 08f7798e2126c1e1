//! The functions of one number, and the quantile of a classic histogram, by their definitions.

/// A part of the date that is so many seconds after 1970 began, counted year by year within a cycle.
pub(super) fn calendar(name: &str, seconds: f64) -> f64 {
    if seconds.is_nan() {
        return f64::NAN;
    }
    // Beyond this there are no dates.
    let seconds = (seconds as i64).clamp(-(1 << 55), 1 << 55);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (cycles, mut day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let leap = |y: i64| y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
    let mut year = 1970;
    while day >= 365 + i64::from(leap(year)) {
        day -= 365 + i64::from(leap(year));
        year += 1;
    }
    let lengths = [31, 28 + i64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let (day_of_year, mut month) = (day + 1, 0);
    while day >= lengths[month] {
        day -= lengths[month];
        month += 1;
    }
    (match name {
        "hour" => second / 3600,
        "minute" => second / 60 % 60,
        "day_of_week" => (days + 4).rem_euclid(7),
        "day_of_month" => day + 1,
        "day_of_year" => day_of_year,
        "days_in_month" => lengths[month],
        "month" => month as i64 + 1,
        "year" => year + 400 * cycles,
        _ => unreachable!("{name} is not known here"),
    }) as f64
}

pub(super) fn math(name: &str, v: f64) -> f64 {
    match name {
        "abs" => v.abs(),
        "ceil" => v.ceil(),
        "floor" => v.floor(),
        "exp" => v.exp(),
        "ln" => v.ln(),
        "log2" => v.log2(),
        "log10" => v.log10(),
        "sqrt" => v.sqrt(),
        "sgn" if v == 0.0 || v.is_nan() => v,
        "sgn" => v.signum(),
        "sin" => v.sin(),
        "cos" => v.cos(),
        "tan" => v.tan(),
        "asin" => v.asin(),
        "acos" => v.acos(),
        "atan" => v.atan(),
        "sinh" => v.sinh(),
        "cosh" => v.cosh(),
        "tanh" => v.tanh(),
        "asinh" => v.asinh(),
        "acosh" => v.acosh(),
        "atanh" => v.atanh(),
        "deg" => v * 180.0 / std::f64::consts::PI,
        "rad" => v * std::f64::consts::PI / 180.0,
        _ => calendar(name, v),
    }
}

/// The φ-quantile of buckets, each an upper bound and how many observations are up to it.
pub(super) fn of_buckets(phi: f64, mut buckets: Vec<(f64, f64)>) -> f64 {
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    if !(0.0..=1.0).contains(&phi) {
        return if phi < 0.0 { f64::NEG_INFINITY } else { f64::INFINITY };
    }
    let Some((last, below)) = buckets.split_last() else { return f64::NAN };
    if last.0 != f64::INFINITY || below.is_empty() || last.1 == 0.0 || last.1.is_nan() {
        return f64::NAN;
    }
    let rank = phi * last.1;
    let Some(at) = below.iter().position(|b| b.1 >= rank) else { return below[below.len() - 1].0 };
    let (lower, before) = if at == 0 { (0.0, 0.0) } else { below[at - 1] };
    lower + (below[at].0 - lower) * (rank - before) / (below[at].1 - before)
}
