//! `/api/v1/format_query` and `/api/v1/parse_query`: a query as formatted text, and as a tree.

use crate::{
    blocking,
    params::Params,
    parts::{Parts, Ready},
    reply::{ApiError, Success},
};
use serde_json::{Value, json};
use skopos_model::{DurationMs, Matcher, name::METRIC_NAME};
use skopos_promql::{
    ast::{
        Aggregate, At, Binary, Call, Cardinality, Edges, Expr, ExprKind, Grouping, Length, MatchOn, Matching,
        Selector, Shift, Subquery, ValueType,
    },
    functions::Optional,
};

/// A formatted query may be longer than it was: every line is indented as deep as it stands.
const FORMATTED_MAX_BYTES: u64 = 8 << 20;

/// The query, formatted.
pub(crate) async fn format_query(Ready(parts): Ready, params: Params) -> Result<Success, ApiError> {
    let budget = parts.engine.budget();
    params.charge(&budget)?;
    blocking::run(parts, budget, move |parts, _| {
        let max = usize::try_from(parts.response_max_bytes.min(FORMATTED_MAX_BYTES)).unwrap_or(usize::MAX);
        let formatted = parse(parts, &params)?.pretty_within(max);
        let long = || ApiError::parameter("query", format!("formatted it has more than {max} bytes"));
        Success::of(&formatted.ok_or_else(long)?)
    })
    .await
}

/// The query's tree.
pub(crate) async fn parse_query(Ready(parts): Ready, params: Params) -> Result<Success, ApiError> {
    let budget = parts.engine.budget();
    params.charge(&budget)?;
    blocking::run(parts, budget, move |parts, _| {
        let text = params.get("query").unwrap_or("");
        Success::of(&tree(&parse(parts, &params)?, text))
    })
    .await
}

fn parse(parts: &Parts, params: &Params) -> Result<Expr, ApiError> {
    let text = params.get("query").unwrap_or("");
    let language = parts.engine.options().language;
    skopos_promql::parse_with(text, language).map_err(|e| ApiError::parameter("query", e))
}

/// The tree of a part of `text`.
fn tree(expr: &Expr, text: &str) -> Value {
    match &expr.kind {
        ExprKind::Number(v) | ExprKind::Duration(v) => {
            json!({"type": "numberLiteral", "val": number(*v)})
        }
        ExprKind::String(text) => json!({"type": "stringLiteral", "val": &**text}),
        ExprKind::Bytes(bytes) => json!({"type": "stringLiteral", "val": String::from_utf8_lossy(bytes)}),
        ExprKind::Selector(s) => selector(Kind::Vector, s, name(expr, text)),
        ExprKind::Range(r) => selector(Kind::Matrix(&r.range), &r.selector, name(expr, text)),
        ExprKind::Subquery(s) => subquery(s, text),
        ExprKind::Call(c) => call(c, text),
        ExprKind::Aggregate(a) => aggregate(a, text),
        ExprKind::Binary(b) => binary(b, text),
        ExprKind::Negate(inner) => json!({"type": "unaryExpr", "op": "-", "expr": tree(inner, text)}),
        ExprKind::Paren(inner) => json!({"type": "parenExpr", "expr": tree(inner, text)}),
    }
}

/// As Go writes it.
fn number(v: f64) -> String {
    if v.is_infinite() { if v > 0.0 { "+Inf" } else { "-Inf" }.to_owned() } else { v.to_string() }
}

/// A computed length is only known once the query runs.
fn length(length: &Length) -> i64 {
    match length {
        Length::Fixed(d) => DurationMs::as_ms(*d),
        Length::Computed(_) => 0,
    }
}

/// The name of a selector that is written before its braces: one within them is a condition among others.
fn name<'a>(expr: &Expr, text: &'a str) -> &'a str {
    let written = text.get(expr.span.start as usize..expr.span.end as usize).unwrap_or("");
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | ':');
    &written[..written.find(|c| !is_part(c)).unwrap_or(written.len())]
}

#[derive(Clone, Copy)]
enum Kind<'a> {
    Vector,
    /// With its range.
    Matrix(&'a Length),
}

