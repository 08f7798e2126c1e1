//! Rule: every Rust file opens with `//!`, saying what it owns and what it never does.

use super::Tree;
use crate::finding::Finding;

/// Findings for files that open with anything else.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let bare = tree.rust_files().filter(|(_, text, _)| !text.starts_with("//! "));
    bare.map(|(path, ..)| {
        let remedy = "open it with what it owns and what it never does";
        Finding::new(path, 1, "the file does not open with `//! `", remedy)
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::fixture::check_files;

    #[test]
    fn the_first_line_is_a_header() {
        check_files(
            check,
            &[
                ("crates/tsdb/src/a.rs", "//! What it owns.\nfn f() {}\n", &[]),
                ("crates/tsdb/src/a.rs", "fn f() {}\n", &["1: does not open"]),
                ("crates/tsdb/src/a.rs", "// A comment.\n//! Late.\n", &["1: does not open"]),
                ("crates/tsdb/src/a.rs", "//!\n//! Empty line first.\n", &["1: does not open"]),
                ("crates/tsdb/tests/a.rs", "\n//! A.\n", &["1: does not open"]),
                ("README.md", "no header here\n", &[]),
            ],
        );
    }
}
