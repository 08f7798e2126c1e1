//! The rules of lengths of time: literals, and arithmetic between them in brackets and behind `offset`.

use super::{
    Reason, TextLimit,
    lexer::{Kind, Punct},
    parser::{Parsed, Parser},
};
use crate::ast::{DurationExpr, DurationOp, Length, Span, of_seconds};
use skopos_model::DurationMs;
use std::sync::Arc;

/// How deep the arithmetic of one length may be. It bounds the stack of everybody who walks over it.
const MAX_DEPTH: usize = 64;
const LOWEST: u8 = 1;
const POWER: u8 = 3;

/// Where a length stands, and what is expected there.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) context: &'static str,
    pub(super) expected: &'static str,
}

/// A part of the arithmetic.
struct Part {
    expr: DurationExpr,
    span: Span,
    /// The longest way down to a leaf; 1 for a leaf.
    depth: usize,
}

/// The words that mean something between lengths of time, in any case.
#[derive(Clone, Copy)]
enum Word {
    Step,
    Range,
    MinOf,
    MaxOf,
}

fn precedence(op: DurationOp) -> u8 {
    match op {
        DurationOp::Add | DurationOp::Sub => LOWEST,
        DurationOp::Mul | DurationOp::Div | DurationOp::Mod => 2,
        DurationOp::Pow => POWER,
    }
}

