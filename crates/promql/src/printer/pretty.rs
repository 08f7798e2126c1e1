//! Writes a tree over several lines, where one would be too long, in the form of Prometheus' `format_query`.
//! What fits into a line is written by the one-line form.

use super::{grouping, matching, modifiers, window};
use crate::ast::{Aggregate, Binary, Call, Edges, Expr, ExprKind, Grouping, Subquery};
use std::fmt::{self, Formatter, Write};

/// More characters than these are split.
const LINE_CHARS: usize = 100;

impl Expr {
    /// The expression over as many lines as it needs.
    pub fn pretty(&self) -> String {
        let mut out = String::new();
        write_at(&mut out, self, 0);
        out
    }
}

fn write_at(out: &mut String, expr: &Expr, level: usize) {
    if let ExprKind::Negate(inner) = &expr.kind {
        indent(out, level);
        let mut operand = String::new();
        write_at(&mut operand, inner, level);
        out.push('-');
        out.push_str(operand.trim());
        return;
    }
    let line = expr.to_string();
    let fits = line.chars().count() <= LINE_CHARS;
    match &expr.kind {
        ExprKind::Aggregate(a) if !fits => aggregate(out, a, level),
        ExprKind::Binary(b) if !fits => binary(out, b, level),
        ExprKind::Call(c) if !fits => call(out, c, level),
        ExprKind::Paren(inner) if !fits => {
            indent(out, level);
            out.push_str("(\n");
            write_at(out, inner, level + 1);
            close(out, level);
        }
        ExprKind::Subquery(s) if !fits => {
            write_at(out, &s.expr, level);
            push(out, &Suffix(s));
        }
        // Prometheus indents all but these.
        ExprKind::Subquery(_) => out.push_str(&line),
        _ => {
            indent(out, level);
            out.push_str(&line);
        }
    }
}

fn aggregate(out: &mut String, a: &Aggregate, level: usize) {
    indent(out, level);
    out.push_str(a.op.as_str());
    push(out, &By(&a.grouping));
    out.push_str("(\n");
    if let Some(param) = &a.param {
        write_at(out, param, level + 1);
        out.push_str(",\n");
    }
    write_at(out, &a.expr, level + 1);
    close(out, level);
}

fn binary(out: &mut String, b: &Binary, level: usize) {
    write_at(out, &b.lhs, level + 1);
    out.push('\n');
    indent(out, level);
    push(out, &Operator(b));
    out.push('\n');
    write_at(out, &b.rhs, level + 1);
}

fn call(out: &mut String, c: &Call, level: usize) {
    indent(out, level);
    out.push_str(c.function.name);
    out.push_str("(\n");
    for (i, arg) in c.args.iter().enumerate() {
        if i > 0 {
            out.push_str(",\n");
        }
        write_at(out, arg, level + 1);
    }
    close(out, level);
}

fn close(out: &mut String, level: usize) {
    out.push('\n');
    indent(out, level);
    out.push(')');
}

fn indent(out: &mut String, level: usize) {
    out.extend(std::iter::repeat_n("  ", level));
}

fn push(out: &mut String, part: &dyn fmt::Display) {
    write!(out, "{part}").expect("invariant: writing to a String cannot fail");
}

struct By<'a>(&'a Grouping);

impl fmt::Display for By<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        grouping(f, self.0)
    }
}

struct Operator<'a>(&'a Binary);

impl fmt::Display for Operator<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.op.as_str())?;
        if self.0.return_bool {
            f.write_str(" bool")?;
        }
        self.0.matching.as_ref().map_or(Ok(()), |m| matching(f, m))
    }
}

struct Suffix<'a>(&'a Subquery);

impl fmt::Display for Suffix<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        window(f, self.0)?;
        modifiers(f, Edges::Sampled, &self.0.shift)
    }
}

#[cfg(test)]
mod tests {
    use crate::parse;

    /// Formatting gives `expected`, which reads as the same tree.
    #[track_caller]
    fn check(input: &str, expected: &str) {
        let tree = parse(input).unwrap();
        assert_eq!(tree.pretty(), expected);
        assert_eq!(parse(expected).unwrap().to_string(), tree.to_string());
    }

    #[test]
    fn what_fits_stays_in_one_line() {
        check("sum(rate( a [5m]))by(x)", "sum by (x) (rate(a[5m]))");
        check("-  a", "-a");
    }

    #[test]
    fn what_does_not_fit_is_split() {
        let long = "x".repeat(60);
        check(
            &format!("sum(rate({long}[5m]))by(job)/on(job)group_left(y)count({long} offset 1h)"),
            &format!(
                "  sum by (job) (rate({long}[5m]))\n/ on (job) group_left (y)\n  count({long} offset 1h)"
            ),
        );
        check(
            &format!("topk(5,({long}>bool 3)+-{long})"),
            &format!("topk(\n  5,\n    ({long} > bool 3)\n  +\n    -{long}\n)"),
        );
        let inner = format!("label_replace({long}, \"a\", \"$1\", \"b\", \"(.*)\")");
        check(
            &format!("max_over_time({inner}[30m:1m] offset 1h)"),
            &format!("max_over_time(\n  {inner}[30m:1m] offset 1h\n)"),
        );
    }
}
