//! `Writer`: random expressions that are well formed, over the metrics `a`, `b`, `c_total` and `u` with the
//! labels `i` and `j`. Evaluates nothing.

use skopos_base::rng::Rng;

/// One of `all`.
pub(crate) fn pick<'a>(rng: &Rng, all: &[&'a str]) -> &'a str {
    all[rng.below(all.len() as u64) as usize]
}

/// True in so many of a hundred cases.
pub(crate) fn chance(rng: &Rng, percent: u64) -> bool {
    rng.below(100) < percent
}

/// Writes expressions. What is `exact` has no rounding, so that comparisons of it do not depend on the
/// order of additions.
pub(crate) struct Writer<'a> {
    pub(crate) rng: &'a Rng,
    /// A time for `@`, in seconds.
    pub(crate) fixed_time: &'a str,
    /// Nothing that Prometheus 2.42 lacks or does otherwise.
    pub(crate) only_old: bool,
}

impl Writer<'_> {
    fn shift(&self) -> String {
        let at = match self.rng.below(20) {
            0 => format!(" @ {}", self.fixed_time),
            1 => " @ start()".to_owned(),
            2 => " @ end()".to_owned(),
            _ => String::new(),
        };
        let offset = if chance(self.rng, 15) {
            pick(self.rng, &[" offset 1m", " offset -30s", " offset 7m"])
        } else {
            ""
        };
        format!("{at}{offset}")
    }

    fn selector(&self) -> String {
        let metrics = ["a", "b", "a", "b", "c_total", "u", "{__name__=~\"a|b\"}", "none"];
        let metric = pick(self.rng, &metrics);
        let matchers =
            ["", "", "{i=\"1\"}", "{j=\"x\"}", "{i!=\"2\"}", "{j=~\"x|z\"}", "{i=~\".+\", j!~\"y\"}"];
        let matchers = pick(self.rng, &matchers);
        match metric.strip_suffix('}') {
            Some(open) if !matchers.is_empty() => format!("{open}, {}", &matchers[1..]),
            _ => format!("{metric}{matchers}"),
        }
    }

    fn window(&self, depth: u32) -> String {
        let shift = self.shift();
        if depth > 0 && chance(self.rng, 15) {
            let inner = self.vector(depth - 1, false);
            return format!("({inner})[{}]{shift}", pick(self.rng, &["5m:1m", "3m:30s", "2m:", "10s:1m"]));
        }
        let range = pick(self.rng, &["30s", "1m", "5m", "17m", "1s"]);
        format!("{}[{range}]{shift}", self.selector())
    }

    fn scalar(&self) -> String {
        match self.rng.below(if self.only_old { 10 } else { 8 }) {
            8 => "pi()".to_owned(),
            0 => "time()".to_owned(),
            1 => "scalar(a{i=\"1\", j=\"x\"})".to_owned(),
            2 => "(2 - -1)".to_owned(),
            3 => "0".to_owned(),
            _ => self.rng.below(10).to_string(),
        }
    }

    fn matching(&self, set: bool) -> String {
        let on = pick(self.rng, &["on(i)", "on(i, j)", "ignoring(j)", "on()", "ignoring()", ""]);
        if set || on.is_empty() {
            return on.to_owned();
        }
        let group = ["", "", "group_left()", "group_left(j)", "group_right(j)", "group_right()"];
        let group = pick(self.rng, &group);
        // A label may not be matched by and taken over at once.
        let group = if on == "on(i, j)" { group.replace("(j)", "()") } else { group.to_owned() };
        format!("{on} {group}")
    }

    pub(crate) fn vector(&self, depth: u32, exact: bool) -> String {
        if depth == 0 || chance(self.rng, 10) {
            let selector = self.selector();
            let selector = if exact { selector.replace('u', "a").replace("nonae", "none") } else { selector };
            return format!("{selector}{}", self.shift());
        }
        let below = depth - 1;
        match self.rng.below(if exact { 6 } else { 13 }) {
            kind @ 0..6 => self.without_rounding(kind, below, exact),
            6 => {
                let op = pick(self.rng, &["sum", "avg", "stddev", "stdvar", "sum", "avg"]);
                format!("{op} {} ({})", self.grouping(), self.vector(below, false))
            }
            7 | 8 => self.window_function(below),
            9 => format!(
                "({}) {} {} ({})",
                self.vector(below, false),
                pick(self.rng, &["+", "-", "*", "/"]),
                self.matching(false),
                self.vector(below, false)
            ),
            10 => self.with_parameter(below),
            11 => self.of_values(below),
            _ => self.with_scalar(below),
        }
    }

    fn without_rounding(&self, kind: u64, below: u32, exact: bool) -> String {
        match kind {
            0 => {
                let op = pick(self.rng, &["min", "max", "count", "group"]);
                format!("{op} {} ({})", self.grouping(), self.vector(below, exact))
            }
            1 => {
                let f = [
                    "min_over_time",
                    "max_over_time",
                    "count_over_time",
                    "last_over_time",
                    "changes",
                    "resets",
                    "first_over_time",
                    "present_over_time",
                    "ts_of_last_over_time",
                    "ts_of_max_over_time",
                ];
                format!(
                    "{}({})",
                    self.known(&f),
                    self.window(if exact { 0 } else { below }).replace("u[", "a[").replace("u{", "a{")
                )
            }
            2 => {
                let op = pick(self.rng, &["==", "!=", ">", "<", ">=", "<="]);
                let modifier = if chance(self.rng, 30) { "bool " } else { "" };
                let other = if chance(self.rng, 50) {
                    self.rng.below(6).to_string()
                } else {
                    // Version 2.42 sees that several meet one only where the comparison keeps them.
                    let matching = if self.only_old { "".to_owned() } else { self.matching(false) };
                    format!("{matching} ({})", self.vector(below, true))
                };
                format!("({}) {op} {modifier}{other}", self.vector(below, true))
            }
            3 => {
                let op = pick(self.rng, &["and", "or", "unless"]);
                format!(
                    "({}) {op} {} ({})",
                    self.vector(below, exact),
                    self.matching(true),
                    self.vector(below, exact)
                )
            }
            4 => self.of_each_value(below),
            _ => format!(
                "({}) {} {}",
                self.vector(below, exact),
                pick(self.rng, &["+", "-", "*"]),
                self.rng.below(5)
            ),
        }
    }

    /// A function of one number.
    fn of_each_value(&self, below: u32) -> String {
        let f = [
            "abs",
            "ceil",
            "floor",
            "sgn",
            "-",
            "round",
            "sort",
            "timestamp",
            "hour",
            "minute",
            "day_of_week",
            "month",
            "year",
            "days_in_month",
            "day_of_month",
        ];
        let f = if self.only_old { &f[..] } else { &f[..8] };
        format!("{}({})", pick(self.rng, f), self.vector(below, true))
    }

    fn window_function(&self, below: u32) -> String {
        let f = [
            "rate",
            "increase",
            "delta",
            "irate",
            "idelta",
            "sum_over_time",
            "avg_over_time",
            "stddev_over_time",
            "stdvar_over_time",
            "mad_over_time",
            "rate",
            "absent_over_time",
            "deriv",
            "predict_linear",
        ];
        // The reference evaluator does not know the last ones.
        let f = self.known(if self.only_old { &f } else { &f[..12] });
        // Over windows that begin with a gap, version 2.42 extrapolates counters otherwise.
        let below = if self.only_old && matches!(f, "rate" | "increase") { 0 } else { below };
        let ahead = if f == "predict_linear" { format!(", {}", self.rng.below(7200)) } else { String::new() };
        format!("{f}({}{ahead})", self.window(below))
    }

    fn with_parameter(&self, below: u32) -> String {
        match self.rng.below(6) {
            0 => format!(
                "quantile {} ({}, {})",
                self.grouping(),
                pick(self.rng, &["0", "0.3", "1", "2", "0.95"]),
                self.vector(below, false)
            ),
            1 => format!("count_values {} (\"v\", {})", self.grouping(), self.vector(0, true)),
            2 => format!(
                "{} {} ({}, u{})",
                pick(self.rng, &["topk", "bottomk"]),
                self.grouping(),
                self.rng.below(4),
                self.shift()
            ),
            3 => format!(
                "quantile_over_time({}, {})",
                pick(self.rng, &["0", "0.5", "0.9", "-1"]),
                self.window(0)
            ),
            4 => format!("absent({})", self.vector(below, false)),
            _ => format!("vector({})", self.scalar()),
        }
    }

    fn of_values(&self, below: u32) -> String {
        match self.rng.below(if self.only_old { 7 } else { 4 }) {
            4 => {
                let f = [
                    "sin", "cos", "atan", "asinh", "tanh", "deg", "rad", "exp", "sqrt", "ln", "log2", "log10",
                ];
                format!("{}({})", pick(self.rng, &f), self.vector(below, false))
            }
            5 => format!(
                "label_join({}, \"{}\", \"-\", \"i\", \"j\")",
                self.vector(below, false),
                pick(self.rng, &["k", "i", "__name__"])
            ),
            6 => format!("clamp_max({}, {})", self.vector(below, false), self.scalar()),
            0 => format!("clamp({}, {}, {})", self.vector(below, false), self.scalar(), self.scalar()),
            1 => format!("clamp_min({}, {})", self.vector(below, false), self.scalar()),
            2 => format!("round({}, 2)", self.vector(below, true)),
            _ => format!(
                "label_replace({}, \"{}\", \"$1\", \"j\", \"(x|y)\")",
                self.vector(below, false),
                pick(self.rng, &["k", "i", "__name__"])
            ),
        }
    }

    fn with_scalar(&self, below: u32) -> String {
        // Version 2.42 keeps the metric's name with the last.
        let known = if self.only_old { 6 } else { 7 };
        let op = pick(self.rng, &["+", "-", "*", "/", "^", "%", "atan2"][..known]);
        let exact = matches!(op, "%" | "^");
        let (scalar, vector) = (self.scalar(), self.vector(below, exact));
        if chance(self.rng, 50) {
            format!("{scalar} {op} ({vector})")
        } else {
            format!("({vector}) {op} {scalar}")
        }
    }

    /// One of `functions` that may be used.
    fn known<'f>(&self, functions: &[&'f str]) -> &'f str {
        loop {
            let f = pick(self.rng, functions);
            let new = f.starts_with("ts_of") || matches!(f, "first_over_time" | "mad_over_time");
            if !(new && self.only_old) {
                return f;
            }
        }
    }

    fn grouping(&self) -> &'static str {
        pick(self.rng, &["", "by (i)", "by (i, j)", "without (j)", "by ()", "by (__name__)", "without ()"])
    }
}
