//! Words of Go's templates: text and, inside of braces, names, fields, variables, texts and numbers. Knows no
//! order of words.

/// A word inside of braces.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Word {
    /// A function's or a keyword's name.
    Name(String),
    /// `.a.b`, `$.a` or `$x.a`: the variable (empty for `$`), if there is one, and the fields.
    Path(Option<String>, Vec<String>),
    Text(String),
    Int(i64),
    Float(f64),
    /// `|`, `(`, `)`, `,`, `=` or `:=`.
    Sign(&'static str),
}

/// A part of a template.
#[derive(Debug, PartialEq)]
pub(super) enum Part {
    Text(String),
    Action(Vec<Word>),
}

const OPEN: &str = "{{";
const CLOSE: &str = "}}";

/// The parts of a template.
pub(super) fn parts(template: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut rest = template;
    let mut trims = false;
    loop {
        let (text, inside) = match rest.split_once(OPEN) {
            Some((text, inside)) => (text, Some(inside)),
            None => (rest, None),
        };
        let text = if trims { text.trim_start() } else { text };
        // A dash inside of the braces takes the white space outside of them.
        let dashed = inside.and_then(|inside| inside.strip_prefix('-'));
        let dashed = dashed.filter(|inside| inside.starts_with(char::is_whitespace));
        let text = if dashed.is_some() { text.trim_end() } else { text };
        if !text.is_empty() {
            parts.push(Part::Text(text.to_owned()));
        }
        let Some(inside) = dashed.or(inside) else { return Ok(parts) };
        let (words, behind, trims_behind) = action(inside)?;
        if !words.is_empty() {
            parts.push(Part::Action(words));
        }
        (rest, trims) = (behind, trims_behind);
    }
}

/// The words of an action, what stands behind it, and whether that loses its first white space.
fn action(inside: &str) -> Result<(Vec<Word>, &str, bool), String> {
    if let Some(comment) = inside.trim_start().strip_prefix("/*") {
        let behind = comment.split_once("*/").map(|(_, behind)| behind).ok_or("a comment has no end")?;
        return match end_of(behind) {
            Some((behind, trims)) => Ok((Vec::new(), behind, trims)),
            None => Err("a comment has to end its action: {{/* … */}}".into()),
        };
    }
    let (mut words, mut rest) = (Vec::new(), inside);
    loop {
        if let Some((behind, trims)) = end_of(rest) {
            if words.is_empty() {
                return Err("there is nothing between {{ and }}".into());
            }
            return Ok((words, behind, trims));
        }
        rest = rest.trim_start();
        let (word, behind) = word(rest)?;
        let is_apart = behind.starts_with(|c: char| c.is_whitespace() || "|(),=:}".contains(c));
        if !is_apart && !matches!(word, Word::Sign(_)) && !behind.is_empty() {
            let at: String = behind.chars().take(10).collect();
            return Err(format!("{at:?} stands where a word ends; put a blank between"));
        }
        words.push(word);
        rest = behind;
    }
}

/// What stands behind the braces, if they come next, and whether a dash is before them.
fn end_of(rest: &str) -> Option<(&str, bool)> {
    let trimmed = rest.trim_start();
    let dashed = trimmed.strip_prefix('-').and_then(|rest| rest.strip_prefix(CLOSE));
    if let Some(behind) = dashed.filter(|_| trimmed.len() < rest.len()) {
        return Some((behind, true));
    }
    trimmed.strip_prefix(CLOSE).map(|behind| (behind, false))
}

fn word(rest: &str) -> Result<(Word, &str), String> {
    for sign in ["|", "(", ")", ",", ":=", "="] {
        if let Some(behind) = rest.strip_prefix(sign) {
            return Ok((Word::Sign(sign), behind));
        }
    }
    let first = rest.chars().next().ok_or("a {{ has no }} behind it")?;
    match first {
        '"' => quoted(&rest[1..]),
        '`' => {
            let (text, behind) = rest[1..].split_once('`').ok_or("a text in ` has no end")?;
            Ok((Word::Text(text.to_owned()), behind))
        }
        '.' if !rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
            let (fields, behind) = fields(rest)?;
            Ok((Word::Path(None, fields), behind))
        }
        '$' => {
            let (name, behind) = name(&rest[1..]);
            let (fields, behind) =
                if behind.starts_with('.') { fields(behind)? } else { (Vec::new(), behind) };
            Ok((Word::Path(Some(name.to_owned()), fields), behind))
        }
        '0'..='9' | '-' | '+' | '.' => number(rest),
        c if c.is_alphabetic() || c == '_' => {
            let (name, behind) = name(rest);
            Ok((Word::Name(name.to_owned()), behind))
        }
        other => Err(format!("{other:?} has no meaning inside of braces")),
    }
}

/// Letters, digits and lines below, as far as they reach.
fn name(rest: &str) -> (&str, &str) {
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    rest.split_at(end)
}

/// The names in `.a.b`; none in a point alone.
fn fields(mut rest: &str) -> Result<(Vec<String>, &str), String> {
    let mut fields = Vec::new();
    while let Some(behind) = rest.strip_prefix('.') {
        let (field, behind) = name(behind);
        if field.is_empty() {
            if fields.is_empty() {
                return Ok((fields, behind));
            }
            return Err("a name has to stand behind each point".into());
        }
        fields.push(field.to_owned());
        rest = behind;
    }
    Ok((fields, rest))
}

fn number(rest: &str) -> Result<(Word, &str), String> {
    let is_of_number = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '+' | '-');
    let (text, behind) = rest.split_at(rest.find(|c: char| !is_of_number(c)).unwrap_or(rest.len()));
    let word = match text.parse() {
        Ok(whole) => Word::Int(whole),
        Err(_) => text
            .parse()
            .ok()
            .filter(|n: &f64| n.is_finite())
            .map(Word::Float)
            .ok_or_else(|| format!("{text} is not a number; write it like 7, -2 or 1.5"))?,
    };
    Ok((word, behind))
}

/// A text up to its quote.
fn quoted(rest: &str) -> Result<(Word, &str), String> {
    let mut text = String::new();
    let mut chars = rest.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((Word::Text(text), &rest[at + 1..])),
            '\\' => match chars.next().map(|(_, c)| c) {
                Some('n') => text.push('\n'),
                Some('t') => text.push('\t'),
                Some('r') => text.push('\r'),
                Some(c @ ('"' | '\\')) => text.push(c),
                Some(c) => {
                    return Err(format!(
                        "\\{c} is not known in a text; there are \\n, \\t, \\r, \\\" and \\\\"
                    ));
                }
                None => break,
            },
            c => text.push(c),
        }
    }
    Err("a text in \" has no end".into())
}
