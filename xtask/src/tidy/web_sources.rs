//! Rule: a TypeScript file of the web interface opens with a comment and has up to 800 lines.

use super::Tree;
use super::size;
use crate::finding::Finding;

const FOLDER: &str = "ui/src/";

/// Findings for TypeScript files.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let in_folder = tree.files.iter().filter(|(path, _)| path.starts_with(FOLDER));
    for (path, text) in in_folder.filter(|(path, _)| path.ends_with(".ts") || path.ends_with(".tsx")) {
        findings.extend(size::long_file(path, text));
        if !text.starts_with("//") && !text.starts_with("/*") {
            let remedy = "open it with what it owns and what it never does";
            findings.push(Finding::new(path, 1, "the file does not open with a comment", remedy));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::fixture::check_files;

    #[test]
    fn web_sources_have_a_header_and_a_bound() {
        let long = "// A line.\n".repeat(801);
        check_files(
            check,
            &[
                ("ui/src/a.ts", "// Owns panels.\nexport {};\n", &[]),
                ("ui/src/a.tsx", "/** Owns panels. */\nexport {};\n", &[]),
                ("ui/src/a.tsx", "import x from \"y\";\n", &["1: does not open"]),
                ("ui/src/a.ts", &long, &["801: 801 lines"]),
                ("ui/vite.config.ts", "export default {};\n", &[]),
            ],
        );
    }
}