impl Parser<'_> {
    /// A length that must be positive, with any arithmetic.
    pub(super) fn positive_length(&mut self, place: Place) -> Parsed<Length> {
        let part = self.duration_binary(LOWEST, place)?;
        let span = part.span;
        let length = self.length_of(part)?;
        match &length {
            Length::Fixed(d) if *d <= DurationMs::ZERO => {
                let message = "duration must be greater than 0 and at least a millisecond";
                Err(self.meaning(span, message))
            }
            _ => Ok(length),
        }
    }

    /// What stands behind `offset`. A literal, a call or what a sign stands before is all of it, for
    /// operators behind that are the expression's own; only behind parentheses arithmetic goes on.
    pub(super) fn offset_length(&mut self, place: Place) -> Parsed<Length> {
        let signed = self.at(Punct::Sub) || self.at(Punct::Add);
        let part = match self.token.kind {
            Kind::Punct(Punct::LeftParen) => self.duration_binary(LOWEST, place)?,
            _ if signed => self.signs_and_primary(place)?,
            _ => self.duration_primary(place)?,
        };
        self.length_of(part)
    }

    /// Any signs before a literal, a call or something in parentheses.
    fn signs_and_primary(&mut self, place: Place) -> Parsed<Part> {
        if !self.at(Punct::Add) && !self.at(Punct::Sub) {
            return self.duration_primary(place);
        }
        self.enter()?;
        let sign = self.advance()?;
        let negative = self.slice(sign.span) == "-";
        let operand = self.signs_and_primary(place)?;
        self.leave();
        self.signed_duration(negative, sign.span.start, operand)
    }

    /// A literal is a fixed length, whatever signs and parentheses it has.
    fn length_of(&self, part: Part) -> Parsed<Length> {
        match part.expr.literal() {
            Some(v) => of_seconds(v).map(Length::Fixed).ok_or_else(|| self.duration_out_of_range(part.span)),
            None => Ok(Length::Computed(Arc::new(part.expr))),
        }
    }

    /// Operators of at least the precedence `min` and their sides.
    fn duration_binary(&mut self, min: u8, place: Place) -> Parsed<Part> {
        self.enter()?;
        let mut lhs = self.duration_unary(place)?;
        while let Some(op) = self.duration_op()
            && precedence(op) >= min
        {
            let sign = self.advance()?.span;
            self.allow_duration_expression(lhs.span)?;
            let rhs = self.duration_binary(precedence(op) + u8::from(op != DurationOp::Pow), place)?;
            if rhs.expr.literal() == Some(0.0) {
                match op {
                    DurationOp::Div => return Err(self.meaning(sign, "division by zero")),
                    DurationOp::Mod => return Err(self.meaning(sign, "modulo by zero")),
                    _ => {}
                }
            }
            let span = Span { start: lhs.span.start, end: rhs.span.end };
            let below = lhs.depth.max(rhs.depth);
            let expr = DurationExpr::Binary(op, Box::new(lhs.expr), Box::new(rhs.expr));
            lhs = self.duration_above(expr, span, below)?;
        }
        self.leave();
        Ok(lhs)
    }

    fn duration_op(&self) -> Option<DurationOp> {
        Some(match self.token.kind {
            Kind::Punct(Punct::Add) => DurationOp::Add,
            Kind::Punct(Punct::Sub) => DurationOp::Sub,
            Kind::Punct(Punct::Mul) => DurationOp::Mul,
            Kind::Punct(Punct::Div) => DurationOp::Div,
            Kind::Punct(Punct::Mod) => DurationOp::Mod,
            Kind::Punct(Punct::Pow) => DurationOp::Pow,
            _ => return None,
        })
    }

    fn duration_unary(&mut self, place: Place) -> Parsed<Part> {
        if !self.at(Punct::Add) && !self.at(Punct::Sub) {
            return self.duration_primary(place);
        }
        let sign = self.advance()?;
        let negative = self.slice(sign.span) == "-";
        let operand = self.duration_binary(POWER, place)?;
        self.signed_duration(negative, sign.span.start, operand)
    }

    fn signed_duration(&mut self, negative: bool, start: u32, operand: Part) -> Parsed<Part> {
        let span = Span { start, end: operand.span.end };
        let expr = match operand.expr {
            expr if !negative => expr,
            DurationExpr::Number(v) => DurationExpr::Number(-v),
            DurationExpr::Duration(d) => DurationExpr::Duration(DurationMs::from_ms(-d.as_ms())),
            expr => return self.duration_above(DurationExpr::Negate(Box::new(expr)), span, operand.depth),
        };
        Ok(Part { expr, span, depth: operand.depth })
    }

    /// A literal, a call or something in parentheses.
    fn duration_primary(&mut self, place: Place) -> Parsed<Part> {
        let start = self.token.span.start;
        if self.at(Punct::LeftParen) {
            self.advance()?;
            let inner = self.duration_binary(LOWEST, place)?;
            self.expect(Punct::RightParen, place.context, "an operator or \")\"")?;
            self.allow_duration_expression(inner.span)?;
            let expr = DurationExpr::Paren(Box::new(inner.expr));
            return self.duration_above(expr, self.span_from(start), inner.depth);
        }
        let expr = match self.token.kind {
            Kind::Number => DurationExpr::Number(self.number()?),
            Kind::Duration => {
                let v = self.number()?;
                let out_of_range = || self.duration_out_of_range(self.span_from(start));
                DurationExpr::Duration(of_seconds(v).ok_or_else(out_of_range)?)
            }
            Kind::Word => match self.duration_word() {
                Some(word) => return self.duration_call(word, place),
                None => return Err(self.unexpected(place.context, place.expected)),
            },
            _ => return Err(self.unexpected(place.context, place.expected)),
        };
        Ok(Part { expr, span: self.span_from(start), depth: 1 })
    }

    fn duration_word(&self) -> Option<Word> {
        let word = self.slice(self.token.span);
        let is = |name: &str| word.eq_ignore_ascii_case(name);
        Some(match () {
            () if is("step") => Word::Step,
            () if is("range") => Word::Range,
            () if is("min_of") => Word::MinOf,
            () if is("max_of") => Word::MaxOf,
            () => return None,
        })
    }

    fn duration_call(&mut self, word: Word, place: Place) -> Parsed<Part> {
        let start = self.advance()?.span.start;
        self.expect(Punct::LeftParen, place.context, "\"(\"")?;
        if let Word::Step | Word::Range = word {
            self.expect(Punct::RightParen, place.context, "\")\"")?;
            let span = self.span_from(start);
            self.allow_duration_expression(span)?;
            let expr = if let Word::Step = word { DurationExpr::Step } else { DurationExpr::Range };
            return Ok(Part { expr, span, depth: 1 });
        }
        let a = self.duration_binary(LOWEST, place)?;
        self.expect(Punct::Comma, place.context, "an operator or \",\"")?;
        let b = self.duration_binary(LOWEST, place)?;
        self.expect(Punct::RightParen, place.context, "an operator or \")\"")?;
        let span = self.span_from(start);
        self.allow_duration_expression(span)?;
        let (below, a, b) = (a.depth.max(b.depth), Box::new(a.expr), Box::new(b.expr));
        let expr = if let Word::MinOf = word { DurationExpr::MinOf(a, b) } else { DurationExpr::MaxOf(a, b) };
        self.duration_above(expr, span, below)
    }

    fn duration_above(&self, expr: DurationExpr, span: Span, below: usize) -> Parsed<Part> {
        if below >= MAX_DEPTH {
            let (limit, what) = (TextLimit::Depth, "operators in a duration");
            let reason = Reason::Limit { limit, what, max: MAX_DEPTH };
            return Err(self.error(span, reason));
        }
        Ok(Part { expr, span, depth: below + 1 })
    }

    fn allow_duration_expression(&self, span: Span) -> Parsed<()> {
        if self.options.duration_expressions {
            return Ok(());
        }
        Err(self.meaning(
            span,
            "experimental duration expression is not enabled: it must be enabled with \
             --enable-feature=promql-duration-expr",
        ))
    }
}
