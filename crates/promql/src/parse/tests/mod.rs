//! Tables of text and what becomes of it: the tree, its written form, or the error and its place.

mod errors;
mod roundtrip;

use super::{
    MAX_DEPTH, MAX_MATCHERS, MAX_NESTING, MAX_QUERY_BYTES, MAX_REGEX_BYTES, MAX_REGEXES, ParseOptions,
    Reason, parse, parse_selector,
};
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
        ("5m", "5m"),
        ("1h30m", "1h30m"),
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
        ("+foo", "+foo"),
        ("- -foo", "--foo"),
        ("- + foo + +1", "-+foo + 1"),
        ("+Inf ^ foo", "+Inf ^ foo"),
        ("Inf ^ foo * inf", "Inf ^ foo * +Inf"),
        ("2 ^ - foo ^ 2", "2 ^ -foo ^ 2"),
        ("5 * -3", "5 * -3"),
        ("sum without(a)(x) + avg(y)by(b)", "sum without (a) (x) + avg by (b) (y)"),
        ("quantile(.5,x)", "quantile(0.5, x)"),
        ("count_values('v',x)", "count_values(\"v\", x)"),
        ("label_join(a,'b',\"\",`c`)", "label_join(a, \"b\", \"\", \"c\")"),
        ("time()", "time()"),
        ("a # b\n+ # c\nd", "a + d"),
    ]);
    for (text, right_first) in [("a - b - c", false), ("a ^ b ^ c", true), ("a + b * c", true)] {
        let ExprKind::Binary(b) = parse(text).unwrap().kind else { panic!("{text} is no binary") };
        let is_binary = |e: &Expr| matches!(e.kind, ExprKind::Binary(_));
        assert_eq!((is_binary(&b.lhs), is_binary(&b.rhs)), (!right_first, right_first), "{text}");
    }
}

#[test]
fn selectors_and_their_times_are_written_in_one_order() {
    check(&[
        ("foo{}", "foo"),
        ("foo{b='1',a!=\"2\",}", "foo{a!=\"2\",b=\"1\"}"),
        ("{__name__='foo',Z='x'}", "{Z=\"x\",__name__=\"foo\"}"),
        ("{'foo'}", "{__name__=\"foo\"}"),
        ("{'foo.bar', 'l.x'=~'a|b'}", "{\"l.x\"=~\"a|b\",__name__=\"foo.bar\"}"),
        ("{__name__='bool'}", "{__name__=\"bool\"}"),
        ("{__name__='sum'}", "{__name__=\"sum\"}"),
        ("{on='a',inf='b'}", "{inf=\"b\",on=\"a\"}"),
        ("foo offset 5m @ 10", "foo @ 10.000 offset 5m"),
        ("foo offset -90s", "foo offset -1m30s"),
        ("foo offset 0s offset 300", "foo offset 5m"),
        ("foo @ -1.5", "foo @ -1.500"),
        ("foo @ 1m40s", "foo @ 100.000"),
        ("foo @ END ( )", "foo @ end()"),
        ("foo[300]", "foo[5m]"),
        ("foo[ 1.5 ] offset 1d1h", "foo[1s500ms] offset 1d1h"),
        ("foo[5m:]", "foo[5m:]"),
        ("foo[300 : 60] @ start() offset 1w", "foo[5m:1m] @ start() offset 1w"),
        ("rate(foo[5m])[1h:1m] offset 10m", "rate(foo[5m])[1h:1m] offset 10m"),
        ("-foo offset 5m", "-foo offset 5m"),
        ("foo[(5m)] offset (-(1m))", "foo[5m] offset -1m"),
        ("foo[2m*(10+5)]", "foo[2m * (10 + 5)]"),
        ("foo[-5m + +STEP()]", "foo[-5m + step()]"),
        ("foo[step():range()/2]", "foo[step():range() / 2]"),
        ("foo[min_of( 1 , MAX_OF(step(),2))]", "foo[min_of(1, max_of(step(), 2))]"),
        ("foo[2^3^-(2)]", "foo[2 ^ 3 ^ -(2)]"),
        ("foo offset 100 + 2", "foo offset 1m40s + 2"),
        ("foo offset -2 ^ 2", "foo offset -2s ^ 2"),
        ("foo offset step()*0", "foo offset step() * 0"),
        ("foo offset -min_of(step(), 1s)+8", "foo offset -min_of(step(), 1s) + 8"),
        ("foo offset (100 + 2) * 2", "foo offset (100 + 2) * 2"),
        ("(foo offset (100 + 2)) * 2", "(foo offset (100 + 2)) * 2"),
        ("foo offset (step()) @ 5 * 2", "foo offset (step()) @ 5.000 * 2"),
        ("foo anchored [5m]", "foo[5m] anchored"),
        ("foo[5m] SMOOTHED offset 1m @ 5", "foo[5m] smoothed @ 5.000 offset 1m"),
        ("foo smoothed", "foo smoothed"),
        ("anchored[5m] anchored", "anchored[5m] anchored"),
        ("step{range=\"1\"}", "step{range=\"1\"}"),
        ("sum by (step, fill, anchored) (min_of)", "sum by (step, fill, anchored) (min_of)"),
    ]);
}

