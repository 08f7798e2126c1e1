//! Classes of characters and escapes, as Go reads them. Each is written out for the `regex` crate in ranges
//! and names that mean the same there.

/// A class that no character is in.
pub(super) const NOTHING: &str = "[^\\x{0}-\\x{10FFFF}]";

const POSIX: [(&str, &str); 14] = [
    ("alnum", "0-9A-Za-z"),
    ("alpha", "A-Za-z"),
    ("ascii", "\\x00-\\x7F"),
    ("blank", "\\t "),
    ("cntrl", "\\x00-\\x1F\\x7F"),
    ("digit", "0-9"),
    ("graph", "!-~"),
    ("lower", "a-z"),
    ("print", " -~"),
    ("punct", "!-/:-@\\[-`\\{-~"),
    ("space", "\\t-\\r "),
    ("upper", "A-Z"),
    ("word", "0-9A-Z_a-z"),
    ("xdigit", "0-9A-Fa-f"),
];

/// The character that an escape at the beginning of `text` stands for, and what follows it.
pub(super) fn escaped(text: &str) -> Result<(u32, &str), String> {
    let mut chars = text[1..].chars();
    let Some(c) = chars.next() else {
        return Err("trailing backslash at end of expression".to_owned());
    };
    let rest = chars.as_str();
    let octal = |max: usize| text[1..].bytes().take(max).take_while(|b| (b'0'..=b'7').contains(b)).count();
    let value = match c {
        // One digit alone would refer to a group, which no expression may.
        '1'..='7' if octal(2) < 2 => None,
        '0'..='7' => {
            let end = 1 + octal(3);
            return u32::from_str_radix(&text[1..end], 8)
                .map(|value| (value, &text[end..]))
                .map_err(|_| invalid_escape(text, end));
        }
        'x' => return hexadecimal(text),
        'a' => Some(7),
        'f' => Some(0x0C),
        'n' => Some(0x0A),
        'r' => Some(0x0D),
        't' => Some(0x09),
        'v' => Some(0x0B),
        c if c.is_ascii() && !c.is_ascii_alphanumeric() => Some(u32::from(c)),
        _ => None,
    };
    value.map(|value| (value, rest)).ok_or_else(|| invalid_escape(text, 1 + c.len_utf8()))
}

fn invalid_escape(text: &str, end: usize) -> String {
    format!("invalid escape sequence: `{}`", text.get(..end).unwrap_or(text))
}

/// `\x7F` or `\x{10FFFF}`.
fn hexadecimal(text: &str) -> Result<(u32, &str), String> {
    let behind = &text[2..];
    let (digits, rest) = match behind.strip_prefix('{') {
        Some(inner) => inner.split_once('}').ok_or_else(|| invalid_escape(text, text.len()))?,
        None => behind.split_at_checked(2).ok_or_else(|| invalid_escape(text, text.len()))?,
    };
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
    let value = is_number.then(|| u32::from_str_radix(digits.trim_start_matches('0'), 16).ok());
    let value = if is_number && digits.bytes().all(|b| b == b'0') { Some(0) } else { value.flatten() };
    let value = value.filter(|v| *v <= u32::from(char::MAX));
    value.map(|v| (v, rest)).ok_or_else(|| invalid_escape(text, text.len() - rest.len()))
}

/// A class that an escape names, such as `\d` and `\pL`, and what follows it. None when it names none.
pub(super) fn named(text: &str) -> Result<Option<(String, &str)>, String> {
    let Some(c) = text[1..].chars().next() else { return Ok(None) };
    let class = match c {
        'd' => "[0-9]",
        'D' => "[^0-9]",
        's' => "[\\t\\n\\f\\r ]",
        'S' => "[^\\t\\n\\f\\r ]",
        'w' => "[0-9A-Z_a-z]",
        'W' => "[^0-9A-Z_a-z]",
        'p' | 'P' => return unicode(text, c == 'P').map(Some),
        _ => return Ok(None),
    };
    Ok(Some((class.to_owned(), &text[2..])))
}

