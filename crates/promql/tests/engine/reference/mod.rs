//! A second evaluator of PromQL, written for clarity alone: one step at a time, by the definitions, with
//! no regard to speed. What the engine is compared with. Shares nothing with the engine but the tree.

mod edges;
mod histograms;
mod numbers;
mod windows;

use crate::support::memory::MemoryStorage;
use skopos_model::{Labels, LabelsBuilder, TimestampMs, is_stale_nan};
use skopos_promql::ast::{
    Aggregate, AggregateOp as A, At, Binary, BinaryOp as B, Call, Cardinality, Edges, Expr, ExprKind,
    Grouping, Length, MatchOn, Matching, Selector, Shift,
};
use std::collections::{BTreeMap, HashSet};

/// A vector at one time.
pub(crate) type Rows = Vec<(Labels, f64)>;

/// A series' samples of one window.
pub(crate) type Window = Vec<(i64, f64)>;

/// A value at one time.
pub(crate) enum Val {
    Scalar(f64),
    Rows(Rows),
}

/// Evaluates over `storage`.
pub(crate) struct Reference<'a> {
    pub(crate) storage: &'a MemoryStorage,
    pub(crate) lookback: i64,
    pub(crate) subquery_step: i64,
    /// What `start()` and `end()` are.
    pub(crate) bounds: (i64, i64),
}

/// The bounds of a window, and the samples of each series that has any in it.
type Windowed = (i64, i64, Vec<(Labels, Window)>);

type Outcome<T> = Result<T, &'static str>;

const SAME: &str = "same labelset";

