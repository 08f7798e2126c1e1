//! Rule: no file of the repository names an absolute path of some machine's work place.

use super::Tree;
use crate::finding::Finding;

/// Folders that exist on somebody's machine. They are put together so that this file does not hold them.
const FOLDERS: [&str; 3] = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];

/// Findings for such paths in any text file.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in &tree.files {
        for (line, number) in text.lines().zip(1..) {
            if let Some(folder) = FOLDERS.iter().find(|folder| names(line, folder)) {
                let wrong = format!("`{folder}` is a path of one machine");
                findings.push(Finding::new(path, number, wrong, "write a path relative to the repository"));
            }
        }
    }
    findings
}

/// Whether `folder` begins a path in `line`: what stands before it is no part of a longer path.
fn names(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '}' | '*' | '/'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::fixture::check_files;

    #[test]
    fn absolute_paths_are_found_and_relative_ones_pass() {
        let (first, second) = (FOLDERS[0], FOLDERS[1]);
        check_files(
            check,
            &[
                ("README.md", &format!("Run it in {first}main.\n"), &["1: one machine"]),
                ("a.toml", &format!("x = 1\npath = \"{second}.cargo\"\n"), &["2: one machine"]),
                ("README.md", &format!("See docs{first}plan and target/net{first}x.\n"), &[]),
            ],
        );
    }
}
