//! `/api/v1/format_query` and `/api/v1/parse_query`: a query as formatted text, and as a tree.

use crate::{
    blocking, json,
    params::Params,
    parts::Ready,
    query::parse,
    reply::{self, ApiError, Success},
    writing::Writing,
};
use axum::{http::StatusCode, response::Response};
use serde_json::{Map, Value, json};
use skopos_model::{DurationMs, Matcher};
use skopos_promql::{
    ast::{
        Aggregate, At, Binary, Call, Cardinality, Edges, Expr, ExprKind, Grouping, Length, MatchOn, Matching,
        NamePlace, Selector, Shift, Subquery, ValueType,
    },
    functions::Optional,
};
use std::collections::BTreeMap;

/// A formatted query may be longer than it was: every line is indented as deep as it stands.
const FORMATTED_MAX_BYTES: u64 = 8 << 20;

/// The query, formatted.
pub(crate) async fn format_query(Ready(parts): Ready, params: Params) -> Result<Success, ApiError> {
    let budget = parts.engine.budget();
    params.charge(&budget)?;
    blocking::run(parts, budget, move |parts, budget| {
        let max = usize::try_from(parts.response_max_bytes.min(FORMATTED_MAX_BYTES)).unwrap_or(usize::MAX);
        let formatted = parse(parts, params.get("query").unwrap_or(""), budget)?.pretty_within(max);
        let long = || ApiError::parameter("query", format!("formatted it has more than {max} bytes"));
        Success::of(&formatted.ok_or_else(long)?)
    })
    .await
}

/// The query's tree.
pub(crate) async fn parse_query(Ready(parts): Ready, params: Params) -> Result<Response, ApiError> {
    let body = blocking::answer(parts, params, |parts, params, budget, sink| {
        let text = params.get("query").unwrap_or("");
        let expr = parse(parts, text, budget)?;
        let mut writing = Writing::begin(parts, budget, sink, reply::BEGIN);
        write(&mut writing, &expr)?;
        reply::end(&mut writing.out, &[], &[]);
        writing.end()
    });
    Ok(reply::json(StatusCode::OK, body.await?))
}

/// Writes the tree of an expression, node by node: as JSON it is a hundred times as long as the text.
fn write(writing: &mut Writing<'_>, expr: &Expr) -> Result<(), ApiError> {
    writing.more()?;
    let Node { own, below } = node(expr);
    let mut members: BTreeMap<&str, Member<'_>> = below.into_iter().collect();
    members.extend(own.iter().map(|(name, value)| (name.as_str(), Member::Own(value))));
    for (i, (name, member)) in members.into_iter().enumerate() {
        writing.out.extend_from_slice(if i == 0 { b"{\"" } else { b",\"" });
        writing.out.extend_from_slice(name.as_bytes());
        writing.out.extend_from_slice(b"\":");
        match member {
            Member::Own(value) => {
                json::to_writer(&mut writing.out, value).map_err(|e| ApiError::internal(e.to_string()))?;
            }
            Member::One(expr) => write(writing, expr)?,
            Member::List(all) => {
                writing.out.push(b'[');
                for (i, expr) in all.iter().enumerate() {
                    if i > 0 {
                        writing.out.push(b',');
                    }
                    write(writing, expr)?;
                }
                writing.out.push(b']');
            }
        }
    }
    writing.out.push(b'}');
    Ok(())
}

/// A node of the tree: what it says of itself, and what stands below it.
struct Node<'a> {
    own: Map<String, Value>,
    below: Vec<(&'static str, Member<'a>)>,
}

