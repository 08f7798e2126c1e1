//! Writes a tree over several lines, where one would be too long, in the form of Prometheus' `format_query`.
//! What fits into a line is written by the one-line form.

use super::{INFINITE_BASE, grouping, has_infinite_base, matching, modifiers, window};
use crate::ast::{Aggregate, Binary, Call, Edges, Expr, ExprKind, Grouping, Subquery};
use std::fmt::{self, Formatter, Write};

/// More characters than these are split.
const LINE_CHARS: usize = 100;

impl Expr {
    /// The expression over as many lines as it needs.
    pub fn pretty(&self) -> String {
        self.pretty_within(usize::MAX).unwrap_or_default()
    }

    /// The same, unless it has more than `max` bytes: as each line is indented, it may have many times those
    /// of the text.
    pub fn pretty_within(&self, max: usize) -> Option<String> {
        let mut out = Lines { text: String::new(), max };
        write_at(&mut out, self, 0);
        (out.text.len() <= max).then_some(out.text)
    }
}

/// What is written, until it is too long.
struct Lines {
    text: String,
    max: usize,
}

impl Lines {
    fn push(&mut self, c: char) {
        self.push_str(c.encode_utf8(&mut [0; 4]));
    }

    fn push_str(&mut self, text: &str) {
        // One byte too many tells that there are more.
        if self.text.len() <= self.max {
            self.text.push_str(text);
        }
    }
}

impl Write for Lines {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push_str(text);
        Ok(())
    }
}

/// Counts characters, and wants no more of them than fit into a line: subtrees are measured at every level.
struct Fits {
    left: usize,
}

impl Write for Fits {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // Whatever does not fit by its bytes alone need not be counted.
        let chars = if text.len() > 4 * LINE_CHARS { text.len() } else { text.chars().count() };
        self.left = self.left.checked_sub(chars).ok_or(fmt::Error)?;
        Ok(())
    }
}

fn fits(expr: &Expr) -> bool {
    write!(Fits { left: LINE_CHARS }, "{expr}").is_ok()
}

fn write_at(out: &mut Lines, expr: &Expr, level: usize) {
    let sign = if matches!(expr.kind, ExprKind::Plus(_)) { '+' } else { '-' };
    if let ExprKind::Negate(inner) | ExprKind::Plus(inner) = &expr.kind {
        indent(out, level);
        let max = out.max.saturating_sub(out.text.len());
        let mut operand = Lines { text: String::new(), max };
        write_at(&mut operand, inner, level);
        out.push(sign);
        // What was broken off says by its length that it was.
        let is_whole = operand.text.len() <= operand.max;
        out.push_str(if is_whole { operand.text.trim() } else { &operand.text });
        return;
    }
    if out.text.len() > out.max {
        return;
    }
    let fits = fits(expr);
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
        ExprKind::Subquery(_) => push(out, expr),
        _ => {
            indent(out, level);
            push(out, expr);
        }
    }
}

fn aggregate(out: &mut Lines, a: &Aggregate, level: usize) {
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

fn binary(out: &mut Lines, b: &Binary, level: usize) {
    if has_infinite_base(b) {
        indent(out, level + 1);
        out.push_str(INFINITE_BASE);
    } else {
        write_at(out, &b.lhs, level + 1);
    }
    out.push('\n');
    indent(out, level);
    push(out, &Operator(b));
    out.push('\n');
    write_at(out, &b.rhs, level + 1);
}

fn call(out: &mut Lines, c: &Call, level: usize) {
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

fn close(out: &mut Lines, level: usize) {
    out.push('\n');
    indent(out, level);
    out.push(')');
}

fn indent(out: &mut Lines, level: usize) {
    (0..level).for_each(|_| out.push_str("  "));
}

fn push(out: &mut Lines, part: &dyn fmt::Display) {
    write!(out, "{part}").expect("invariant: lines take everything");
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
    fn a_deep_tree_takes_no_longer_than_its_lines_and_no_more_room_than_it_may() {
        let deep = format!("{}{}", "x".repeat(90), " + y".repeat(900));
        let tree = parse(&deep).unwrap();
        let whole = tree.pretty();
        assert_eq!(tree.pretty_within(whole.len()).as_deref(), Some(whole.as_str()));
        assert_eq!(tree.pretty_within(whole.len() - 1), None);
        assert_eq!(parse(&format!("-({deep})")).unwrap().pretty_within(1000), None);
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
