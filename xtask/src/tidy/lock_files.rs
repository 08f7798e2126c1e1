//! Rule: lock files name no registry but the public ones, so that they work on every machine.

use super::Tree;
use crate::finding::Finding;

/// How cargo writes crates.io into a lock file, whatever mirror the crates came from.
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Findings for addresses in `Cargo.lock` and `package-lock.json` files.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in &tree.files {
        let rule: fn(&str) -> Option<&'static str> = match path.rsplit('/').next() {
            Some("Cargo.lock") => cargo_line,
            Some("package-lock.json") => npm_line,
            _ => continue,
        };
        for (line, number) in text.lines().zip(1..) {
            if let Some(remedy) = rule(line) {
                let wrong = format!("the lock file holds an address: {}", line.trim());
                findings.push(Finding::new(path, number, wrong, remedy));
            }
        }
    }
    findings
}

fn cargo_line(line: &str) -> Option<&'static str> {
    let source = line.strip_prefix("source = ")?.trim_matches('"');
    (source != CRATES_IO).then_some("take dependencies from crates.io alone, without a replaced registry")
}

fn npm_line(line: &str) -> Option<&'static str> {
    let remedy = "write the lock file with `npm install --omit-lockfile-registry-resolved`";
    line.trim_start().starts_with("\"resolved\":").then_some(remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::fixture::check_files;

    #[test]
    fn only_the_public_registry_may_stand_in_a_lock_file() {
        let good = format!("[[package]]\nname = \"a\"\nsource = \"{CRATES_IO}\"\n");
        let mirror = "[[package]]\nsource = \"registry+https://mirror.example/index\"\n";
        let git = "[[package]]\nsource = \"git+https://example.org/a.git#0123\"\n";
        let resolved = "{\n  \"a\": {\n    \"resolved\": \"https://mirror.example/a.tgz\"\n  }\n}\n";
        check_files(
            check,
            &[
                ("Cargo.lock", &good, &[]),
                ("Cargo.lock", mirror, &["2: mirror.example"]),
                ("fuzz/Cargo.lock", git, &["2: git+https"]),
                ("ui/package-lock.json", resolved, &["3: holds an address"]),
                ("ui/package-lock.json", "{\n  \"integrity\": \"sha512-a\"\n}\n", &[]),
                ("docs/resolved.json", resolved, &[]),
            ],
        );
    }
}
