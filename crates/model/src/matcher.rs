//! `Matcher`: a condition on one label, compiled once. Regular expressions are anchored at both
//! ends, and those that stand for a few literals never reach the regex engine.

use regex::Regex;
use regex_syntax::hir::{
    Hir, HirKind,
    literal::{self, ExtractKind, Extractor},
};
use std::fmt;

/// The most literals that an expression may stand for to be matched as a set.
const SET_MAX: usize = 1024;
/// The most bytes a compiled expression may take.
const REGEX_SIZE_LIMIT_BYTES: usize = 10 << 20;

/// How a label's value is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Regex,
    /// `!~`
    NotRegex,
}

impl MatchOp {
    /// The operator as PromQL writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Regex => "=~",
            Self::NotRegex => "!~",
        }
    }

    /// Whether the operator holds where its comparison does not.
    pub const fn is_negative(self) -> bool {
        matches!(self, Self::NotEqual | Self::NotRegex)
    }
}

/// Why a regular expression cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("regular expression {pattern:?} cannot be used: {reason}")]
pub struct RegexError {
    /// The expression as given.
    pub pattern: String,
    /// What is wrong with it, in one line.
    pub reason: String,
}

/// A condition on the value of the label `name`. An absent label has the empty value.
#[derive(Clone)]
pub struct Matcher {
    name: String,
    op: MatchOp,
    value: String,
    test: Test,
}

/// What is done to decide; each as cheap as the expression allows.
#[derive(Clone, Debug)]
enum Test {
    /// Equal to the matcher's own value.
    Literal,
    /// `.*`
    Anything,
    /// `.+`
    NonEmpty,
    /// One of these, sorted.
    Set(Vec<String>),
    /// A literal, then anything.
    Prefix(String),
    Regex {
        prefix: String,
        regex: Regex,
    },
}

impl Matcher {
    /// A matcher of any operator.
    pub fn new(name: impl Into<String>, op: MatchOp, value: impl Into<String>) -> Result<Self, RegexError> {
        let (name, value) = (name.into(), value.into());
        let test = match op {
            MatchOp::Equal | MatchOp::NotEqual => Test::Literal,
            MatchOp::Regex | MatchOp::NotRegex => compile(&value)?,
        };
        Ok(Self { name, op, value, test })
    }

    /// `name="value"`, which cannot fail.
    pub fn equal(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), op: MatchOp::Equal, value: value.into(), test: Test::Literal }
    }

    /// The label's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The operator.
    pub fn op(&self) -> MatchOp {
        self.op
    }

    /// The value or expression as given.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether a label of value `v` (empty: an absent label) fulfils the condition.
    pub fn matches(&self, v: &str) -> bool {
        let hit = match &self.test {
            Test::Literal => v == self.value,
            Test::Anything => true,
            Test::NonEmpty => !v.is_empty(),
            Test::Set(set) => set.binary_search_by(|s| s.as_str().cmp(v)).is_ok(),
            Test::Prefix(prefix) => v.starts_with(prefix),
            Test::Regex { prefix, regex } => v.starts_with(prefix) && regex.is_match(v),
        };
        hit != self.op.is_negative()
    }

    /// Whether series without the label fulfil the condition.
    pub fn matches_empty(&self) -> bool {
        self.matches("")
    }

    /// The only values for which the comparison (before negation) holds, sorted, if they are few.
    pub fn set(&self) -> Option<&[String]> {
        match &self.test {
            Test::Literal => Some(std::slice::from_ref(&self.value)),
            Test::Set(set) => Some(set),
            _ => None,
        }
    }

    /// A text that every value begins with for which the comparison (before negation) holds.
    pub fn prefix(&self) -> &str {
        match &self.test {
            Test::Literal => &self.value,
            Test::Prefix(prefix) | Test::Regex { prefix, .. } => prefix,
            Test::Anything | Test::NonEmpty | Test::Set(_) => "",
        }
    }
}

