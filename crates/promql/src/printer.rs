//! Writes a tree as text, in one line and in Prometheus' canonical form. Reading the text again gives
//! the same tree but for the spans.
//!
//! - `pretty`: the same over several lines.

mod pretty;

use crate::ast::{
    Aggregate, At, Binary, BinaryOp, Call, Cardinality, DurationExpr, Edges, Expr, ExprKind, Fill, Grouping,
    Length, MatchOn, Matching, NamePlace, Selector, Shift, Subquery,
};
use crate::parse::words;
use skopos_model::{DurationMs, MatchOp, Matcher, name};
use std::{
    cmp::Ordering,
    fmt::{self, Display, Formatter, Write},
};

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExprKind::Number(v) => number(f, *v),
            ExprKind::Duration(seconds) => duration(f, *seconds),
            ExprKind::String(text) => quoted(f, text),
            ExprKind::Bytes(bytes) => quoted_bytes(f, bytes),
            ExprKind::Selector(s) => {
                selector(f, s)?;
                modifiers(f, s.edges, &s.shift)
            }
            ExprKind::Range(r) => {
                selector(f, &r.selector)?;
                write!(f, "[{}]", r.range)?;
                modifiers(f, r.selector.edges, &r.selector.shift)
            }
            ExprKind::Subquery(s) => subquery(f, s),
            ExprKind::Call(c) => call(f, c),
            ExprKind::Aggregate(a) => aggregate(f, a),
            ExprKind::Binary(b) => binary(f, b),
            ExprKind::Negate(inner) => write!(f, "-{inner}"),
            ExprKind::Plus(inner) => write!(f, "+{inner}"),
            ExprKind::Paren(inner) => write!(f, "({inner})"),
        }
    }
}

fn number(f: &mut Formatter<'_>, v: f64) -> fmt::Result {
    match v {
        f64::INFINITY => f.write_str("+Inf"),
        f64::NEG_INFINITY => f.write_str("-Inf"),
        // NaN has no sign that could be read back.
        _ => write!(f, "{v}"),
    }
}

fn duration(f: &mut Formatter<'_>, seconds: f64) -> fmt::Result {
    let sign = if seconds.is_sign_negative() { "-" } else { "" };
    write!(f, "{sign}{}", DurationMs::from_ms((seconds.abs() * 1000.0).round() as i64))
}

fn call(f: &mut Formatter<'_>, c: &Call) -> fmt::Result {
    f.write_str(c.function.name)?;
    f.write_char('(')?;
    for (i, arg) in c.args.iter().enumerate() {
        if i > 0 {
            f.write_str(", ")?;
        }
        write!(f, "{arg}")?;
    }
    f.write_char(')')
}

impl Display for Length {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(d) => write!(f, "{d}"),
            Self::Computed(e) => write!(f, "{e}"),
        }
    }
}

impl Display for DurationExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(v) => write!(f, "{v}"),
            Self::Duration(d) => write!(f, "{d}"),
            Self::Step => f.write_str("step()"),
            Self::Range => f.write_str("range()"),
            Self::Negate(inner) => write!(f, "-{inner}"),
            Self::Paren(inner) => write!(f, "({inner})"),
            Self::Binary(op, a, b) => write!(f, "{a} {} {b}", op.as_str()),
            Self::MinOf(a, b) => write!(f, "min_of({a}, {b})"),
            Self::MaxOf(a, b) => write!(f, "max_of({a}, {b})"),
        }
    }
}

fn aggregate(f: &mut Formatter<'_>, a: &Aggregate) -> fmt::Result {
    f.write_str(a.op.as_str())?;
    grouping(f, &a.grouping)?;
    match &a.param {
        Some(param) => write!(f, "({param}, {})", a.expr),
        None => write!(f, "({})", a.expr),
    }
}

fn grouping(f: &mut Formatter<'_>, grouping: &Grouping) -> fmt::Result {
    match grouping {
        Grouping::By(names) if names.is_empty() => {}
        Grouping::By(names) => {
            f.write_str(" by ")?;
            labels(f, names)?;
            f.write_char(' ')?;
        }
        Grouping::Without(names) => {
            f.write_str(" without ")?;
            labels(f, names)?;
            f.write_char(' ')?;
        }
    }
    Ok(())
}

/// ` by (a, b) `; nothing where all is one group.
pub(crate) fn grouping_text(of: &Grouping) -> String {
    fmt::from_fn(|f| grouping(f, of)).to_string()
}

