//! Text that is no query, and what is said about it and where. The table stands in `errors.txt`.

use crate::parse;

const TABLE: &str = include_str!("errors.txt");

/// The message with its position, but for the words that all have.
fn message(text: &str) -> String {
    parse(text).map_or_else(|e| e.to_string().replace("parse error: ", ""), |e| format!("accepted as {e}"))
}

#[test]
fn errors_say_what_is_wrong_and_where() {
    let mut lines = TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with("//"));
    let mut wrong = Vec::new();
    let mut count = 0;
    while let (Some(text), Some(want)) = (lines.next(), lines.next()) {
        let want = want.strip_prefix("    ").unwrap_or_else(|| panic!("no message below {text}"));
        let text = text.replace('⏎', "\n");
        let got = message(&text);
        count += 1;
        if got != want {
            wrong.push(format!("{text}\n   got {got}\n  want {want}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count > 70, "the table has only {count} rows");
}

#[test]
fn an_empty_text_is_told_what_an_expression_is() {
    let want = "1:1: no expression found in input, expected such as up or rate(up[5m])";
    for text in ["", "  ", "\n", "# nothing"] {
        assert_eq!(message(text), want, "{text:?}");
    }
}
