//! The rules of selectors and of what stands behind an expression: `offset`, `@`, ranges and
//! subqueries.

use super::{
    MAX_MATCHERS, Reason, TextLimit,
    duration::Place,
    lexer::{Kind, Punct},
    parser::{Node, Parsed, Parser},
    words::Keyword,
};
use crate::ast::{
    At, Edges, ExprKind, Length, NamePlace, RangeSelector, Selector, Shift, Span, Subquery, TextOrder,
    ValueType,
};
use skopos_model::{MatchOp, Matcher, TimestampMs, name::METRIC_NAME};

const IN_MATCHERS: &str = "label matching";
const RANGE: Place = Place { context: "a range", expected: "a duration such as 5m" };
const STEP: Place = Place { context: "a subquery's step", expected: "a duration such as 1m or \"]\"" };
const OFFSET: Place = Place { context: "offset", expected: "a duration such as 5m or -5m" };

impl Parser<'_> {
    /// Something and what stands behind it.
    pub(super) fn postfix(&mut self) -> Parsed<Node> {
        let mut node = self.primary()?;
        loop {
            if self.at(Punct::LeftBracket) {
                node = self.range_or_subquery(node)?;
            } else if self.at(Punct::At) {
                self.at_modifier(&mut node)?;
            } else if self.keyword() == Some(Keyword::Offset) {
                self.offset_modifier(&mut node)?;
            } else if let Some(Keyword::Anchored | Keyword::Smoothed) = self.keyword() {
                self.edges_modifier(&mut node)?;
            } else {
                return Ok(node);
            }
        }
    }

    /// A selector and nothing else, as in `match[]`.
    pub(super) fn lone_selector(&mut self) -> Parsed<Selector> {
        let may_name = self.keyword().is_none_or(Keyword::may_name_metric);
        let node = match self.token.kind {
            Kind::Word if may_name => {
                let name = self.advance()?;
                self.named_selector(name.span)?
            }
            Kind::Punct(Punct::LeftBrace) => self.vector_selector()?,
            _ => return Err(self.unexpected("", "a metric name or \"{\"")),
        };
        match node.expr.kind {
            ExprKind::Selector(selector) => Ok(selector),
            _ => unreachable!("invariant: the rules of selectors make nothing else"),
        }
    }

    /// `{…}` without a name before it.
    pub(super) fn vector_selector(&mut self) -> Parsed<Node> {
        let start = self.token.span.start;
        let (matchers, order) = self.matchers()?;
        let span = self.span_from(start);
        let may_be_empty = self.any_selector_at == Some(start);
        if !may_be_empty && matchers.iter().all(Matcher::matches_empty) {
            let message = "vector selector must contain at least one non-empty matcher: name a metric, or \
                           a label with a value";
            return Err(self.meaning(span, message));
        }
        Ok(self.selector(matchers, order, NamePlace::Within, span))
    }

    /// A metric's name that was just taken, and `{…}` if it follows.
    pub(super) fn named_selector(&mut self, name: Span) -> Parsed<Node> {
        let (mut matchers, mut order) =
            if self.at(Punct::LeftBrace) { self.matchers()? } else { Default::default() };
        let span = self.span_from(name.start);
        let name = self.slice(name);
        if let Some(twice) = matchers.iter().find(|m| m.name() == METRIC_NAME) {
            let message = format!("metric name must not be set twice: {name:?} or {:?}", twice.value());
            return Err(self.meaning(span, message));
        }
        matchers.insert(0, Matcher::equal(METRIC_NAME, name));
        order.iter_mut().for_each(|place| *place += 1);
        order.insert(0, 0);
        Ok(self.selector(matchers, order, NamePlace::Before, span))
    }

    fn selector(&self, matchers: Vec<Matcher>, order: Vec<u16>, name: NamePlace, span: Span) -> Node {
        let (order, shift) = (TextOrder::new(order), Shift::default());
        let selector = Selector { matchers, order, name, shift, edges: Edges::default() };
        self.leaf(ExprKind::Selector(selector), ValueType::InstantVector, span)
    }

    /// `{…}`, in the order in which the printer writes them, with the place of each as the text has them.
    fn matchers(&mut self) -> Parsed<(Vec<Matcher>, Vec<u16>)> {
        self.advance()?;
        let mut matchers = Vec::new();
        while !self.at(Punct::RightBrace) {
            if matchers.len() == MAX_MATCHERS {
                let (limit, what) = (TextLimit::Matchers, "conditions of a selector");
                let reason = Reason::Limit { limit, what, max: MAX_MATCHERS };
                return Err(self.error(self.token.span, reason));
            }
            matchers.push(self.matcher()?);
            if !self.eat(Punct::Comma)? && !self.at(Punct::RightBrace) {
                return Err(self.unexpected(IN_MATCHERS, "\",\" or \"}\""));
            }
        }
        self.advance()?;
        Ok(crate::printer::sorted_matchers(matchers))
    }

    fn matcher(&mut self) -> Parsed<Matcher> {
        let start = self.token.span.start;
        let name = match self.token.kind {
            Kind::Word if !self.slice(self.token.span).contains(':') => {
                let token = self.advance()?;
                self.slice(token.span).to_owned()
            }
            Kind::String => {
                let name = self.string()?;
                if self.at(Punct::Comma) || self.at(Punct::RightBrace) {
                    return Ok(Matcher::equal(METRIC_NAME, name));
                }
                name
            }
            _ => return Err(self.unexpected(IN_MATCHERS, "a label name, a quoted name or \"}\"")),
        };
        let op = match self.token.kind {
            Kind::Punct(Punct::Assign) => MatchOp::Equal,
            Kind::Punct(Punct::NotEqual) => MatchOp::NotEqual,
            Kind::Punct(Punct::RegexMatch) => MatchOp::Regex,
            Kind::Punct(Punct::RegexNotMatch) => MatchOp::NotRegex,
            _ => {
                return Err(self.unexpected(IN_MATCHERS, "a label matching operator: =, !=, =~ or !~"));
            }
        };
        self.advance()?;
        if self.token.kind != Kind::String {
            return Err(self.unexpected(IN_MATCHERS, "a string"));
        }
        let value = self.string()?;
        self.matcher_of(name, op, value, self.span_from(start))
    }

    fn range_or_subquery(&mut self, node: Node) -> Parsed<Node> {
        self.set_in_brackets(true);
        let open = self.advance()?.span;
        let range = self.positive_length(RANGE)?;
        let is_subquery = self.eat(Punct::Colon)?;
        let step = match is_subquery && !self.at(Punct::RightBracket) {
            true => Some(self.positive_length(STEP)?),
            false => None,
        };
        if !self.at(Punct::RightBracket) {
            let expected = if is_subquery { "\"]\"" } else { "\":\" or \"]\"" };
            return Err(self.unexpected("a range or subquery", expected));
        }
        self.set_in_brackets(false);
        self.advance()?;
        let span = self.span_from(node.expr.span.start);
        if is_subquery {
            return self.subquery(node, range, step, span);
        }
        let brackets = self.span_from(open.start);
        let ExprKind::Selector(selector) = node.expr.kind else {
            let message = "ranges only allowed for vector selectors: write [5m:] for a subquery";
            return Err(self.meaning(brackets, message));
        };
        if selector.shift.offset != Length::ZERO {
            let message = "no offset modifiers allowed before range: write the offset behind the range";
            return Err(self.meaning(brackets, message));
        }
        if matches!(selector.shift.at, Some(At::Time(_))) {
            return Err(
                self.meaning(brackets, "no @ modifiers allowed before range: write @ behind the range")
            );
        }
        let kind = ExprKind::Range(RangeSelector { selector, range });
        Ok(self.leaf(kind, ValueType::RangeVector, span))
    }

    fn subquery(&self, node: Node, range: Length, step: Option<Length>, span: Span) -> Parsed<Node> {
        if node.value_type != ValueType::InstantVector {
            let message =
                format!("subquery is only allowed on instant vector, got {} instead", node.value_type);
            return Err(self.meaning(span, message));
        }
        let subquery = Subquery { expr: *node.expr, range, step, shift: Shift::default() };
        self.branch(ExprKind::Subquery(Box::new(subquery)), ValueType::RangeVector, span, node.depth)
    }

    fn offset_modifier(&mut self, node: &mut Node) -> Parsed<()> {
        self.advance()?;
        let length = self.offset_length(OFFSET)?;
        let span = node.expr.span;
        let shift = self.shift(node, "offset")?;
        let twice = shift.offset != Length::ZERO;
        shift.offset = length;
        if twice {
            return Err(self.meaning(span, "offset may not be set multiple times"));
        }
        node.expr.span.end = self.prev_end;
        Ok(())
    }

    fn at_modifier(&mut self, node: &mut Node) -> Parsed<()> {
        self.advance()?;
        let at = self.at_time(node.expr.span)?;
        let span = node.expr.span;
        let shift = self.shift(node, "@")?;
        let twice = shift.at.is_some();
        shift.at = Some(at);
        if twice {
            return Err(self.meaning(span, "@ <timestamp> may not be set multiple times"));
        }
        node.expr.span.end = self.prev_end;
        Ok(())
    }

    fn at_time(&mut self, before: Span) -> Parsed<At> {
        const EXPECTED: &str = "a timestamp in seconds, start() or end()";
        let keyword = self.keyword();
        if let Some(Keyword::Start | Keyword::End) = keyword {
            self.advance()?;
            self.expect(Punct::LeftParen, "@", "\"(\"")?;
            self.expect(Punct::RightParen, "@", "\")\"")?;
            return Ok(if keyword == Some(Keyword::Start) { At::Start } else { At::End });
        }
        let negative = self.at(Punct::Sub);
        if negative || self.at(Punct::Add) {
            self.advance()?;
        }
        if !self.at_number() {
            return Err(self.unexpected("@", EXPECTED));
        }
        let v = self.number()?;
        let v = if negative { -v } else { v };
        if !(v > i64::MIN as f64 && v < i64::MAX as f64) {
            let message = format!("timestamp out of bounds for @ modifier: {v}");
            return Err(self.meaning(Span { end: self.prev_end, ..before }, message));
        }
        // The cast holds what does not fit into milliseconds at the ends of time.
        let ms = (v * 1000.0).round();
        Ok(At::Time(TimestampMs::new(ms as i64)))
    }

    /// `anchored` or `smoothed`.
    fn edges_modifier(&mut self, node: &mut Node) -> Parsed<()> {
        let (edges, word) = match self.keyword() {
            Some(Keyword::Anchored) => (Edges::Anchored, "anchored"),
            _ => (Edges::Smoothed, "smoothed"),
        };
        self.advance()?;
        let span = node.expr.span;
        if !self.options.extended_range_selectors {
            let message = format!(
                "{word} modifier is experimental and not enabled: it must be enabled with \
                 --enable-feature=promql-extended-range-selectors"
            );
            return Err(self.meaning(span, message));
        }
        let selector = match &mut node.expr.kind {
            ExprKind::Selector(s) => s,
            ExprKind::Range(r) => &mut r.selector,
            ExprKind::Subquery(_) => {
                let message = format!("{word} modifier is not supported for subqueries");
                return Err(self.meaning(span, message));
            }
            _ => {
                let message = format!(
                    "{word} modifier must be preceded by an instant vector selector or range vector selector"
                );
                return Err(self.meaning(span, message));
            }
        };
        if selector.edges != Edges::Sampled && selector.edges != edges {
            let message = "anchored and smoothed modifiers cannot be used together";
            return Err(self.meaning(span, message));
        }
        selector.edges = edges;
        node.expr.span.end = self.prev_end;
        Ok(())
    }

    /// Where the time of what stands before a modifier is kept.
    fn shift<'n>(&self, node: &'n mut Node, modifier: &str) -> Parsed<&'n mut Shift> {
        match &mut node.expr.kind {
            ExprKind::Selector(s) => Ok(&mut s.shift),
            ExprKind::Range(r) => Ok(&mut r.selector.shift),
            ExprKind::Subquery(s) => Ok(&mut s.shift),
            _ => {
                let message = format!(
                    "{modifier} modifier must be preceded by an instant vector selector or range vector \
                     selector or a subquery"
                );
                Err(self.meaning(node.expr.span, message))
            }
        }
    }
}
