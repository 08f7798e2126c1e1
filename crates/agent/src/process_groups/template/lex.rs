//! Words of Go's templates: text and, inside of braces, names, fields, variables, texts, characters and
//! numbers. Knows no order of words.

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
        '\'' => rune(&rest[1..]),
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
    let is_float = text.contains(['.', 'e', 'E']) && !text.to_ascii_lowercase().contains('x');
    let word = match is_float {
        // Rust knows names of floats that Go does not.
        true if text.contains(|c: char| c.is_alphabetic() && !matches!(c, 'e' | 'E')) => None,
        true => text.parse().ok().filter(|number: &f64| number.is_finite()).map(Word::Float),
        false => whole(text).map(Word::Int),
    };
    let wrong = || format!("{text} is not a number; write it like 7, -2, 0x1f, 1.5 or 1e3");
    Ok((word.ok_or_else(wrong)?, behind))
}

/// A whole number as Go writes it: with a sign, a prefix of its base, and lines below between digits.
fn whole(text: &str) -> Option<i64> {
    let (sign, size) = match text.strip_prefix(['-', '+']) {
        Some(size) => (&text[..1], size),
        None => ("", text),
    };
    let lower = size.to_ascii_lowercase();
    let bases = [("0x", 16), ("0b", 2), ("0o", 8), ("0", 8)];
    let prefixed = bases.iter().find_map(|(prefix, base)| {
        let digits = lower.strip_prefix(prefix).filter(|digits| !digits.is_empty())?;
        // A line below can stand behind a prefix.
        Some((digits.strip_prefix('_').unwrap_or(digits), *base))
    });
    let (digits, base) = prefixed.unwrap_or((&lower, 10));
    let is_apart = digits.split('_').all(|group| !group.is_empty() && !group.contains(['-', '+']));
    let digits = format!("{sign}{}", digits.replace('_', ""));
    i64::from_str_radix(&digits, base).ok().filter(|_| is_apart)
}

/// A text up to its quote.
fn quoted(rest: &str) -> Result<(Word, &str), String> {
    let mut text = String::new();
    let mut rest = rest;
    loop {
        match character(rest, '"')? {
            Some((c, behind)) => {
                text.push(c);
                rest = behind;
            }
            None => return Ok((Word::Text(text), &rest[1..])),
        }
    }
}

/// A character between single quotes, which is its number.
fn rune(rest: &str) -> Result<(Word, &str), String> {
    let wrong = "between ' and ' stands one character";
    let (c, behind) = character(rest, '\'')?.ok_or(wrong)?;
    let behind = behind.strip_prefix('\'').ok_or(wrong)?;
    Ok((Word::Int(i64::from(u32::from(c))), behind))
}

/// The next character of a text, and what stands behind it; nothing where its quote comes.
fn character(rest: &str, quote: char) -> Result<Option<(char, &str)>, String> {
    let no_end = || format!("a text in {quote} has no end");
    let first = rest.chars().next().filter(|c| *c != '\n').ok_or_else(no_end)?;
    let behind = &rest[first.len_utf8()..];
    if first == quote {
        return Ok(None);
    }
    if first != '\\' {
        return Ok(Some((first, behind)));
    }
    let escape = behind.chars().next().ok_or_else(no_end)?;
    let after = &behind[escape.len_utf8()..];
    let (c, length) = match escape {
        'a' => ('\x07', 0),
        'b' => ('\x08', 0),
        'f' => ('\x0c', 0),
        'n' => ('\n', 0),
        'r' => ('\r', 0),
        't' => ('\t', 0),
        'v' => ('\x0b', 0),
        '\\' => ('\\', 0),
        c if c == quote => (c, 0),
        'x' => (coded(after, 2, 16)?, 2),
        'u' => (coded(after, 4, 16)?, 4),
        'U' => (coded(after, 8, 16)?, 8),
        '0'..='7' => return Ok(Some((coded(behind, 3, 8)?, &behind[3..]))),
        other => return Err(format!("\\{other} is not known in a text in {quote}")),
    };
    Ok(Some((c, &after[length..])))
}

/// The character whose number the first digits are.
fn coded(rest: &str, length: usize, base: u32) -> Result<char, String> {
    let digits = rest.get(..length).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    let number = digits.and_then(|digits| u32::from_str_radix(digits, base).ok());
    // Single bytes make text of ASCII alone.
    let number = number.filter(|number| length > 3 || *number < 0x80);
    number
        .and_then(char::from_u32)
        .ok_or_else(|| format!("\\ and {length} digits behind it are no character"))
}