impl Reference<'_> {
    /// All values of a range query, by series.
    pub(crate) fn range(&self, e: &Expr, step: i64) -> Outcome<BTreeMap<Labels, Window>> {
        let mut out: BTreeMap<Labels, Window> = BTreeMap::new();
        let mut t = self.bounds.0;
        while t <= self.bounds.1 {
            let rows = match self.at(e, t)? {
                Val::Scalar(v) => vec![(Labels::empty(), v)],
                Val::Rows(rows) => rows,
            };
            for (labels, v) in unique(rows)? {
                out.entry(labels).or_default().push((t, v));
            }
            t += step;
        }
        Ok(out)
    }

    fn at(&self, e: &Expr, t: i64) -> Outcome<Val> {
        Ok(match &e.kind {
            ExprKind::Number(v) | ExprKind::Duration(v) => Val::Scalar(*v),
            ExprKind::Selector(s) if s.edges == Edges::Smoothed => Val::Rows(self.smooth(s, t)),
            ExprKind::Selector(s) => Val::Rows(self.newest(s, t).map(|(l, s)| (l, s.1)).collect()),
            ExprKind::Paren(inner) | ExprKind::Plus(inner) => self.at(inner, t)?,
            ExprKind::Negate(inner) => match self.at(inner, t)? {
                Val::Scalar(v) => Val::Scalar(-v),
                Val::Rows(rows) => Val::Rows(mapped(rows, |v| Some(-v))?),
            },
            ExprKind::Call(call) => self.call(call, t)?,
            ExprKind::Aggregate(a) => Val::Rows(self.aggregate(a, t)?),
            ExprKind::Binary(b) => self.binary(b, t)?,
            ExprKind::String(_) | ExprKind::Bytes(_) | ExprKind::Range(_) | ExprKind::Subquery(_) => {
                unreachable!("not a value")
            }
        })
    }

    fn rows(&self, e: &Expr, t: i64) -> Outcome<Rows> {
        match self.at(e, t)? {
            Val::Rows(rows) => Ok(rows),
            Val::Scalar(_) => unreachable!("the parser checked the types"),
        }
    }

    fn scalar(&self, e: &Expr, t: i64) -> Outcome<f64> {
        match self.at(e, t)? {
            Val::Scalar(v) => Ok(v),
            Val::Rows(_) => unreachable!("the parser checked the types"),
        }
    }

    fn length(&self, length: &Length) -> i64 {
        match length {
            Length::Fixed(d) => d.as_ms(),
            Length::Computed(_) => unreachable!("the writer makes none"),
        }
    }

    fn shifted(&self, shift: &Shift, t: i64) -> i64 {
        let base = match shift.at {
            None => t,
            Some(At::Time(at)) => at.as_ms(),
            Some(At::Start) => self.bounds.0,
            Some(At::End) => self.bounds.1,
        };
        base - self.length(&shift.offset)
    }

    /// The samples of the matching series in `(from, to]`.
    fn select(&self, s: &Selector, from: i64, to: i64) -> Vec<(Labels, Window)> {
        let inside = |t: &TimestampMs| t.as_ms() > from && t.as_ms() <= to;
        self.storage
            .iter()
            .filter(|(l, ..)| s.matchers.iter().all(|m| m.matches(l.value(m.name()))))
            .map(|(l, columns)| {
                let (ts, vs) = (&columns.timestamps, &columns.values);
                let samples = ts.iter().zip(vs).filter(|(t, _)| inside(t));
                (l.clone(), samples.map(|(t, v)| (t.as_ms(), *v)).collect())
            })
            .collect()
    }

    fn newest(&self, s: &Selector, t: i64) -> impl Iterator<Item = (Labels, (i64, f64))> {
        let to = self.shifted(&s.shift, t);
        let all = self.select(s, to - self.lookback, to).into_iter();
        all.filter_map(|(l, w)| w.last().filter(|s| !is_stale_nan(s.1)).map(|s| (l, *s)))
    }

    /// The windows of a range vector: its bounds, and the samples of each series that has any.
    fn windows(&self, e: &Expr, t: i64) -> Outcome<Windowed> {
        let (from, to, mut all) = match &e.kind {
            ExprKind::Paren(inner) => return self.windows(inner, t),
            ExprKind::Range(r) => {
                let to = self.shifted(&r.selector.shift, t);
                let from = to - self.length(&r.range);
                (from, to, self.select(&r.selector, from, to))
            }
            ExprKind::Subquery(q) => {
                let to = self.shifted(&q.shift, t);
                let from = to - self.length(&q.range);
                let step = q.step.as_ref().map_or(self.subquery_step, |step| self.length(step));
                let mut series: BTreeMap<Labels, Window> = BTreeMap::new();
                for at in (from + 1..=to).filter(|at| at % step == 0) {
                    for (l, v) in unique(self.rows(&q.expr, at)?)? {
                        series.entry(l).or_default().push((at, v));
                    }
                }
                (from, to, series.into_iter().collect())
            }
            _ => unreachable!("the parser checked the types"),
        };
        for (_, w) in &mut all {
            w.retain(|(_, v)| !is_stale_nan(*v));
        }
        all.retain(|(_, w)| !w.is_empty());
        Ok((from, to, all))
    }

    fn call(&self, call: &Call, t: i64) -> Outcome<Val> {
        let name = call.function.name;
        let arg = |i: usize| &call.args[i];
        let now = t as f64 / 1000.0;
        if call.args.last().is_some_and(histograms::yields) {
            return self.call_of_histograms(call, t).map(Val::Rows);
        }
        if let Some(ExprKind::Range(r)) = call.args.first().map(|e| &stripped(e).kind)
            && r.selector.edges != Edges::Sampled
        {
            return self.extended(name, r, t).map(Val::Rows);
        }
        let rows = match name {
            "pi" => return Ok(Val::Scalar(std::f64::consts::PI)),
            "histogram_quantile" => self.classic_quantile(self.scalar(arg(0), t)?, self.rows(arg(1), t)?)?,
            "sort" | "sort_desc" | "sort_by_label" | "sort_by_label_desc" => self.rows(arg(0), t)?,
            "label_replace" | "label_join" => self.relabelled(call, t)?,
            "predict_linear" | "double_exponential_smoothing" => self.of_trend(call, t)?,
            "time" => return Ok(Val::Scalar(now)),
            "scalar" => {
                let rows = self.rows(arg(0), t)?;
                return Ok(Val::Scalar(if let [(_, v)] = &rows[..] { *v } else { f64::NAN }));
            }
            "vector" => vec![(Labels::empty(), self.scalar(arg(0), t)?)],
            "timestamp" => match &stripped(arg(0)).kind {
                ExprKind::Selector(s) => {
                    let rows = self.newest(s, t).map(|(l, s)| (l, s.0 as f64 / 1000.0));
                    nameless(rows.collect())?
                }
                _ => mapped(self.rows(arg(0), t)?, |_| Some(now))?,
            },
            "absent" => {
                let labels = absent_labels(arg(0));
                if self.rows(arg(0), t)?.is_empty() { vec![(labels, 1.0)] } else { vec![] }
            }
            "absent_over_time" => {
                let labels = match &stripped(arg(0)).kind {
                    ExprKind::Range(r) => pinned(&r.selector),
                    _ => Labels::empty(),
                };
                if self.windows(arg(0), t)?.2.is_empty() { vec![(labels, 1.0)] } else { vec![] }
            }
            "clamp" | "clamp_min" | "clamp_max" | "round" => {
                let scalars: Vec<f64> =
                    call.args[1..].iter().map(|a| self.scalar(a, t)).collect::<Result<_, _>>()?;
                mapped(self.rows(arg(0), t)?, |v| bounded(name, v, &scalars))?
            }
            _ if call.function.args[0] == skopos_promql::ast::ValueType::InstantVector => {
                mapped(self.rows(arg(0), t)?, |v| Some(numbers::math(name, v)))?
            }
            _ => {
                let last = call.args.len() - 1;
                let param = if last == 1 { self.scalar(arg(0), t)? } else { f64::NAN };
                let (from, to, all) = self.windows(arg(last), t)?;
                let over = |w: &Window| windows::apply(name, w, from, to, param);
                let rows = all.iter().filter_map(|(l, w)| over(w).map(|v| (l.clone(), v))).collect();
                let keeps = matches!(name, "first_over_time" | "last_over_time");
                if keeps { rows } else { nameless(rows)? }
            }
        };
        Ok(Val::Rows(rows))
    }

    fn relabelled(&self, call: &Call, t: i64) -> Outcome<Rows> {
        let text = |i: usize| text_of(&call.args[i]);
        let rows = self.rows(&call.args[0], t)?.into_iter();
        if call.function.name == "label_join" {
            let sources: Vec<&str> = call.args[3..].iter().map(text_of).collect();
            let joined = |l: &Labels| {
                let values: Vec<&str> = sources.iter().map(|s| l.value(s)).collect();
                with(l, text(1), &values.join(text(2)))
            };
            return unique(rows.map(|(l, v)| (joined(&l), v)).collect());
        }
        let regex = regex::Regex::new(&format!("^(?s:{})$", text(4))).expect("a good expression");
        let replaced = rows.map(|(l, v)| {
            let Some(found) = regex.captures(l.value(text(3))) else { return (l, v) };
            let mut value = String::new();
            found.expand(text(2), &mut value);
            (with(&l, text(1), &value), v)
        });
        unique(replaced.collect())
    }

    fn of_trend(&self, call: &Call, t: i64) -> Outcome<Rows> {
        let smooths = call.function.name == "double_exponential_smoothing";
        let more: Vec<f64> = call.args[1..].iter().map(|a| self.scalar(a, t)).collect::<Result<_, _>>()?;
        let (.., all) = self.windows(&call.args[0], t)?;
        if smooths && !all.is_empty() && more.iter().any(|f| *f <= 0.0 || *f >= 1.0) {
            return Err("a factor");
        }
        let over = |w: &Window| {
            if smooths {
                windows::smoothed(w, more[0], more[1])
            } else {
                windows::line(w, t).map(|(slope, now)| now + slope * more[0])
            }
        };
        nameless(all.into_iter().filter_map(|(l, w)| over(&w).map(|v| (l, v))).collect())
    }

    fn call_of_histograms(&self, call: &Call, t: i64) -> Outcome<Rows> {
        let inner = &call.args[call.args.len() - 1];
        match call.function.name {
            "absent" if self.histograms(inner, t)?.is_empty() => Ok(vec![(absent_labels(inner), 1.0)]),
            "absent" => Ok(Rows::new()),
            "count_over_time" => Ok(self.histograms_counted(inner, t)),
            "present_over_time" => {
                Ok(self.histograms_counted(inner, t).into_iter().map(|(l, _)| (l, 1.0)).collect())
            }
            _ => self.of_histograms(call, t),
        }
    }

    fn classic_quantile(&self, phi: f64, rows: Rows) -> Outcome<Rows> {
        let mut groups: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
        for (l, v) in rows {
            let Ok(bound) = l.value("le").parse::<f64>() else { continue };
            groups.entry(l.filtered(|n| n != "le" && n != "__name__")).or_default().push((bound, v));
        }
        Ok(groups.into_iter().map(|(l, buckets)| (l, numbers::of_buckets(phi, buckets))).collect())
    }

    fn aggregate(&self, a: &Aggregate, t: i64) -> Outcome<Rows> {
        let rows = if histograms::yields(&a.expr) {
            self.histograms(&a.expr, t)?.into_iter().map(|(l, h)| (l, h.count)).collect()
        } else {
            self.rows(&a.expr, t)?
        };
        let mut groups: BTreeMap<Labels, Rows> = BTreeMap::new();
        for (l, v) in rows {
            let key = l.filtered(|n| match &a.grouping {
                Grouping::By(names) => names.iter().any(|m| m == n),
                Grouping::Without(names) => n != "__name__" && !names.iter().any(|m| m == n),
            });
            groups.entry(key).or_default().push((l, v));
        }
        let mut out = Vec::new();
        for (key, members) in groups {
            let values: Vec<f64> = members.iter().map(|m| m.1).collect();
            match a.op {
                A::Topk | A::Bottomk => {
                    let k = self.scalar(a.param.as_ref().expect("a k"), t)?;
                    let mut sorted = members;
                    sorted.sort_by(|x, y| x.1.total_cmp(&y.1));
                    if a.op == A::Topk {
                        sorted.reverse();
                    }
                    out.extend(sorted.into_iter().take(if k >= 1.0 { k as usize } else { 0 }));
                }
                A::Limitk => {
                    let k = self.scalar(a.param.as_ref().expect("a k"), t)?;
                    out.extend(members.into_iter().take(if k >= 1.0 { k as usize } else { 0 }));
                }
                A::CountValues => {
                    let name = text_of(a.param.as_ref().expect("a label"));
                    let mut counts: BTreeMap<String, f64> = BTreeMap::new();
                    for v in values {
                        let text = if v.is_infinite() && v > 0.0 { "+Inf".to_owned() } else { v.to_string() };
                        *counts.entry(text.replace("inf", "Inf")).or_default() += 1.0;
                    }
                    out.extend(counts.into_iter().map(|(text, n)| (with(&key, name, &text), n)));
                }
                A::Quantile => {
                    let phi = self.scalar(a.param.as_ref().expect("a quantile"), t)?;
                    out.push((key, windows::quantile(phi, values)));
                }
                op => out.push((key, aggregated(op, &values))),
            }
        }
        Ok(out)
    }

    fn binary(&self, b: &Binary, t: i64) -> Outcome<Val> {
        let (lhs, rhs) = (self.at(&b.lhs, t)?, self.at(&b.rhs, t)?);
        let both = |l: f64, r: f64| compared(b, l, r);
        let rows = match (lhs, rhs) {
            (Val::Scalar(l), Val::Scalar(r)) => return Ok(Val::Scalar(number(b.op, l, r))),
            (Val::Scalar(l), Val::Rows(rows)) => {
                // What a filter keeps is the vector's value, wherever it stands.
                let keep = |r: f64| both(l, r).map(|v| if filters(b) { r } else { v });
                if filters(b) { filtered(rows, keep) } else { mapped(rows, keep)? }
            }
            (Val::Rows(rows), Val::Scalar(r)) => {
                if filters(b) {
                    filtered(rows, |l| both(l, r))
                } else {
                    mapped(rows, |l| both(l, r))?
                }
            }
            (Val::Rows(l), Val::Rows(r)) => {
                let matching = b.matching.as_ref().expect("vectors are matched");
                if b.op.is_set() { set(b.op, matching, l, r) } else { joined(b, matching, &l, &r)? }
            }
        };
        Ok(Val::Rows(unique(rows)?))
    }
}

