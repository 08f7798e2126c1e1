//! The rules of Prometheus for well written metrics: names, units, types, help. Reads nothing.
//!
//! Source: "Metric and label naming", prometheus.io/docs/practices/naming.

use super::metrics::{Families, Family};
use skopos_model::MetricType;
use std::collections::{BTreeSet, HashSet};

/// Units with the base units that stand for them.
const UNITS: [(&str, &str); 24] = [
    ("amperes", "amperes"),
    ("bytes", "bytes"),
    ("celsius", "celsius"),
    ("grams", "grams"),
    ("joules", "joules"),
    ("kelvin", "kelvin"),
    ("meters", "meters"),
    ("metres", "metres"),
    ("seconds", "seconds"),
    ("volts", "volts"),
    ("minutes", "seconds"),
    ("hours", "seconds"),
    ("days", "seconds"),
    ("weeks", "seconds"),
    ("kelvins", "kelvin"),
    ("fahrenheit", "celsius"),
    ("rankine", "celsius"),
    ("inches", "meters"),
    ("yards", "meters"),
    ("miles", "meters"),
    ("bits", "bytes"),
    ("calories", "joules"),
    ("pounds", "grams"),
    ("ounces", "grams"),
];
/// What makes other units of a unit.
const PREFIXES: [&str; 18] = [
    "pico", "nano", "micro", "milli", "centi", "deci", "deca", "hecto", "kilo", "kibi", "mega", "mibi",
    "giga", "gibi", "tera", "tebi", "peta", "pebi",
];
/// Short forms of units, of which nobody knows what they mean.
const ABBREVIATIONS: [&str; 14] =
    ["s", "ms", "us", "ns", "sec", "b", "kb", "mb", "gb", "tb", "pb", "m", "h", "d"];
/// Types that a name does not need to say.
const TYPES: [&str; 5] = ["counter", "gauge", "histogram", "summary", "untyped"];

/// What is wrong, each with the name of its metric, in the order of names.
pub(super) fn lint(families: &Families) -> Vec<(String, String)> {
    let all = families.iter().flat_map(|(name, family)| {
        let problems: BTreeSet<String> = of_family(name, family).into_iter().collect();
        problems.into_iter().map(|problem| (name.clone(), problem))
    });
    all.collect()
}

fn of_family(name: &str, family: &Family) -> Vec<String> {
    let mut problems = Vec::new();
    if family.help.as_deref().is_none_or(str::is_empty) {
        problems.push("no help text".to_owned());
    }
    if let Some((unit, base)) = unit_of(name).filter(|(unit, base)| unit != base) {
        problems.push(format!("use base unit {base:?} instead of {unit:?}"));
    }
    of_type(name, family, &mut problems);
    if name.contains(':') {
        problems.push("metric names should not contain ':'".to_owned());
    }
    if is_camel_case(name) {
        problems.push("metric names should be written in 'snake_case' not 'camelCase'".to_owned());
    }
    let mut labels = family.metrics.iter().flat_map(|metric| metric.iter());
    if labels.any(|(label, _)| is_camel_case(label)) {
        problems.push("label names should be written in 'snake_case' not 'camelCase'".to_owned());
    }
    if ABBREVIATIONS.iter().any(|short| is_part(&name.to_lowercase(), short)) {
        problems.push("metric names should not contain abbreviated units".to_owned());
    }
    let mut seen = HashSet::new();
    if !family.metrics.iter().all(|metric| seen.insert(metric)) {
        problems.push("metric not unique".to_owned());
    }
    problems
}

/// What goes with the type that is declared.
fn of_type(name: &str, family: &Family, problems: &mut Vec<String>) {
    let is = |metric_type| family.metric_type == metric_type;
    let mut say = |problem: &str| problems.push(problem.to_owned());
    match (is(MetricType::Counter), name.ends_with("_total")) {
        (true, false) => say(r#"counter metrics should have "_total" suffix"#),
        (false, true) if !is(MetricType::Unknown) => {
            say(r#"non-counter metrics should not have "_total" suffix"#);
        }
        _ => {}
    }
    if is(MetricType::Unknown) {
        return;
    }
    let (histogram, summary) = (is(MetricType::Histogram), is(MetricType::Summary));
    if !histogram && name.ends_with("_bucket") {
        say(r#"non-histogram metrics should not have "_bucket" suffix"#);
    }
    for suffix in ["_count", "_sum"] {
        if !histogram && !summary && name.ends_with(suffix) {
            say(&format!("non-histogram and non-summary metrics should not have {suffix:?} suffix"));
        }
    }
    let has = |label: &str| family.metrics.iter().any(|metric| metric.get(label).is_some());
    if !histogram && has("le") {
        say(r#"non-histogram metrics should not have "le" label"#);
    }
    if !summary && has("quantile") {
        say(r#"non-summary metrics should not have "quantile" label"#);
    }
    let own = family.metric_type.as_str();
    if TYPES.contains(&own) && is_part(&name.to_lowercase(), own) {
        say(&format!("metric name should not include type '{own}'"));
    }
}

/// The first unit in a name, and its base unit.
fn unit_of(name: &str) -> Option<(&str, &'static str)> {
    let known = |text: &str| UNITS.iter().find(|(unit, _)| *unit == text).map(|(_, base)| *base);
    name.split('_').find_map(|part| {
        let behind = || PREFIXES.iter().find_map(|prefix| known(part.strip_prefix(prefix)?));
        known(part).or_else(behind).map(|base| (part, base))
    })
}

/// Whether the name has this behind an underscore, at its end or before another one.
fn is_part(name: &str, part: &str) -> bool {
    name.split('_').skip(1).any(|own| own == part)
}

fn is_camel_case(name: &str) -> bool {
    name.as_bytes().windows(2).any(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase())
}
