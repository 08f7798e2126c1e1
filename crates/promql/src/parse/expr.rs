//! The rules of operators, parentheses and literals. Owns the operators' precedence.

use super::{
    ParseError,
    lexer::{Kind, Punct},
    literal,
    parser::{Node, Parsed, Parser},
    words::Keyword,
};
use crate::ast::{BinaryOp, Cardinality, ExprKind, Fill, MatchOn, Matching, Span, ValueType, of_seconds};
use skopos_model::DurationMs;

/// How strongly the operator binds its sides; `^` is the strongest.
pub(super) fn precedence(op: BinaryOp) -> u8 {
    match op {
        BinaryOp::Or => 1,
        BinaryOp::And | BinaryOp::Unless => 2,
        _ if op.is_comparison() || op.is_trim() => 3,
        BinaryOp::Add | BinaryOp::Sub => 4,
        BinaryOp::Pow => POWER,
        _ => 5,
    }
}

const LOWEST: u8 = 1;
const POWER: u8 = 6;

/// The modifiers between a binary operator and its right side.
pub(super) struct Modifiers {
    pub(super) return_bool: bool,
    pub(super) matching: Matching,
    /// From the operator to the last modifier.
    pub(super) span: Span,
}

impl Parser<'_> {
    /// A whole expression.
    pub(super) fn expression(&mut self) -> Parsed<Node> {
        self.binary(LOWEST)
    }

    /// Operators of at least the precedence `min` and their sides. A chain of equal precedence is a
    /// loop; only what stands right of an operator goes down the stack.
    fn binary(&mut self, min: u8) -> Parsed<Node> {
        self.enter()?;
        let mut lhs = self.unary()?;
        while let Some(op) = self.binary_op()
            && precedence(op) >= min
        {
            let start = self.advance()?.span.start;
            let modifiers = self.modifiers(start)?;
            // `^` alone groups from the right.
            let rhs = self.binary(precedence(op) + u8::from(op != BinaryOp::Pow))?;
            lhs = self.checked_binary(op, modifiers, lhs, rhs)?;
        }
        self.leave();
        Ok(lhs)
    }

    fn binary_op(&self) -> Option<BinaryOp> {
        let Kind::Punct(punct) = self.token.kind else {
            return match self.keyword() {
                Some(Keyword::Operator(op)) => Some(op),
                _ => None,
            };
        };
        Some(match punct {
            Punct::Add => BinaryOp::Add,
            Punct::Sub => BinaryOp::Sub,
            Punct::Mul => BinaryOp::Mul,
            Punct::Div => BinaryOp::Div,
            Punct::Mod => BinaryOp::Mod,
            Punct::Pow => BinaryOp::Pow,
            Punct::Equal => BinaryOp::Eq,
            Punct::NotEqual => BinaryOp::Ne,
            Punct::Less => BinaryOp::Lt,
            Punct::LessEqual => BinaryOp::Le,
            Punct::Greater => BinaryOp::Gt,
            Punct::GreaterEqual => BinaryOp::Ge,
            Punct::TrimUpper => BinaryOp::TrimUpper,
            Punct::TrimLower => BinaryOp::TrimLower,
            _ => return None,
        })
    }

    /// `bool`, then `on` or `ignoring`, then `group_left` or `group_right`, then `fill` or its halves.
    fn modifiers(&mut self, start: u32) -> Parsed<Modifiers> {
        let return_bool = self.keyword() == Some(Keyword::Bool);
        if return_bool {
            self.advance()?;
        }
        let mut matching = Matching {
            cardinality: Cardinality::OneToOne,
            on: MatchOn::Ignoring(Vec::new()),
            include: Vec::new(),
            fill: Fill::default(),
        };
        let word = self.keyword();
        if let Some(Keyword::On | Keyword::Ignoring) = word {
            self.advance()?;
            let labels = self.grouping_labels()?;
            let on = word == Some(Keyword::On);
            matching.on = if on { MatchOn::On(labels) } else { MatchOn::Ignoring(labels) };
            matching.cardinality = match self.keyword() {
                Some(Keyword::GroupLeft) => Cardinality::ManyToOne,
                Some(Keyword::GroupRight) => Cardinality::OneToMany,
                _ => Cardinality::OneToOne,
            };
            if matching.cardinality != Cardinality::OneToOne {
                self.advance()?;
                if self.at(Punct::LeftParen) {
                    matching.include = self.grouping_labels()?;
                }
            }
        }
        self.fill_modifiers(&mut matching.fill)?;
        Ok(Modifiers { return_bool, matching, span: self.span_from(start) })
    }

    /// `fill(0)`, or `fill_left(0)` and `fill_right(0)` in any order. Without a parenthesis behind it the
    /// word is a metric's name.
    fn fill_modifiers(&mut self, fill: &mut Fill) -> Parsed<()> {
        while self.is_next(Punct::LeftParen) {
            let start = self.token.span.start;
            let (left, right) = match self.keyword() {
                Some(Keyword::Fill) if fill.is_none() => (true, true),
                Some(Keyword::FillLeft) if fill.left.is_none() => (true, false),
                Some(Keyword::FillRight) if fill.right.is_none() => (false, true),
                _ => return Ok(()),
            };
            self.advance()?;
            let value = self.fill_value()?;
            if !self.options.fill_modifiers {
                let message = "binop fill modifiers are experimental and not enabled: they must be enabled \
                               with --enable-feature=promql-binop-fill-modifiers";
                return Err(self.meaning(self.span_from(start), message));
            }
            fill.left = if left { Some(value) } else { fill.left };
            fill.right = if right { Some(value) } else { fill.right };
        }
        Ok(())
    }

    /// `(0)`: a number or duration with at most one sign.
    fn fill_value(&mut self) -> Parsed<f64> {
        const IN_FILL: &str = "a fill modifier";
        self.expect(Punct::LeftParen, IN_FILL, "\"(\"")?;
        let negative = self.at(Punct::Sub);
        if negative || self.at(Punct::Add) {
            self.advance()?;
        }
        if !self.at_number() {
            return Err(self.unexpected(IN_FILL, "a number"));
        }
        let v = self.number()?;
        self.expect(Punct::RightParen, IN_FILL, "\")\"")?;
        Ok(if negative { -v } else { v })
    }

    /// Whether the token at hand is a number or a duration.
    pub(super) fn at_number(&self) -> bool {
        matches!(self.token.kind, Kind::Number | Kind::Duration)
            || matches!(self.keyword(), Some(Keyword::Inf | Keyword::Nan))
    }

    /// Signs, which bind as strongly as `*`, and what they stand before.
    fn unary(&mut self) -> Parsed<Node> {
        if !self.at(Punct::Add) && !self.at(Punct::Sub) {
            return self.postfix();
        }
        let mut signs = Vec::new();
        while self.at(Punct::Add) || self.at(Punct::Sub) {
            let negative = self.at(Punct::Sub);
            signs.push((negative, self.advance()?.span.start));
        }
        let mut node = self.binary(POWER)?;
        for (negative, start) in signs.into_iter().rev() {
            node = self.signed(negative, start, node)?;
        }
        Ok(node)
    }

    fn signed(&mut self, negative: bool, start: u32, mut node: Node) -> Parsed<Node> {
        let span = Span { start, end: node.expr.span.end };
        if !matches!(node.value_type, ValueType::Scalar | ValueType::InstantVector) {
            let message = format!(
                "unary expression only allowed on expressions of type scalar or instant vector, got {}",
                node.value_type
            );
            return Err(self.meaning(span, message));
        }
        if let ExprKind::Number(v) | ExprKind::Duration(v) = &mut node.expr.kind {
            *v = if negative { -*v } else { *v };
            node.expr.span = span;
            return Ok(node);
        }
        let (value_type, depth) = (node.value_type, node.depth);
        let kind = if negative { ExprKind::Negate(node.expr) } else { ExprKind::Plus(node.expr) };
        self.branch(kind, value_type, span, depth)
    }

    /// What stands between operators, without `offset`, `@` and ranges behind it.
    pub(super) fn primary(&mut self) -> Parsed<Node> {
        let span = self.token.span;
        match self.token.kind {
            Kind::Number | Kind::Duration => {
                let is_duration = self.token.kind == Kind::Duration;
                let v = self.number()?;
                let kind = if is_duration { ExprKind::Duration(v) } else { ExprKind::Number(v) };
                Ok(self.leaf(kind, ValueType::Scalar, span))
            }
            Kind::String => {
                let kind = match String::from_utf8(self.string_bytes()?) {
                    Ok(text) => ExprKind::String(text.into()),
                    Err(e) => ExprKind::Bytes(e.into_bytes().into()),
                };
                Ok(self.leaf(kind, ValueType::String, span))
            }
            Kind::Punct(Punct::LeftParen) => self.paren(),
            Kind::Punct(Punct::LeftBrace) => self.vector_selector(),
            Kind::Word => self.word(),
            Kind::End if self.prev_end == 0 => {
                let message = "no expression found in input, expected such as up or rate(up[5m])";
                Err(self.syntax(Span::default(), message))
            }
            Kind::Punct(_) | Kind::End => Err(self.unexpected("", "an expression")),
        }
    }

    fn paren(&mut self) -> Parsed<Node> {
        let open = self.advance()?.span;
        let node = self.expression()?;
        self.close_paren(open, "a binary operator or \")\"")?;
        let span = self.span_from(open.start);
        self.branch(ExprKind::Paren(node.expr), node.value_type, span, node.depth)
    }

    /// The parenthesis that closes the one at `open`.
    pub(super) fn close_paren(&mut self, open: Span, expected: &str) -> Parsed<()> {
        if self.eat(Punct::RightParen)? {
            return Ok(());
        }
        let mut error = self.unexpected("", expected);
        if self.token.kind == Kind::End {
            let at = self.error(open, error.reason.clone());
            let message = format!("unclosed left parenthesis of {}:{}: {}", at.line, at.column, error.reason);
            error = self.syntax(error.span, message);
        }
        Err(error)
    }

    /// A word: a number, an aggregation, a function call or a metric's name.
    fn word(&mut self) -> Parsed<Node> {
        let span = self.token.span;
        let keyword = self.keyword();
        if let Some(Keyword::Inf | Keyword::Nan) = keyword {
            let v = self.number()?;
            return Ok(self.leaf(ExprKind::Number(v), ValueType::Scalar, span));
        }
        if keyword.is_some_and(|k| !k.may_name_metric()) {
            return Err(self.unexpected("", "an expression"));
        }
        let name = self.advance()?;
        let next = self.keyword();
        match keyword {
            Some(Keyword::Aggregate(op))
                if self.at(Punct::LeftParen) || matches!(next, Some(Keyword::By | Keyword::Without)) =>
            {
                self.aggregation(op, name.span)
            }
            None | Some(Keyword::Start | Keyword::End)
                if self.at(Punct::LeftParen) && !self.slice(span).contains(':') =>
            {
                self.call(name.span)
            }
            _ => self.named_selector(name.span),
        }
    }

    /// The number or duration at hand, in seconds if it is a duration.
    pub(super) fn number(&mut self) -> Parsed<f64> {
        let token = self.advance()?;
        let text = self.slice(token.span);
        if token.kind == Kind::Duration {
            let d = DurationMs::parse(text).map_err(|e| self.syntax(token.span, e.to_string()))?;
            // One that does not fit is refused as a number of seconds too.
            let fits = of_seconds(d.as_secs_f64()).is_some();
            return if fits { Ok(d.as_secs_f64()) } else { Err(self.duration_out_of_range(token.span)) };
        }
        literal::number(text).map_err(|e| self.syntax(token.span, e.message(text)))
    }

    pub(super) fn duration_out_of_range(&self, span: Span) -> Box<ParseError> {
        self.meaning(span, "duration out of range: the largest is 292y")
    }

    /// The string at hand.
    pub(super) fn string(&mut self) -> Parsed<String> {
        let token = self.advance()?;
        literal::string(self.slice(token.span)).map_err(|e| self.bad_string(token.span, e))
    }

    /// The string at hand, which need not be text.
    fn string_bytes(&mut self) -> Parsed<Vec<u8>> {
        let token = self.advance()?;
        literal::bytes(self.slice(token.span)).map_err(|e| self.bad_string(token.span, e))
    }

    fn bad_string(&self, at: Span, e: literal::StringError) -> Box<ParseError> {
        let start = at.start + e.offset as u32;
        self.syntax(Span { start, end: start + e.len as u32 }, e.message)
    }
}