enum Member<'a> {
    Own(&'a Value),
    One(&'a Expr),
    List(&'a [Expr]),
}

impl<'a> Node<'a> {
    fn of<const N: usize>(own: Value, below: [(&'static str, Member<'a>); N]) -> Self {
        let Value::Object(own) = own else { unreachable!("a node is written as an object") };
        Self { own, below: below.into() }
    }
}

/// The node of an expression.
fn node(expr: &Expr) -> Node<'_> {
    match &expr.kind {
        ExprKind::Number(v) | ExprKind::Duration(v) => {
            Node::of(json!({"type": "numberLiteral", "val": number(*v)}), [])
        }
        ExprKind::String(text) => Node::of(json!({"type": "stringLiteral", "val": &**text}), []),
        ExprKind::Bytes(bytes) => {
            Node::of(json!({"type": "stringLiteral", "val": String::from_utf8_lossy(bytes)}), [])
        }
        ExprKind::Selector(s) => Node::of(selector(Kind::Vector, s), []),
        ExprKind::Range(r) => Node::of(selector(Kind::Matrix(&r.range), &r.selector), []),
        ExprKind::Subquery(s) => Node::of(subquery(s), [("expr", Member::One(&s.expr))]),
        ExprKind::Call(c) => Node::of(call(c), [("args", Member::List(&c.args))]),
        ExprKind::Aggregate(a) => aggregate(a),
        ExprKind::Binary(b) => {
            Node::of(binary(b), [("lhs", Member::One(&b.lhs)), ("rhs", Member::One(&b.rhs))])
        }
        ExprKind::Negate(inner) => {
            Node::of(json!({"type": "unaryExpr", "op": "-"}), [("expr", Member::One(inner))])
        }
        ExprKind::Plus(inner) => {
            Node::of(json!({"type": "unaryExpr", "op": "+"}), [("expr", Member::One(inner))])
        }
        ExprKind::Paren(inner) => Node::of(json!({"type": "parenExpr"}), [("expr", Member::One(inner))]),
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

#[derive(Clone, Copy)]
enum Kind<'a> {
    Vector,
    /// With its range.
    Matrix(&'a Length),
}

/// Conditions come in the order of the text, that of a name before the braces last. A name within them is a
/// condition among others.
fn selector(kind: Kind<'_>, s: &Selector) -> Value {
    let mut matchers = s.matchers_in_text_order();
    let before = s.name == NamePlace::Before && !matchers.is_empty();
    if before {
        matchers.rotate_left(1);
    }
    let name = matchers.last().filter(|_| before).map_or("", |m| m.value());
    let matcher = |m: &&Matcher| json!({"name": m.name(), "type": m.op().as_str(), "value": m.value()});
    let mut out = json!({
        "type": if matches!(kind, Kind::Vector) { "vectorSelector" } else { "matrixSelector" },
        "name": name,
        "matchers": matchers.iter().map(matcher).collect::<Vec<_>>(),
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

fn subquery(s: &Subquery) -> Value {
    let mut out = json!({
        "type": "subquery",
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
    })
}

fn aggregate(a: &Aggregate) -> Node<'_> {
    let (grouping, without) = match &a.grouping {
        Grouping::By(names) => (names, false),
        Grouping::Without(names) => (names, true),
    };
    let own = json!({
        "type": "aggregation",
        "op": a.op.as_str(),
        "param": Value::Null,
        "grouping": grouping,
        "without": without,
    });
    let mut node = Node::of(own, [("expr", Member::One(&a.expr))]);
    if let Some(param) = &a.param {
        node.own.remove("param");
        node.below.push(("param", Member::One(param)));
    }
    node
}

fn binary(b: &Binary) -> Value {
    json!({
        "type": "binaryExpr",
        "op": b.op.as_str(),
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
    fn conditions_stand_as_in_the_text_and_a_name_within_braces_is_one_of_them() {
        for (query, name, conditions) in [
            ("up", "up", &["__name__"][..]),
            (r#"up{a="b"}"#, "up", &["a", "__name__"]),
            (r#"{__name__="up",a="b"}"#, "", &["__name__", "a"]),
            (r#"{"up",a="b"}"#, "", &["__name__", "a"]),
            (r#"{a="b"}"#, "", &["a"]),
            (r#"a:b{__name__x="1"}[5m] offset 1m"#, "a:b", &["__name__x", "__name__"]),
            (r#"up{z="1",a="2",m="3"}"#, "up", &["z", "a", "m", "__name__"]),
            (r#"{z="1","up",a="2"}"#, "", &["z", "__name__", "a"]),
        ] {
            let expr = skopos_promql::parse(query).unwrap();
            let shown = Value::Object(node(&expr).own);
            let names: Vec<_> =
                shown["matchers"].as_array().unwrap().iter().map(|m| m["name"].as_str().unwrap()).collect();
            assert_eq!((shown["name"].as_str(), &names[..]), (Some(name), conditions), "{query}");
        }
    }
}
