//! From text to tree. A Pratt parser over a lexer without keywords; types are checked as the tree is
//! built, so that a tree that exists makes sense. Never evaluates anything.
//!
//! - `lexer`: tokens; `literal`: numbers, durations and strings.
//! - `parser`: the token at hand and what every rule needs: expecting, refusing, counting depth.
//! - `expr`: operators, parentheses, literals; `selector`: selectors, `offset`, `@`, ranges;
//!   `call`: functions and aggregations; `check`: what operators demand of their sides; `duration`:
//!   lengths of time and the arithmetic between them.
//! - `options`: what of the language is allowed.
//! - `words`: which words are keywords, and where they may be names all the same.

mod call;
mod check;
mod duration;
mod error;
mod expr;
mod lexer;
mod literal;
mod options;
mod parser;
mod selector;
#[cfg(test)]
mod tests;
pub(crate) mod words;

pub use error::{ParseError, Reason, TextLimit};
pub use options::ParseOptions;
pub use skopos_model::matcher::{MAX_REGEX_BYTES, MAX_REGEXES};

use crate::ast::Expr;
use parser::{Parsed, Parser};
use skopos_model::{Matcher, matcher::Regexes};
use skopos_storage::QueryBudget;

/// The most bytes that a query may have.
pub const MAX_QUERY_BYTES: usize = 512 << 10;
/// How many calls, parentheses, signs' operands and right sides of operators may be open at once. It
/// bounds the parser's stack.
pub const MAX_NESTING: usize = 128;
/// How deep a tree may be: the longest way from the whole expression to a literal or selector. Every
/// node on the way counts, and a chain such as `a + b + c` has one for each operator. It bounds the
/// stack of everybody who walks over a tree.
pub const MAX_DEPTH: usize = 1000;
/// How many conditions one selector may have: every series is held against all of them.
pub const MAX_MATCHERS: usize = 1000;
/// How many labels a grouping or matching may name, and how many arguments a call may have.
pub const MAX_LIST: usize = 1000;

/// Reads an expression, with all that the language has.
pub fn parse(text: &str) -> Result<Expr, ParseError> {
    parse_with(text, ParseOptions::ALL)
}

/// Reads an expression, with what of the language is allowed.
pub fn parse_with(text: &str, options: ParseOptions) -> Result<Expr, ParseError> {
    expression(text, options, None).map_err(|e| *e)
}

/// The same in the time of a query: no regular expression is compiled once `budget` has ended, which it says.
pub fn parse_within(text: &str, options: ParseOptions, budget: &QueryBudget) -> Result<Expr, ParseError> {
    expression(text, options, Some(budget)).map_err(|e| *e)
}

/// Reads a selector without `offset`, `@` and range, as in `match[]`. At least one of the matchers
/// refuses the empty string.
pub fn parse_selector(text: &str) -> Result<Vec<Matcher>, ParseError> {
    parse_selector_within(text, &mut Regexes::default())
}

/// The same, one of several of a request that has an account of regular expressions.
pub fn parse_selector_within(text: &str, regexes: &mut Regexes) -> Result<Vec<Matcher>, ParseError> {
    selector(text, Allowed::NotEverything, regexes).map_err(|e| *e)
}

/// Reads a selector that may pick all series too, as `{}` does, for whoever walks through all of them anyway.
pub fn parse_matchers(text: &str) -> Result<Vec<Matcher>, ParseError> {
    parse_matchers_within(text, &mut Regexes::default())
}

/// The same, one of several of a request that has an account of regular expressions.
pub fn parse_matchers_within(text: &str, regexes: &mut Regexes) -> Result<Vec<Matcher>, ParseError> {
    selector(text, Allowed::Everything, regexes).map_err(|e| *e)
}

/// What a selector may pick.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Allowed {
    /// One of its conditions must exclude series without the label.
    NotEverything,
    Everything,
}

fn expression(text: &str, options: ParseOptions, budget: Option<&QueryBudget>) -> Parsed<Expr> {
    let mut parser = Parser::new(text, options)?;
    parser.budget = budget;
    let node = parser.expression()?;
    parser.expect_end("a binary operator or the end of the query")?;
    Ok(*node.expr)
}

fn selector(text: &str, allowed: Allowed, regexes: &mut Regexes) -> Parsed<Vec<Matcher>> {
    let mut parser = Parser::new(text, ParseOptions::ALL)?;
    parser.regexes = std::mem::take(regexes);
    let parsed = whole_selector(&mut parser, allowed);
    *regexes = parser.regexes;
    parsed
}

fn whole_selector(parser: &mut Parser<'_>, allowed: Allowed) -> Parsed<Vec<Matcher>> {
    if allowed == Allowed::Everything {
        parser.any_selector_at = Some(parser.token.span.start);
    }
    let selector = parser.lone_selector()?;
    parser.expect_end("the end of the selector")?;
    Ok(selector.matchers)
}
