//! Random trees: what is written of a tree reads back as the same tree.

use crate::{
    ast::*,
    functions::{FUNCTIONS, FunctionId, Optional},
    parse,
    parse::words,
    printer,
};
use skopos_base::rng::Rng;
use skopos_model::{DurationMs, MatchOp, Matcher, TimestampMs};

const TREES: usize = 20_000;
const MAX_LEVELS: u32 = 5;

const NAMES: [&str; 16] = [
    "foo",
    "a:b",
    "le",
    "job",
    "sum",
    "by",
    "without",
    "offset",
    "start",
    "bool",
    "inf",
    "on",
    "http.requests",
    "größe",
    "a b\"c",
    "__name__",
];
const VALUES: [&str; 8] = ["x", "1", "", "a\"b", "a\\\\b", "\n\t\u{7}", "ü😀", "\u{200b}\u{a0}\u{301}"];
const PATTERNS: [&str; 5] = ["a.*", "a|b", ".+", "(?i)x", "[ab]{2}"];

/// Makes trees that the parser could have made.
struct Maker {
    rng: Rng,
}

impl Maker {
    fn below(&self, bound: usize) -> usize {
        self.rng.below(bound as u64) as usize
    }

    fn chance(&self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }

    fn pick<T: Copy>(&self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    fn duration(&self) -> DurationMs {
        let unit = self.pick(&[1, 1000, 60_000, 3_600_000, 86_400_000, 604_800_000, 31_536_000_000]);
        DurationMs::from_ms(unit * (1 + self.below(100) as i64) + self.below(2) as i64)
    }

    /// A length as it may stand in brackets.
    fn length(&self) -> Length {
        match self.chance(3) {
            true => {
                let expr = self.arithmetic(3);
                match expr.literal() {
                    Some(_) => self.duration().into(),
                    None => Length::Computed(expr.into()),
                }
            }
            false => self.duration().into(),
        }
    }

    /// A length as it may stand behind `offset`, where operators stand behind parentheses only.
    fn offset(&self) -> Length {
        let paren = |e| DurationExpr::Paren(Box::new(e));
        let call = match self.below(5) {
            0 => DurationExpr::Step,
            1 => DurationExpr::Range,
            2 => DurationExpr::MinOf(Box::new(self.arithmetic(2)), Box::new(self.arithmetic(2))),
            3 => paren(self.computed()),
            _ => {
                let rhs = self.duration_operand(duration_strength(DurationOp::Pow), 2);
                let rhs = if is_negative(&rhs) { paren(rhs) } else { rhs };
                let rhs = if rhs.literal() == Some(0.0) { DurationExpr::Number(7.5) } else { rhs };
                let op = self.pick(&[DurationOp::Mul, DurationOp::Div]);
                DurationExpr::Binary(op, Box::new(paren(self.computed())), Box::new(rhs))
            }
        };
        let whole = matches!(call, DurationExpr::Binary(..));
        let expr = if self.chance(3) && !whole { DurationExpr::Negate(Box::new(call)) } else { call };
        Length::Computed(expr.into())
    }

    /// Arithmetic that is no literal.
    fn computed(&self) -> DurationExpr {
        let expr = self.arithmetic(3);
        if expr.literal().is_some() { DurationExpr::Step } else { expr }
    }

    fn arithmetic(&self, levels: u32) -> DurationExpr {
        use DurationExpr as D;
        if levels == 0 {
            return self.duration_leaf();
        }
        match self.below(6) {
            0 => self.duration_leaf(),
            1 => D::Paren(Box::new(self.arithmetic(levels - 1))),
            2 => {
                let inner = self.duration_operand(duration_strength(DurationOp::Pow), levels - 1);
                match inner {
                    D::Number(_) | D::Duration(_) | D::Negate(_) => inner,
                    _ => D::Negate(Box::new(inner)),
                }
            }
            3 => D::MaxOf(Box::new(self.arithmetic(levels - 1)), Box::new(self.arithmetic(levels - 1))),
            _ => {
                use DurationOp::*;
                let op = self.pick(&[Add, Sub, Mul, Div, Mod, Pow]);
                let binds = duration_strength(op);
                let (left, right) = if op == Pow { (binds + 1, binds) } else { (binds, binds + 1) };
                let lhs = self.duration_operand(left, levels - 1);
                let lhs = if op == Pow && is_negative(&lhs) { D::Paren(Box::new(lhs)) } else { lhs };
                let rhs = self.duration_operand(right, levels - 1);
                // What a sign stands before ends where the sign would.
                let rhs = if is_negative(&rhs) { D::Paren(Box::new(rhs)) } else { rhs };
                let rhs = if rhs.literal() == Some(0.0) { D::Number(7.5) } else { rhs };
                D::Binary(op, Box::new(lhs), Box::new(rhs))
            }
        }
    }

    /// Something that holds together at least so strongly.
    fn duration_operand(&self, at_least: u8, levels: u32) -> DurationExpr {
        let expr = self.arithmetic(levels);
        let strength = match &expr {
            DurationExpr::Binary(op, ..) => duration_strength(*op),
            _ => u8::MAX,
        };
        if strength < at_least { DurationExpr::Paren(Box::new(expr)) } else { expr }
    }

    fn duration_leaf(&self) -> DurationExpr {
        match self.below(5) {
            0 => DurationExpr::Step,
            1 => DurationExpr::Range,
            2 => DurationExpr::Number(self.below(1000) as f64 / 8.0),
            3 => DurationExpr::Number(-(self.below(1000) as f64)),
            _ => DurationExpr::Duration(self.duration()),
        }
    }

    fn labels(&self) -> Vec<String> {
        (0..self.below(3)).map(|_| self.pick(&NAMES).to_owned()).collect()
    }

    fn shift(&self) -> Shift {
        let offset = match self.below(6) {
            0 => self.duration().into(),
            1 => DurationMs::from_ms(-self.duration().as_ms()).into(),
            _ => Length::ZERO,
        };
        let at = match self.below(8) {
            0 => Some(At::Start),
            1 => Some(At::End),
            2 => Some(At::Time(TimestampMs::new(self.below(1 << 42) as i64 - (1 << 41)))),
            _ => None,
        };
        Shift { offset, at }
    }

    fn selector(&self) -> Selector {
        let mut matchers = vec![match self.chance(4) {
            true => Matcher::equal(self.pick(&NAMES), "x"),
            false => Matcher::equal("__name__", self.pick(&NAMES)),
        }];
        for _ in 0..self.below(4) {
            let op = self.pick(&[MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex]);
            let regex = matches!(op, MatchOp::Regex | MatchOp::NotRegex);
            let value = if regex { self.pick(&PATTERNS) } else { self.pick(&VALUES) };
            matchers.push(Matcher::new(self.pick(&NAMES), op, value).unwrap());
        }
        let name = if matchers[0].name() == "__name__"
            && words::is_bare_metric(matchers[0].value())
            && matchers[1..].iter().all(|m| m.name() != "__name__")
            && self.chance(2)
        {
            NamePlace::Before
        } else {
            NamePlace::Within
        };
        let inner = matchers.split_off(if name == NamePlace::Before { 1 } else { 0 });
        matchers.extend(printer::sorted_matchers(inner).0);
        let edges = match self.below(8) {
            0 => Edges::Anchored,
            1 => Edges::Smoothed,
            _ => Edges::Sampled,
        };
        Selector { matchers, order: TextOrder::default(), name, shift: self.shift(), edges }
    }

    /// A selector at an offset that is computed; arithmetic behind it would become the offset's own.
    fn far_selector(&self) -> Expr {
        let mut selector = self.selector();
        selector.shift.offset = self.offset();
        Self::paren(Self::node(ExprKind::Selector(selector)))
    }

    fn node(kind: ExprKind) -> Expr {
        Expr { kind, span: Span::default() }
    }

    fn paren(expr: Expr) -> Expr {
        Self::node(ExprKind::Paren(Box::new(expr)))
    }

    fn expr(&self, of: ValueType, levels: u32) -> Expr {
        if self.chance(12) {
            return Self::paren(self.expr(of, levels.saturating_sub(1)));
        }
        match of {
            ValueType::String if self.chance(8) => {
                Self::node(ExprKind::Bytes([b"a\xffz".as_slice(), b"\xc3\x28\""][self.below(2)].into()))
            }
            ValueType::String => Self::node(ExprKind::String(self.pick(&VALUES).into())),
            ValueType::RangeVector if levels == 0 || !self.chance(3) => {
                let mut selector = self.selector();
                if self.chance(8) {
                    selector.shift.offset = self.offset();
                }
                Self::node(ExprKind::Range(RangeSelector { selector, range: self.length() }))
            }
            ValueType::RangeVector => {
                let inner = self.expr(ValueType::InstantVector, levels - 1);
                let inner = if strength(&inner) == ATOM { inner } else { Self::paren(inner) };
                let step = self.chance(2).then(|| self.length());
                let subquery = Subquery { expr: inner, range: self.length(), step, shift: self.shift() };
                Self::node(ExprKind::Subquery(Box::new(subquery)))
            }
            ValueType::Scalar if levels == 0 && self.chance(6) => {
                let seconds = self.below(1 << 30) as f64 / 1000.0;
                Self::node(ExprKind::Duration(if self.chance(2) { -seconds } else { seconds }))
            }
            ValueType::Scalar if levels == 0 => Self::node(ExprKind::Number(self.number())),
            ValueType::InstantVector if levels == 0 && self.chance(10) => self.far_selector(),
            ValueType::InstantVector if levels == 0 => Self::node(ExprKind::Selector(self.selector())),
            _ => match self.below(5) {
                0 => self.negated(of, levels - 1),
                1 => self.call(of, levels - 1),
                2 if of == ValueType::InstantVector => self.aggregate(levels - 1),
                3 | 4 => self.binary(of, levels - 1),
                _ => self.expr(of, 0),
            },
        }
    }

    fn number(&self) -> f64 {
        let any = f64::from_bits(self.rng.next_u64());
        let any = if any.is_finite() { any } else { 1.5 };
        let whole = self.below(100) as f64;
        self.pick(&[
            0.0,
            -0.0,
            -1.0,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::NAN,
            1e-300,
            any,
            any,
            whole,
            whole,
        ])
    }

    fn negated(&self, of: ValueType, levels: u32) -> Expr {
        let inner = self.expr(of, levels);
        let stands =
            strength(&inner) >= POWER || matches!(inner.kind, ExprKind::Negate(_) | ExprKind::Plus(_));
        let number = matches!(inner.kind, ExprKind::Number(_) | ExprKind::Duration(_));
        let inner = if stands && !number { inner } else { Self::paren(inner) };
        let inner = Box::new(inner);
        Self::node(if self.chance(4) { ExprKind::Plus(inner) } else { ExprKind::Negate(inner) })
    }

    fn call(&self, of: ValueType, levels: u32) -> Expr {
        let fitting: Vec<_> = FUNCTIONS.iter().filter(|f| f.returns == of).collect();
        let function = self.pick(&fitting);
        let count = match function.optional {
            Optional::Last(n) => function.args.len() - self.below(n + 1),
            Optional::Repeat => function.args.len() - 1 + self.below(4),
        };
        let arg = |i| match function.id {
            FunctionId::Info if i == 1 => Self::node(ExprKind::Selector(self.any_selector())),
            _ => self.expr(function.arg_type(i).unwrap(), levels),
        };
        Self::node(ExprKind::Call(Call { function, args: (0..count).map(arg).collect() }))
    }

    /// Matchers, of which none need refuse anything. No name stands before them.
    fn any_selector(&self) -> Selector {
        let mut selector = self.selector();
        selector.name = NamePlace::Within;
        selector.matchers = printer::sorted_matchers(selector.matchers).0;
        if self.chance(3) {
            selector.matchers.clear();
        }
        selector
    }

    fn aggregate(&self, levels: u32) -> Expr {
        let op = self.pick(&AggregateOp::ALL);
        let by = self.chance(2);
        let grouping = if by { Grouping::By(self.labels()) } else { Grouping::Without(self.labels()) };
        let param = op.param_type().map(|of| self.expr(of, levels));
        let expr = self.expr(ValueType::InstantVector, levels);
        Self::node(ExprKind::Aggregate(Box::new(Aggregate { op, grouping, param, expr })))
    }

    fn binary(&self, of: ValueType, levels: u32) -> Expr {
        use BinaryOp::*;
        let ops = [
            Add, Sub, Mul, Div, Mod, Pow, Atan2, Eq, Ne, Gt, Lt, Ge, Le, TrimUpper, TrimLower, And, Or,
            Unless,
        ];
        let vectors = of == ValueType::InstantVector;
        let op = self.pick(if vectors { &ops } else { &ops[..15] });
        let (left, right) = match self.below(4) {
            _ if !vectors => (ValueType::Scalar, ValueType::Scalar),
            0 if !op.is_set() => (ValueType::Scalar, of),
            1 if !op.is_set() => (of, ValueType::Scalar),
            _ => (of, of),
        };
        let (lhs, rhs) = (self.expr(left, levels), self.expr(right, levels));
        let binds = super::super::expr::precedence(op);
        let right_first = op == Pow;
        let lhs_stands = strength(&lhs) > binds || (strength(&lhs) == binds && !right_first);
        let rhs_stands =
            strength(&rhs) > binds || (strength(&rhs) == binds && right_first) || is_signed(&rhs);
        let binary = Binary {
            op,
            lhs: if lhs_stands { lhs } else { Self::paren(lhs) },
            rhs: if rhs_stands { rhs } else { Self::paren(rhs) },
            return_bool: op.is_comparison() && (!vectors || self.chance(2)),
            matching: (left == right && vectors).then(|| self.matching(op)),
        };
        Self::node(ExprKind::Binary(Box::new(binary)))
    }

    fn matching(&self, op: BinaryOp) -> Matching {
        let on = if self.chance(2) { MatchOn::On(self.labels()) } else { MatchOn::Ignoring(self.labels()) };
        if op.is_set() {
            let (cardinality, include) = (Cardinality::ManyToMany, Vec::new());
            return Matching { cardinality, on, include, fill: Fill::default() };
        }
        let cardinality = self.pick(&[Cardinality::OneToOne, Cardinality::ManyToOne, Cardinality::OneToMany]);
        let mut include = if cardinality == Cardinality::OneToOne { Vec::new() } else { self.labels() };
        if let MatchOn::On(labels) = &on {
            include.retain(|l| !labels.contains(l));
        }
        let value = |one_in| self.chance(one_in).then(|| self.number());
        let fill = match self.below(4) {
            0 => {
                let both = value(1);
                Fill { left: both, right: both }
            }
            1 => Fill { left: value(2), right: value(2) },
            _ => Fill::default(),
        };
        Matching { cardinality, on, include, fill }
    }
}

fn duration_strength(op: DurationOp) -> u8 {
    match op {
        DurationOp::Add | DurationOp::Sub => 1,
        DurationOp::Mul | DurationOp::Div | DurationOp::Mod => 2,
        DurationOp::Pow => 3,
    }
}

fn is_negative(expr: &DurationExpr) -> bool {
    match expr {
        DurationExpr::Negate(_) => true,
        DurationExpr::Number(v) => v.is_sign_negative(),
        DurationExpr::Duration(d) => d.as_ms() < 0,
        _ => false,
    }
}

/// As strong as `*`, which signs are.
const SIGN: u8 = 5;
const POWER: u8 = 6;
const ATOM: u8 = 7;

fn is_signed(expr: &Expr) -> bool {
    match expr.kind {
        ExprKind::Negate(_) | ExprKind::Plus(_) => true,
        ExprKind::Duration(v) => v.is_sign_negative(),
        ExprKind::Number(v) => (v.is_sign_negative() || v.is_infinite()) && !v.is_nan(),
        _ => false,
    }
}

/// How strongly an expression holds together.
fn strength(expr: &Expr) -> u8 {
    match &expr.kind {
        ExprKind::Binary(b) => super::super::expr::precedence(b.op),
        _ if is_signed(expr) => SIGN,
        _ => ATOM,
    }
}

#[test]
fn a_tree_reads_back_from_its_written_form() {
    let seed = std::env::var("SKOPOS_TEST_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(20_261_122);
    println!("SKOPOS_TEST_SEED={seed}");
    let maker = Maker { rng: Rng::from_seed(seed) };
    let types = [ValueType::Scalar, ValueType::String, ValueType::InstantVector, ValueType::RangeVector];
    for i in 0..TREES {
        let of = types[i % 4];
        let tree = maker.expr(of, maker.below(MAX_LEVELS as usize + 1) as u32);
        let written = tree.to_string();
        let read = parse(&written).unwrap_or_else(|e| panic!("tree {i} of seed {seed}: {written}: {e}"));
        assert_eq!(read.value_type(), of, "tree {i} of seed {seed}: {written}");
        assert_eq!(read.to_string(), written, "tree {i} of seed {seed}");
        assert!(read.is_same_tree(&tree), "tree {i} of seed {seed}: {written}: {read:?}, not {tree:?}");
    }
}
