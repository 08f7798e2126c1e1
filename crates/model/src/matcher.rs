//! `Matcher`: a condition on one label, compiled once. Regular expressions are anchored at both
//! ends, and those that stand for a few literals never reach the regex engine.

mod account;
mod glob;
mod pattern;
#[cfg(test)]
mod tests;

pub use account::{MAX_REGEX_BYTES, MAX_REGEXES, MatcherRefused, Regexes};

use pattern::{Compiled, Test};
use std::fmt;

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
    price: usize,
}

impl Matcher {
    /// A matcher of any operator.
    pub fn new(name: impl Into<String>, op: MatchOp, value: impl Into<String>) -> Result<Self, RegexError> {
        let (name, value) = (name.into(), value.into());
        let Compiled { test, price } = match op {
            MatchOp::Equal | MatchOp::NotEqual => Compiled { test: Test::Literal, price: 0 },
            MatchOp::Regex | MatchOp::NotRegex => pattern::compile(&value)?,
        };
        Ok(Self { name, op, value, test, price })
    }

    /// `name="value"`, which cannot fail.
    pub fn equal(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), op: MatchOp::Equal, value: value.into(), test: Test::Literal, price: 0 }
    }

    /// The same comparison of the label `name`, negated or not. A regular expression is shared and not
    /// compiled again.
    #[must_use]
    pub fn of_label(&self, name: impl Into<String>, negative: bool) -> Self {
        let op = match (self.op, negative) {
            (MatchOp::Equal | MatchOp::NotEqual, false) => MatchOp::Equal,
            (MatchOp::Equal | MatchOp::NotEqual, true) => MatchOp::NotEqual,
            (MatchOp::Regex | MatchOp::NotRegex, false) => MatchOp::Regex,
            (MatchOp::Regex | MatchOp::NotRegex, true) => MatchOp::NotRegex,
        };
        Self { name: name.into(), op, ..self.clone() }
    }

    /// How many bytes of a regular expression had to be parsed and compiled. Zero for literals and for
    /// expressions that only list them, however long: whoever takes expressions from strangers bounds
    /// the sum of the prices.
    pub fn price(&self) -> usize {
        self.price
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
            Test::Globs(globs) => globs.matches(v),
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
            Test::Globs(globs) => globs.prefix(),
            Test::Anything | Test::NonEmpty | Test::Set(_) => "",
        }
    }
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
