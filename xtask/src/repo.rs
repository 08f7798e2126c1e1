//! The repository on disk: where its root is and which files belong to it.
//! Never changes anything in it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The repository's root folder: the parent of this crate's own folder.
pub(crate) fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().expect("invariant: the xtask crate stands one folder below the root").to_owned()
}

/// Every text file that git tracks or would track (new files that no ignore rule covers), by its path from
/// the root.
///
/// Files that are not UTF-8 are left out: no rule has anything to say about them.
pub(crate) fn text_files(root: &Path) -> Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    for path in listed_paths(root)? {
        let full = root.join(&path);
        // A file that was deleted but not yet committed is still listed, and a link may lead to a folder.
        if !full.is_file() {
            continue;
        }
        let bytes = fs::read(&full).with_context(|| format!("cannot read {path}"))?;
        if let Ok(text) = String::from_utf8(bytes) {
            files.insert(path, text);
        }
    }
    Ok(files)
}

fn listed_paths(root: &Path) -> Result<Vec<String>> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .context("cannot start `git`; install it, the list of files comes from there")?;
    if !output.status.success() {
        bail!("`git ls-files` failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let text = String::from_utf8(output.stdout).context("a file's name is not UTF-8; rename it")?;
    Ok(text.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_very_file_belongs_to_the_repository() {
        let files = text_files(&root()).unwrap();
        assert_eq!(files.get("xtask/src/repo.rs").map(String::as_str), Some(include_str!("repo.rs")));
        assert!(!files.keys().any(|path| path.starts_with("target/")), "build output is not part of it");
    }
}
