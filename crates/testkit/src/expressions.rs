//! `Writer`: random expressions of PromQL over the metrics `a`, `b`, `c_total` and `u` with the labels `i`
//! and `j`, the classic histogram `lat_bucket` and the native one `h`; and the same spoilt. Evaluates
//! nothing.

use skopos_base::rng::Rng;

/// One of `all`.
#[must_use]
pub fn pick<'a>(rng: &Rng, all: &[&'a str]) -> &'a str {
    all[rng.below(all.len() as u64) as usize]
}

/// True in so many of a hundred cases.
#[must_use]
pub fn chance(rng: &Rng, percent: u64) -> bool {
    rng.below(100) < percent
}

/// Whose language is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dialect {
    /// Nothing that Prometheus 2.42 lacks, or is known to do otherwise.
    Old,
    /// What Prometheus 3.5 has, the experimental functions among it.
    Recent,
    /// All that there is.
    Newest,
}

use Dialect::{Newest, Old, Recent};

/// Writes expressions. What is `exact` has no rounding, so that comparisons of it do not depend on the
/// order of additions.
#[derive(Debug)]
pub struct Writer<'a> {
    /// Where chance comes from.
    pub rng: &'a Rng,
    /// A time for `@`, in seconds.
    pub fixed_time: &'a str,
    /// What may be written.
    pub dialect: Dialect,
}

/// Functions of one number each that are exact where their arguments are, by the dialect that has them.
const OF_EXACT_VALUES: &[&str] = &[
    "abs",
    "ceil",
    "floor",
    "sgn",
    "-",
    "round",
    "sort",
    "sort_desc",
    "timestamp",
    "hour",
    "minute",
    "month",
    "day_of_week",
    "day_of_month",
    "day_of_year",
    "days_in_month",
    "year",
];
/// Functions of one number each that round.
const OF_VALUES: &[&str] = &[
    "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "deg",
    "rad", "exp", "sqrt", "ln", "log2", "log10",
];
/// Functions over windows that do not round.
const EXACT_OVER_TIME: &[(&str, Dialect)] = &[
    ("min_over_time", Old),
    ("max_over_time", Old),
    ("count_over_time", Old),
    ("last_over_time", Old),
    ("changes", Old),
    ("resets", Old),
    ("present_over_time", Old),
    ("first_over_time", Newest),
    ("ts_of_first_over_time", Newest),
    ("ts_of_last_over_time", Recent),
    ("ts_of_max_over_time", Recent),
    ("ts_of_min_over_time", Recent),
];
/// Functions over windows.
const OVER_TIME: &[(&str, Dialect)] = &[
    ("rate", Old),
    ("rate", Old),
    ("increase", Old),
    ("delta", Old),
    ("irate", Old),
    ("idelta", Old),
    ("sum_over_time", Old),
    ("avg_over_time", Old),
    ("stddev_over_time", Old),
    ("stdvar_over_time", Old),
    ("absent_over_time", Old),
    ("deriv", Old),
    ("predict_linear", Old),
    ("mad_over_time", Recent),
];
/// What is put between the signs of an expression to spoil it.
const SPOILERS: &[&str] = &[
    "(",
    ")",
    "{",
    "}",
    "[5m]",
    "[5m:1m]",
    ",",
    "+",
    "-",
    "==",
    "bool",
    "and",
    "by (i)",
    "without (i)",
    "on (i)",
    "group_left",
    "ignoring (j)",
    "offset 1m",
    "@ end()",
    "sum",
    "rate",
    "topk",
    "\"x\"",
    "1",
    "a",
    "a{i=\"1\"}",
    "time()",
    "time",
    "!",
    "=~",
    "5m",
    "NaN",
    "a.b",
    "label_replace",
    "scalar",
    "1e",
    "0x",
    "'",
    "`",
];

