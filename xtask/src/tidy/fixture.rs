//! A made-up repository for the tests of the rules: the layer table below and the files that a test gives.
//! Never reads the disk.

use std::collections::BTreeMap;

use super::{Rule, Tree};
use crate::layers::LAYERS_FILE;

const TABLE: &str = r#"
[layers]
base = 0
model = 1
chunk = 1
exposition = 1
tsdb = 4
scrape = 5
skopos = 7
[same_layer]
exposition = ["model"]
[unlayered]
testkit = { uses_up_to = 1, dev_only = true }
[pure]
up_to = 4
banned_packages = ["tokio"]
[allow]
real_world = ["crates/base/src/real/"]
unsafe_code = ["crates/chunk/src/simd.rs"]
"#;

/// A tree of `files` (path, text) under the table above.
pub(crate) fn tree(files: &[(&str, &str)]) -> Tree {
    let mut all: BTreeMap<String, String> =
        files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    all.entry(LAYERS_FILE.to_owned()).or_insert_with(|| TABLE.to_owned());
    Tree::new(all).expect("invariant: the table of the fixture is valid")
}

/// Runs `rule` over each case, a file and what is to be found in it: `line: part of the message`.
pub(crate) fn check_files(rule: Rule, cases: &[(&str, &str, &[&str])]) {
    for (path, text, expected) in cases {
        let found = rule(&tree(&[(path, text)]));
        let found: Vec<String> =
            found.iter().map(|one| format!("{}: {}; {}", one.line, one.wrong, one.remedy)).collect();
        let matches = found.len() == expected.len()
            && found.iter().zip(*expected).all(|(one, part)| {
                let (line, words) = part.split_once(": ").expect("invariant: cases read `line: words`");
                one.starts_with(&format!("{line}: ")) && one.contains(words)
            });
        assert!(matches, "{path}:\n{text}\nexpected {expected:?}\nfound {found:?}");
    }
}