/// `\pN`, `\p{Greek}`, `\p{^Greek}` and their negations.
fn unicode(text: &str, is_negated: bool) -> Result<(String, &str), String> {
    let behind = &text[2..];
    let (name, rest) = match behind.strip_prefix('{') {
        Some(inner) => inner.split_once('}'),
        None => behind.chars().next().map(|c| behind.split_at(c.len_utf8())),
    }
    .ok_or_else(|| format!("invalid character class range: `{text}`"))?;
    let bare = name.strip_prefix('^').unwrap_or(name);
    let is_negated = is_negated != (bare.len() < name.len());
    let letter = if is_negated { 'P' } else { 'p' };
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ' ');
    let known = |property: &&&str| regex_syntax::parse(&format!("\\p{{{property}={bare}}}")).is_ok();
    let is_name = !bare.is_empty() && bare.chars().all(is_word);
    if is_name && matches!(bare.to_ascii_lowercase().as_str(), "cs" | "surrogate") {
        return Ok((if is_negated { "[\\x{0}-\\x{10FFFF}]" } else { NOTHING }.to_owned(), rest));
    }
    match ["gc", "sc"].iter().find(known).filter(|_| is_name) {
        Some(property) => Ok((format!("\\{letter}{{{property}={bare}}}"), rest)),
        None => {
            let shown = &text[..text.len() - rest.len()];
            Err(format!("invalid character class range: `{shown}`"))
        }
    }
}

/// The class between brackets at the beginning of `text`, and what follows it.
pub(super) fn bracketed(text: &str) -> Result<(String, &str), String> {
    let mut rest = &text[1..];
    let mut out = "[".to_owned();
    if let Some(behind) = rest.strip_prefix('^') {
        rest = behind;
        out.push('^');
    }
    let mut is_first = true;
    loop {
        match rest.chars().next() {
            None => return Err(format!("missing closing ]: `{text}`")),
            Some(']') if !is_first => break,
            Some('[') if rest.starts_with("[:") && rest[2..].contains(":]") => {
                rest = posix(rest, &mut out)?;
            }
            _ => {
                let named = if rest.starts_with('\\') { named(rest)? } else { None };
                rest = match named {
                    Some((class, behind)) => {
                        out.push_str(&class);
                        behind
                    }
                    None => range(rest, text, &mut out)?,
                };
            }
        }
        is_first = false;
    }
    out.push(']');
    Ok((out, &rest[1..]))
}

/// `[:alpha:]` and `[:^alpha:]`.
fn posix<'t>(text: &'t str, out: &mut String) -> Result<&'t str, String> {
    let (name, rest) = text[2..].split_once(":]").unwrap_or_default();
    let bare = name.strip_prefix('^').unwrap_or(name);
    let found = POSIX.iter().find(|(known, _)| *known == bare);
    let Some((_, ranges)) = found else {
        return Err(format!("invalid character class range: `[:{name}:]`"));
    };
    out.push_str(if bare.len() < name.len() { "[^" } else { "[" });
    out.push_str(ranges);
    out.push(']');
    Ok(rest)
}

/// A character, or a range of them.
fn range<'t>(text: &'t str, whole: &str, out: &mut String) -> Result<&'t str, String> {
    let (low, mut rest) = one(text, whole)?;
    let mut high = low;
    if let Some(behind) = rest.strip_prefix('-')
        && !behind.is_empty()
        && !behind.starts_with(']')
    {
        (high, rest) = one(behind, whole)?;
    }
    if high < low {
        let shown = &text[..text.len() - rest.len()];
        return Err(format!("invalid character class range: `{shown}`"));
    }
    // The halves of pairs, which are no characters, are left out.
    let before = out.len();
    for (from, to) in [(low, high.min(0xD7FF)), (low.max(0xE000), high)] {
        if from <= to {
            out.push_str(&format!("\\x{{{from:X}}}-\\x{{{to:X}}}"));
        }
    }
    if out.len() == before {
        out.push_str(NOTHING);
    }
    Ok(rest)
}

fn one<'t>(text: &'t str, whole: &str) -> Result<(u32, &'t str), String> {
    if text.starts_with('\\') {
        return escaped(text);
    }
    let mut chars = text.chars();
    let c = chars.next().ok_or_else(|| format!("missing closing ]: `{whole}`"))?;
    Ok((u32::from(c), chars.as_str()))
}
