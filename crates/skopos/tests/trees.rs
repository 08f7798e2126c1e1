//! `parse_query` and `format_query` beside Prometheus 3: the same trees, the same texts, and the same
//! expressions refused. What is written differently on purpose is listed here, with the reason.

use crate::support::{ask, json, server};
use serde_json::Value;
use skopos_testkit::{http::Response, peers, service::Service};

/// Expressions that Debian's release and ours read alike; not each of them is one.
const CORPUS: &str = include_str!("../../promql/tests/syntax/corpus.txt");
/// Those of newer releases.
const NEWER: &str = include_str!("../../promql/tests/syntax/newer.txt");
/// Conditions in any order, signs, modifiers in any order.
const MORE: &[&str] = &[
    r#"up{z="1",a="2",m!="3"}"#,
    r#"{z="1",__name__="up",a=~"2"}"#,
    r#"{z="1","up",a="2"}"#,
    r#"{"up"}"#,
    r#"{"a.b",c="d"}"#,
    r#"{"a.b",c="d"}[5m] offset 1m"#,
    r#"{c="d",'quo"ted'="x"}"#,
    r#"up{job="a",job="b",instance!~"c",job!="d"}"#,
    r#"sum by (z,a,m) (up{z="1",a="2"})"#,
    r#"up{b="1"} * on (z,a) group_left (y,x) down{c="1",a="2"}"#,
    "+a",
    "-a",
    "-+a",
    "+-a",
    "+(a)",
    "+1",
    "a + +b",
    "a - -b",
    "a ^ -1",
    "-1 ^ 2",
    "-a ^ 2",
    "sum(+a)",
    "a[5m] offset 1m @ 10",
    "a[5m] @ 10 offset -1m",
    "a[5m:] @ end()",
    "a @ start() offset 2d1h",
    "1e100",
    "1e-100",
    "0x1F",
    "1h30m",
    "Inf",
    "-Inf",
    "NaN",
    "'it''s'",
    r#"'a\'b"c'"#,
    "\"\\u00fc\\n\"",
];

/// Members that came after the release that was set up.
const LATER: [&str; 3] = ["anchored", "smoothed", "fillValues"];

fn without_later(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|name, _| !LATER.contains(&name.as_str()));
            members.values_mut().for_each(without_later);
        }
        Value::Array(items) => items.iter_mut().for_each(without_later),
        _ => {}
    }
}

/// What the language has since the release that was set up.
const SINCE: [&str; 10] = [
    "first_over_time",
    "step()",
    "range()",
    "min_of(",
    "start()",
    "end()",
    "</",
    ">/",
    "histogram_quantiles",
    "start_timestamp",
];

/// Why an expression may be read or written in another way.
fn differs_on_purpose(text: &str, theirs: &Value, ours: &Value) -> bool {
    let newer = theirs.is_null() && SINCE.iter().any(|word| text.contains(word));
    // Here a label with a colon needs quotes, and a sign stands once.
    let stricter = ours.is_null() && (text.contains("(a:b)") || text.contains("--5m"));
    // What it writes of names in quotes, and of no conditions, it does not read again.
    let unreadable = ["(\"a.b\")", "(\"b.c\")", "info(foo, {})"].iter().any(|part| text.contains(part));
    // What lies beyond the ends of time is held there and does not wrap around.
    let wrapped = text.contains("@ 9223372036854775");
    newer || stricter || unreadable || wrapped
}

#[test]
fn prometheus_3_makes_the_same_trees_and_texts() {
    let Some(program) = peers::prometheus_3() else { return };
    let features = "--enable-feature=promql-experimental-functions,promql-duration-expr";
    let theirs = peers::prometheus_at(program, "global: {}\n", &["--log.level=error", features]);
    let ours = server().flag(features).start();
    let lines = CORPUS.lines().chain(NEWER.lines());
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with("//"));
    let (mut accepted, mut refused, mut wrong) = (0, 0, Vec::new());
    for text in lines.chain(MORE.iter().copied()) {
        for path in ["/api/v1/parse_query", "/api/v1/format_query"] {
            let asked = |server: &Service| answer(&ask(server, path, &[("query", text)]));
            let (theirs, ours) = (asked(&theirs), asked(&ours));
            if theirs == ours {
                *(if theirs.is_null() { &mut refused } else { &mut accepted }) += 1;
            } else if !differs_on_purpose(text, &theirs, &ours) {
                wrong.push(format!("{path} {text}\n  theirs {theirs}\n    ours {ours}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), accepted + refused, wrong.join("\n"));
    assert!(accepted >= 600 && refused >= 300, "{accepted} accepted, {refused} refused");
}

/// The data; null for an expression that is none.
#[track_caller]
fn answer(response: &Response) -> Value {
    let mut answer = json(response);
    assert!(matches!(response.status, 200 | 400), "{answer}");
    if response.status == 400 {
        assert_eq!(answer["errorType"], "bad_data");
    }
    let mut data = answer["data"].take();
    without_later(&mut data);
    data
}
