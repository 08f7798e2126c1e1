//! Regular expressions as Go's `regexp` reads them, which users of Prometheus write: translated for the
//! `regex` crate, so that both refuse and match the same. Knows nothing of labels; bounds no size.
//!
//! The language is that of RE2 (<https://github.com/google/re2/wiki/Syntax>) with Go's flags for Perl's
//! classes. What the two engines read differently: `\Q…\E`, octal escapes, `\<`, classes of ASCII (`\d`,
//! `\w`, `\b`), operators inside of classes, `{` that counts nothing, stacked repetitions, names of groups.

mod class;
#[cfg(test)]
mod tests;

/// The greatest count of a repetition, and of repetitions within one another together.
const REPEAT_MAX: u64 = 1000;

/// An expression for the `regex` crate, to be compiled so that `.` matches a line's end too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Translated {
    /// The expression.
    pub pattern: String,
    /// The name of each group, where it has one; the whole match is the first.
    pub groups: Vec<Option<String>>,
}

/// Translates `pattern`, in which `.` matches the end of a line too.
///
/// # Errors
/// Says in one line why Go refuses the expression.
pub fn translate(pattern: &str) -> Result<Translated, String> {
    translate_with(pattern, Flags { any_dot: true, ..Flags::default() })
}

/// As [`translate`]. Of a long expression the error repeats the beginning.
fn translate_with(pattern: &str, flags: Flags) -> Result<Translated, String> {
    const SHOWN_CHARS: usize = 300;
    Translator::new(pattern, flags).run().map_err(|e| match e.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &e[..end]),
        None => e,
    })
}

/// An expression that has to match a whole text, and whose groups can be put into a template.
#[derive(Debug, Clone)]
pub struct WholeText {
    regex: regex::Regex,
    groups: Vec<Option<String>>,
}

impl WholeText {
    /// Compiles `pattern`, which may take so many bytes then.
    ///
    /// # Errors
    /// Says in one line why it cannot be used.
    pub fn new(pattern: &str, size_limit_bytes: usize) -> Result<Self, String> {
        // What Prometheus makes of it, as a text: `a)(b` is one of its expressions.
        let whole = format!("^(?s:{pattern})$");
        let Translated { pattern, groups } = translate_with(&whole, Flags::default())?;
        let regex = regex::RegexBuilder::new(&pattern)
            .dot_matches_new_line(true)
            .size_limit(size_limit_bytes)
            .build()
            .map_err(|e| one_line(&e.to_string()))?;
        Ok(Self { regex, groups })
    }

    /// Whether it matches the whole of `text`.
    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// What it is written as for the engine; equal ones match the same.
    pub fn as_str(&self) -> &str {
        self.regex.as_str()
    }

    /// The template with the groups that matched in the place of `$1`, `$name` and `${name}`; none when the
    /// text is not matched.
    pub fn expand(&self, text: &str, template: &str) -> Option<String> {
        let captures = self.regex.captures(text)?;
        let mut out = String::new();
        let mut rest = template;
        while let Some((before, behind)) = rest.split_once('$') {
            out.push_str(before);
            if let Some(behind) = behind.strip_prefix('$') {
                out.push('$');
                rest = behind;
            } else if let Some((name, behind)) = reference(behind) {
                let group = self.group(name, &captures);
                out.push_str(group.and_then(|i| captures.get(i)).map_or("", |found| found.as_str()));
                rest = behind;
            } else {
                out.push('$');
                rest = behind;
            }
        }
        out.push_str(rest);
        Some(out)
    }

    /// The group that a template calls `name`.
    fn group(&self, name: &str, captures: &regex::Captures<'_>) -> Option<usize> {
        let is_number = name.bytes().all(|b| b.is_ascii_digit()) && (name == "0" || !name.starts_with('0'));
        if is_number {
            return name.parse().ok().filter(|i| *i < self.groups.len());
        }
        let named = |i: &usize| self.groups[*i].as_deref() == Some(name) && captures.get(*i).is_some();
        (0..self.groups.len()).find(named)
    }
}

impl PartialEq for WholeText {
    fn eq(&self, other: &Self) -> bool {
        (self.as_str(), &self.groups) == (other.as_str(), &other.groups)
    }
}

/// The name behind a `$`, and what follows it.
fn reference(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('{');
    let from = inner.unwrap_or(text);
    let end = from.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(from.len());
    let (name, rest) = from.split_at(end);
    let rest = if inner.is_some() { rest.strip_prefix('}')? } else { rest };
    (!name.is_empty()).then_some((name, rest))
}

/// The engine draws its errors over several lines; the last one says what is wrong.
pub(crate) fn one_line(message: &str) -> String {
    let last = message.lines().last().unwrap_or(message);
    last.strip_prefix("error: ").unwrap_or(last).trim().to_owned()
}

#[derive(Clone, Copy, Default)]
struct Flags {
    /// `i`
    fold: bool,
    /// `m`
    lines: bool,
    /// `s`
    any_dot: bool,
    /// `U`
    lazy: bool,
}

/// A group that is open.
struct Open {
    flags: Flags,
    written_fold: bool,
    start: usize,
    need: u64,
}

