//! The written lists of what a peer does otherwise: `WHAT EXPRESSION` and, indented behind it, examples that
//! show it. Decides nothing but whether an entry concerns a text.

use regex::Regex;

/// What is allowed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// Not compared.
    Skip,
    /// The peer may refuse it.
    Newer,
    /// Ours may refuse it.
    Stricter,
    /// The order of a sorted vector is not compared.
    Unordered,
    /// Both refuse it, with another status.
    Status,
    /// Numbers need to agree to 1e-6.
    Loosely,
    /// Remarks of this text are not compared, whatever the expression.
    Remark,
    /// Of such remarks, whatever the expression, the peer may make fewer, but one.
    Fewer,
    /// The peer may have no number where ours has one.
    Unnumbered,
    /// The places of remarks are not compared.
    Places,
    /// The samples that are looked at are counted otherwise.
    Counts,
}

/// An entry.
pub(super) struct Unlike {
    pub(super) what: What,
    pub(super) text: String,
    pub(super) examples: Vec<String>,
    expressions: Regex,
}

impl Unlike {
    /// Whether it is about remarks, and not about expressions.
    pub(super) fn is_of_remarks(&self) -> bool {
        matches!(self.what, What::Remark | What::Fewer)
    }

    /// Whether the entry speaks of this expression; of a remark's text, if it is about remarks.
    pub(super) fn concerns(&self, text: &str) -> bool {
        self.expressions.is_match(text)
    }
}

/// The entries of a list, each with its examples.
pub(super) fn read(text: &str) -> Vec<Unlike> {
    let mut all: Vec<Unlike> = Vec::new();
    for line in text.lines().filter(|l| !l.is_empty() && !l.starts_with("//")) {
        if let Some(example) = line.strip_prefix("  ") {
            all.last_mut().expect("an example stands behind its entry").examples.push(example.to_owned());
            continue;
        }
        let (what, expressions) = line.split_once(' ').expect("`what expression`");
        let what = match what {
            "skip" => What::Skip,
            "newer" => What::Newer,
            "stricter" => What::Stricter,
            "unordered" => What::Unordered,
            "status" => What::Status,
            "loosely" => What::Loosely,
            "remark" => What::Remark,
            "fewer" => What::Fewer,
            "unnumbered" => What::Unnumbered,
            "places" => What::Places,
            "counts" => What::Counts,
            _ => panic!("{line}"),
        };
        let expressions = Regex::new(expressions).expect("a regular expression");
        all.push(Unlike { what, text: line.to_owned(), examples: Vec::new(), expressions });
    }
    for entry in &all {
        assert!(!entry.examples.is_empty(), "`{}` has no example", entry.text);
    }
    all
}
