//! Tables of text and what becomes of it.

use super::{MAX_DEPTH, MAX_NESTING, MAX_QUERY_BYTES, parse, parse_selector};
use crate::ast::{Expr, ExprKind};

fn printed(text: &str) -> String {
    match parse(text) {
        Ok(expr) => expr.to_string(),
        Err(e) => e.to_string(),
    }
}

fn check(table: &[(&str, &str)]) {
    let wrong: Vec<_> = table
        .iter()
        .filter(|(text, want)| printed(text) != *want)
        .map(|(text, want)| format!("{text}\n   got {}\n  want {want}", printed(text)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn literals_are_written_as_prometheus_writes_them() {
    check(&[
        ("1", "1"),
        ("1e3", "1000"),
        ("0x1F", "31"),
        ("010", "8"),
        ("1_000", "1000"),
        ("5m", "300"),
        ("1h30m", "5400"),
        ("-inf", "-Inf"),
        ("+NaN", "NaN"),
        ("--1", "1"),
        ("-0", "-0"),
        ("1e-7", "0.0000001"),
        (r#""a\tb""#, r#""a\tb""#),
        ("'a\"b'", r#""a\"b""#),
        ("`a\\b`", r#""a\\b""#),
        ("\"\u{a0}ü\u{7}\"", r#""\u00a0ü\a""#),
    ]);
}

#[test]
fn operators_group_by_precedence() {
    check(&[
        ("1+2*3", "1 + 2 * 3"),
        ("-1^2", "-1 ^ 2"),
        ("(-1)^2", "(-1) ^ 2"),
        ("a+on(x)group_left b", "a + on (x) group_left () b"),
        ("a and ignoring (x,y,) b or c", "a and ignoring (x, y) b or c"),
        ("a == bool on () b", "a == bool on () b"),
        ("sum(x) by (a)", "sum by (a) (x)"),
        ("SUM without () (x)", "sum without () (x)"),
        ("topk by (\"a.b\") (5, x)", "topk by (\"a.b\") (5, x)"),
        ("1 + on() foo", "1 + foo"),
        ("and and and", "and and and"),
        ("offset offset 5m", "offset offset 5m"),
    ]);
    for (text, right_first) in [("a - b - c", false), ("a ^ b ^ c", true), ("a + b * c", true)] {
        let ExprKind::Binary(b) = parse(text).unwrap().kind else { panic!("{text} is no binary") };
        let is_binary = |e: &Expr| matches!(e.kind, ExprKind::Binary(_));
        assert_eq!((is_binary(&b.lhs), is_binary(&b.rhs)), (!right_first, right_first), "{text}");
    }
}

#[test]
fn deep_and_long_texts_are_refused_and_do_not_overflow_the_stack() {
    let n = 100_000;
    for text in [
        "(".repeat(n),
        format!("{}1{}", "(".repeat(n), ")".repeat(n)),
        format!("{}a", "-".repeat(n)),
        format!("{}a", "- + ".repeat(n)),
        "a".to_owned() + &"+a".repeat(n),
        "1".to_owned() + &"^1".repeat(n),
        "abs(".repeat(n),
        "sum(".repeat(n),
        "a".to_owned() + &"[5m:]".repeat(n),
    ] {
        assert!(parse(&text).is_err(), "{}", &text[..20]);
    }
    let nested = MAX_NESTING - 2;
    let chained = MAX_DEPTH - 2;
    for text in [
        format!("{}1{}", "(".repeat(nested), ")".repeat(nested)),
        "a".to_owned() + &"^a".repeat(nested),
        format!("{}a{}", "sum(".repeat(nested), ")".repeat(nested)),
        format!("{}a{}", "abs(-".repeat(nested / 2), ")".repeat(nested / 2)),
        format!("{}a", "-".repeat(chained)),
        "a".to_owned() + &"+a".repeat(chained),
        "a".to_owned() + &" or a".repeat(chained),
    ] {
        assert!(parse(&text).is_ok_and(|e| !e.to_string().is_empty()), "{}", &text[..20.min(text.len())]);
    }
    assert!(parse(&" ".repeat(MAX_QUERY_BYTES + 1)).is_err());
}

#[test]
fn a_selector_alone_gives_its_matchers() {
    let got = |text| parse_selector(text).map(|m| format!("{m:?}")).map_err(|e| e.to_string());
    assert_eq!(got("up{b!='1',a=\"x\"}").unwrap(), r#"[__name__="up", a="x", b!="1"]"#);
    assert_eq!(got(r#"{"a.b"}"#).unwrap(), r#"[__name__="a.b"]"#);
    assert!(got("up offset 5m").is_err());
    assert!(got("{}").is_err());
    assert!(got("1").is_err());
}
