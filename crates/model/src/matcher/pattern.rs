//! Regular expressions of matchers: the cheapest test that decides as the expression does, and what an
//! expression may cost. Knows nothing of labels.

use super::{RegexError, glob::Globs};
use crate::re2::{self, one_line};
use regex::Regex;
use regex_syntax::{
    ast::{self, Ast, ClassSetItem, Flag, Flags, GroupKind},
    hir::{
        Hir, HirKind,
        literal::{self, ExtractKind, Extractor},
        translate::TranslatorBuilder,
    },
};
use std::borrow::Cow;

/// The most literals that an expression may stand for to be matched as a set, unless it lists them.
const SET_MAX: usize = 1024;
/// The most bytes each of these literals may have.
const SET_LITERAL_MAX_BYTES: usize = 256;
/// The most bytes a compiled expression may take. A letter (`\pL`, over all of Unicode) takes 40 kB,
/// an alternation of 500 names with `.*` 700 kB.
pub(super) const REGEX_SIZE_LIMIT_BYTES: usize = 1 << 20;
/// The most bytes of an expression that is more than a list of literals.
const PATTERN_MAX_BYTES: usize = 64 << 10;
/// The most groups and repetitions within one another. It bounds the stack of the compiler.
const NEST_LIMIT: u32 = 100;
/// The most characters that the classes of a case-insensitive expression may name in sum: for each of
/// them its other cases are looked up.
const FOLDED_MAX_CHARS: u64 = 1 << 19;

/// What is done to decide; each as cheap as the expression allows.
#[derive(Clone, Debug)]
pub(super) enum Test {
    /// Equal to the matcher's own value.
    Literal,
    /// `.*`
    Anything,
    /// `.+`
    NonEmpty,
    /// One of these, sorted.
    Set(Vec<String>),
    /// A literal, then anything.
    Prefix(String),
    /// Literals with any text between them.
    Globs(Globs),
    Regex {
        prefix: String,
        regex: Regex,
    },
}

/// A test, and how many bytes of the expression were worked on for it.
pub(super) struct Compiled {
    pub(super) test: Test,
    pub(super) price: usize,
}

pub(super) fn compile(pattern: &str) -> Result<Compiled, RegexError> {
    let fail = |reason: String| RegexError { pattern: shortened(pattern), reason };
    if let Some(set) = listed(pattern) {
        return Ok(Compiled { test: Test::Set(set), price: 0 });
    }
    if pattern.len() > PATTERN_MAX_BYTES {
        return Err(fail(format!("it is longer than {PATTERN_MAX_BYTES} bytes")));
    }
    let translated = re2::translate(pattern).map_err(fail)?.pattern;
    let ast = ast::parse::ParserBuilder::new()
        .nest_limit(NEST_LIMIT)
        .build()
        .parse(&translated)
        .map_err(|e| fail(one_line(&e.to_string())))?;
    if !folds_within_limit(&translated, &ast) {
        return Err(fail(format!(
            "its case-insensitive classes have more than {FOLDED_MAX_CHARS} characters"
        )));
    }
    let hir = TranslatorBuilder::new()
        .dot_matches_new_line(true)
        .build()
        .translate(&translated, &ast)
        .map_err(|e| fail(one_line(&e.to_string())))?;
    if let Some(test) = simple(&hir) {
        let price = if matches!(test, Test::Set(_)) { pattern.len() } else { 0 };
        return Ok(Compiled { test, price });
    }
    if hir.properties().look_set().is_empty()
        && let Some(globs) = Globs::of(&hir)
    {
        return Ok(Compiled { test: Test::Globs(globs), price: pattern.len() });
    }
    let regex = regex::RegexBuilder::new(&format!("^(?:{translated})$"))
        .dot_matches_new_line(true)
        .nest_limit(NEST_LIMIT + 2)
        .size_limit(REGEX_SIZE_LIMIT_BYTES)
        .build()
        .map_err(|e| fail(one_line(&e.to_string())))?;
    let prefix = if hir.properties().look_set().is_empty() { literal_prefix(&hir) } else { String::new() };
    Ok(Compiled { test: Test::Regex { prefix, regex }, price: pattern.len() })
}

/// The literals of an expression that does nothing but list them, as `a|b\.c` or `(a|b)`, sorted. A list
/// may be as long as the text that holds it: it is read once, and no engine is needed.
fn listed(pattern: &str) -> Option<Vec<String>> {
    let inner = |open: &str| pattern.strip_prefix(open)?.strip_suffix(')');
    let mut chars = inner("(?:").or_else(|| inner("(")).unwrap_or(pattern).chars();
    let (mut set, mut literal) = (Vec::new(), String::new());
    while let Some(c) = chars.next() {
        match c {
            '|' => set.push(std::mem::take(&mut literal)),
            '\\' => literal.push(chars.next().filter(|c| regex_syntax::is_escapeable_character(*c))?),
            '.' | '+' | '*' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '^' | '$' => return None,
            c => literal.push(c),
        }
    }
    set.push(literal);
    set.sort_unstable();
    set.dedup();
    Some(set)
}