fn filters(b: &Binary) -> bool {
    b.op.is_comparison() && !b.return_bool
}

/// The result of the operator, unless it is a comparison that filters the pair out.
fn compared(b: &Binary, l: f64, r: f64) -> Option<f64> {
    if !filters(b) {
        return Some(number(b.op, l, r));
    }
    (number(b.op, l, r) != 0.0).then_some(l)
}

fn key_of(l: &Labels, m: &Matching) -> Labels {
    match &m.on {
        MatchOn::On(names) => l.filtered(|n| names.iter().any(|o| o == n)),
        MatchOn::Ignoring(names) => l.filtered(|n| n != "__name__" && !names.iter().any(|o| o == n)),
    }
}

fn set(op: B, m: &Matching, l: Rows, r: Rows) -> Rows {
    let keys = |rows: &Rows| rows.iter().map(|x| key_of(&x.0, m)).collect::<HashSet<_>>();
    let (left, right) = (keys(&l), keys(&r));
    match op {
        B::And => l.into_iter().filter(|x| right.contains(&key_of(&x.0, m))).collect(),
        B::Unless => l.into_iter().filter(|x| !right.contains(&key_of(&x.0, m))).collect(),
        _ => {
            let rest = r.into_iter().filter(|x| !left.contains(&key_of(&x.0, m)));
            l.into_iter().chain(rest).collect()
        }
    }
}

