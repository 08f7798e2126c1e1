//! What matchers decide, and what expressions may cost.

use super::*;
use proptest::{collection::vec, sample::select};
use regex::Regex;

const GLOB_PARTS: [&str; 12] =
    ["a", "b", "ab", "ü", ".*", ".+", ".*", "[ab]", "(a|.*b)", "(?:a.+|ba)?", ".*?", "b?"];

fn matcher(pattern: &str) -> Matcher {
    Matcher::new("l", MatchOp::Regex, pattern).unwrap()
}

/// Every fast path must decide as the engine does.
#[test]
fn fast_paths_agree_with_the_regex_engine() {
    let patterns = [
        "",
        ".*",
        ".+",
        "(.*)",
        "a",
        "a|b",
        "a|b|",
        "(a|b)c",
        "a(b|c)?",
        "abc.*",
        "abc.+",
        "[ab]x",
        "a{2,3}",
        "(?i)ab",
        "a.b",
        "^a$",
        "a\\b",
        "foo-.*",
        "(foo|bar).*",
        "a\\.b",
        "x*",
        "(?s:.*)",
        "ü|ö",
        "[^a]",
        "\\d+",
        "a||b",
    ];
    let values = [
        "", "a", "b", "c", "ab", "ac", "abc", "abcd", "aa", "aaa", "aaaa", "ax", "bx", "AB", "aB", "a\nb",
        "axb", "a.b", "foo-", "foo-1", "foo", "bar", "barx", "x", "xx", "ü", "ö", "7", "77", "abc\n", "\n",
    ];
    for p in patterns {
        let m = matcher(p);
        let oracle = Regex::new(&format!("^(?s:{p})$")).unwrap();
        for v in values {
            assert_eq!(m.matches(v), oracle.is_match(v), "pattern {p:?} value {v:?}");
            if m.matches(v) {
                assert!(v.starts_with(m.prefix()), "prefix of {p:?}");
                assert!(m.set().is_none_or(|s| s.iter().any(|x| x == v)), "set of {p:?}");
            }
        }
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(1000))]

    /// Expressions made of few letters, so that values often match.
    #[test]
    fn globs_agree_with_the_regex_engine(
        branches in vec(vec(select(&GLOB_PARTS[..]), 1..7), 1..4),
        values in vec("[abcü\n]{0,8}", 60),
    ) {
        let pattern = branches.iter().map(|b| b.concat()).collect::<Vec<_>>().join("|");
        let m = matcher(&pattern);
        let oracle = Regex::new(&format!("^(?s:{pattern})$")).unwrap();
        for value in values {
            let expected = oracle.is_match(&value);
            proptest::prop_assert_eq!(m.matches(&value), expected, "pattern {:?} value {:?}", pattern, value);
            proptest::prop_assert!(!expected || value.starts_with(m.prefix()), "{:?} {:?}", pattern, value);
        }
    }
}

#[test]
fn literals_with_any_text_between_them_need_no_engine() {
    for pattern in ["a.*b", ".*a.*", ".+a", "a.*|b.*", "x(a|b.*)c.+", "pod-.*7.*7", "(?:foo-.*)|bar", "ab.+"]
    {
        assert!(matches!(matcher(pattern).test, Test::Globs(_)), "{pattern}");
    }
    for pattern in ["a.b", "a\\d+b.*", ".{2,}", "^a.*b$", "(?i)abcdefg.*x", "(a.*){2}"] {
        assert!(matches!(matcher(pattern).test, Test::Regex { .. }), "{pattern}");
    }
    assert_eq!(matcher("füx.*a|füü.*").prefix(), "fü");
}

#[test]
fn a_few_literals_become_a_set() {
    assert_eq!(matcher("a|bc|[de]").set().unwrap(), ["a", "bc", "d", "e"]);
    assert_eq!(matcher("foo.*bar").prefix(), "foo");
    assert!(matcher("(?i)a.c").set().is_none());
}

