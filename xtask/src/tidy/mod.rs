//! `cargo xtask tidy`: the rules of the project's style that a program can check, each in a file of its own.
//! Never changes a file, and never checks what rustc, clippy or rustfmt check already.
//!
//! A rule is a function from the [`Tree`] to findings. To add one, write its file with a test that shows it
//! failing on a bad input and passing on a good one, and name it in [`RULES`].

mod allowances;
mod crate_map;
mod facts;
mod file_header;
#[cfg(test)]
mod fixture;
mod layer_order;
mod leftovers;
mod lock_files;
mod machine_paths;
mod real_world;
mod size;
mod tree;
mod unsafe_code;
mod web_sources;

use std::path::Path;

use anyhow::{Result, bail};

use crate::finding::Finding;
use crate::repo;

pub(crate) use tree::Tree;

type Rule = fn(&Tree) -> Vec<Finding>;

const RULES: [Rule; 11] = [
    allowances::check,
    crate_map::check,
    file_header::check,
    layer_order::check,
    leftovers::check,
    lock_files::check,
    machine_paths::check,
    real_world::check,
    size::check,
    unsafe_code::check,
    web_sources::check,
];

/// Checks the repository at `root`, prints every finding and fails if there is one.
pub(crate) fn run(root: &Path) -> Result<()> {
    let tree = Tree::new(repo::text_files(root)?)?;
    let findings = check(&tree);
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => {
            println!("tidy: {} files, nothing found", tree.files.len());
            Ok(())
        }
        count => bail!("tidy: {count} finding(s), see above"),
    }
}

/// All findings in `tree`, in the order of their places.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings: Vec<Finding> = tree.unreadable.clone();
    findings.extend(RULES.iter().flat_map(|rule| rule(tree)));
    findings.sort();
    findings.dedup();
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_itself_is_tidy() {
        let tree = Tree::new(repo::text_files(&repo::root()).unwrap()).unwrap();
        let findings: Vec<String> = check(&tree).iter().map(Finding::to_string).collect();
        assert!(findings.is_empty(), "run `cargo xtask tidy`:\n{}", findings.join("\n"));
    }
}