impl Writer<'_> {
    /// An expression of any type.
    #[must_use]
    pub fn any(&self) -> String {
        let depth = 1 + self.rng.below(3) as u32;
        match self.rng.below(100) {
            0..4 => self.scalars(depth),
            4..7 => self.window(depth),
            7..9 => format!("{}({})", pick(self.rng, &["sort", "sort_desc"]), self.distinct()),
            _ => self.vector(depth, false),
        }
    }

    /// An expression with a sign too many, too few or in a wrong place.
    #[must_use]
    pub fn spoilt(&self) -> String {
        let text = if chance(self.rng, 20) { self.any() } else { self.vector(1, false) };
        let mut tokens = tokens(&text);
        for _ in 0..=self.rng.below(2) {
            let at = self.rng.below(tokens.len() as u64) as usize;
            match self.rng.below(4) {
                0 if tokens.len() > 1 => drop(tokens.remove(at)),
                1 => tokens.insert(at, tokens[at].clone()),
                2 => {
                    let other = self.rng.below(tokens.len() as u64) as usize;
                    tokens.swap(at, other);
                }
                _ => tokens.insert(at, pick(self.rng, SPOILERS).to_owned()),
            }
        }
        tokens.join(" ")
    }

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
        match self.rng.below(10) {
            8 => "pi()".to_owned(),
            0 => "time()".to_owned(),
            1 => "scalar(a{i=\"1\", j=\"x\"})".to_owned(),
            2 => "(2 - -1)".to_owned(),
            3 => "0".to_owned(),
            _ => self.rng.below(10).to_string(),
        }
    }

    /// Numbers alone, at each time.
    fn scalars(&self, depth: u32) -> String {
        if depth == 0 {
            return pick(
                self.rng,
                &["1", "-2.5", "0x1F", "NaN", "Inf", "1e3", "time()", "pi()", "scalar(a)"],
            )
            .to_owned();
        }
        let (left, right) = (self.scalars(depth - 1), self.scalars(depth - 1));
        let op = ["+", "-", "*", "/", "^", "%", "atan2", "== bool", "< bool", ">= bool"];
        format!("({left}) {} ({right})", pick(self.rng, &op))
    }

    /// A vector of which no two values are equal.
    fn distinct(&self) -> String {
        let all =
            ["u", "u * 2", "-u", "u{i=\"1\"}", "max_over_time(u[5m])", "u or c_total", "sum by (i) (u)"];
        pick(self.rng, &all).to_owned()
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

    /// An expression whose value is a vector of numbers.
    #[must_use]
    pub fn vector(&self, depth: u32, exact: bool) -> String {
        if depth == 0 || chance(self.rng, 10) {
            let selector = self.selector();
            let selector = if exact { selector.replace('u', "a").replace("nonae", "none") } else { selector };
            return format!("{selector}{}", self.shift());
        }
        let below = depth - 1;
        match self.rng.below(if exact { 6 } else { 15 }) {
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
            12 => self.of_labels(below),
            13 => self.of_histograms(),
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
                let window = self.window(if exact { 0 } else { below });
                format!("{}({})", self.known(EXACT_OVER_TIME), window.replace("u[", "a[").replace("u{", "a{"))
            }
            2 => {
                let op = pick(self.rng, &["==", "!=", ">", "<", ">=", "<="]);
                let modifier = if chance(self.rng, 30) { "bool " } else { "" };
                let other = if chance(self.rng, 50) {
                    self.rng.below(6).to_string()
                } else {
                    // Version 2.42 sees that several meet one only where the comparison keeps them.
                    let matching = if self.dialect == Old { String::new() } else { self.matching(false) };
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
            4 => format!("{}({})", pick(self.rng, OF_EXACT_VALUES), self.vector(below, true)),
            _ => format!(
                "({}) {} {}",
                self.vector(below, exact),
                pick(self.rng, &["+", "-", "*"]),
                self.rng.below(5)
            ),
        }
    }

    fn window_function(&self, below: u32) -> String {
        if chance(self.rng, 7) {
            let old = self.dialect == Old;
            let function = if old { "holt_winters" } else { "double_exponential_smoothing" };
            let share = || pick(self.rng, &["0.1", "0.5", "0.9", "0.3", "1"]);
            return format!("{function}({}, {}, {})", self.window(0), share(), share());
        }
        let function = self.known(OVER_TIME);
        // Over windows that begin with a gap, version 2.42 extrapolates counters otherwise.
        let whole = self.dialect == Old && matches!(function, "rate" | "increase");
        let ahead = match function {
            "predict_linear" => format!(", {}", self.rng.below(7200)),
            _ => String::new(),
        };
        format!("{function}({}{ahead})", self.window(if whole { 0 } else { below }))
    }

    fn with_parameter(&self, below: u32) -> String {
        match self.rng.below(if self.dialect == Old { 7 } else { 8 }) {
            0 => format!(
                "quantile {} ({}, {})",
                self.grouping(),
                pick(self.rng, &["0", "0.3", "1", "2", "0.95", "-1"]),
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
                pick(self.rng, &["0", "0.5", "0.9", "-1", "scalar(a{i=\"1\", j=\"x\"}) / 10"]),
                self.window(0)
            ),
            4 => format!("absent({})", self.vector(below, false)),
            5 => format!("absent_over_time({})", self.window(0)),
            6 => format!("vector({})", self.scalar()),
            _ => format!("limitk {} ({}, {})", self.grouping(), self.rng.below(3), self.selector()),
        }
    }

    fn of_values(&self, below: u32) -> String {
        match self.rng.below(6) {
            0 => format!("clamp({}, {}, {})", self.vector(below, false), self.scalar(), self.scalar()),
            1 => format!("clamp_min({}, {})", self.vector(below, false), self.scalar()),
            2 => format!("clamp_max({}, {})", self.vector(below, false), self.scalar()),
            3 => format!("round({}, {})", self.vector(below, true), pick(self.rng, &["2", "0.5", "10"])),
            // Of a rounded angle of a thousand million, a sine is noise.
            _ => format!("{}({})", pick(self.rng, OF_VALUES), self.vector(below, true)),
        }
    }

    fn of_labels(&self, below: u32) -> String {
        let inner = self.vector(below, false);
        let into = pick(self.rng, &["k", "i", "__name__", "j"]);
        match self.rng.below(3) {
            0 => {
                let from = pick(self.rng, &["i", "j", "none", "__name__"]);
                let separator = pick(self.rng, &["-", "", ", "]);
                format!("label_join({inner}, \"{into}\", \"{separator}\", \"{from}\", \"j\")")
            }
            1 if self.dialect != Old => {
                let order = pick(self.rng, &["sort_by_label", "sort_by_label_desc"]);
                format!("{order}({inner}, \"j\", \"i\")")
            }
            _ => {
                let from = pick(self.rng, &["i", "j", "j", "none", "__name__"]);
                let value = pick(self.rng, &["$1", "${1}-$2", "new", "", "$0$$"]);
                let regex = ["(x|y)", "(.*)", "([0-9])|(.)", "x", ".+(.)?", "(?i)(X)", "[^y]*"];
                let regex = pick(self.rng, &regex);
                format!("label_replace({inner}, \"{into}\", \"{value}\", \"{from}\", \"{regex}\")")
            }
        }
    }

    /// A number of histograms: of classic ones, or of native ones where the dialect is not too old.
    fn of_histograms(&self) -> String {
        let share = pick(self.rng, &["0", "0.1", "0.5", "0.9", "0.99", "1", "-1", "2"]);
        if self.dialect == Old || chance(self.rng, 40) {
            let buckets = [
                "rate(lat_bucket[5m])",
                "increase(lat_bucket[17m])",
                "lat_bucket",
                "lat_bucket{i=\"1\"}",
                "sum by (le) (rate(lat_bucket[5m]))",
                "sum by (le, i) (rate(lat_bucket[2m] offset 1m))",
                "sum without (i) (lat_bucket)",
                "lat_bucket{le!=\"+Inf\"}",
                "lat_bucket{le=~\"0.1|1\"}",
            ];
            return format!("histogram_quantile({share}, {})", pick(self.rng, &buckets));
        }
        let all = self.histograms(1 + self.rng.below(2) as u32);
        match self.rng.below(9) {
            0 => format!("histogram_quantile({share}, {all})"),
            1 => {
                let bounds = pick(self.rng, &["0, 1", "-Inf, 2", "0.5, +Inf", "-1, 0.3", "2, 1"]);
                format!("histogram_fraction({bounds}, {all})")
            }
            2 => format!("{}({all})", pick(self.rng, &["count", "group", "absent"])),
            3 => format!("{}({})", pick(self.rng, &["count_over_time", "present_over_time"]), "h[5m]"),
            _ => {
                let parts = [
                    "histogram_count",
                    "histogram_sum",
                    "histogram_avg",
                    "histogram_stddev",
                    "histogram_stdvar",
                ];
                format!("{}({all})", pick(self.rng, &parts))
            }
        }
    }

    /// A vector of native histograms.
    #[must_use]
    pub fn histograms(&self, depth: u32) -> String {
        let matchers = || pick(self.rng, &["h", "h", "h{i=\"1\"}", "h{j=~\"x|z\"}"]);
        if depth == 0 {
            return format!("{}{}", matchers(), self.shift());
        }
        let below = self.histograms(depth - 1);
        match self.rng.below(7) {
            0 => format!("{} {} ({below})", pick(self.rng, &["sum", "avg"]), self.grouping()),
            1 => format!("({below}) * {}", 1 + self.rng.below(4)),
            2 => format!("({below}) / 2"),
            3 => {
                let other = self.histograms(0);
                format!("({below}) {} on(i, j) ({other})", pick(self.rng, &["+", "-"]))
            }
            4 => format!("-({below})"),
            _ => {
                let over = ["rate", "increase", "sum_over_time", "avg_over_time", "last_over_time"];
                format!("{}({}[5m]{})", pick(self.rng, &over), matchers(), self.shift())
            }
        }
    }

    fn with_scalar(&self, below: u32) -> String {
        // Version 2.42 keeps the metric's name with the last.
        let known = if self.dialect == Old { 6 } else { 7 };
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
    fn known<'f>(&self, functions: &[(&'f str, Dialect)]) -> &'f str {
        loop {
            let (function, since) = functions[self.rng.below(functions.len() as u64) as usize];
            if since <= self.dialect {
                return function;
            }
        }
    }

    fn grouping(&self) -> &'static str {
        pick(self.rng, &["", "by (i)", "by (i, j)", "without (j)", "by ()", "by (__name__)", "without ()"])
    }
}

/// The words, numbers, texts and signs of an expression; what stands between brackets is one.
fn tokens(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
        let end = match first {
            '"' => rest[1..].find('"').map_or(rest.len(), |at| at + 2),
            '[' => rest.find(']').map_or(rest.len(), |at| at + 1),
            c if word(c) => rest.find(|c| !word(c)).unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        all.push(rest[..end].to_owned());
        rest = rest[end..].trim_start();
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_falls_into_its_signs() {
        let parts = tokens("sum by (i) (rate(a{i=\"x y\"}[5m] offset -1m)) >= 2");
        let expected = [
            "sum", "by", "(", "i", ")", "(", "rate", "(", "a", "{", "i", "=", "\"x y\"", "}", "[5m]",
            "offset", "-", "1m", ")", ")", ">", "=", "2",
        ];
        assert_eq!(parts, expected);
    }

    #[test]
    fn the_same_seed_writes_the_same() {
        let write = || {
            let rng = Rng::from_seed(7);
            let writer = Writer { rng: &rng, fixed_time: "1", dialect: Newest };
            (0..50).map(|i| if i % 2 == 0 { writer.any() } else { writer.spoilt() }).collect::<Vec<_>>()
        };
        assert_eq!(write(), write());
    }
}
