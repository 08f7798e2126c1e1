//! Rule: `unsafe` stands only in modules that `layers.toml` lists, each time beside a comment with its proof.

use super::Tree;
use crate::finding::Finding;
use crate::layers::covers;

/// How far above the word its comment may begin to be missed: attributes and the head of a statement may lie
/// between.
const LINES_BETWEEN: usize = 3;

/// Findings for `unsafe` elsewhere or without a proof.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text, facts) in tree.rust_files() {
        let lines: Vec<&str> = text.lines().collect();
        let listed = covers(&tree.layers.allow.unsafe_code, path);
        for &line in &facts.unsafe_lines {
            if !listed {
                let remedy = "write it safely, or list the module under `allow.unsafe_code` in layers.toml";
                findings.push(Finding::new(
                    path,
                    line,
                    "`unsafe` in a module that is not listed for it",
                    remedy,
                ));
            } else if !has_proof(&lines, line - 1) {
                let remedy = "say above it in a `// SAFETY:` comment why it is sound";
                findings.push(Finding::new(path, line, "`unsafe` without a proof", remedy));
            }
        }
    }
    findings
}

/// Whether a comment with the proof stands right above the line at index `at`.
fn has_proof(lines: &[&str], at: usize) -> bool {
    let is_comment = |line: &str| line.trim_start().starts_with("//");
    let mut above = lines[..at].iter().rev();
    let mut between = 0;
    for line in above.by_ref() {
        if is_comment(line) {
            return is_proof(line) || above.take_while(|line| is_comment(line)).any(|line| is_proof(line));
        }
        between += 1;
        if between > LINES_BETWEEN || line.trim().is_empty() {
            break;
        }
    }
    false
}

fn is_proof(line: &str) -> bool {
    line.contains("SAFETY:") || line.contains("# Safety")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::fixture::check_files;

    const LISTED: &str = "crates/chunk/src/simd.rs";

    #[test]
    fn unsafe_needs_a_listed_module() {
        let text = "//! A.\nfn f() {\n    // SAFETY: sound.\n    unsafe { g() }\n}\n";
        check_files(check, &[(LISTED, text, &[]), ("crates/chunk/src/lib.rs", text, &["4: not listed"])]);
    }

    #[test]
    fn unsafe_needs_a_proof() {
        check_files(
            check,
            &[
                (LISTED, "//! A.\nfn f() {\n    unsafe { g() }\n}\n", &["3: without a proof"]),
                (LISTED, "//! A.\nfn f() {\n    // Fast.\n    unsafe { g() }\n}\n", &["4: without a proof"]),
                (
                    LISTED,
                    "//! A.\n// SAFETY: far away.\n\nunsafe impl Send for A {}\n",
                    &["4: without a proof"],
                ),
                (LISTED, "//! A.\n// SAFETY: it holds\n// no pointer.\nunsafe impl Send for A {}\n", &[]),
                (
                    LISTED,
                    "//! A.\n/// # Safety\n/// `p` is valid.\n#[inline]\nunsafe fn f(p: *const u8) {}\n",
                    &[],
                ),
                (
                    LISTED,
                    "//! A.\nfn f() {\n    // SAFETY: sound.\n    let x =\n        unsafe { g() };\n}\n",
                    &[],
                ),
            ],
        );
    }
}