/// What a repetition may stand behind: from where on it was written, and the least limit that its own
/// repetitions keep.
#[derive(Clone, Copy)]
struct Atom {
    start: usize,
    need: u64,
    is_repeated: bool,
}

struct Translator<'p> {
    whole: &'p str,
    rest: &'p str,
    flags: Flags,
    out: String,
    /// Whether what is written now is read without regard to case.
    written_fold: bool,
    groups: Vec<Option<String>>,
    open: Vec<Open>,
    last: Option<Atom>,
    /// The greatest need of the atoms of this group so far.
    need: u64,
}

impl<'p> Translator<'p> {
    fn new(whole: &'p str, flags: Flags) -> Self {
        Self {
            whole,
            rest: whole,
            flags,
            out: String::with_capacity(whole.len() + 8),
            written_fold: false,
            groups: vec![None],
            open: Vec::new(),
            last: None,
            need: 0,
        }
    }

    fn run(mut self) -> Result<Translated, String> {
        let mut behind_repetition = false;
        while let Some(c) = self.rest.chars().next() {
            let mut is_repetition = false;
            match c {
                '*' | '+' | '?' => {
                    self.rest = &self.rest[1..];
                    let bounds = if c == '+' { (1, None) } else { (0, (c == '?').then_some(1)) };
                    self.repeat(&c.to_string(), bounds, behind_repetition)?;
                    is_repetition = true;
                }
                '{' => match counts(self.rest) {
                    Some((min, max, len)) => {
                        let text = &self.rest[..len];
                        let is_wrong = min > REPEAT_MAX || max.is_some_and(|m| m > REPEAT_MAX || m < min);
                        if is_wrong {
                            return Err(format!("invalid repeat count: `{text}`"));
                        }
                        self.rest = &self.rest[len..];
                        self.repeat(text, (min, max), behind_repetition)?;
                        is_repetition = true;
                    }
                    None => self.one_char(),
                },
                _ => self.item(c)?,
            }
            behind_repetition = is_repetition;
        }
        if !self.open.is_empty() {
            return Err(format!("missing closing ): `{}`", self.whole));
        }
        Ok(Translated { pattern: self.out, groups: self.groups })
    }

    fn item(&mut self, c: char) -> Result<(), String> {
        match c {
            '(' => self.open_group()?,
            ')' => self.close_group()?,
            '|' => {
                self.out.push('|');
                self.rest = &self.rest[1..];
                self.last = None;
            }
            '[' => {
                let (text, rest) = class::bracketed(self.rest)?;
                self.rest = rest;
                self.atom(&text);
            }
            '.' => {
                self.rest = &self.rest[1..];
                self.atom(if self.flags.any_dot { "." } else { "[^\\n]" });
            }
            '^' => {
                self.rest = &self.rest[1..];
                self.atom(if self.flags.lines { "(?m:^)" } else { "\\A" });
            }
            '$' => {
                self.rest = &self.rest[1..];
                self.atom(if self.flags.lines { "(?m:$)" } else { "\\z" });
            }
            '\\' => self.escaped()?,
            _ => self.one_char(),
        }
        Ok(())
    }

    /// Writes what can be repeated.
    fn atom(&mut self, text: &str) {
        self.fold_as_set();
        self.last = Some(Atom { start: self.out.len(), need: 0, is_repeated: false });
        self.out.push_str(text);
    }

    fn fold_as_set(&mut self) {
        if self.flags.fold != self.written_fold {
            self.out.push_str(if self.flags.fold { "(?i)" } else { "(?-i)" });
            self.written_fold = self.flags.fold;
        }
    }

    fn literal(&mut self, c: char) {
        self.atom(&regex_syntax::escape(c.encode_utf8(&mut [0; 4])));
    }

    fn one_char(&mut self) {
        let mut chars = self.rest.chars();
        if let Some(c) = chars.next() {
            self.rest = chars.as_str();
            self.literal(c);
        }
    }

    fn repeat(&mut self, text: &str, bounds: (u64, Option<u64>), stacked: bool) -> Result<(), String> {
        let mut lazy = self.flags.lazy;
        if let Some(rest) = self.rest.strip_prefix('?') {
            self.rest = rest;
            lazy = !lazy;
        }
        if stacked {
            return Err(format!("invalid nested repetition operator: `{text}`"));
        }
        let Some(atom) = self.last else {
            return Err(format!("missing argument to repetition operator: `{text}`"));
        };
        let (min, max) = bounds;
        let need = if text.starts_with('{') {
            let need = match max.unwrap_or(min) {
                0 if max.is_some() => 0,
                0 => atom.need,
                count => count.saturating_mul(atom.need.max(1)),
            };
            if need > REPEAT_MAX && (min >= 2 || max.is_some_and(|m| m >= 2)) {
                return Err(format!("invalid repeat count: `{text}`"));
            }
            need
        } else {
            atom.need
        };
        if atom.is_repeated {
            self.out.insert_str(atom.start, "(?:");
            self.out.push(')');
        }
        self.out.push_str(text);
        if lazy {
            self.out.push('?');
        }
        self.need = self.need.max(need);
        self.last = Some(Atom { need, is_repeated: true, ..atom });
        Ok(())
    }

