//! Finds where names, quoted texts and label lists end. Decides what is well formed, decodes nothing.

use super::error::{Fault, ParseErrorKind};

/// How many bytes are looked at together. Plain array code: the compiler makes vector code of it.
const LANES: usize = 16;

/// Whether a metric name may or must stand among the labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NameRule {
    /// It stands before the brace.
    Given,
    /// It has to stand inside.
    Wanted,
    /// There is none: these are an exemplar's labels.
    Forbidden,
}

/// The first byte from `at` on that `stop` is true for, or the end.
#[inline(always)]
fn find(input: &[u8], mut at: usize, stop: impl Fn(u8) -> bool) -> usize {
    while let Some(lanes) = input.get(at..).and_then(|rest| rest.first_chunk::<LANES>()) {
        let mut hits = [0; LANES];
        for (hit, b) in hits.iter_mut().zip(lanes) {
            *hit = if stop(*b) { 0xff } else { 0 };
        }
        let hits = u128::from_le_bytes(hits);
        if hits != 0 {
            return at + (hits.trailing_zeros() / 8) as usize;
        }
        at += LANES;
    }
    while input.get(at).is_some_and(|b| !stop(*b)) {
        at += 1;
    }
    at
}

#[inline(always)]
const fn is_label_name_byte(b: u8) -> bool {
    (b | 0x20).wrapping_sub(b'a') < 26 || b.wrapping_sub(b'0') < 10 || b == b'_'
}

/// Where the metric name that begins at `at` ends; `at` itself when none does.
#[inline]
pub(super) fn metric_name(input: &[u8], at: usize) -> usize {
    if input.get(at).is_some_and(u8::is_ascii_digit) {
        return at;
    }
    // The colon follows the digits in ASCII.
    find(input, at, |b| !(is_label_name_byte(b) || b == b':'))
}

/// Where the label name that begins at `at` ends; `at` itself when none does.
#[inline]
fn label_name(input: &[u8], at: usize) -> usize {
    if input.get(at).is_some_and(u8::is_ascii_digit) {
        return at;
    }
    // Label names are short: most end before a vector would be filled.
    let mut end = at;
    while input.get(end).is_some_and(|b| is_label_name_byte(*b)) {
        end += 1;
    }
    end
}

/// Where blanks that begin at `at` end.
#[inline]
pub(super) fn blanks(input: &[u8], mut at: usize) -> usize {
    while matches!(input.get(at), Some(b' ' | b'\t')) {
        at += 1;
    }
    at
}

/// Where the text whose opening quote stands at `open` ends, behind its closing quote.
#[inline]
pub(super) fn quoted(input: &[u8], open: usize, multiline: bool) -> Result<usize, Fault> {
    let mut at = open + 1;
    loop {
        at = find(input, at, |b| b == b'"' || b == b'\\' || b == b'\n');
        match input.get(at) {
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') if input.get(at + 1).is_some_and(|b| *b != b'\n') => at += 2,
            Some(b'\n') if multiline => at += 1,
            _ => return Err(Fault::new(open, ParseErrorKind::UnclosedQuote)),
        }
    }
}

/// Where the label list ends, behind its brace. `at` is behind the opening one. OpenMetrics allows no
/// blanks, wants commas, and no line break in a value.
#[inline(always)]
pub(super) fn labels<const OPEN_METRICS: bool>(
    input: &[u8],
    mut at: usize,
    mut name_rule: NameRule,
) -> Result<usize, Fault> {
    let skip = |at: usize| if OPEN_METRICS { at } else { blanks(input, at) };
    loop {
        at = skip(at);
        let name_at = at;
        match input.get(at) {
            Some(b'}') if name_rule == NameRule::Wanted => {
                return Err(Fault::new(at, ParseErrorKind::MissingName));
            }
            Some(b'}') => return Ok(at + 1),
            Some(b'"') => {
                at = skip(quoted(input, at, true)?);
                // A quoted text without a value is the metric's name.
                if let Some(b @ (b',' | b'}')) = input.get(at) {
                    if name_rule != NameRule::Wanted {
                        return Err(Fault::new(name_at, ParseErrorKind::UnexpectedName));
                    }
                    name_rule = NameRule::Given;
                    at += 1;
                    if *b == b'}' {
                        return Ok(at);
                    }
                    continue;
                }
            }
            _ => {
                at = label_name(input, at);
                if at == name_at {
                    return Err(Fault::new(at, ParseErrorKind::ExpectedLabelName));
                }
                at = skip(at);
            }
        }
        if input.get(at) != Some(&b'=') {
            return Err(Fault::new(at, ParseErrorKind::ExpectedEquals));
        }
        at = skip(at + 1);
        if input.get(at) != Some(&b'"') {
            return Err(Fault::new(at, ParseErrorKind::ExpectedLabelValue));
        }
        at = skip(quoted(input, at, !OPEN_METRICS)?);
        match input.get(at) {
            Some(b',') => at += 1,
            Some(b'}') => {}
            _ if OPEN_METRICS => return Err(Fault::new(at, ParseErrorKind::ExpectedComma)),
            _ => {}
        }
    }
}
