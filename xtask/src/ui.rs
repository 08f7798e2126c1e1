//! `cargo xtask ui`: builds the web interface into `ui/dist`, from where the server embeds it.
//! Does nothing when what is there is newer than all that it is made from.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context, Result};

use crate::process;
use crate::setup::{self, Purpose};

/// What the build writes last of all that it writes.
const PRODUCT: &str = "ui/dist/index.html";
/// Folders below `ui/` that are no sources of the product.
const NO_SOURCES: [&str; 3] = ["dist", "node_modules", "e2e"];

/// Builds the interface if it is missing or old.
pub(crate) fn run(root: &Path) -> Result<()> {
    setup::run(root, Purpose::Run)?;
    if is_fresh(root)? {
        println!("ui: ui/dist is up to date");
        return Ok(());
    }
    build(root)
}

/// Builds the interface, whatever is there.
pub(crate) fn build(root: &Path) -> Result<()> {
    process::run(setup::npm(root, &["run", "build"])?)
}

/// Checks types and style and runs the unit tests of the interface.
pub(crate) fn check(root: &Path) -> Result<()> {
    process::run(setup::npm(root, &["run", "typecheck"])?)?;
    process::run(setup::npm(root, &["run", "lint", "--if-present"])?)?;
    process::run(setup::npm(root, &["run", "test"])?)
}

fn is_fresh(root: &Path) -> Result<bool> {
    let Ok(product) = fs::metadata(root.join(PRODUCT)).and_then(|product| product.modified()) else {
        return Ok(false);
    };
    Ok(newest(&root.join("ui"), &NO_SOURCES)? <= product)
}

/// When the youngest file below `folder` was changed, leaving out the folders named in `without`.
fn newest(folder: &Path, without: &[&str]) -> Result<SystemTime> {
    let explain = || format!("cannot read {}", folder.display());
    let mut newest = SystemTime::UNIX_EPOCH;
    for entry in fs::read_dir(folder).with_context(explain)? {
        let entry = entry.with_context(explain)?;
        if without.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        let about = entry.metadata().with_context(explain)?;
        // A folder counts itself: its time changes when a file in it is removed.
        newest = newest.max(about.modified().with_context(explain)?);
        if about.is_dir() {
            newest = newest.max(self::newest(&entry.path(), &[])?);
        }
    }
    Ok(newest)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A repository whose product was made at second 100, with `path` changed at `second`.
    fn fresh_with(path: &str, second: u64) -> bool {
        let root = tempfile::tempdir().unwrap();
        for (path, second) in [(PRODUCT, 100), (path, second)] {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let file = fs::File::create(&path).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(second)).unwrap();
        }
        for folder in ["ui/src", "ui/node_modules"] {
            if let Ok(folder) = fs::File::open(root.path().join(folder)) {
                folder.set_modified(SystemTime::UNIX_EPOCH).unwrap();
            }
        }
        is_fresh(root.path()).unwrap()
    }

    #[test]
    fn a_build_is_fresh_until_a_source_is_younger() {
        assert!(fresh_with("ui/src/main.ts", 99));
        assert!(!fresh_with("ui/src/main.ts", 101));
        assert!(!fresh_with("ui/package.json", 101));
        assert!(fresh_with("ui/node_modules/x.js", 101), "packages count through the lock file");
    }

    #[test]
    fn without_a_product_nothing_is_fresh() {
        let root = tempfile::tempdir().unwrap();
        assert!(!is_fresh(root.path()).unwrap());
    }
}
