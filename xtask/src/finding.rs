//! One thing that a tidy rule found wrong: where it is, what it is and what to do about it.
//! Never decides what is wrong: the rules do.

use std::fmt;

/// A breach of a rule, pointing at a line of a file in the repository.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// Path from the repository's root, with `/` between its parts.
    pub(crate) path: String,
    /// Line number, counted from 1.
    pub(crate) line: usize,
    /// What is wrong.
    pub(crate) wrong: String,
    /// What to do about it.
    pub(crate) remedy: String,
}

impl Finding {
    /// A finding at `line` (from 1) of `path`.
    pub(crate) fn new(
        path: &str,
        line: usize,
        wrong: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Finding {
        Finding { path: path.to_owned(), line, wrong: wrong.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}; {}", self.path, self.line, self.wrong, self.remedy)
    }
}
