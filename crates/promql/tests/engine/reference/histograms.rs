//! Native histograms by their definitions: buckets in maps, each by its number, and what PromQL does with
//! them. Knows floats of the engine's reference only as what it makes of histograms.

use super::{Aggregate, B, Binary, Call, Expr, ExprKind, Grouping, Outcome, Reference, Rows, SAME, Shift};
use skopos_model::{FloatHistogram, Labels, histogram::bucket_indexes};
use skopos_promql::ast::AggregateOp as A;
use std::collections::BTreeMap;

/// A histogram of exponential buckets.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Hist {
    schema: i32,
    threshold: f64,
    zero: f64,
    pub(super) count: f64,
    pub(super) sum: f64,
    /// Counts by the side of zero (negative: -1) and the number of the bucket.
    buckets: BTreeMap<(i64, i64), f64>,
}

/// A bucket: its bounds and its count.
struct Bucket(f64, f64, f64);

impl Hist {
    pub(super) fn of(h: &FloatHistogram) -> Self {
        let sides = [
            (1, &h.layout.positive_spans, &h.positive_buckets),
            (-1, &h.layout.negative_spans, &h.negative_buckets),
        ];
        let mut buckets = BTreeMap::new();
        for (side, spans, counts) in sides {
            buckets.extend(bucket_indexes(spans).zip(counts).map(|(i, c)| ((side, i), *c)));
        }
        let (schema, threshold) = (h.layout.schema, h.layout.zero_threshold);
        Self { schema, threshold, zero: h.zero_count, count: h.count, sum: h.sum, buckets }
    }

    fn times(&self, by: f64) -> Self {
        let buckets = self.buckets.iter().map(|(i, c)| (*i, c * by)).collect();
        Self { zero: self.zero * by, count: self.count * by, sum: self.sum * by, buckets, ..self.clone() }
    }

    /// In the coarser of both resolutions.
    fn plus(&self, other: &Self) -> Self {
        let schema = self.schema.min(other.schema);
        let mut buckets = BTreeMap::new();
        for h in [self, other] {
            for ((side, i), count) in &h.buckets {
                let coarse = ((i - 1) >> (h.schema - schema)) + 1;
                *buckets.entry((*side, coarse)).or_insert(0.0) += count;
            }
        }
        Self {
            schema,
            threshold: self.threshold,
            zero: self.zero + other.zero,
            count: self.count + other.count,
            sum: self.sum + other.sum,
            buckets,
        }
    }

    fn is_reset_since(&self, before: &Self) -> bool {
        let less = |i: &(i64, i64), c: &f64| self.buckets.get(i).copied().unwrap_or_default() < *c;
        self.count < before.count
            || self.zero < before.zero
            || before.buckets.iter().any(|(i, count)| less(i, count))
    }

    /// All buckets in the order of their bounds; empty ones are left out.
    fn ordered(&self) -> Vec<Bucket> {
        let bound = |i: i64| 2f64.powf(i as f64 * 2f64.powi(-self.schema));
        let mut all: Vec<Bucket> = self
            .buckets
            .iter()
            .map(|((side, i), count)| match side {
                1 => Bucket(bound(i - 1), bound(*i), *count),
                _ => Bucket(-bound(*i), -bound(i - 1), *count),
            })
            .chain([Bucket(-self.threshold, self.threshold, self.zero)])
            .filter(|b| b.2 != 0.0)
            .collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        all
    }

    /// The zero bucket reaches to the side of zero only where there are buckets.
    fn has(&self, side: i64) -> bool {
        self.buckets.keys().any(|(s, _)| *s == side)
    }

    fn narrowed(&self, b: &Bucket) -> (f64, f64) {
        let whole = b.0 >= 0.0 || b.1 <= 0.0;
        match (whole, self.has(-1), self.has(1)) {
            (false, false, true) => (0.0, b.1),
            (false, true, false) => (b.0, 0.0),
            _ => (b.0, b.1),
        }
    }

    pub(super) fn quantile(&self, phi: f64) -> f64 {
        if !(0.0..=1.0).contains(&phi) {
            return if phi < 0.0 { f64::NEG_INFINITY } else { f64::INFINITY };
        }
        if self.count == 0.0 {
            return f64::NAN;
        }
        let buckets = self.ordered();
        let rank = phi * self.count;
        let mut below = 0.0;
        for (at, b) in buckets.iter().enumerate() {
            if below + b.2 >= rank || at + 1 == buckets.len() {
                let (lower, upper) = self.narrowed(b);
                let share = ((rank - below) / b.2).clamp(0.0, 1.0);
                return between(lower, upper, share);
            }
            below += b.2;
        }
        f64::NAN
    }

    pub(super) fn fraction(&self, from: f64, to: f64) -> f64 {
        if self.count == 0.0 {
            return f64::NAN;
        }
        if from >= to {
            return 0.0;
        }
        let below = |v: f64| {
            let each = self.ordered().into_iter().map(|b| {
                let (lower, upper) = self.narrowed(&b);
                b.2 * share_below(lower, upper, v)
            });
            each.sum::<f64>()
        };
        (below(to) - below(from)) / self.count
    }

