//! Rule: a crate of more than three source files opens its `lib.rs` (or `main.rs`) with a map of itself.

use super::Tree;
use crate::finding::Finding;

/// A crate with this many source files or fewer needs no map.
const FILES_WITHOUT_MAP: usize = 3;
/// A map has at least this many lines.
const MAP_LINES: usize = 15;

/// Findings for crates whose root file has no map.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let manifests = tree.files.keys().filter_map(|path| path.strip_suffix("Cargo.toml"));
    manifests.filter_map(|folder| check_crate(tree, folder)).collect()
}

fn check_crate(tree: &Tree, folder: &str) -> Option<Finding> {
    let sources = format!("{folder}src/");
    if folder.is_empty()
        || tree.rust.keys().filter(|path| path.starts_with(&sources)).count() <= FILES_WITHOUT_MAP
    {
        return None;
    }
    let candidates = [format!("{sources}lib.rs"), format!("{sources}main.rs")];
    let root = candidates.iter().find(|path| tree.files.contains_key(*path))?;
    let map_lines = tree.files[root].lines().take_while(|line| line.starts_with("//!")).count();
    let wrong = format!("the crate's map has {map_lines} lines");
    let remedy = format!(
        "open the file with at least {MAP_LINES} lines of `//!`: modules, ways through them, \
         \"when you change X, change Y too\""
    );
    (map_lines < MAP_LINES).then(|| Finding::new(root, 1, wrong, remedy))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::fixture;

    fn found(root: &str, map_lines: usize, other_files: usize) -> usize {
        let text = "//! A line.\n".repeat(map_lines);
        let others: Vec<String> = (0..other_files).map(|at| format!("crates/tsdb/src/m{at}.rs")).collect();
        let mut files = vec![("crates/tsdb/Cargo.toml", ""), (root, text.as_str())];
        files.extend(others.iter().map(|path| (path.as_str(), "//! A.\n")));
        check(&fixture::tree(&files)).len()
    }

    #[test]
    fn a_crate_of_many_files_needs_a_map() {
        let cases = [
            ("crates/tsdb/src/lib.rs", 1, 2, 0),
            ("crates/tsdb/src/lib.rs", 1, 3, 1),
            ("crates/tsdb/src/lib.rs", 14, 3, 1),
            ("crates/tsdb/src/lib.rs", 15, 3, 0),
            ("crates/tsdb/src/main.rs", 2, 3, 1),
        ];
        for (root, map_lines, other_files, expected) in cases {
            assert_eq!(found(root, map_lines, other_files), expected, "{root} {map_lines} {other_files}");
        }
    }
}
