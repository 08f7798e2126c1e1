//! The rules of function calls and aggregations, their arguments' types included.

use super::{
    MAX_LIST, Reason, TextLimit,
    lexer::{Kind, Punct},
    parser::{Node, Parsed, Parser},
    words::{self, Keyword},
};
use crate::{
    ast::{Aggregate, AggregateOp, Call, Expr, ExprKind, Grouping, Span, ValueType},
    functions::{self, Function, FunctionId},
};

const IN_LABELS: &str = "grouping opts";

impl Parser<'_> {
    /// A call of the function whose name was just taken.
    pub(super) fn call(&mut self, name: Span) -> Parsed<Node> {
        let text = self.slice(name);
        let Some(function) = functions::find(text) else {
            let known = functions::FUNCTIONS.iter().map(|f| f.name);
            let known = known.chain(AggregateOp::ALL.into_iter().map(AggregateOp::as_str));
            let nearest = words::nearest(text, known);
            let reason = Reason::UnknownFunction { name: text.to_owned(), nearest };
            return Err(self.error(name, reason));
        };
        if function.id.is_experimental() && !self.options.experimental_functions {
            let message = format!(
                "function {text:?} is not enabled: it is experimental and must be enabled with \
                 --enable-feature=promql-experimental-functions"
            );
            return Err(self.meaning(name, message));
        }
        let args = self.arguments(Some(function.id))?;
        let span = self.span_from(name.start);
        self.check_arguments(function, &args, span)?;
        let depth = args.iter().map(|n| n.depth).max().unwrap_or(0);
        let args = args.into_iter().map(|n| *n.expr).collect();
        self.branch(ExprKind::Call(Call { function, args }), function.returns, span, depth)
    }

    fn check_arguments(&self, function: &Function, args: &[Node], span: Span) -> Parsed<()> {
        let (min, max) = function.arity();
        let (got, name) = (args.len(), function.name);
        if got < min || max.is_some_and(|max| got > max) {
            let want = match max {
                Some(max) if max == min => format!("{min}"),
                Some(max) if got > max => format!("at most {max}"),
                _ => format!("at least {min}"),
            };
            return Err(
                self.meaning(span, format!("expected {want} argument(s) in call to {name:?}, got {got}"))
            );
        }
        for (i, arg) in args.iter().enumerate() {
            if let Some(want) = function.arg_type(i) {
                self.expect_type(arg, want, &format!("call to function {name:?}"))?;
            }
        }
        if let (FunctionId::Info, Some(matchers)) = (function.id, args.get(1)) {
            self.expect_matchers(matchers)?;
        }
        Ok(())
    }

    fn expect_type(&self, node: &Node, want: ValueType, place: &str) -> Parsed<()> {
        if node.value_type == want {
            return Ok(());
        }
        let message = format!("expected type {want} in {place}, got {}", node.value_type);
        Err(self.meaning(node.expr.span, message))
    }

    /// The second argument of `info` is no more than matchers between braces.
    fn expect_matchers(&self, node: &Node) -> Parsed<()> {
        let span = node.expr.span;
        let message = match node.expr.kind {
            ExprKind::Selector(_) if self.slice(span).starts_with('{') => return Ok(()),
            ExprKind::Selector(_) => "expected label selectors only, got vector selector instead",
            _ => "expected label selectors only",
        };
        Err(self.meaning(span, message))
    }

    /// `(a, b)`, each an expression; those of `function` if it is one's.
    fn arguments(&mut self, function: Option<FunctionId>) -> Parsed<Vec<Node>> {
        let open = self.advance()?.span;
        let mut args = Vec::new();
        if self.eat(Punct::RightParen)? {
            return Ok(args);
        }
        loop {
            if function == Some(FunctionId::Info) && args.len() == 1 {
                self.any_selector_at = Some(self.token.span.start);
            }
            self.check_list(args.len(), "arguments of a call")?;
            args.push(self.expression()?);
            if !self.at(Punct::Comma) {
                break;
            }
            let comma = self.advance()?.span;
            if self.at(Punct::RightParen) {
                return Err(self.syntax(comma, "trailing commas not allowed in function call args"));
            }
        }
        self.close_paren(open, "a binary operator, \",\" or \")\"")?;
        Ok(args)
    }

    /// An aggregation whose operator was just taken. Its clause stands before or behind its arguments.
    pub(super) fn aggregation(&mut self, op: AggregateOp, name: Span) -> Parsed<Node> {
        let mut grouping = self.grouping()?;
        if !self.at(Punct::LeftParen) {
            return Err(self.unexpected("aggregation", "\"(\""));
        }
        let mut args = self.arguments(None)?;
        if grouping.is_none() {
            grouping = self.grouping()?;
        }
        let span = self.span_from(name.start);
        if op.is_experimental() && !self.options.experimental_functions {
            let message = format!(
                "{}() is experimental and must be enabled with \
                 --enable-feature=promql-experimental-functions",
                op.as_str()
            );
            return Err(self.meaning(span, message));
        }
        let want = 1 + usize::from(op.param_type().is_some());
        if args.is_empty() {
            return Err(self.meaning(span, "no arguments for aggregate expression provided"));
        }
        if args.len() != want {
            let got = args.len();
            let message = format!(
                "wrong number of arguments for aggregate expression provided, expected {want}, got {got}"
            );
            return Err(self.meaning(span, message));
        }
        let depth = args.iter().map(|n| n.depth).max().unwrap_or(0);
        let inner = args.pop().expect("invariant: there is at least one argument");
        self.expect_type(&inner, ValueType::InstantVector, "aggregation expression")?;
        let param: Option<Expr> = match (args.pop(), op.param_type()) {
            (Some(param), Some(want)) => {
                self.expect_type(&param, want, "aggregation parameter")?;
                Some(*param.expr)
            }
            _ => None,
        };
        let grouping = grouping.unwrap_or_else(|| Grouping::By(Vec::new()));
        let aggregate = Aggregate { op, grouping, param, expr: *inner.expr };
        self.branch(ExprKind::Aggregate(Box::new(aggregate)), ValueType::InstantVector, span, depth)
    }

    fn grouping(&mut self) -> Parsed<Option<Grouping>> {
        let make: fn(Vec<String>) -> Grouping = match self.keyword() {
            Some(Keyword::By) => Grouping::By,
            Some(Keyword::Without) => Grouping::Without,
            _ => return Ok(None),
        };
        self.advance()?;
        Ok(Some(make(self.grouping_labels()?)))
    }

    /// `(a, b,)`, each a label's name.
    pub(super) fn grouping_labels(&mut self) -> Parsed<Vec<String>> {
        self.expect(Punct::LeftParen, IN_LABELS, "\"(\"")?;
        let mut labels = Vec::new();
        while !self.at(Punct::RightParen) {
            self.check_list(labels.len(), "labels of a grouping or matching")?;
            labels.push(self.grouping_label()?);
            if !self.eat(Punct::Comma)? && !self.at(Punct::RightParen) {
                return Err(self.unexpected(IN_LABELS, "\",\" or \")\""));
            }
        }
        self.advance()?;
        Ok(labels)
    }

    /// Whether a list of `len` may have one more.
    fn check_list(&self, len: usize, what: &'static str) -> Parsed<()> {
        if len == MAX_LIST {
            let reason = Reason::Limit { limit: TextLimit::List, what, max: MAX_LIST };
            return Err(self.error(self.token.span, reason));
        }
        Ok(())
    }

    fn grouping_label(&mut self) -> Parsed<String> {
        let span = self.token.span;
        match self.token.kind {
            Kind::Word if words::is_bare_grouping_label(self.slice(span)) => {
                self.advance()?;
                Ok(self.slice(span).to_owned())
            }
            Kind::String => {
                let label = self.string()?;
                match label.is_empty() {
                    true => Err(self.meaning(span, "invalid label name for grouping: \"\"")),
                    false => Ok(label),
                }
            }
            _ => Err(self.unexpected(IN_LABELS, "a label name")),
        }
    }
}