#[test]
fn every_node_knows_where_it_stands() {
    fn spans<'a>(text: &'a str, expr: &Expr, out: &mut Vec<&'a str>) {
        out.push(&text[expr.span.start as usize..expr.span.end as usize]);
        match &expr.kind {
            ExprKind::Number(_) | ExprKind::Duration(_) | ExprKind::String(_) | ExprKind::Bytes(_) => {}
            ExprKind::Selector(_) | ExprKind::Range(_) => {}
            ExprKind::Subquery(s) => spans(text, &s.expr, out),
            ExprKind::Call(c) => c.args.iter().for_each(|arg| spans(text, arg, out)),
            ExprKind::Aggregate(a) => {
                a.param.iter().for_each(|param| spans(text, param, out));
                spans(text, &a.expr, out);
            }
            ExprKind::Binary(b) => {
                spans(text, &b.lhs, out);
                spans(text, &b.rhs, out);
            }
            ExprKind::Negate(inner) | ExprKind::Plus(inner) | ExprKind::Paren(inner) => {
                spans(text, inner, out);
            }
        }
    }
    let texts: [(&str, &[&str]); 6] = [
        ("  foo  # c", &["foo"]),
        ("a{x=\"y\"} offset 5m + -1", &["a{x=\"y\"} offset 5m + -1", "a{x=\"y\"} offset 5m", "-1"]),
        ("sum (a) by (b) > 5", &["sum (a) by (b) > 5", "sum (a) by (b)", "a", "5"]),
        ("topk(1, ( b @ 5 ))", &["topk(1, ( b @ 5 ))", "1", "( b @ 5 )", "b @ 5"]),
        ("-rate(a[5m] offset 1m)", &["-rate(a[5m] offset 1m)", "rate(a[5m] offset 1m)", "a[5m] offset 1m"]),
        ("abs(a)[5m:] @ end() ", &["abs(a)[5m:] @ end()", "abs(a)", "a"]),
    ];
    for (text, want) in texts {
        let mut got = Vec::new();
        spans(text, &parse(text).unwrap(), &mut got);
        assert_eq!(got, want, "{text}");
    }
}

#[test]
fn missing_series_may_be_filled_in() {
    check(&[
        ("a + fill(0) b", "a + fill (0) b"),
        ("a + fill_left(1) fill_right(1) b", "a + fill (1) b"),
        ("a + fill_right(-2) FILL_LEFT(+1m) b", "a + fill_left (60) fill_right (-2) b"),
        (
            "a > bool on(x) group_left(y) fill_right(NaN) b",
            "a > bool on (x) group_left (y) fill_right (NaN) b",
        ),
        ("a - fill", "a - fill"),
        ("a - fill{b=\"c\"} - fill(Inf) fill", "a - fill{b=\"c\"} - fill (+Inf) fill"),
        ("fill + fill_left(-Inf) fill_left", "fill + fill_left (-Inf) fill_left"),
        ("a </ 5 + 1", "a </ 5 + 1"),
        ("a >/ -1 and b", "a >/ -1 and b"),
        ("info(a, {})", "info(a, {})"),
        ("info(a, {__name__=\"b\"})", "info(a, {__name__=\"b\"})"),
        ("info(a, {b=~\".*\"})", "info(a, {b=~\".*\"})"),
        ("\"a\\xc5z\"", "\"a\\xc5z\""),
        (
            "start() + end() - step() / range() * max_of(1, 2)",
            "start() + end() - step() / range() * max_of(1, 2)",
        ),
    ]);
}