    pub(super) fn variance(&self) -> f64 {
        let mean = self.sum / self.count;
        let each = self.ordered().into_iter().map(|Bucket(lower, upper, count)| {
            let size = (lower * upper).abs().sqrt();
            let middle = match (lower <= 0.0 && upper >= 0.0, upper < 0.0) {
                (true, _) => 0.0,
                (_, true) => -size,
                _ => size,
            };
            count * (middle - mean).powi(2)
        });
        each.sum::<f64>() / self.count
    }
}

/// The place within a bucket that has this share of it below: by the logarithm, where zero is outside.
fn between(lower: f64, upper: f64, share: f64) -> f64 {
    if lower > 0.0 {
        lower * (upper / lower).powf(share)
    } else if upper < 0.0 {
        upper * (lower / upper).powf(1.0 - share)
    } else {
        lower + (upper - lower) * share
    }
}

fn share_below(lower: f64, upper: f64, v: f64) -> f64 {
    if v <= lower || v >= upper {
        return f64::from(v >= upper);
    }
    if lower > 0.0 {
        (v / lower).ln() / (upper / lower).ln()
    } else if upper < 0.0 {
        1.0 - (v / upper).ln() / (lower / upper).ln()
    } else {
        (v - lower) / (upper - lower)
    }
}

/// Histograms by their series.
type Hists = Vec<(Labels, Hist)>;

/// A series' histograms of one window, and its bounds.
type SeriesWindow = (Labels, Vec<(i64, Hist)>, i64, i64);

/// Whether the expression's values are histograms: whether what it selects is.
pub(super) fn yields(e: &Expr) -> bool {
    match &e.kind {
        ExprKind::Selector(s) => s.matchers.iter().any(|m| m.name() == "__name__" && m.value() == "h"),
        ExprKind::Range(r) => r.selector.matchers.iter().any(|m| m.name() == "__name__" && m.value() == "h"),
        ExprKind::Paren(inner) | ExprKind::Plus(inner) | ExprKind::Negate(inner) => yields(inner),
        ExprKind::Aggregate(a) => matches!(a.op, A::Sum | A::Avg) && yields(&a.expr),
        ExprKind::Binary(b) => yields(&b.lhs),
        ExprKind::Call(call) => {
            let over = ["rate", "increase", "sum_over_time", "avg_over_time", "last_over_time"];
            over.contains(&call.function.name) && yields(&call.args[0])
        }
        _ => false,
    }
}

fn unique(hists: Hists) -> Outcome<Hists> {
    let all: std::collections::HashSet<_> = hists.iter().map(|h| &h.0).collect();
    if all.len() == hists.len() { Ok(hists) } else { Err(SAME) }
}

fn nameless(hists: Hists) -> Outcome<Hists> {
    unique(hists.into_iter().map(|(l, h)| (l.without_metric_name(), h)).collect())
}

