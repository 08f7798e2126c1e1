//! What the rules look at: every text file of the repository, with the Rust among them parsed once.
//! Never touches the disk: it is built from a map of texts, so that tests can make one up.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use syn::{Item, ItemMod};

use super::facts::{self, Facts};
use crate::finding::Finding;
use crate::layers::{LAYERS_FILE, Layers, covers_one};

/// All files of the repository and what was read out of them.
pub(crate) struct Tree {
    /// Every text file, by its path from the root.
    pub(crate) files: BTreeMap<String, String>,
    /// The layer table.
    pub(crate) layers: Layers,
    /// What stands in every Rust file that could be parsed, by path.
    pub(crate) rust: BTreeMap<String, Facts>,
    /// Files that could not be parsed.
    pub(crate) unreadable: Vec<Finding>,
}

impl Tree {
    /// Parses what is to be parsed among `files`, which must hold `layers.toml`.
    pub(crate) fn new(files: BTreeMap<String, String>) -> Result<Tree> {
        let table =
            files.get(LAYERS_FILE).with_context(|| format!("{LAYERS_FILE} is missing at the root"))?;
        let layers = Layers::parse(table)?;
        let mut parsed = Vec::new();
        let mut unreadable = Vec::new();
        for (path, text) in files.iter().filter(|(path, _)| path.ends_with(".rs")) {
            match syn::parse_file(text) {
                Ok(syntax) => parsed.push((path.clone(), syntax)),
                Err(error) => {
                    let line = error.span().start().line;
                    unreadable.push(Finding::new(path, line, format!("not valid Rust: {error}"), "mend it"));
                }
            }
        }
        let test_modules: BTreeSet<String> =
            parsed.iter().flat_map(|(path, syntax)| test_modules(path, &syntax.items)).collect();
        let rust = parsed.into_iter().map(|(path, syntax)| {
            let is_test =
                stands_in_test_folder(&path) || test_modules.iter().any(|one| covers_one(one, &path));
            let facts = facts::collect(&syntax, is_test);
            (path, facts)
        });
        let rust = rust.collect();
        Ok(Tree { files, layers, rust, unreadable })
    }

    /// Every Rust file: its path, its text and what stands in it.
    pub(crate) fn rust_files(&self) -> impl Iterator<Item = (&str, &str, &Facts)> {
        self.rust.iter().map(|(path, facts)| (path.as_str(), self.files[path].as_str(), facts))
    }
}

/// Cargo's folders for tests, benches and fuzz targets: nothing in them gets into the product.
fn stands_in_test_folder(path: &str) -> bool {
    let mut folders: Vec<&str> = path.split('/').collect();
    let name = folders.pop().unwrap_or_default();
    let outside_src = !folders.contains(&"src");
    let test_folder = |folder: &&str| matches!(*folder, "tests" | "benches" | "fuzz" | "examples");
    name == "tests.rs" || (outside_src && folders.iter().any(test_folder))
}

/// Files and folders that the `#[cfg(test)] mod name;` items of the file at `path` stand for.
fn test_modules(path: &str, items: &[Item]) -> Vec<String> {
    let (folder, name) = path.rsplit_once('/').unwrap_or((".", path));
    let stem = name.trim_end_matches(".rs");
    let children = match stem {
        "lib" | "main" | "mod" => folder.to_owned(),
        _ => format!("{folder}/{stem}"),
    };
    let declared = items.iter().filter_map(|item| match item {
        Item::Mod(ItemMod { attrs, ident, content: None, .. }) if facts::is_test_only(attrs) => Some(ident),
        _ => None,
    });
    declared.flat_map(|ident| [format!("{children}/{ident}.rs"), format!("{children}/{ident}/")]).collect()
}

#[cfg(test)]
mod tests {
    use crate::tidy::fixture;

    const CALL: &str = "//! A.\nfn f() { x.unwrap(); }\n";

    #[test]
    fn files_that_only_tests_compile_are_known_as_such() {
        let tree = fixture::tree(&[
            (
                "crates/tsdb/src/lib.rs",
                "//! A.\n#[cfg(test)]\nmod world;\nmod head;\nfn f() { x.unwrap(); }\n",
            ),
            ("crates/tsdb/src/world.rs", CALL),
            ("crates/tsdb/src/world/disk.rs", CALL),
            (
                "crates/tsdb/src/head.rs",
                "//! A.\n#[cfg(all(test, unix))]\nmod checks;\nfn f() { x.unwrap(); }\n",
            ),
            ("crates/tsdb/src/head/checks.rs", CALL),
            ("crates/tsdb/src/head/tests.rs", CALL),
            ("crates/tsdb/src/head/ref_table.rs", CALL),
            ("crates/tsdb/tests/crash.rs", CALL),
            ("crates/tsdb/benches/append.rs", CALL),
        ]);
        let in_tests = tree.rust_files().filter(|(_, _, facts)| facts.methods[0].in_test);
        let tests: Vec<&str> = in_tests.map(|(path, ..)| path).collect();
        let expected = [
            "crates/tsdb/benches/append.rs",
            "crates/tsdb/src/head/checks.rs",
            "crates/tsdb/src/head/tests.rs",
            "crates/tsdb/src/world.rs",
            "crates/tsdb/src/world/disk.rs",
            "crates/tsdb/tests/crash.rs",
        ];
        assert_eq!(tests, expected);
    }

    #[test]
    fn a_file_that_is_not_rust_is_a_finding_at_its_line() {
        let tree = fixture::tree(&[("crates/tsdb/src/lib.rs", "//! A.\nfn broken( {}\n")]);
        assert_eq!(tree.unreadable.len(), 1);
        assert_eq!((tree.unreadable[0].line, tree.rust.len()), (2, 0));
    }
}