/// Conditions come in the order of the tree, that of the name last.
fn selector(kind: Kind<'_>, s: &Selector, name: &str) -> Value {
    let (names, others): (Vec<&Matcher>, Vec<&Matcher>) =
        s.matchers.iter().partition(|m| !name.is_empty() && m.name() == METRIC_NAME);
    let matcher = |m: &&Matcher| json!({"name": m.name(), "type": m.op().as_str(), "value": m.value()});
    let mut out = json!({
        "type": if matches!(kind, Kind::Vector) { "vectorSelector" } else { "matrixSelector" },
        "name": name,
        "matchers": others.iter().chain(&names).map(matcher).collect::<Vec<_>>(),
        "anchored": s.edges == Edges::Anchored,
        "smoothed": s.edges == Edges::Smoothed,
    });
    put_shift(&mut out, &s.shift);
    if let Kind::Matrix(range) = kind {
        out["range"] = length(range).into();
    }
    out
}

fn put_shift(out: &mut Value, shift: &Shift) {
    let (timestamp, word) = match shift.at {
        Some(At::Time(t)) => (Value::from(t.as_ms()), Value::Null),
        Some(At::Start) => (Value::Null, "start".into()),
        Some(At::End) => (Value::Null, "end".into()),
        None => (Value::Null, Value::Null),
    };
    out["offset"] = length(&shift.offset).into();
    out["timestamp"] = timestamp;
    out["startOrEnd"] = word;
}

fn subquery(s: &Subquery, text: &str) -> Value {
    let mut out = json!({
        "type": "subquery",
        "expr": tree(&s.expr, text),
        "range": length(&s.range),
        "step": s.step.as_ref().map_or(0, length),
    });
    put_shift(&mut out, &s.shift);
    out
}

const fn type_name(t: ValueType) -> &'static str {
    match t {
        ValueType::Scalar => "scalar",
        ValueType::String => "string",
        ValueType::InstantVector => "vector",
        ValueType::RangeVector => "matrix",
    }
}

fn call(c: &Call, text: &str) -> Value {
    let variadic = match c.function.optional {
        Optional::Last(n) => n as i64,
        Optional::Repeat => -1,
    };
    json!({
        "type": "call",
        "func": {
            "name": c.function.name,
            "argTypes": c.function.args.iter().map(|t| type_name(*t)).collect::<Vec<_>>(),
            "variadic": variadic,
            "returnType": type_name(c.function.returns),
        },
        "args": c.args.iter().map(|arg| tree(arg, text)).collect::<Vec<_>>(),
    })
}

fn aggregate(a: &Aggregate, text: &str) -> Value {
    let (grouping, without) = match &a.grouping {
        Grouping::By(names) => (names, false),
        Grouping::Without(names) => (names, true),
    };
    json!({
        "type": "aggregation",
        "op": a.op.as_str(),
        "expr": tree(&a.expr, text),
        "param": a.param.as_ref().map(|param| tree(param, text)),
        "grouping": grouping,
        "without": without,
    })
}

fn binary(b: &Binary, text: &str) -> Value {
    json!({
        "type": "binaryExpr",
        "op": b.op.as_str(),
        "lhs": tree(&b.lhs, text),
        "rhs": tree(&b.rhs, text),
        "matching": b.matching.as_ref().map(matching),
        "bool": b.return_bool,
    })
}

fn matching(m: &Matching) -> Value {
    let (labels, on) = match &m.on {
        MatchOn::On(labels) => (labels, true),
        MatchOn::Ignoring(labels) => (labels, false),
    };
    let card = match m.cardinality {
        Cardinality::OneToOne => "one-to-one",
        Cardinality::ManyToOne => "many-to-one",
        Cardinality::OneToMany => "one-to-many",
        Cardinality::ManyToMany => "many-to-many",
    };
    json!({
        "card": card,
        "labels": labels,
        "on": on,
        "include": m.include,
        "fillValues": {"lhs": m.fill.left, "rhs": m.fill.right},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_within_braces_is_a_condition_among_others() {
        for (query, name, conditions) in [
            ("up", "up", &["__name__"][..]),
            (r#"up{a="b"}"#, "up", &["a", "__name__"]),
            (r#"{__name__="up",a="b"}"#, "", &["__name__", "a"]),
            (r#"{"up",a="b"}"#, "", &["__name__", "a"]),
            (r#"{a="b"}"#, "", &["a"]),
            (r#"a:b{__name__x="1"}[5m] offset 1m"#, "a:b", &["__name__x", "__name__"]),
        ] {
            let shown = tree(&skopos_promql::parse(query).unwrap(), query);
            let names: Vec<_> =
                shown["matchers"].as_array().unwrap().iter().map(|m| m["name"].as_str().unwrap()).collect();
            assert_eq!((shown["name"].as_str(), &names[..]), (Some(name), conditions), "{query}");
        }
    }
}