fn joined(b: &Binary, m: &Matching, l: &Rows, r: &Rows) -> Outcome<Rows> {
    // The left one fills in the many side, on whichever side of the operator that stands.
    let (for_many, for_one) = (m.fill.left, m.fill.right);
    if l.is_empty() && r.is_empty() || (l.is_empty() || r.is_empty()) && m.fill.is_none() {
        return Ok(vec![]);
    }
    let swapped = m.cardinality == Cardinality::OneToMany;
    let (many, one) = if swapped { (r, l) } else { (l, r) };
    let mut ones = BTreeMap::new();
    for row in one {
        if ones.insert(key_of(&row.0, m), row).is_some() {
            return Err("many-to-many");
        }
    }
    let met: HashSet<_> = many.iter().map(|row| key_of(&row.0, m)).collect();
    let mut pairs = Vec::new();
    for (labels, v) in many {
        let of_one = ones.get(&key_of(labels, m)).map(|(labels, w)| (labels.clone(), *w));
        let of_one = of_one.or(for_one.map(|w| (Labels::empty(), w)));
        pairs.extend(of_one.map(|one| ((labels.clone(), *v), one)));
    }
    for (key, one) in ones.into_iter().filter(|(key, _)| !met.contains(key)) {
        pairs.extend(for_many.map(|v| ((key, v), one.clone())));
    }
    let mut out = Vec::new();
    let mut seen = HashSet::new();
    for ((labels, v), (other, w)) in pairs {
        let key = key_of(&labels, m);
        let (left, right) = if swapped { (w, v) } else { (v, w) };
        let one_to_one = m.cardinality == Cardinality::OneToOne;
        if one_to_one && !seen.insert((key.clone(), Labels::empty())) {
            return Err("many-to-one");
        }
        let result = labels_of_pair(b, m, &labels, &other);
        if !one_to_one && !seen.insert((key, result.clone())) {
            return Err("grouping not unique");
        }
        out.extend(compared(b, left, right).map(|value| (result, value)));
    }
    Ok(out)
}

