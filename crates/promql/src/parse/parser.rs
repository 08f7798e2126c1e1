//! The parser's state: the token at hand, and what every rule needs. Owns no rule of the grammar.

use super::{
    MAX_DEPTH, MAX_NESTING, MAX_QUERY_BYTES, ParseError, ParseOptions, Reason, TextLimit,
    lexer::{Kind, LexError, Lexer, Punct, Token},
    words::{self, Keyword},
};
use crate::ast::{Expr, ExprKind, Span, ValueType};
use skopos_model::{
    MatchOp, Matcher,
    matcher::{MatcherRefused, Regexes},
};
use skopos_storage::QueryBudget;

/// The most characters of the text that a message repeats.
const MAX_QUOTED_CHARS: usize = 30;

/// What a rule gives. Errors are boxed, and so are finished parts of the tree: rules hold one another
/// many levels deep, and the smaller what they hand up, the less stack a level takes.
pub(super) type Parsed<T> = Result<T, Box<ParseError>>;

/// A finished part of the tree and what its parent must know of it.
pub(super) struct Node {
    pub(super) expr: Box<Expr>,
    pub(super) value_type: ValueType,
    /// The longest way down to a leaf; 1 for a leaf.
    pub(super) depth: usize,
}

/// Reads tokens of one text and builds its tree.
pub(super) struct Parser<'a> {
    pub(super) text: &'a str,
    /// What is allowed.
    pub(super) options: ParseOptions,
    lexer: Lexer<'a>,
    /// The token at hand.
    pub(super) token: Token,
    /// Where the token before it ended.
    pub(super) prev_end: u32,
    /// Where a selector begins that need not refuse anything.
    pub(super) any_selector_at: Option<u32>,
    /// How many rules that may hold themselves are open.
    nesting: usize,
    pub(super) regexes: Regexes,
    /// Of the query that is read, if it is one.
    pub(super) budget: Option<&'a QueryBudget>,
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a str, options: ParseOptions) -> Parsed<Self> {
        let start = Span::default();
        if text.len() > MAX_QUERY_BYTES {
            let reason = Reason::Limit { limit: TextLimit::Length, what: "bytes", max: MAX_QUERY_BYTES };
            return Err(Box::new(ParseError::new(text, start, reason)));
        }
        let token = Token { kind: Kind::End, span: start };
        let mut parser = Self {
            text,
            options,
            lexer: Lexer::new(text),
            token,
            prev_end: 0,
            any_selector_at: None,
            nesting: 0,
            regexes: Regexes::default(),
            budget: None,
        };
        parser.advance()?;
        Ok(parser)
    }

    /// Goes on to the next token and gives back the one that was at hand.
    pub(super) fn advance(&mut self) -> Parsed<Token> {
        let next = self.lexer.next().map_err(|LexError { span, message }| self.syntax(span, message))?;
        self.prev_end = self.token.span.end;
        Ok(std::mem::replace(&mut self.token, next))
    }

    /// Makes a colon a token of its own from the next token on, or a part of names again.
    pub(super) fn set_in_brackets(&mut self, inside: bool) {
        self.lexer.in_brackets = inside;
    }

    pub(super) fn at(&self, punct: Punct) -> bool {
        self.token.kind == Kind::Punct(punct)
    }

    /// Whether the token behind the one at hand is `punct`.
    pub(super) fn is_next(&self, punct: Punct) -> bool {
        self.lexer.clone().next().is_ok_and(|t| t.kind == Kind::Punct(punct))
    }

    /// Takes the token at hand if it is `punct`.
    pub(super) fn eat(&mut self, punct: Punct) -> Parsed<bool> {
        let found = self.at(punct);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    /// The keyword at hand, if it is one.
    pub(super) fn keyword(&self) -> Option<Keyword> {
        match self.token.kind {
            Kind::Word => words::keyword(self.slice(self.token.span)),
            _ => None,
        }
    }

    pub(super) fn slice(&self, span: Span) -> &'a str {
        &self.text[span.start as usize..span.end as usize]
    }

    /// Everything from `start` to the end of the last token taken.
    pub(super) fn span_from(&self, start: u32) -> Span {
        Span { start, end: self.prev_end.max(start) }
    }

    pub(super) fn expect(&mut self, punct: Punct, context: &str, expected: &str) -> Parsed<Token> {
        if self.at(punct) { self.advance() } else { Err(self.unexpected(context, expected)) }
    }

    pub(super) fn expect_end(&self, expected: &str) -> Parsed<()> {
        match self.token.kind {
            Kind::End => Ok(()),
            _ => Err(self.unexpected("", expected)),
        }
    }

    /// Says that the token at hand cannot stand here. What is missing at the end is missing right
    /// behind the last token, not behind the blanks and comments that follow it.
    pub(super) fn unexpected(&self, context: &str, expected: &str) -> Box<ParseError> {
        let found = self.describe(self.token);
        let place = if context.is_empty() { String::new() } else { format!(" in {context}") };
        let span = match self.token.kind {
            Kind::End => Span { start: self.prev_end, end: self.prev_end },
            _ => self.token.span,
        };
        self.syntax(span, format!("unexpected {found}{place}, expected {expected}"))
    }

    fn describe(&self, token: Token) -> String {
        let text = self.slice(token.span);
        let mut quoted: String = text.chars().take(MAX_QUOTED_CHARS).collect();
        if quoted.len() < text.len() {
            quoted.push('…');
        }
        match token.kind {
            Kind::End => "end of input".to_owned(),
            Kind::Word if words::keyword(text).is_some() => format!("keyword {quoted:?}"),
            Kind::Word => format!("identifier {quoted:?}"),
            Kind::Number => format!("number {quoted:?}"),
            Kind::Duration => format!("duration {quoted:?}"),
            Kind::String => format!("string {quoted}"),
            Kind::Punct(_) => format!("{quoted:?}"),
        }
    }

    pub(super) fn syntax(&self, span: Span, message: impl Into<String>) -> Box<ParseError> {
        self.error(span, Reason::Syntax(message.into()))
    }

    pub(super) fn meaning(&self, span: Span, message: impl Into<String>) -> Box<ParseError> {
        self.error(span, Reason::Meaning(message.into()))
    }

    pub(super) fn error(&self, span: Span, reason: Reason) -> Box<ParseError> {
        Box::new(ParseError::new(self.text, span, reason))
    }

    /// A matcher, as long as the query's expressions do not cost too much in sum. Equal expressions are
    /// compiled once.
    pub(super) fn matcher_of(
        &mut self,
        name: String,
        op: MatchOp,
        value: String,
        span: Span,
    ) -> Parsed<Matcher> {
        if let (MatchOp::Regex | MatchOp::NotRegex, Some(Err(ended))) =
            (op, self.budget.map(QueryBudget::check))
        {
            return Err(self.error(span, Reason::Ended(ended.to_string())));
        }
        self.regexes.matcher(name, op, value).map_err(|refused| match refused {
            MatcherRefused::Regex(e) => self.meaning(span, e.to_string()),
            MatcherRefused::Limit { what, max } => {
                self.error(span, Reason::Limit { limit: TextLimit::Regexes, what, max })
            }
        })
    }

    /// Begins a rule that may hold itself, as long as the stack is sure to suffice. A failed parse is
    /// over, so only a rule that succeeds needs to say that it ended.
    pub(super) fn enter(&mut self) -> Parsed<()> {
        if self.nesting == MAX_NESTING {
            let (limit, what) = (TextLimit::Nesting, "levels of nesting");
            let reason = Reason::Limit { limit, what, max: MAX_NESTING };
            return Err(self.error(self.token.span, reason));
        }
        self.nesting += 1;
        Ok(())
    }

    /// Ends what `enter` began.
    pub(super) fn leave(&mut self) {
        self.nesting -= 1;
    }

    pub(super) fn leaf(&self, kind: ExprKind, value_type: ValueType, span: Span) -> Node {
        Node { expr: Box::new(Expr { kind, span }), value_type, depth: 1 }
    }

    /// A part of the tree above others, the deepest of which has the depth `below`.
    pub(super) fn branch(
        &self,
        kind: ExprKind,
        value_type: ValueType,
        span: Span,
        below: usize,
    ) -> Parsed<Node> {
        if below >= MAX_DEPTH {
            let (limit, what) = (TextLimit::Depth, "operators in a chain");
            let reason = Reason::Limit { limit, what, max: MAX_DEPTH };
            return Err(self.error(span, reason));
        }
        Ok(Node { expr: Box::new(Expr { kind, span }), value_type, depth: below + 1 })
    }
}