fn compile(pattern: &str) -> Result<Test, RegexError> {
    let fail = |reason: String| RegexError { pattern: pattern.to_owned(), reason };
    let hir = regex_syntax::ParserBuilder::new()
        .dot_matches_new_line(true)
        .build()
        .parse(pattern)
        .map_err(|e| fail(one_line(&e.to_string())))?;
    if let Some(test) = simple(&hir) {
        return Ok(test);
    }
    let regex = regex::RegexBuilder::new(&format!("^(?:{pattern})$"))
        .dot_matches_new_line(true)
        .size_limit(REGEX_SIZE_LIMIT_BYTES)
        .build()
        .map_err(|e| fail(one_line(&e.to_string())))?;
    let prefix = if hir.properties().look_set().is_empty() { literal_prefix(&hir) } else { String::new() };
    Ok(Test::Regex { prefix, regex })
}

/// The cheap test for expressions that need no engine.
fn simple(hir: &Hir) -> Option<Test> {
    // An assertion inside (`^`, `\b`) counts as empty below, so nothing may be concluded from it.
    if !hir.properties().look_set().is_empty() {
        return None;
    }
    if is_any_text(hir, 0) {
        return Some(Test::Anything);
    }
    if is_any_text(hir, 1) {
        return Some(Test::NonEmpty);
    }
    if let HirKind::Concat(parts) = hir.kind()
        && let [head, tail] = parts.as_slice()
        && let HirKind::Literal(literal) = head.kind()
        && is_any_text(tail, 0)
    {
        return Some(Test::Prefix(String::from_utf8(literal.0.to_vec()).ok()?));
    }
    let literals = Extractor::new()
        .kind(ExtractKind::Prefix)
        .limit_total(SET_MAX)
        .limit_class(32)
        .limit_repeat(16)
        .limit_literal_len(4096)
        .extract(hir);
    let literals = literals.literals().filter(|set| set.iter().all(literal::Literal::is_exact))?;
    let mut set = literals
        .iter()
        .map(|l| String::from_utf8(l.as_bytes().to_vec()))
        .collect::<Result<Vec<_>, _>>()
        .ok()?;
    set.sort_unstable();
    set.dedup();
    Some(Test::Set(set))
}

/// Whether `hir` is `.` at least `min` times without an upper bound.
fn is_any_text(hir: &Hir, min: u32) -> bool {
    match hir.kind() {
        HirKind::Repetition(r) => {
            r.min == min && r.max.is_none() && *r.sub == Hir::dot(regex_syntax::hir::Dot::AnyChar)
        }
        HirKind::Capture(c) => is_any_text(&c.sub, min),
        _ => false,
    }
}

/// The literal at the beginning of a concatenation.
fn literal_prefix(hir: &Hir) -> String {
    match hir.kind() {
        HirKind::Literal(l) => String::from_utf8(l.0.to_vec()).unwrap_or_default(),
        HirKind::Concat(parts) => parts.first().map(literal_prefix).unwrap_or_default(),
        _ => String::new(),
    }
}

/// The parser draws its errors over several lines; the last one says what is wrong.
fn one_line(message: &str) -> String {
    let last = message.lines().last().unwrap_or(message);
    last.strip_prefix("error: ").unwrap_or(last).trim().to_owned()
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (self.op, &self.name, &self.value) == (other.op, &other.name, &other.value)
    }
}

impl Eq for Matcher {}

impl std::hash::Hash for Matcher {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (self.op, &self.name, &self.value).hash(state);
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if crate::name::is_classic_label_name(&self.name) {
            write!(f, "{}{}{:?}", self.name, self.op.as_str(), self.value)
        } else {
            write!(f, "{:?}{}{:?}", self.name, self.op.as_str(), self.value)
        }
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            "", "a", "b", "c", "ab", "ac", "abc", "abcd", "aa", "aaa", "aaaa", "ax", "bx", "AB", "aB",
            "a\nb", "axb", "a.b", "foo-", "foo-1", "foo", "bar", "barx", "x", "xx", "ü", "ö", "7", "77",
            "abc\n", "\n",
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
        assert_eq!(e.to_string(), r#"regular expression "a(b" cannot be used: unclosed group"#);
        assert!(Matcher::new("l", MatchOp::Regex, "(a{1000}){1000}").is_err());
    }
}