/// The labels of the result of a pair, of the many side and the one side.
fn labels_of_pair(b: &Binary, m: &Matching, many: &Labels, one: &Labels) -> Labels {
    let mut result = LabelsBuilder::from_labels(many);
    if !filters(b) {
        result.remove("__name__");
    }
    for (n, _) in many.iter().filter(|_| m.cardinality == Cardinality::OneToOne) {
        let kept = match &m.on {
            MatchOn::On(names) => names.iter().any(|o| o == n),
            MatchOn::Ignoring(names) => !names.iter().any(|o| o == n),
        };
        if !kept {
            result.remove(n);
        }
    }
    m.include.iter().for_each(|n| result.set(n, one.value(n)));
    result.build()
}

fn unique(rows: Rows) -> Outcome<Rows> {
    let labels: HashSet<_> = rows.iter().map(|r| &r.0).collect();
    if labels.len() == rows.len() { Ok(rows) } else { Err(SAME) }
}

fn nameless(rows: Rows) -> Outcome<Rows> {
    unique(rows.into_iter().map(|(l, v)| (l.without_metric_name(), v)).collect())
}

fn filtered(rows: Rows, f: impl Fn(f64) -> Option<f64>) -> Rows {
    rows.into_iter().filter_map(|(l, v)| f(v).map(|v| (l, v))).collect()
}

