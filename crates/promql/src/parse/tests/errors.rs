//! Text that is no query, and what is said about it and where.

use crate::parse;

/// The message with its position, but for the words that all have.
fn message(text: &str) -> String {
    parse(text).map_or_else(|e| e.to_string().replace("parse error: ", ""), |e| format!("accepted as {e}"))
}

fn check(table: &[(&str, &str)]) {
    let wrong: Vec<_> = table
        .iter()
        .filter(|(text, want)| message(text) != *want)
        .map(|(text, want)| format!("{text}\n   got {}\n  want {want}", message(text)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_cannot_stand_there_is_named_with_what_could() {
    check(&[
        ("foo +", "1:6: unexpected end of input, expected an expression"),
        ("foo + # c\n ", "1:6: unexpected end of input, expected an expression"),
        ("", "1:1: no expression found in input, expected such as up or rate(up[5m])"),
        ("  # x", "1:1: no expression found in input, expected such as up or rate(up[5m])"),
        ("a\n  + b\n  + )", "3:5: unexpected \")\", expected an expression"),
        ("ü", "1:1: unexpected character 'ü'"),
        ("\"ü\" ; bar", "1:5: unexpected character ';'"),
        ("foo bar", "1:5: unexpected identifier \"bar\", expected a binary operator or the end of the query"),
        ("foo)", "1:4: unexpected \")\", expected a binary operator or the end of the query"),
        ("on", "1:1: unexpected keyword \"on\", expected an expression"),
        (
            "a group_left b",
            "1:3: unexpected keyword \"group_left\", expected a binary operator or the end of the query",
        ),
        ("a =~ b", "1:3: unexpected \"=~\", expected a binary operator or the end of the query"),
        ("a !b", "1:3: unexpected character '!'"),
        (
            "(a + (b",
            "1:8: unclosed left parenthesis of 1:6: unexpected end of input, expected a binary operator or \")\"",
        ),
        ("(a b)", "1:4: unexpected identifier \"b\", expected a binary operator or \")\""),
        (
            "sum(x",
            "1:6: unclosed left parenthesis of 1:4: unexpected end of input, expected a binary operator, \",\" or \")\"",
        ),
    ]);
}

#[test]
fn bad_literals_are_shown_where_they_are_bad() {
    check(&[
        ("\"abc", "1:1: unterminated string: expected a closing \""),
        ("`abc", "1:1: unterminated string: expected a closing `"),
        ("foo{a=\"b\\q\"}", "1:9: unknown escape sequence \\q"),
        ("\"\\x4\"", "1:2: escape sequence \\x needs 2 digits of base 16"),
        ("1abc", "1:1: bad number or duration syntax: \"1abc\", expected such as 1.5e3, 0x1F or 5m"),
        ("1 + 1e999", "1:5: bad number or duration syntax: \"1e999\", expected such as 1.5e3, 0x1F or 5m"),
        ("foo[300y]", "1:5: duration out of range: the largest is 292y"),
        ("foo[0]", "1:5: duration must be greater than 0 and at least a millisecond"),
        (
            "foo[5m:-1m]",
            "1:8: unexpected \"-\" in a subquery's step, expected a duration such as 1m or \"]\"",
        ),
    ]);
}

#[test]
fn selectors_and_their_modifiers_are_checked() {
    check(&[
        (
            "{}",
            "1:1: vector selector must contain at least one non-empty matcher: name a metric, or a label with a value",
        ),
        (
            "1 + {a=~\".*\"}",
            "1:5: vector selector must contain at least one non-empty matcher: name a metric, or a label with a value",
        ),
        ("foo{__name__=\"x\"}", "1:1: metric name must not be set twice: \"foo\" or \"x\""),
        ("{a=~\"(\"}", "1:2: regular expression \"(\" cannot be used: unclosed group"),
        ("foo{a=\"b\"", "1:10: unexpected end of input in label matching, expected \",\" or \"}\""),
        ("foo{a=\"b\" c", "1:11: unexpected identifier \"c\" in label matching, expected \",\" or \"}\""),
        (
            "foo{a",
            "1:6: unexpected end of input in label matching, expected a label matching operator: =, !=, =~ or !~",
        ),
        ("foo{a=", "1:7: unexpected end of input in label matching, expected a string"),
        ("foo{a=5}", "1:7: unexpected number \"5\" in label matching, expected a string"),
        (
            "foo{5}",
            "1:5: unexpected number \"5\" in label matching, expected a label name, a quoted name or \"}\"",
        ),
        ("foo[", "1:5: unexpected end of input in a range, expected a duration such as 5m"),
        ("foo[5m", "1:7: unexpected end of input in a range or subquery, expected \":\" or \"]\""),
        ("foo[5m)", "1:7: unexpected \")\" in a range or subquery, expected \":\" or \"]\""),
        ("foo[5m:1m", "1:10: unexpected end of input in a range or subquery, expected \"]\""),
        ("foo[5m][5m]", "1:8: ranges only allowed for vector selectors: write [5m:] for a subquery"),
        (
            "foo offset 5m [5m]",
            "1:15: no offset modifiers allowed before range: write the offset behind the range",
        ),
        ("foo @ 1 [5m]", "1:9: no @ modifiers allowed before range: write @ behind the range"),
        ("a[5m][5m:]", "1:1: subquery is only allowed on instant vector, got range vector instead"),
        ("foo offset", "1:11: unexpected end of input in offset, expected a duration such as 5m or -5m"),
        (
            "foo offset x",
            "1:12: unexpected identifier \"x\" in offset, expected a duration such as 5m or -5m",
        ),
        (
            "a + 1 offset 5m",
            "1:5: offset modifier must be preceded by an instant vector selector or range vector selector or a subquery",
        ),
        ("a offset 5m offset 5m", "1:1: offset may not be set multiple times"),
        ("a @ 5 @ start()", "1:1: @ <timestamp> may not be set multiple times"),
        (
            "foo @ now()",
            "1:7: unexpected identifier \"now\" in @, expected a timestamp in seconds, start() or end()",
        ),
        ("foo @ Inf", "1:1: timestamp out of bounds for @ modifier: inf"),
        ("foo @ start", "1:12: unexpected end of input in @, expected \"(\""),
    ]);
}

#[test]
fn calls_and_aggregations_are_checked_against_their_signatures() {
    check(&[
        ("rats(foo[5m])", "1:1: unknown function with name \"rats\", did you mean \"rate\"?"),
        ("Rate(foo[5m])", "1:1: unknown function with name \"Rate\", did you mean \"rate\"?"),
        ("1 + summ(a)", "1:5: unknown function with name \"summ\", did you mean \"sum\"?"),
        ("frobnicate(a)", "1:1: unknown function with name \"frobnicate\""),
        ("rate(foo)", "1:6: expected type range vector in call to function \"rate\", got instant vector"),
        ("rate(1)", "1:6: expected type range vector in call to function \"rate\", got scalar"),
        (
            "label_replace(a, \"b\", \"c\", \"d\", 5)",
            "1:33: expected type string in call to function \"label_replace\", got scalar",
        ),
        (
            "label_join(a, \"b\", \"c\", \"d\", e)",
            "1:30: expected type string in call to function \"label_join\", got instant vector",
        ),
        ("1 + rate(foo[5m], 1)", "1:5: expected 1 argument(s) in call to \"rate\", got 2"),
        ("time(1)", "1:1: expected 0 argument(s) in call to \"time\", got 1"),
        ("round(a, 1, 2)", "1:1: expected at most 2 argument(s) in call to \"round\", got 3"),
        ("label_join(a)", "1:1: expected at least 3 argument(s) in call to \"label_join\", got 1"),
        ("abs(a,)", "1:6: trailing commas not allowed in function call args"),
        ("sum by a (x)", "1:8: unexpected identifier \"a\" in grouping opts, expected \"(\""),
        ("sum by (a b) (x)", "1:11: unexpected identifier \"b\" in grouping opts, expected \",\" or \")\""),
        ("sum by (a:b) (x)", "1:9: unexpected identifier \"a:b\" in grouping opts, expected a label name"),
        ("sum by (\"\") (x)", "1:9: invalid label name for grouping: \"\""),
        ("sum by (a) x", "1:12: unexpected identifier \"x\" in aggregation, expected \"(\""),
        ("sum()", "1:1: no arguments for aggregate expression provided"),
        ("sum(a, b)", "1:1: wrong number of arguments for aggregate expression provided, expected 1, got 2"),
        ("sum(a[5m])", "1:5: expected type instant vector in aggregation expression, got range vector"),
        ("topk(a, b)", "1:6: expected type scalar in aggregation parameter, got instant vector"),
        ("count_values(1, a)", "1:14: expected type string in aggregation parameter, got scalar"),
    ]);
}

#[test]
fn operators_are_checked_against_their_sides() {
    check(&[
        ("1 == 1", "1:3: comparisons between scalars must use BOOL modifier"),
        ("a + bool b", "1:3: bool modifier can only be used on comparison operators"),
        ("b and a and 1", "1:1: set operator \"and\" not allowed in binary scalar expression"),
        (
            "1 + foo[5m]",
            "1:5: binary expression must contain only scalar and instant vector types, got range vector",
        ),
        (
            "-\"a\"",
            "1:1: unary expression only allowed on expressions of type scalar or instant vector, got string",
        ),
        ("a + on(x) group_left(x) b", "1:3: label \"x\" must not occur in ON and GROUP clause at once"),
        ("a and on(x) group_left b", "1:3: no grouping allowed for \"and\" operation"),
        ("1 + on(a) b", "1:3: vector matching only allowed between instant vectors"),
    ]);
}