#[test]
fn experimental_parts_must_be_enabled() {
    let refused = |text: &str, options| match crate::parse_with(text, options) {
        Ok(_) => String::new(),
        Err(e) => e.to_string(),
    };
    let no_durations = ParseOptions { duration_expressions: false, ..ParseOptions::ALL };
    assert!(refused("a[5m] offset -300", no_durations).is_empty());
    for text in ["a[1+1]", "a[(5m)]", "a offset step()", "a[5m:min_of(1,2)]", "a offset (5m)"] {
        assert!(refused(text, no_durations).contains("=promql-duration-expr"), "{text}");
        assert_eq!(refused(text, ParseOptions::STABLE), "", "{text}");
    }
    for (text, feature) in [
        ("limitk(1, a)", "promql-experimental-functions"),
        ("limit_ratio(1, a)", "promql-experimental-functions"),
        ("mad_over_time(a[5m])", "promql-experimental-functions"),
        ("start()", "promql-experimental-functions"),
        ("a anchored", "promql-extended-range-selectors"),
        ("rate(a[5m] smoothed)", "promql-extended-range-selectors"),
        ("a + fill(0) b", "promql-binop-fill-modifiers"),
    ] {
        let message = refused(text, ParseOptions::STABLE);
        assert!(message.contains("is experimental") || message.contains("are experimental"), "{message}");
        assert!(message.ends_with(&format!("must be enabled with --enable-feature={feature}")), "{message}");
        let mut options = ParseOptions::STABLE;
        assert!(options.enable(feature) && !options.enable("promql"));
        assert_eq!(refused(text, options), "", "{text}");
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
        format!("a[{}", "(".repeat(n)),
        format!("a[1{}]", "+1".repeat(n)),
        format!("a[1{}]", "^1".repeat(n)),
        format!("a[{}1]", "-".repeat(n)),
        format!("a offset {}1", "min_of(1,".repeat(n)),
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

#[test]
fn regular_expressions_are_limited_in_sum() {
    let limit = |text: &str| match parse(text).map_err(|e| e.reason) {
        Ok(_) => None,
        Err(Reason::Limit { what, max, .. }) => Some((what, max)),
        Err(e) => panic!("{e}"),
    };
    let matchers = |count: usize, one: &dyn Fn(usize) -> String| {
        format!("m{{{}}}", (0..count).map(|i| format!("l=~\"{}\"", one(i))).collect::<Vec<_>>().join(","))
    };
    let too_many = Some(("regular expressions", MAX_REGEXES));
    let too_long = Some(("bytes of regular expressions", MAX_REGEX_BYTES));
    for (text, want) in [
        (matchers(MAX_REGEXES, &|i| format!("a.+{i}")), None),
        (matchers(MAX_REGEXES + 1, &|i| format!("a.+{i}")), too_many),
        // Sets that are made of expressions cost too.
        (matchers(2000, &|i| format!("[a-j]{{3}}{i}")), too_many),
        (matchers(8, &|i| format!("a.+{}{i}", "b".repeat(MAX_REGEX_BYTES / 8))), too_long),
        (matchers(MAX_MATCHERS, &|_| "\\\\w{20}N".to_owned()), None),
        (matchers(MAX_MATCHERS, &|i| format!("a{i}|b{i}")), None),
        (matchers(MAX_MATCHERS, &|i| format!("a{i}.*")), None),
        (
            matchers(MAX_MATCHERS + 1, &|i| format!("a{i}.*")),
            Some(("conditions of a selector", MAX_MATCHERS)),
        ),
    ] {
        assert_eq!(limit(&text), want, "{}", &text[..80]);
    }
    // One count for the whole query, negated or not, with or without other selectors.
    let chain = (0..=MAX_REGEXES).map(|i| format!("m{{l!~\"a.+{i}\"}}")).collect::<Vec<_>>().join(" + ");
    assert_eq!(limit(&chain), too_many);
    assert_eq!(printed("m{a=~\"x.y\",b!~\"x.y\"}"), "m{a=~\"x.y\",b!~\"x.y\"}");
}

#[test]
fn durations_and_names_are_written_as_they_were() {
    for (text, want) in [
        ("x > 5m", "x > 5m"),
        ("x > 300", "x > 300"),
        ("x > -5m", "x > -5m"),
        ("x > 90m", "x > 1h30m"),
        ("x > 36h", "x > 1d12h"),
        ("x > 0s", "x > 0s"),
        ("x > 5ms", "x > 5ms"),
        ("x > 1w2d", "x > 9d"),
        ("x > -(5m)", "x > -(5m)"),
        ("x @ 5m", "x @ 300.000"),
        ("up", "up"),
        ("up{a=\"b\"}[5m]", "up{a=\"b\"}[5m]"),
        ("{__name__=\"up\"}", "{__name__=\"up\"}"),
        ("{\"up\"}[5m]", "{__name__=\"up\"}[5m]"),
        ("{\"up\",a=\"b\"}", "{__name__=\"up\",a=\"b\"}"),
        ("{a=\"b\",__name__=\"up\"}", "{__name__=\"up\",a=\"b\"}"),
        ("{__name__=\"up\",__name__=\"up2\"}", "{__name__=\"up\",__name__=\"up2\"}"),
    ] {
        assert_eq!(parse(text).unwrap().to_string(), want, "{text}");
    }
}