    fn open_group(&mut self) -> Result<(), String> {
        let (text, inner) = match self.opening()? {
            Opening::Flags(flags) => {
                self.flags = flags;
                return Ok(());
            }
            Opening::Plain(flags) => ("(?:", flags),
            Opening::Captured(name) => {
                self.groups.push(name);
                ("(", self.flags)
            }
        };
        let (start, written_fold) = (self.out.len(), self.written_fold);
        self.open.push(Open { flags: self.flags, written_fold, start, need: self.need });
        self.out.push_str(text);
        self.flags = inner;
        (self.need, self.last) = (0, None);
        Ok(())
    }

    fn close_group(&mut self) -> Result<(), String> {
        let Some(open) = self.open.pop() else {
            return Err(format!("unexpected ): `{}`", self.whole));
        };
        self.rest = &self.rest[1..];
        self.out.push(')');
        self.last = Some(Atom { start: open.start, need: self.need, is_repeated: false });
        self.need = self.need.max(open.need);
        (self.flags, self.written_fold) = (open.flags, open.written_fold);
        Ok(())
    }

    /// What an opening parenthesis begins.
    fn opening(&mut self) -> Result<Opening, String> {
        let text = self.rest;
        if let Some(named) = text.strip_prefix("(?P<").or_else(|| text.strip_prefix("(?<")) {
            let end = named.find('>').ok_or_else(|| format!("invalid named capture: `{text}`"))?;
            let name = &named[..end];
            let is_word = |c: char| c == '_' || c.is_ascii_alphanumeric();
            if name.is_empty() || !name.chars().all(is_word) {
                let shown = &text[..text.len() - named.len() + end + 1];
                return Err(format!("invalid named capture: `{shown}`"));
            }
            self.rest = &named[end + 1..];
            return Ok(Opening::Captured(Some(name.to_owned())));
        }
        let Some(flags) = text.strip_prefix("(?") else {
            self.rest = &text[1..];
            return Ok(Opening::Captured(None));
        };
        let mut set = self.flags;
        let (mut on, mut is_due) = (true, false);
        for (at, c) in flags.char_indices() {
            match c {
                'i' => set.fold = on,
                'm' => set.lines = on,
                's' => set.any_dot = on,
                'U' => set.lazy = on,
                '-' if on => (on, is_due) = (false, true),
                ':' | ')' if !is_due => {
                    self.rest = &flags[at + 1..];
                    return Ok(if c == ':' { Opening::Plain(set) } else { Opening::Flags(set) });
                }
                _ => {
                    let shown = &text[..2 + at + c.len_utf8()];
                    return Err(format!("invalid or unsupported Perl syntax: `{shown}`"));
                }
            }
            is_due &= c == '-';
        }
        Err(format!("missing closing ): `{}`", self.whole))
    }

    fn escaped(&mut self) -> Result<(), String> {
        let behind = &self.rest[1..];
        let assertion = match behind.chars().next() {
            Some('A') => "\\A",
            Some('z') => "\\z",
            Some('b') => "(?-u:\\b)",
            Some('B') => "(?-u:\\B)",
            Some('Q') => {
                let (text, rest) = behind[1..].split_once("\\E").unwrap_or((&behind[1..], ""));
                self.rest = rest;
                text.chars().for_each(|c| self.literal(c));
                return Ok(());
            }
            _ => {
                if let Some((class, rest)) = class::named(self.rest)? {
                    self.rest = rest;
                    self.atom(&class);
                } else {
                    let (c, rest) = class::escaped(self.rest)?;
                    self.rest = rest;
                    match char::from_u32(c) {
                        Some(c) => self.literal(c),
                        // Half of a pair stands in no text.
                        None => self.atom(class::NOTHING),
                    }
                }
                return Ok(());
            }
        };
        self.rest = &behind[1..];
        self.atom(assertion);
        Ok(())
    }
}

/// What a parenthesis begins.
enum Opening {
    /// A group that is captured, by its name if it has one.
    Captured(Option<String>),
    /// A group that is not, in which these flags hold.
    Plain(Flags),
    /// No group: the flags of what follows.
    Flags(Flags),
}

/// The counts of a repetition such as `{2,5}`, and its length. What is none is a text.
fn counts(text: &str) -> Option<(u64, Option<u64>, usize)> {
    let (min, rest) = count(text.strip_prefix('{')?)?;
    let (max, rest) = match rest.strip_prefix(',') {
        None => (Some(min), rest),
        Some(rest) if rest.starts_with('}') => (None, rest),
        Some(rest) => {
            let (max, rest) = count(rest)?;
            (Some(max), rest)
        }
    };
    let rest = rest.strip_prefix('}')?;
    Some((min, max, text.len() - rest.len()))
}

/// A number without a zero before it.
fn count(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    let is_written = !digits.is_empty() && (digits == "0" || !digits.starts_with('0'));
    is_written.then(|| (digits.parse().unwrap_or(u64::MAX), rest))
}