/// ` on (a) group_left (b)`; nothing where the sides are matched by all labels.
pub(crate) fn matching_text(of: &Matching) -> String {
    fmt::from_fn(|f| matching(f, of)).to_string()
}

fn labels(f: &mut Formatter<'_>, names: &[String]) -> fmt::Result {
    f.write_char('(')?;
    for (i, name) in names.iter().enumerate() {
        if i > 0 {
            f.write_str(", ")?;
        }
        if words::is_bare_grouping_label(name) {
            f.write_str(name)?;
        } else {
            quoted(f, name)?;
        }
    }
    f.write_char(')')
}

/// A base that is infinite is written without its sign, which would be one of the whole power.
pub(crate) const INFINITE_BASE: &str = "Inf";

pub(crate) fn has_infinite_base(b: &Binary) -> bool {
    b.op == BinaryOp::Pow && matches!(b.lhs.kind, ExprKind::Number(f64::INFINITY))
}

fn binary(f: &mut Formatter<'_>, b: &Binary) -> fmt::Result {
    if has_infinite_base(b) {
        f.write_str(INFINITE_BASE)?;
    } else {
        write!(f, "{}", b.lhs)?;
    }
    write!(f, " {}", b.op.as_str())?;
    if b.return_bool {
        f.write_str(" bool")?;
    }
    if let Some(m) = &b.matching {
        matching(f, m)?;
    }
    write!(f, " {}", b.rhs)
}

fn matching(f: &mut Formatter<'_>, m: &Matching) -> fmt::Result {
    let group = match m.cardinality {
        Cardinality::ManyToOne => Some(" group_left "),
        Cardinality::OneToMany => Some(" group_right "),
        Cardinality::OneToOne | Cardinality::ManyToMany => None,
    };
    match &m.on {
        MatchOn::On(names) => {
            f.write_str(" on ")?;
            labels(f, names)?;
        }
        MatchOn::Ignoring(names) if names.is_empty() && group.is_none() => {}
        MatchOn::Ignoring(names) => {
            f.write_str(" ignoring ")?;
            labels(f, names)?;
        }
    }
    if let Some(group) = group {
        f.write_str(group)?;
        labels(f, &m.include)?;
    }
    fill(f, m.fill)
}

fn fill(f: &mut Formatter<'_>, fill: Fill) -> fmt::Result {
    let Fill { left, right } = fill;
    let same = left.map(f64::to_bits) == right.map(f64::to_bits);
    let (both, left, right) = if same { (left, None, None) } else { (None, left, right) };
    for (word, value) in [(" fill (", both), (" fill_left (", left), (" fill_right (", right)] {
        if let Some(v) = value {
            f.write_str(word)?;
            number(f, v)?;
            f.write_char(')')?;
        }
    }
    Ok(())
}

fn subquery(f: &mut Formatter<'_>, s: &Subquery) -> fmt::Result {
    write!(f, "{}", s.expr)?;
    window(f, s)?;
    modifiers(f, Edges::Sampled, &s.shift)
}

fn window(f: &mut Formatter<'_>, s: &Subquery) -> fmt::Result {
    write!(f, "[{}:", s.range)?;
    if let Some(step) = &s.step {
        write!(f, "{step}")?;
    }
    f.write_char(']')
}

/// A computed offset stands before all others: behind it, arithmetic would go on where another modifier
/// that ended it has moved away.
fn modifiers(f: &mut Formatter<'_>, edges: Edges, shift: &Shift) -> fmt::Result {
    if let Length::Computed(offset) = &shift.offset {
        write!(f, " offset {offset}")?;
    }
    f.write_str(match edges {
        Edges::Sampled => "",
        Edges::Anchored => " anchored",
        Edges::Smoothed => " smoothed",
    })?;
    match shift.at {
        Some(At::Time(t)) => {
            let (sign, ms) = (if t.as_ms() < 0 { "-" } else { "" }, t.as_ms().unsigned_abs());
            write!(f, " @ {sign}{}.{:03}", ms / 1000, ms % 1000)?;
        }
        Some(At::Start) => f.write_str(" @ start()")?,
        Some(At::End) => f.write_str(" @ end()")?,
        None => {}
    }
    match shift.offset {
        Length::Fixed(d) if d != DurationMs::ZERO => write!(f, " offset {d}"),
        _ => Ok(()),
    }
}

