//! What is done in a plan, in the words of PromQL where it has any: for whoever reads a plan. `#3` is what
//! the node of that number yields. Decides nothing.

use super::{
    Direction, Extreme, Gather, Join, Map, MathFn, Op, Param, RankFn, ScalarMap, Side, SortOrder, WindowFn,
    Windows,
};
use crate::{
    ast::{AggregateOp, Edges, Grouping, Matching},
    printer,
};
use skopos_model::{DurationMs, Matcher};
use std::fmt::{Debug, Write};

/// The name of a variant as PromQL writes names: `DayOfMonth` is `day_of_month`.
fn snake(variant: &impl Debug) -> String {
    let mut out = String::new();
    for c in format!("{variant:?}").chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

/// Conditions, as a selector has them.
pub(super) fn selector(matchers: &[Matcher]) -> String {
    let all: Vec<String> = matchers.iter().map(|m| format!("{m:?}")).collect();
    format!("{{{}}}", all.join(","))
}

/// What is made of windows, and how long these are.
pub(super) fn windowed(function: WindowFn, windows: &Windows) -> String {
    use WindowFn as W;
    let name = match function {
        W::Newest => "newest sample".to_owned(),
        W::NewestTime | W::InfoTime => "timestamp".to_owned(),
        W::NewestStart => "start_timestamp".to_owned(),
        W::TimeOfFirst => "ts_of_first_over_time".to_owned(),
        W::TimeOfLast => "ts_of_last_over_time".to_owned(),
        W::TimeOfMax => "ts_of_max_over_time".to_owned(),
        W::TimeOfMin => "ts_of_min_over_time".to_owned(),
        W::Rate
        | W::Increase
        | W::Delta
        | W::Irate
        | W::Idelta
        | W::Changes
        | W::Resets
        | W::Deriv
        | W::PredictLinear
        | W::DoubleExponentialSmoothing => snake(&function),
        _ => snake(&function) + "_over_time",
    };
    let edges = match windows.edges {
        Edges::Sampled => "",
        Edges::Anchored => " anchored",
        Edges::Smoothed => " smoothed",
    };
    format!("{name} over {}{edges}", DurationMs::from_ms(windows.range))
}

/// What is done to each row.
pub(super) fn map(map: &Map) -> String {
    let texts = |name: &str, texts: &[&str]| {
        let texts: Vec<String> = texts.iter().map(|text| format!("{text:?}")).collect();
        format!("{name}({})", texts.join(", "))
    };
    match map {
        Map::Math(MathFn::Date(part)) => snake(part),
        Map::Math(function) => snake(function),
        Map::Negate => "negate".to_owned(),
        Map::Scalar(m) => scalar(m),
        Map::Clamp { min, max } => {
            let mut out = "clamp".to_owned();
            for (word, bound) in [("from", min), ("to", max)] {
                if let Some(node) = bound {
                    write!(out, " {word} #{}", node.0).expect("invariant: a String takes all");
                }
            }
            out
        }
        Map::Round(to) => to.map_or("round".to_owned(), |to| format!("round to #{}", to.0)),
        Map::StepTime => "time of the step".to_owned(),
        Map::NoStart => "no start_timestamp".to_owned(),
        Map::Histogram(function) => format!("histogram_{}", snake(function)),
        Map::Replace(r) => {
            texts("label_replace", &[&r.destination, &r.replacement, &r.source, r.regex.as_str()])
        }
        Map::Join(j) => {
            let sources = j.sources.iter().map(|source| &**source);
            let all: Vec<&str> = [&*j.destination, &*j.separator].into_iter().chain(sources).collect();
            texts("label_join", &all)
        }
    }
}

fn scalar(m: &ScalarMap) -> String {
    let op = with_bool(m.op.as_str(), m.return_bool);
    match m.scalar_side {
        Side::Left => format!("#{} {op}", m.scalar.0),
        Side::Right => format!("{op} #{}", m.scalar.0),
    }
}

fn with_bool(op: &str, return_bool: bool) -> String {
    if return_bool { format!("{op} bool") } else { op.to_owned() }
}

/// An aggregation and its groups.
pub(super) fn aggregation(op: AggregateOp, grouping: &Grouping) -> String {
    (op.as_str().to_owned() + &printer::grouping_text(grouping)).trim_end().to_owned()
}

fn matched(op: &str, matching: &Matching) -> String {
    (op.to_owned() + &printer::matching_text(matching)).trim_end().to_owned()
}

/// What an operator does that is no pipeline.
pub(super) fn operator(op: &Op) -> String {
    match op {
        Op::Number(v) => v.0.to_string(),
        Op::Time => "time".to_owned(),
        Op::ScalarOf(_) => "scalar".to_owned(),
        Op::ScalarNegate(_) => "negate".to_owned(),
        Op::VectorOf(_) => "vector".to_owned(),
        Op::Broadcast(_) => "the same at all steps".to_owned(),
        Op::ScalarBinary { op, .. } => format!("scalar {}", op.as_str()),
        Op::Set { op, matching, .. } => matched(op.as_str(), matching),
        Op::Join(Join { op, return_bool, matching, .. }) => {
            format!("join {}", matched(&with_bool(op.as_str(), *return_bool), matching))
        }
        Op::Gather(Gather { op, grouping, param, .. }) => {
            let param = match param {
                Param::Scalar(node) => format!("#{}", node.0),
                Param::Text(text) => format!("{text:?}"),
            };
            format!("{} with {param}", aggregation(*op, grouping))
        }
        Op::Absent { labels, .. } => format!("absent {labels}"),
        Op::Sort { order: SortOrder::ByValue(direction), .. } => format!("sort{}", descending(*direction)),
        Op::Sort { order: SortOrder::ByLabels(direction, labels), .. } => {
            format!("sort_by_label{}({})", descending(*direction), labels.join(", "))
        }
        Op::Info { select, .. } => format!("info {} {}", selector(&select.names), selector(&select.data)),
        Op::ScalarExtreme { extreme: Extreme::Max, .. } => "max_of".to_owned(),
        Op::ScalarExtreme { extreme: Extreme::Min, .. } => "min_of".to_owned(),
        Op::Ranks(ranks) => match &ranks.function {
            RankFn::Quantile(q) => format!("histogram_quantile with #{}", q.0),
            RankFn::Quantiles { label, quantiles } => {
                let all: Vec<String> = quantiles.iter().map(|q| format!("#{}", q.0)).collect();
                format!("histogram_quantiles {label:?} with {}", all.join(", "))
            }
            RankFn::Fraction { lower, upper } => {
                format!("histogram_fraction from #{} to #{}", lower.0, upper.0)
            }
        },
        Op::Pipeline(_) => String::new(),
    }
}

const fn descending(direction: Direction) -> &'static str {
    match direction {
        Direction::Ascending => "",
        Direction::Descending => "_desc",
    }
}
