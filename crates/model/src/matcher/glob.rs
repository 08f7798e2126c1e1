//! `Globs`: expressions that are literals with any text between them, such as `.*foo.*` or `a.*b|c.+`, tested
//! without an engine. Knows nothing of labels.

use memchr::memmem::Finder;
use regex_syntax::hir::{Class, Hir, HirKind};

/// The most globs that an expression is taken apart into.
const GLOBS_MAX: usize = 32;
/// The most literals and gaps that they have together while they are taken apart.
const PARTS_MAX: usize = 256;

/// A text is matched when any of these matches it.
#[derive(Clone, Debug)]
pub(super) struct Globs {
    globs: Vec<Glob>,
    prefix: String,
}

impl Globs {
    /// The globs that stand for the expression, if some do. It must have no assertion.
    pub(super) fn of(hir: &Hir) -> Option<Self> {
        let globs: Vec<Glob> = expand(hir)?.into_iter().map(Glob::new).collect::<Option<_>>()?;
        let mut prefix = globs.first()?.prefix.clone();
        for glob in &globs {
            let same = |((at, a), b): &((usize, char), char)| (a == b).then_some(at + a.len_utf8());
            let len = prefix.char_indices().zip(glob.prefix.chars()).map_while(|p| same(&p)).last();
            prefix.truncate(len.unwrap_or_default());
        }
        Some(Self { globs, prefix })
    }

    /// What every text begins with that matches.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    #[inline]
    pub(super) fn matches(&self, text: &str) -> bool {
        self.globs.iter().any(|g| g.matches(text.as_bytes()))
    }
}

/// A part of a glob.
#[derive(Clone, Debug)]
enum Part {
    Literal(String),
    /// Any text of at least so many characters.
    Gap(usize),
}

/// The sequences of parts that an expression stands for; none where it is more than that, or too many.
fn expand(hir: &Hir) -> Option<Vec<Vec<Part>>> {
    let all = match hir.kind() {
        HirKind::Empty => vec![Vec::new()],
        HirKind::Literal(literal) => vec![vec![Part::Literal(String::from_utf8(literal.0.to_vec()).ok()?)]],
        HirKind::Class(Class::Unicode(class)) => {
            let chars: usize = class.iter().map(regex_syntax::hir::ClassUnicodeRange::len).sum();
            if chars > GLOBS_MAX {
                return None;
            }
            let literal = |c: char| vec![Part::Literal(c.into())];
            class.iter().flat_map(|r| r.start()..=r.end()).map(literal).collect()
        }
        HirKind::Capture(capture) => expand(&capture.sub)?,
        HirKind::Repetition(r) if r.min == 0 && r.max == Some(1) => {
            let mut all = expand(&r.sub)?;
            all.push(Vec::new());
            all
        }
        HirKind::Repetition(r) => {
            let any = r.max.is_none() && *r.sub == Hir::dot(regex_syntax::hir::Dot::AnyChar);
            vec![vec![Part::Gap(usize::try_from(r.min).ok().filter(|_| any)?)]]
        }
        HirKind::Concat(parts) => {
            let mut all = vec![Vec::new()];
            for part in parts {
                let tails = expand(part)?;
                let join = |head: &Vec<Part>, tail: &Vec<Part>| [head.as_slice(), tail.as_slice()].concat();
                if all.len() * tails.len() > GLOBS_MAX {
                    return None;
                }
                all = all.iter().flat_map(|head| tails.iter().map(move |tail| join(head, tail))).collect();
            }
            all
        }
        HirKind::Alternation(branches) => {
            let mut all = Vec::new();
            for branch in branches {
                all.append(&mut expand(branch)?);
                if all.len() > GLOBS_MAX {
                    return None;
                }
            }
            all
        }
        _ => return None,
    };
    (all.len() <= GLOBS_MAX && all.iter().map(Vec::len).sum::<usize>() <= PARTS_MAX).then_some(all)
}

/// Literals with any text between them.
#[derive(Clone, Debug)]
struct Glob {
    prefix: String,
    /// What stands behind each gap but the last, and how many bytes the gap has at least. A byte stands for
    /// a character: literals begin where characters do.
    inner: Vec<(usize, Finder<'static>)>,
    /// Behind the last gap. None when there is no gap.
    suffix: Option<(usize, String)>,
}

impl Glob {
    /// None where a gap has more than one character at least: characters are not counted.
    fn new(parts: Vec<Part>) -> Option<Self> {
        let (mut prefix, mut gaps) = (String::new(), Vec::<(usize, String)>::new());
        for part in parts {
            match (part, gaps.last_mut()) {
                (Part::Literal(text), None) => prefix.push_str(&text),
                (Part::Literal(text), Some((_, literal))) => literal.push_str(&text),
                (Part::Gap(min), Some((gap, literal))) if literal.is_empty() => *gap += min,
                (Part::Gap(min), _) => gaps.push((min, String::new())),
            }
        }
        if gaps.iter().any(|(gap, _)| *gap > 1) {
            return None;
        }
        let suffix = gaps.pop();
        let finder = |(gap, literal): (usize, String)| (gap, Finder::new(&literal).into_owned());
        Some(Self { prefix, inner: gaps.into_iter().map(finder).collect(), suffix })
    }

    #[inline]
    fn matches(&self, text: &[u8]) -> bool {
        let Some(mut rest) = text.strip_prefix(self.prefix.as_bytes()) else { return false };
        let Some((last_gap, suffix)) = &self.suffix else { return rest.is_empty() };
        // Each literal where it stands first: that leaves the most for those behind it.
        for (gap, finder) in &self.inner {
            let Some(behind) = rest.get(*gap..) else { return false };
            let Some(at) = finder.find(behind) else { return false };
            rest = &behind[at + finder.needle().len()..];
        }
        rest.len() >= last_gap + suffix.len() && rest.ends_with(suffix.as_bytes())
    }
}