impl Reference<'_> {
    /// The histograms of the series that a selector finds, in `(from, to]`.
    fn histograms_in(&self, e: &Expr, t: i64) -> Vec<SeriesWindow> {
        let (selector, length) = match &e.kind {
            ExprKind::Selector(s) => (s, self.lookback),
            ExprKind::Range(r) => (&r.selector, self.length(&r.range)),
            _ => unreachable!("the writer makes none"),
        };
        let shift: &Shift = &selector.shift;
        let to = self.shifted(shift, t);
        let from = to - length;
        let series = self
            .storage
            .iter()
            .filter(|(l, _)| selector.matchers.iter().all(|m| m.matches(l.value(m.name()))));
        series
            .map(|(labels, columns)| {
                let times = columns.timestamps.iter().map(|t| t.as_ms());
                let all = times.enumerate().map(|(k, t)| (t, columns.histograms.get(k).to_histogram()));
                let inside = all.filter(|(t, h)| *t > from && *t <= to && !h.is_stale());
                (labels.clone(), inside.map(|(t, h)| (t, Hist::of(&h))).collect::<Vec<_>>(), from, to)
            })
            .filter(|(_, window, ..)| !window.is_empty())
            .collect()
    }

    /// An expression whose values are histograms.
    pub(super) fn histograms(&self, e: &Expr, t: i64) -> Outcome<Hists> {
        match &e.kind {
            ExprKind::Paren(inner) | ExprKind::Plus(inner) => self.histograms(inner, t),
            ExprKind::Selector(_) => {
                let all = self.histograms_in(e, t).into_iter();
                Ok(all.filter_map(|(l, w, ..)| Some((l, w.last()?.1.clone()))).collect())
            }
            ExprKind::Negate(inner) => {
                let all = self.histograms(inner, t)?.into_iter();
                nameless(all.map(|(l, h)| (l, h.times(-1.0))).collect())
            }
            ExprKind::Aggregate(a) => self.merged(a, t),
            ExprKind::Binary(b) => self.combined(b, t),
            ExprKind::Call(call) => self.over_time(call, t),
            _ => unreachable!("the writer makes none"),
        }
    }

    fn merged(&self, a: &Aggregate, t: i64) -> Outcome<Hists> {
        let mut groups: BTreeMap<Labels, Vec<Hist>> = BTreeMap::new();
        for (l, h) in self.histograms(&a.expr, t)? {
            let key = l.filtered(|n| match &a.grouping {
                Grouping::By(names) => names.iter().any(|m| m == n),
                Grouping::Without(names) => n != "__name__" && !names.iter().any(|m| m == n),
            });
            groups.entry(key).or_default().push(h);
        }
        let total = |all: &[Hist]| all.iter().skip(1).fold(all[0].clone(), |sum, h| sum.plus(h));
        let of =
            |all: Vec<Hist>| total(&all).times(if a.op == A::Avg { 1.0 / all.len() as f64 } else { 1.0 });
        Ok(groups.into_iter().map(|(l, all)| (l, of(all))).collect())
    }

    fn combined(&self, b: &Binary, t: i64) -> Outcome<Hists> {
        let lhs = self.histograms(&b.lhs, t)?;
        if !yields(&b.rhs) {
            let by = self.scalar(&b.rhs, t)?;
            let by = if b.op == B::Div { 1.0 / by } else { by };
            return nameless(lhs.into_iter().map(|(l, h)| (l, h.times(by))).collect());
        }
        let key = |l: &Labels| l.filtered(|n| n == "i" || n == "j");
        let mut rhs = BTreeMap::new();
        let right = self.histograms(&b.rhs, t)?;
        if lhs.is_empty() || right.is_empty() {
            return Ok(Vec::new());
        }
        for (l, h) in right {
            if rhs.insert(key(&l), h).is_some() {
                return Err("many-to-many");
            }
        }
        let sign = if b.op == B::Sub { -1.0 } else { 1.0 };
        let pairs = lhs.into_iter().filter_map(|(l, h)| {
            let other = rhs.get(&key(&l))?.times(sign);
            Some((key(&l), h.plus(&other)))
        });
        unique(pairs.collect())
    }

    fn over_time(&self, call: &Call, t: i64) -> Outcome<Hists> {
        let name = call.function.name;
        let mut out = Vec::new();
        for (labels, window, from, to) in self.histograms_in(&call.args[0], t) {
            let total = || window.iter().skip(1).fold(window[0].1.clone(), |sum, (_, h)| sum.plus(h));
            let value = match name {
                "last_over_time" => window.last().map(|(_, h)| h.clone()),
                "sum_over_time" => Some(total()),
                "avg_over_time" => Some(total().times(1.0 / window.len() as f64)),
                _ => increase(name, &window, from, to),
            };
            out.extend(value.map(|h| (labels, h)));
        }
        if name == "last_over_time" { Ok(out) } else { nameless(out) }
    }

    /// A function or aggregation that makes numbers of histograms.
    pub(super) fn of_histograms(&self, call: &Call, t: i64) -> Outcome<Rows> {
        let all = self.histograms(call.args.last().expect("an argument"), t)?;
        let number = |i: usize| self.scalar(&call.args[i], t);
        let mut out = Rows::new();
        for (labels, h) in all {
            let value = match call.function.name {
                "histogram_count" => h.count,
                "histogram_sum" => h.sum,
                "histogram_avg" => h.sum / h.count,
                "histogram_stdvar" => h.variance(),
                "histogram_stddev" => h.variance().sqrt(),
                "histogram_quantile" => h.quantile(number(0)?),
                "histogram_fraction" => h.fraction(number(0)?, number(1)?),
                name => unreachable!("{name} is not known here"),
            };
            out.push((labels.without_metric_name(), value));
        }
        super::unique(out)
    }

    /// How many samples each window has.
    pub(super) fn histograms_counted(&self, e: &Expr, t: i64) -> Rows {
        let all = self.histograms_in(e, t).into_iter();
        all.map(|(l, window, ..)| (l.without_metric_name(), window.len() as f64)).collect()
    }
}

fn increase(name: &str, window: &[(i64, Hist)], from: i64, to: i64) -> Option<Hist> {
    let [(first_at, first), .., (last_at, last)] = window else { return None };
    let mut grown = last.plus(&first.times(-1.0));
    for pair in window.windows(2).filter(|p| p[1].1.is_reset_since(&p[0].1)) {
        grown = grown.plus(&pair[0].1);
    }
    let seconds = |ms: i64| ms as f64 / 1000.0;
    let sampled = seconds(last_at - first_at);
    let spacing = sampled / (window.len() - 1) as f64;
    let reach = |gap: f64| if gap >= spacing * 1.1 { spacing / 2.0 } else { gap };
    let mut to_start = reach(seconds(first_at - from));
    if grown.count > 0.0 && first.count >= 0.0 {
        to_start = to_start.min(sampled * (first.count / grown.count));
    }
    let factor = (sampled + to_start + reach(seconds(to - last_at))) / sampled;
    Some(grown.times(if name == "rate" { factor / seconds(to - from) } else { factor }))
}
