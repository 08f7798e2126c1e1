//! Matchers with regular expressions: their short ways must agree with the expression itself.
//!
//! An input is the expression on its first line and one value on each line after it.

use skopos_model::{MatchOp, Matcher, re2};

/// Longer expressions are the engine's business, not that of the short ways.
const MAX_PATTERN_BYTES: usize = 512;
/// The most memory that the expression of comparison may take.
const MAX_COMPILED_BYTES: usize = 4 << 20;

pub(super) fn against_the_regex_crate(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let mut lines = text.split('\n');
    let pattern = lines.next().unwrap_or_default();
    if pattern.len() > MAX_PATTERN_BYTES {
        return false;
    }
    let Ok(matcher) = Matcher::new("label", MatchOp::Regex, pattern) else { return false };
    let negative = matcher.of_label("label", true);
    let translated = re2::translate(pattern).expect("what became a matcher can be translated").pattern;
    let plain = format!("^(?s:{translated})$");
    let plain = regex::RegexBuilder::new(&plain).size_limit(MAX_COMPILED_BYTES).build();
    let Ok(plain) = plain else { return false };
    let set: Vec<String> = matcher.set().unwrap_or_default().to_vec();
    let own = [pattern.to_owned(), String::new(), matcher.prefix().to_owned()];
    let values = lines.map(str::to_owned).chain(set).chain(own);
    for value in values.take(64) {
        let matches = matcher.matches(&value);
        assert_eq!(matches, plain.is_match(&value), "{pattern:?} on {value:?}");
        assert_eq!(negative.matches(&value), !matches, "{pattern:?} negated on {value:?}");
        if matches {
            assert!(value.starts_with(matcher.prefix()), "{value:?} lacks the prefix {:?}", matcher.prefix());
            let is_listed = matcher.set().is_none_or(|set| set.contains(&value));
            assert!(is_listed, "{value:?} matches {pattern:?} and is not in its set");
        }
    }
    true
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let texts = [
        "a|b|c\na\nd",
        "node_.*\nnode_\nnode\nnode_cpu\nx",
        "(foo|bar)baz?\nfoobaz\nbarba\nfoo",
        ".+\n\nx",
        ".*",
        "(?i)Up(s|)\nUP\nups\nU",
        "[a-c]{1,2}\\d\nab1\nd1",
        "x(?:y|z(?:1|2))|^$\nxy\nxz1\nx",
        "\\Qa.b\\E\\.c\na.b.c",
        "host-(0|1)[.]example:9100\nhost-0.example:9100\nhost-0xexample:9100",
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}