/// Whether the expression looks up no more other cases of characters than it may.
fn folds_within_limit(pattern: &str, ast: &Ast) -> bool {
    let counter = ClassCounter { pattern, folds: false, chars: 0 };
    let Ok(counter) = ast::visit(ast, counter);
    !counter.folds || counter.chars <= FOLDED_MAX_CHARS
}

/// Whether the characters of a negated class are those that it has in the end, or those that it names.
#[derive(Clone, Copy)]
enum Negation {
    Counted,
    Passed,
}

/// Counts the characters that classes name, and looks for a flag that makes case mean nothing.
struct ClassCounter<'p> {
    pattern: &'p str,
    folds: bool,
    chars: u64,
}

impl ClassCounter<'_> {
    fn flags(&mut self, flags: &Flags) {
        self.folds |= flags.flag_state(Flag::CaseInsensitive) == Some(true);
    }

    /// A class with a name, such as `\p{Greek}`.
    fn named(&mut self, span: &ast::Span, negation: Negation) {
        let written = &self.pattern[span.start.offset..span.end.offset];
        let text = match negation {
            Negation::Counted => Cow::Borrowed(written),
            Negation::Passed => Cow::Owned(written.replacen("\\P", "\\p", 1)),
        };
        // What is no class is reported by whoever translates the whole.
        let Ok(hir) = regex_syntax::parse(&text) else { return };
        if let HirKind::Class(regex_syntax::hir::Class::Unicode(class)) = hir.kind() {
            let chars = |r: &regex_syntax::hir::ClassUnicodeRange| u64::from(r.end()) - u64::from(r.start());
            self.chars += class.iter().map(|r| chars(r) + 1).sum::<u64>();
        }
    }
}

impl ast::Visitor for ClassCounter<'_> {
    type Output = Self;
    type Err = std::convert::Infallible;

    fn finish(self) -> Result<Self, Self::Err> {
        Ok(self)
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), Self::Err> {
        match ast {
            Ast::Flags(set) => self.flags(&set.flags),
            Ast::Group(group) => {
                if let GroupKind::NonCapturing(flags) = &group.kind {
                    self.flags(flags);
                }
            }
            // Alone it is folded before it is negated.
            Ast::ClassUnicode(class) => self.named(&class.span, Negation::Passed),
            _ => {}
        }
        Ok(())
    }

    fn visit_class_set_item_pre(&mut self, item: &ClassSetItem) -> Result<(), Self::Err> {
        match item {
            ClassSetItem::Range(r) => {
                self.chars += u64::from(r.end.c).saturating_sub(u64::from(r.start.c)) + 1;
            }
            ClassSetItem::Unicode(class) => self.named(&class.span, Negation::Counted),
            _ => {}
        }
        Ok(())
    }
}

/// As much of an expression as a message repeats.
fn shortened(pattern: &str) -> String {
    const MAX_CHARS: usize = 200;
    match pattern.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}…", &pattern[..end]),
        None => pattern.to_owned(),
    }
}

/// The cheap test for expressions that need no engine.
fn simple(hir: &Hir) -> Option<Test> {
    // An assertion inside (`^`, `\b`) counts as empty below, so nothing may be concluded from it.
    if !hir.properties().look_set().is_empty() {
        return None;
    }
    if is_any_text(hir, 0) {
        return Some(Test::Anything);
    }
    if is_any_text(hir, 1) {
        return Some(Test::NonEmpty);
    }
    if let HirKind::Concat(parts) = hir.kind()
        && let [head, tail] = parts.as_slice()
        && let HirKind::Literal(literal) = head.kind()
        && is_any_text(tail, 0)
    {
        return Some(Test::Prefix(String::from_utf8(literal.0.to_vec()).ok()?));
    }
    let literals = Extractor::new()
        .kind(ExtractKind::Prefix)
        .limit_total(SET_MAX)
        .limit_class(32)
        .limit_repeat(16)
        .limit_literal_len(SET_LITERAL_MAX_BYTES)
        .extract(hir);
    let literals = literals.literals().filter(|set| set.iter().all(literal::Literal::is_exact))?;
    let mut set = literals
        .iter()
        .map(|l| String::from_utf8(l.as_bytes().to_vec()))
        .collect::<Result<Vec<_>, _>>()
        .ok()?;
    set.sort_unstable();
    set.dedup();
    Some(Test::Set(set))
}

/// Whether `hir` is `.` at least `min` times without an upper bound.
fn is_any_text(hir: &Hir, min: u32) -> bool {
    match hir.kind() {
        HirKind::Repetition(r) => {
            r.min == min && r.max.is_none() && *r.sub == Hir::dot(regex_syntax::hir::Dot::AnyChar)
        }
        HirKind::Capture(c) => is_any_text(&c.sub, min),
        _ => false,
    }
}

/// The literal at the beginning of a concatenation.
fn literal_prefix(hir: &Hir) -> String {
    match hir.kind() {
        HirKind::Literal(l) => String::from_utf8(l.0.to_vec()).unwrap_or_default(),
        HirKind::Concat(parts) => parts.first().map(literal_prefix).unwrap_or_default(),
        _ => String::new(),
    }
}