/// The name before the braces, if it stands there, and all other matchers in braces.
fn selector(f: &mut Formatter<'_>, s: &Selector) -> fmt::Result {
    let is_bare = |m: &Matcher| {
        m.name() == name::METRIC_NAME && m.op() == MatchOp::Equal && words::is_bare_metric(m.value())
    };
    let inner = match s.matchers.split_first() {
        // Whoever changed the conditions may have taken the name away.
        Some((first, inner)) if s.name == NamePlace::Before && is_bare(first) => {
            f.write_str(first.value())?;
            if inner.is_empty() {
                return Ok(());
            }
            inner
        }
        _ => &s.matchers[..],
    };
    let mut written: Vec<String> = inner.iter().map(matcher).collect();
    written.sort_unstable();
    write!(f, "{{{}}}", written.join(","))
}

/// The matchers in the order in which they are written, and for each of those given where it is now.
pub(crate) fn sorted_matchers(given: Vec<Matcher>) -> (Vec<Matcher>, Vec<u16>) {
    let mut all: Vec<(usize, Matcher)> = given.into_iter().enumerate().collect();
    all.sort_by(|(_, a), (_, b)| written_order(a, b));
    let mut places = vec![0; all.len()];
    for (now, (before, _)) in all.iter().enumerate() {
        places[*before] = u16::try_from(now).expect("invariant: MAX_MATCHERS fits");
    }
    (all.into_iter().map(|(_, matcher)| matcher).collect(), places)
}

/// The order of the written forms, which mostly shows before anything must be written.
fn written_order(a: &Matcher, b: &Matcher) -> Ordering {
    fn head(m: &Matcher) -> impl Iterator<Item = u8> {
        m.name().bytes().chain(m.op().as_str().bytes()).chain([b'"'])
    }
    let bare = name::is_classic_label_name(a.name()) && name::is_classic_label_name(b.name());
    let by_head = if bare { head(a).cmp(head(b)) } else { Ordering::Equal };
    by_head.then_with(|| matcher(a).cmp(&matcher(b)))
}

fn matcher(m: &Matcher) -> String {
    let mut out = String::new();
    write_matcher(&mut out, m).expect("invariant: writing to a String cannot fail");
    out
}

fn write_matcher(out: &mut impl Write, m: &Matcher) -> fmt::Result {
    if name::is_classic_label_name(m.name()) {
        out.write_str(m.name())?;
    } else {
        quoted(out, m.name())?;
    }
    out.write_str(m.op().as_str())?;
    quoted(out, m.value())
}

/// Writes a string between double quotes with the escapes of Go.
fn quoted(out: &mut impl Write, text: &str) -> fmt::Result {
    out.write_char('"')?;
    escaped(out, text)?;
    out.write_char('"')
}

/// The same of bytes, of which not all are characters.
pub(crate) fn quoted_bytes(out: &mut impl Write, bytes: &[u8]) -> fmt::Result {
    out.write_char('"')?;
    for chunk in bytes.utf8_chunks() {
        escaped(out, chunk.valid())?;
        for b in chunk.invalid() {
            write!(out, "\\x{b:02x}")?;
        }
    }
    out.write_char('"')
}

fn escaped(out: &mut impl Write, text: &str) -> fmt::Result {
    for c in text.chars() {
        match c {
            '"' => out.write_str("\\\"")?,
            '\\' => out.write_str("\\\\")?,
            '\x07' => out.write_str("\\a")?,
            '\x08' => out.write_str("\\b")?,
            '\x0c' => out.write_str("\\f")?,
            '\n' => out.write_str("\\n")?,
            '\r' => out.write_str("\\r")?,
            '\t' => out.write_str("\\t")?,
            '\x0b' => out.write_str("\\v")?,
            ' '..='~' => out.write_char(c)?,
            c if is_printable(c) => out.write_char(c)?,
            c if u32::from(c) < 0x80 => write!(out, "\\x{:02x}", u32::from(c))?,
            c if u32::from(c) < 0x1_0000 => write!(out, "\\u{:04x}", u32::from(c))?,
            c => write!(out, "\\U{:08x}", u32::from(c))?,
        }
    }
    Ok(())
}

/// Whether a character is seen as itself. The standard library knows, but only tells by escaping.
fn is_printable(c: char) -> bool {
    c.escape_debug().len() == 1 && !c.is_whitespace()
}
