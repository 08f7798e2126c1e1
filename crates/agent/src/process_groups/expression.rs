//! `Expression`: a regular expression of a rule. Most texts lack a part that it needs, which is looked for
//! first; it is compiled when the first text has it. Files of thousands of rules cost little so.

use regex::Regex;
use regex_syntax::hir::{Hir, HirKind};
use std::sync::OnceLock;

/// The expression.
#[derive(Clone, Debug)]
pub(super) struct Expression {
    text: String,
    /// What every text has that it matches.
    needs: Option<String>,
    /// That is all that it wants.
    is_plain: bool,
    compiled: OnceLock<Option<Regex>>,
}

impl Expression {
    /// The expression in `text`; what is wrong with it.
    pub(super) fn new(text: String) -> Result<Self, String> {
        let wrong = |why: &dyn std::fmt::Display| format!("{text:?} is not a regular expression: {why}");
        let parsed = regex_syntax::parse(&text).map_err(|error| match &error {
            regex_syntax::Error::Parse(error) => wrong(error.kind()),
            regex_syntax::Error::Translate(error) => wrong(error.kind()),
            other => wrong(other),
        })?;
        let needs = needs(&parsed);
        let is_plain = matches!(parsed.kind(), HirKind::Literal(_)) && needs.is_some();
        let compiled = OnceLock::new();
        // Only one with a counted repetition can be too large to be compiled.
        if needs.is_none() || text.contains('{') {
            let regex = Regex::new(&text).map_err(|_large| wrong(&"it is too large; repeat less in it"))?;
            compiled.get_or_init(|| Some(regex));
        }
        Ok(Self { text, needs, is_plain, compiled })
    }

    /// Whether it had to be compiled.
    #[cfg(test)]
    pub(super) fn is_compiled(&self) -> bool {
        self.compiled.get().is_some()
    }

    /// What its parts match, in their order, if it matches. Those without a name, all of it among them, have
    /// an empty one, as in the reference.
    pub(super) fn matches(&self, text: &str, mut found: impl FnMut(&str, &str)) -> bool {
        if self.needs.as_ref().is_some_and(|needs| !text.contains(needs.as_str())) {
            return false;
        }
        if let Some(needs) = self.needs.as_ref().filter(|_| self.is_plain) {
            found("", needs);
            return true;
        }
        let compiled = self.compiled.get_or_init(|| Regex::new(&self.text).ok());
        let Some((regex, captures)) =
            compiled.as_ref().and_then(|regex| Some((regex, regex.captures(text)?)))
        else {
            return false;
        };
        for (name, part) in regex.capture_names().zip(captures.iter()) {
            found(name.unwrap_or(""), part.map_or("", |part| part.as_str()));
        }
        true
    }
}

/// The longest text that is known to be in all that it matches.
fn needs(hir: &Hir) -> Option<String> {
    match hir.kind() {
        HirKind::Literal(literal) => String::from_utf8(literal.0.to_vec()).ok(),
        HirKind::Capture(capture) => needs(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => needs(&repetition.sub),
        HirKind::Concat(parts) => parts.iter().filter_map(needs).max_by_key(String::len),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_it_needs_is_known() {
        for (text, needed) in [
            ("nginx", Some("nginx")),
            (r"-config\.file[= ](?P<File>\S+)", Some("-config.file")),
            ("^a(bcd)+e?", Some("bcd")),
            ("(?i)abc", None),
            ("abc|xyz", None),
            ("x|y|zz", None),
            (".+", None),
            ("", None),
        ] {
            assert_eq!(Expression::new(text.into()).unwrap().needs.as_deref(), needed, "{text}");
        }
        assert!(
            Expression::new("(".into()).unwrap_err().ends_with("not a regular expression: unclosed group")
        );
        assert!(Expression::new(r"(\w{900}){900}".into()).unwrap_err().contains("too large"));
    }

    proptest! {
        #[test]
        fn it_matches_what_the_regular_expression_matches(
            expression in "[ab]{0,3}[(]?[ab.*+?|^$]{0,6}[)]?[ab]{0,2}",
            text in "[abc]{0,8}",
        ) {
            let Ok(regex) = Regex::new(&expression) else { return Ok(()) };
            let ours = Expression::new(expression).unwrap();
            prop_assert_eq!(ours.matches(&text, |_, _| {}), regex.is_match(&text));
        }
    }
}