#[test]
fn negation_and_absence() {
    let not = |op, v: &str| Matcher::new("l", op, v).unwrap();
    assert!(not(MatchOp::NotEqual, "a").matches_empty());
    assert!(!not(MatchOp::NotEqual, "").matches_empty());
    assert!(!not(MatchOp::NotRegex, ".*").matches("x"));
    assert!(not(MatchOp::NotRegex, "a|b").matches("c"));
    assert!(Matcher::equal("l", "").matches_empty());
}

#[test]
fn a_bad_expression_is_said_in_one_line() {
    let e = Matcher::new("l", MatchOp::Regex, "a(b").unwrap_err();
    assert_eq!(e.to_string(), r#"regular expression "a(b" cannot be used: missing closing ): `a(b`"#);
    assert!(Matcher::new("l", MatchOp::Regex, "(a{1000}){1000}").is_err());
}

#[test]
fn expressions_of_real_life_are_taken() {
    let many =
        |count: usize, one: &dyn Fn(usize) -> String| (0..count).map(one).collect::<Vec<_>>().join("|");
    for (pattern, value) in [
        (many(500, &|i| format!("service-{i}-production.*")), "service-499-production-7"),
        (format!("(?i){}", many(300, &|i| format!("service-{i}.*x"))), "SERVICE-299-yX"),
        ("(?i)[a-zäöü]+-(prod|test)-\\d{1,3}".to_owned(), "WEB-Prod-12"),
        ("\\pL{20}N".to_owned(), "ääääääääääääääääääääN"),
        ("[^/]+/(api|web)/v[0-9]+/.*".to_owned(), "x/api/v2/y"),
        (".{1,255}x".to_owned(), "yx"),
    ] {
        let m = Matcher::new("l", MatchOp::Regex, pattern.as_str()).unwrap();
        assert!(m.matches(value) && !m.matches("no such value"), "{value}");
        assert_eq!(m.price(), pattern.len(), "{value}");
    }
}

#[test]
fn lists_of_literals_cost_nothing_however_long() {
    let hosts = |i: usize| format!("10.0.{}.{}:9100", i / 256, i % 256);
    let list = (0..20_000).map(|i| regex_syntax::escape(&hosts(i))).collect::<Vec<_>>().join("|");
    for pattern in [list.clone(), format!("({list})"), format!("(?:{list})")] {
        let m = matcher(&pattern);
        assert_eq!((m.set().unwrap().len(), m.price()), (20_000, 0));
        assert!(m.matches(&hosts(19_999)) && !m.matches(&hosts(20_000)));
    }
    assert_eq!(matcher("a\\/b|c-d| ").set().unwrap(), [" ", "a/b", "c-d"]);
    assert_eq!(matcher(".*").price() + matcher(".+").price() + matcher("foo.*").price(), 0);
}

#[test]
fn expressions_that_cost_too_much_are_refused() {
    let nested = |levels: usize| format!("{}a+{}", "(".repeat(levels), ")".repeat(levels));
    assert!(Matcher::new("l", MatchOp::Regex, nested(90)).is_ok());
    for (pattern, want) in [
        ("\\pL{60}N".to_owned(), "exceeds size limit"),
        ("(a{1000}){1000}".to_owned(), "invalid repeat count"),
        (format!("a+{}", "b".repeat(1 << 16)), "longer than 65536 bytes"),
        (nested(1000), "nest"),
        (format!("(?i){}", "[\\x00-\\x{10FFFF}]".repeat(2)), "case-insensitive classes"),
        ("x(?i:\\p{Any}+)".to_owned(), "case-insensitive classes"),
        ("(?i)[\\w\\p{Han}\\PL]".to_owned(), "case-insensitive classes"),
    ] {
        let e = Matcher::new("l", MatchOp::Regex, pattern.as_str()).unwrap_err().to_string();
        assert!(e.contains(want) && e.len() < 400, "{pattern}: {e}");
    }
}

#[test]
fn a_comparison_can_be_that_of_another_label() {
    let m = matcher("a.c").of_label("other", true);
    assert_eq!((m.to_string().as_str(), m.matches("abc")), (r#"other!~"a.c""#, false));
    assert_eq!(m.of_label("l", false), matcher("a.c"));
    assert_eq!(Matcher::equal("a", "b").of_label("c", true).to_string(), r#"c!="b""#);
}
