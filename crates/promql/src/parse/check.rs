//! What binary operators demand of their sides and modifiers. Takes no tokens.

use super::{
    expr::Modifiers,
    parser::{Node, Parsed, Parser},
};
use crate::ast::{Binary, BinaryOp, Cardinality, ExprKind, MatchOn, Matching, Span, ValueType};

/// The sides of an operator.
#[derive(Clone, Copy)]
struct Sides {
    /// Where both stand, with the operator.
    whole: Span,
    /// How many of them are scalars.
    scalars: usize,
}

impl Parser<'_> {
    /// The operator over both sides, if they fit.
    pub(super) fn checked_binary(
        &self,
        op: BinaryOp,
        modifiers: Modifiers,
        lhs: Node,
        rhs: Node,
    ) -> Parsed<Node> {
        let span = Span { start: lhs.expr.span.start, end: rhs.expr.span.end };
        let scalars = [&lhs, &rhs].into_iter().filter(|n| n.value_type == ValueType::Scalar).count();
        if modifiers.return_bool && !op.is_comparison() {
            return Err(
                self.meaning(modifiers.span, "bool modifier can only be used on comparison operators")
            );
        }
        if op.is_comparison() && !modifiers.return_bool && scalars == 2 {
            let message = "comparisons between scalars must use BOOL modifier";
            return Err(self.meaning(modifiers.span, message));
        }
        for side in [&lhs, &rhs] {
            if !matches!(side.value_type, ValueType::Scalar | ValueType::InstantVector) {
                let message = format!(
                    "binary expression must contain only scalar and instant vector types, got {}",
                    side.value_type
                );
                return Err(self.meaning(side.expr.span, message));
            }
        }
        if scalars > 0 && op.is_set() {
            let message = format!("set operator {:?} not allowed in binary scalar expression", op.as_str());
            return Err(self.meaning(span, message));
        }
        let return_bool = modifiers.return_bool;
        let matching = self.checked_matching(op, modifiers, Sides { whole: span, scalars })?;
        let value_type = if scalars == 2 { ValueType::Scalar } else { ValueType::InstantVector };
        let depth = lhs.depth.max(rhs.depth);
        let binary = Binary { op, lhs: *lhs.expr, rhs: *rhs.expr, return_bool, matching };
        self.branch(ExprKind::Binary(Box::new(binary)), value_type, span, depth)
    }

    fn checked_matching(&self, op: BinaryOp, modifiers: Modifiers, sides: Sides) -> Parsed<Option<Matching>> {
        let Modifiers { mut matching, span, .. } = modifiers;
        let has_scalar = sides.scalars > 0;
        let grouped = matching.cardinality != Cardinality::OneToOne;
        if let MatchOn::On(labels) = &matching.on
            && let Some(twice) = labels.iter().find(|l| matching.include.contains(l))
        {
            let message = format!("label {twice:?} must not occur in ON and GROUP clause at once");
            return Err(self.meaning(span, message));
        }
        if has_scalar && !matching.fill.is_none() {
            let message = "filling in missing series only allowed between instant vectors";
            return Err(self.meaning(span, message));
        }
        if op.is_set() && !matching.fill.is_none() {
            return Err(self.meaning(span, "filling in missing series not allowed for set operators"));
        }
        if has_scalar {
            let (MatchOn::On(labels) | MatchOn::Ignoring(labels)) = &matching.on;
            return match labels.is_empty() {
                true => Ok(None),
                false => {
                    Err(self.meaning(sides.whole, "vector matching only allowed between instant vectors"))
                }
            };
        }
        if op.is_set() {
            if grouped {
                let message = format!("no grouping allowed for {:?} operation", op.as_str());
                return Err(self.meaning(span, message));
            }
            matching.cardinality = Cardinality::ManyToMany;
        }
        Ok(Some(matching))
    }
}
