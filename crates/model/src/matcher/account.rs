//! `Regexes`: the regular expressions of one request, each compiled once, as many and as long as a request
//! may have. Matches nothing itself.

use super::{MatchOp, Matcher, RegexError, pattern::REGEX_SIZE_LIMIT_BYTES};
use std::collections::BTreeMap;

/// How many different regular expressions a request may have compiled. Lists of literals (`a|b`), prefixes
/// (`a.*`) and repetitions of the same expression do not count. Compiling all takes 0.6 s and 80 MB at most.
pub const MAX_REGEXES: usize = 64;
/// How many bytes these expressions may have in sum.
pub const MAX_REGEX_BYTES: usize = 64 << 10;

/// Why a matcher was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MatcherRefused {
    /// The expression cannot be used.
    #[error(transparent)]
    Regex(#[from] RegexError),
    /// It is one too many.
    #[error("the request exceeds the limit of {max} {what}: ask several times for less")]
    Limit {
        /// What is counted.
        what: &'static str,
        /// The most that is allowed.
        max: usize,
    },
}

/// The account of one request.
#[derive(Debug, Default)]
pub struct Regexes {
    /// A matcher for each expression that was compiled.
    compiled: BTreeMap<String, Matcher>,
    /// What they cost in sum.
    price: usize,
}

impl Regexes {
    /// A matcher, as long as the request's expressions do not cost too much in sum.
    ///
    /// # Errors
    /// When its expression cannot be used, or is one too many.
    pub fn matcher(
        &mut self,
        name: impl Into<String>,
        op: MatchOp,
        value: impl Into<String>,
    ) -> Result<Matcher, MatcherRefused> {
        let (name, value) = (name.into(), value.into());
        if let (MatchOp::Regex | MatchOp::NotRegex, Some(same)) = (op, self.compiled.get(&value)) {
            return Ok(same.of_label(name, op.is_negative()));
        }
        let matcher = Matcher::new(name, op, value)?;
        if matcher.price() > 0 {
            self.price += matcher.price();
            self.compiled.insert(matcher.value().to_owned(), matcher.clone());
        }
        for (used, max, what) in [
            (self.compiled.len(), MAX_REGEXES, "regular expressions"),
            (self.price, MAX_REGEX_BYTES, "bytes of regular expressions"),
        ] {
            if used > max {
                return Err(MatcherRefused::Limit { what, max });
            }
        }
        Ok(matcher)
    }

    /// The most bytes that they can hold, compiled.
    pub fn max_bytes(&self) -> u64 {
        (self.compiled.len() * REGEX_SIZE_LIMIT_BYTES) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_so_many_expressions_and_each_of_them_as_often_as_it_likes() {
        let mut regexes = Regexes::default();
        let mut ask = |op, value: String| regexes.matcher("l", op, value).map(|m| m.matches("xa1"));
        for _ in 0..2 {
            for i in 0..MAX_REGEXES {
                assert_eq!(ask(MatchOp::Regex, format!("x[ab]{i}")), Ok(i == 1));
                assert_eq!(ask(MatchOp::NotRegex, format!("x[ab]{i}")), Ok(i != 1));
            }
        }
        assert_eq!(ask(MatchOp::Regex, "a|b".repeat(2)), Ok(false));
        let refused = ask(MatchOp::Regex, "one [tT]oo many".to_owned());
        assert_eq!(refused, Err(MatcherRefused::Limit { what: "regular expressions", max: MAX_REGEXES }));
        assert!(regexes.max_bytes() >= (MAX_REGEXES as u64) << 20);
    }

    #[test]
    fn long_expressions_are_too_many_in_sum() {
        let mut regexes = Regexes::default();
        let mut ask = |c: char| {
            regexes.matcher("l", MatchOp::Regex, format!("[ab]{}", "c".repeat(9000)) + &c.to_string())
        };
        assert!(('a'..='g').all(|c| ask(c).is_ok()));
        let limit = MatcherRefused::Limit { what: "bytes of regular expressions", max: MAX_REGEX_BYTES };
        assert_eq!(ask('h').unwrap_err(), limit);
    }
}
