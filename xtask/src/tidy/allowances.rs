//! Rule: every excuse in `layers.toml` is still needed: an entry under `[allow]` names a file or folder that
//! exists, one under `[same_layer]` a dependency that stands in the crate's manifest.

use super::Tree;
use crate::finding::Finding;
use crate::layers::{LAYERS_FILE, covers_one};

/// Findings for entries that excuse nothing.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let allow = &tree.layers.allow;
    let entries = allow.real_world.iter().chain(&allow.unsafe_code);
    let stale = entries.filter(|entry| !tree.files.keys().any(|path| covers_one(entry, path)));
    let files = stale.map(|entry| finding(tree, entry, format!("`{entry}` names no file")));
    let pairs =
        tree.layers.same_layer.iter().flat_map(|(own, others)| others.iter().map(move |other| (own, other)));
    let unused = pairs.filter(|(own, other)| !uses(tree, own, other));
    let unused = unused
        .map(|(own, other)| finding(tree, &format!("{own} = "), format!("`{own}` does not use `{other}`")));
    files.chain(unused).collect()
}

fn uses(tree: &Tree, own: &str, other: &str) -> bool {
    let manifest = tree.files.get(&format!("crates/{own}/Cargo.toml"));
    manifest.is_some_and(|text| text.contains(&format!("skopos-{other}")))
}

fn finding(tree: &Tree, entry: &str, wrong: String) -> Finding {
    let mut lines =
        tree.files[LAYERS_FILE].lines().zip(1..).skip_while(|(line, _)| !line.starts_with("[same_layer]"));
    let line = lines.find(|(line, _)| line.contains(entry)).map_or(1, |(_, number)| number);
    Finding::new(LAYERS_FILE, line, wrong, "take the entry out or correct it")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::fixture;

    const REAL: (&str, &str) = ("crates/base/src/real/clock.rs", "//! A.\n");
    const UNSAFE: (&str, &str) = ("crates/chunk/src/simd.rs", "//! A.\n");
    const MANIFEST: (&str, &str) = ("crates/exposition/Cargo.toml", "[dependencies]\nskopos-model = {}\n");

    #[test]
    fn an_entry_that_excuses_nothing_is_found() {
        let cases = [
            (vec![REAL, MANIFEST], "crates/chunk/src/simd.rs"),
            (vec![UNSAFE, MANIFEST], "crates/base/src/real/"),
            (vec![REAL, UNSAFE], "`exposition` does not use `model`"),
        ];
        for (files, expected) in cases {
            let found = check(&fixture::tree(&files));
            assert_eq!(found.len(), 1, "{expected}");
            assert!(found[0].wrong.contains(expected) && found[0].line > 1, "{}", found[0]);
        }
    }

    #[test]
    fn entries_that_are_needed_pass() {
        assert!(check(&fixture::tree(&[REAL, UNSAFE, MANIFEST])).is_empty());
    }
}
