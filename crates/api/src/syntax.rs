//! `/api/v1/format_query` and `/api/v1/parse_query`: a query as formatted text, and as a tree.

use crate::{
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

/// The query, formatted.
pub(crate) async fn format_query(Ready(parts): Ready, params: Params) -> Result<Success, ApiError> {
    Success::of(&parse(&parts, &params)?.pretty())
}

/// The query's tree.
pub(crate) async fn parse_query(Ready(parts): Ready, params: Params) -> Result<Success, ApiError> {
    Success::of(&tree(&parse(&parts, &params)?))
}

fn parse(parts: &Parts, params: &Params) -> Result<Expr, ApiError> {
    let text = params.get("query").unwrap_or("");
    let language = parts.engine.options().language;
    skopos_promql::parse_with(text, language).map_err(|e| ApiError::parameter("query", e))
}

fn tree(expr: &Expr) -> Value {
    match &expr.kind {
        ExprKind::Number(v) | ExprKind::Duration(v) => {
            json!({"type": "numberLiteral", "val": number(*v)})
        }
        ExprKind::String(text) => json!({"type": "stringLiteral", "val": &**text}),
        ExprKind::Bytes(bytes) => json!({"type": "stringLiteral", "val": String::from_utf8_lossy(bytes)}),
        ExprKind::Selector(s) => selector("vectorSelector", s, None),
        ExprKind::Range(r) => selector("matrixSelector", &r.selector, Some(&r.range)),
        ExprKind::Subquery(s) => subquery(s),
        ExprKind::Call(c) => call(c),
        ExprKind::Aggregate(a) => aggregate(a),
        ExprKind::Binary(b) => binary(b),
        ExprKind::Negate(inner) => json!({"type": "unaryExpr", "op": "-", "expr": tree(inner)}),
        ExprKind::Paren(inner) => json!({"type": "parenExpr", "expr": tree(inner)}),
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

fn selector(kind: &str, s: &Selector, range: Option<&Length>) -> Value {
    let (names, others): (Vec<&Matcher>, Vec<&Matcher>) =
        s.matchers.iter().partition(|m| m.name() == METRIC_NAME);
    let name = match names[..] {
        [only] if only.op() == skopos_model::MatchOp::Equal => only.value(),
        _ => "",
    };
    let matcher = |m: &&Matcher| json!({"name": m.name(), "type": m.op().as_str(), "value": m.value()});
    let mut out = json!({
        "type": kind,
        "name": name,
        "matchers": others.iter().chain(&names).map(matcher).collect::<Vec<_>>(),
        "anchored": s.edges == Edges::Anchored,
        "smoothed": s.edges == Edges::Smoothed,
    });
    put_shift(&mut out, &s.shift);
    if let Some(range) = range {
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

fn subquery(s: &Subquery) -> Value {
    let mut out = json!({
        "type": "subquery",
        "expr": tree(&s.expr),
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

fn call(c: &Call) -> Value {
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
        "args": c.args.iter().map(tree).collect::<Vec<_>>(),
    })
}

fn aggregate(a: &Aggregate) -> Value {
    let (grouping, without) = match &a.grouping {
        Grouping::By(names) => (names, false),
        Grouping::Without(names) => (names, true),
    };
    json!({
        "type": "aggregation",
        "op": a.op.as_str(),
        "expr": tree(&a.expr),
        "param": a.param.as_ref().map(tree),
        "grouping": grouping,
        "without": without,
    })
}

fn binary(b: &Binary) -> Value {
    json!({
        "type": "binaryExpr",
        "op": b.op.as_str(),
        "lhs": tree(&b.lhs),
        "rhs": tree(&b.rhs),
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