fn mapped(rows: Rows, f: impl Fn(f64) -> Option<f64>) -> Outcome<Rows> {
    nameless(filtered(rows, f))
}

fn stripped(e: &Expr) -> &Expr {
    if let ExprKind::Paren(inner) = &e.kind { stripped(inner) } else { e }
}

fn text_of(e: &Expr) -> &str {
    match &stripped(e).kind {
        ExprKind::String(text) => text,
        _ => unreachable!("the parser checked the types"),
    }
}

fn with(l: &Labels, name: &str, value: &str) -> Labels {
    let mut b = LabelsBuilder::from_labels(l);
    b.set(name, value);
    b.build()
}

fn absent_labels(e: &Expr) -> Labels {
    match &stripped(e).kind {
        ExprKind::Selector(s) => pinned(s),
        _ => Labels::empty(),
    }
}

fn pinned(s: &Selector) -> Labels {
    let equal = |m: &&skopos_model::Matcher| m.op() == skopos_model::MatchOp::Equal && m.name() != "__name__";
    Labels::from_pairs(s.matchers.iter().filter(equal).map(|m| (m.name(), m.value())))
}

fn number(op: B, a: f64, b: f64) -> f64 {
    match op {
        B::Add => a + b,
        B::Sub => a - b,
        B::Mul => a * b,
        B::Div => a / b,
        B::Mod => a % b,
        B::Pow => a.powf(b),
        B::Atan2 => a.atan2(b),
        B::Eq => f64::from(a == b),
        B::Ne => f64::from(a != b),
        B::Gt => f64::from(a > b),
        B::Lt => f64::from(a < b),
        B::Ge => f64::from(a >= b),
        B::Le => f64::from(a <= b),
        B::And | B::Or | B::Unless => unreachable!("works on sets"),
        B::TrimUpper | B::TrimLower => unreachable!("works on histograms"),
    }
}

fn bounded(name: &str, v: f64, scalars: &[f64]) -> Option<f64> {
    let least = |a: f64, b: f64| if a.is_nan() || b.is_nan() { f64::NAN } else { a.min(b) };
    let most = |a: f64, b: f64| if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) };
    match (name, scalars) {
        ("clamp", [low, high]) if high < low => None,
        ("clamp", [low, high]) => Some(most(*low, least(*high, v))),
        ("clamp_min", [low]) => Some(most(*low, v)),
        ("clamp_max", [high]) => Some(least(*high, v)),
        ("round", []) => Some((v + 0.5).floor()),
        ("round", [to]) => Some((v * (1.0 / to) + 0.5).floor() / (1.0 / to)),
        _ => unreachable!("{name} is not known here"),
    }
}

fn aggregated(op: A, values: &[f64]) -> f64 {
    match op {
        A::Sum => values.iter().sum(),
        A::Avg => values.iter().sum::<f64>() / values.len() as f64,
        A::Count => values.len() as f64,
        A::Min => windows::least(values),
        A::Max => windows::most(values),
        A::Group => 1.0,
        A::Stddev => windows::variance(values).sqrt(),
        A::Stdvar => windows::variance(values),
        _ => unreachable!("{op:?} was handled before"),
    }
}
