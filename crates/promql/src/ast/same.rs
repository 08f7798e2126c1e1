//! Whether two trees are the same but for the places of their nodes, which differ between a text and what is
//! written of its tree. Changes no tree.

use super::{Expr, ExprKind};

impl Expr {
    /// Whether the other tree is the same, wherever their nodes stand. Numbers are the same that have the
    /// same bits, and all that are none.
    pub fn is_same_tree(&self, other: &Self) -> bool {
        let pairs =
            |a: &[Self], b: &[Self]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.is_same_tree(b));
        match (&self.kind, &other.kind) {
            (ExprKind::Number(a), ExprKind::Number(b)) | (ExprKind::Duration(a), ExprKind::Duration(b)) => {
                a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
            }
            (ExprKind::Subquery(a), ExprKind::Subquery(b)) => {
                (&a.range, &a.step, &a.shift) == (&b.range, &b.step, &b.shift) && a.expr.is_same_tree(&b.expr)
            }
            (ExprKind::Call(a), ExprKind::Call(b)) => a.function == b.function && pairs(&a.args, &b.args),
            (ExprKind::Aggregate(a), ExprKind::Aggregate(b)) => {
                (a.op, &a.grouping) == (b.op, &b.grouping)
                    && pairs(a.param.as_slice(), b.param.as_slice())
                    && a.expr.is_same_tree(&b.expr)
            }
            (ExprKind::Binary(a), ExprKind::Binary(b)) => {
                (a.op, a.return_bool, &a.matching) == (b.op, b.return_bool, &b.matching)
                    && a.lhs.is_same_tree(&b.lhs)
                    && a.rhs.is_same_tree(&b.rhs)
            }
            (ExprKind::Negate(a), ExprKind::Negate(b))
            | (ExprKind::Plus(a), ExprKind::Plus(b))
            | (ExprKind::Paren(a), ExprKind::Paren(b)) => a.is_same_tree(b),
            // What has no nodes below it; or two different kinds.
            (a, b) => a == b,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::parse;

    #[test]
    fn trees_are_the_same_wherever_their_nodes_stand() {
        let texts = [
            "1",
            "NaN",
            "0",
            "-0",
            "1m",
            "60",
            "\"a\"",
            "a",
            "b",
            "a[1m]",
            "a[2m]",
            "a[step()]",
            "a offset 1m",
            "rate(a[1m])",
            "rate(a[2m])",
            "irate(a[1m])",
            "a[5m:1m]",
            "b[5m:1m]",
            "a[5m:]",
            "sum(a)",
            "sum(b)",
            "avg(a)",
            "sum by (x) (a)",
            "sum without (x) (a)",
            "topk(1, a)",
            "topk(2, a)",
            "a + b",
            "a + a",
            "b + b",
            "a - b",
            "a == b",
            "a == bool b",
            "a + on(x) b",
            "a + fill(0) b",
            "a + fill_left(0) b",
            "-a",
            "+a",
            "(a)",
            "((a))",
            "{\"a\"}",
            "a smoothed",
            "a @ 1",
            "a @ end()",
        ];
        let trees = texts.map(|text| parse(text).unwrap());
        for (i, (a, text)) in trees.iter().zip(texts).enumerate() {
            for (k, (b, other)) in trees.iter().zip(texts).enumerate() {
                assert_eq!(a.is_same_tree(b), i == k, "{text} and {other}");
            }
            let elsewhere = parse(&format!(" \n  {} # x", text.replace(' ', "  "))).unwrap();
            assert_ne!(elsewhere, *a, "it was to be moved");
            assert!(a.is_same_tree(&elsewhere), "{text}");
        }
    }
}
