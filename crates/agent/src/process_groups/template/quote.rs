//! Texts as Go's `strconv` and `text/template` escape them: quoted, and for pages, scripts and addresses.

use std::fmt::Write as _;

/// What stays as it is in a quoted text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// What can be seen.
    Visible,
    /// What can be seen and is ASCII.
    Ascii,
}

/// A text between double quotes.
pub(super) fn quoted(text: &str, kept: Kept) -> String {
    let mut shown = String::from("\"");
    text.chars().for_each(|c| escape(c, '"', kept, &mut shown));
    shown + "\""
}

/// A character between single quotes.
pub(super) fn quoted_char(c: char, kept: Kept) -> String {
    let mut shown = String::from("'");
    escape(c, '\'', kept, &mut shown);
    shown + "'"
}

/// Whether a text can stand between backquotes.
pub(super) fn fits_backquotes(text: &str) -> bool {
    text.chars().all(|c| !matches!(c, '`' | '\u{7f}' | '\u{feff}') && (c >= ' ' || c == '\t'))
}

pub(super) fn is_visible(c: char) -> bool {
    c == ' ' || matches!(c, '\'' | '"' | '\\') || !c.is_whitespace() && c.escape_debug().count() == 1
}

fn escape(c: char, quote: char, kept: Kept, shown: &mut String) {
    let short = match c {
        '\x07' => 'a',
        '\x08' => 'b',
        '\x0c' => 'f',
        '\n' => 'n',
        '\r' => 'r',
        '\t' => 't',
        '\x0b' => 'v',
        c if c == quote || c == '\\' => c,
        c if is_visible(c) && (kept == Kept::Visible || c.is_ascii()) => return shown.push(c),
        c => {
            let code = u32::from(c);
            let written = match code {
                0..0x80 => write!(shown, "\\x{code:02x}"),
                0x80..0x1_0000 => write!(shown, "\\u{code:04x}"),
                _ => write!(shown, "\\U{code:08x}"),
            };
            return written.expect("invariant: writing to a String cannot fail");
        }
    };
    shown.extend(['\\', short]);
}

/// For a page of HTML.
pub(super) fn html(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars() {
        match c {
            '\0' => shown.push('\u{fffd}'),
            '"' => shown.push_str("&#34;"),
            '\'' => shown.push_str("&#39;"),
            '&' => shown.push_str("&amp;"),
            '<' => shown.push_str("&lt;"),
            '>' => shown.push_str("&gt;"),
            c => shown.push(c),
        }
    }
    shown
}

/// For a text of JavaScript.
pub(super) fn js(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars() {
        match c {
            '\\' | '\'' | '"' => shown.extend(['\\', c]),
            '<' | '>' | '&' | '=' | '\0'..' ' => escape_code(c, &mut shown),
            c if c.is_ascii() || is_visible(c) => shown.push(c),
            c => escape_code(c, &mut shown),
        }
    }
    shown
}

fn escape_code(c: char, shown: &mut String) {
    write!(shown, "\\u{:04X}", u32::from(c)).expect("invariant: writing to a String cannot fail");
}

/// For the query of an address.
pub(super) fn query(text: &str) -> String {
    let mut shown = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                shown.push(char::from(byte));
            }
            b' ' => shown.push('+'),
            byte => write!(shown, "%{byte:02X}").expect("invariant: writing to a String cannot fail"),
        }
    }
    shown
}
