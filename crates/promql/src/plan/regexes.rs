//! The regular expressions of `label_replace`: compiled once each, as many and as long as those of selectors
//! may be. Matches nothing.

use super::build::invalid;
use crate::ast::Span;
use crate::error::EvalError;
use crate::parse::{MAX_REGEX_BYTES, MAX_REGEXES};
use skopos_model::re2::WholeText;
use std::sync::Arc;

/// What a compiled expression may take, in bytes.
const COMPILED_MAX_BYTES: usize = 1 << 20;
/// How many characters of an expression an error repeats.
const SHOWN_CHARS: usize = 200;

/// Those of one query.
#[derive(Debug, Default)]
pub(crate) struct Regexes {
    compiled: foldhash::HashMap<Arc<str>, WholeText>,
    bytes: usize,
}

impl Regexes {
    /// `pattern`, which has to match a whole text.
    pub(crate) fn compiled(&mut self, pattern: &Arc<str>, span: Span) -> Result<WholeText, EvalError> {
        if let Some(same) = self.compiled.get(pattern) {
            return Ok(same.clone());
        }
        self.bytes += pattern.len();
        for (used, max, what) in [
            (self.compiled.len() + 1, MAX_REGEXES, "regular expressions"),
            (self.bytes, MAX_REGEX_BYTES, "bytes of regular expressions"),
        ] {
            if used > max {
                let message = format!("label_replace() exceeds the limit of {max} {what} in a query");
                return Err(invalid(&message, span));
            }
        }
        let regex = WholeText::new(pattern, COMPILED_MAX_BYTES).map_err(|e| {
            let shown: String = pattern.chars().take(SHOWN_CHARS).collect();
            let reason: String = e.chars().take(4 * SHOWN_CHARS).collect();
            invalid(&format!("invalid regular expression in label_replace(): {shown}: {reason}"), span)
        })?;
        self.compiled.insert(Arc::clone(pattern), regex.clone());
        Ok(regex)
    }
}
