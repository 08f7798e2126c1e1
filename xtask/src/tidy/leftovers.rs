//! Rule: nothing unfinished or switched off gets in: ignored tests, placeholders, debug output, markers of
//! work to be done, silenced dead code, and `unwrap()` outside of tests.

use super::Tree;
use super::facts::Facts;
use crate::finding::Finding;

/// Macros that stand for code yet to be written or for a look at it.
const MACROS: [(&str, &str); 3] = [
    ("todo", "write the code or return a typed error"),
    ("unimplemented", "write the code or return a typed error"),
    ("dbg", "take it out, or log through `tracing`"),
];
/// Words that mark work to be done. They are put together so that this file does not hold them.
const MARKERS: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX")];

/// Findings for left-overs.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text, facts) in tree.rust_files() {
        findings.extend(macros_and_unwraps(path, facts));
        findings.extend(attributes(path, facts));
        findings.extend(markers(path, text));
    }
    findings
}

fn macros_and_unwraps(path: &str, facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    for seen in &facts.macros {
        if let Some((name, remedy)) = MACROS.iter().find(|(name, _)| *name == seen.name) {
            findings.push(Finding::new(path, seen.line, format!("`{name}!` is left over"), *remedy));
        }
    }
    for seen in facts.methods.iter().filter(|seen| seen.name == "unwrap" && !seen.in_test) {
        let remedy = "return an error, or `expect(\"invariant: …\")` naming what makes it impossible";
        findings.push(Finding::new(path, seen.line, "`unwrap()` outside of a test", remedy));
    }
    findings
}

fn attributes(path: &str, facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    for attribute in &facts.attributes {
        let has = |word: &str| attribute.words.iter().any(|one| one == word);
        let line = attribute.line;
        if attribute.path == "ignore" || (attribute.path == "cfg_attr" && has("ignore")) {
            findings.push(Finding::new(
                path,
                line,
                "a test is ignored",
                "make it pass everywhere, or take it out",
            ));
        }
        if matches!(attribute.path.as_str(), "allow" | "expect" | "cfg_attr") && has("dead_code") {
            findings.push(Finding::new(path, line, "dead code is silenced", "take the unused code out"));
        }
    }
    findings
}

fn markers(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
        if let Some(marker) = words.find(|word| MARKERS.contains(word)) {
            let wrong = format!("`{marker}` marks work to be done");
            findings.push(Finding::new(
                path,
                number,
                wrong,
                "do it, or write down where such things are kept",
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::fixture::check_files;

    const PATH: &str = "crates/tsdb/src/a.rs";

    #[test]
    fn placeholders_and_debug_output_are_found_in_code_alone() {
        check_files(
            check,
            &[
                (PATH, "//! A.\nfn f() { todo!() }\n", &["2: `todo!`"]),
                (PATH, "//! A.\nfn f() { std::unimplemented!(\"x\") }\n", &["2: `unimplemented!`"]),
                (PATH, "//! A.\n#[test]\nfn f() { assert!(dbg!(x)) }\n", &["3: `dbg!`"]),
                (PATH, "//! A.\n/// Not todo!() nor dbg!(x).\nfn f() { g(\"todo!()\") }\n", &[]),
            ],
        );
    }

    #[test]
    fn unwrap_is_for_tests() {
        check_files(
            check,
            &[
                (PATH, "//! A.\nfn f() { x.unwrap(); }\n", &["2: `unwrap()`"]),
                (PATH, "//! A.\nfn f() { println!(\"{}\", x.unwrap()); }\n", &["2: `unwrap()`"]),
                (PATH, "//! A.\nfn f() { x.unwrap_or(1); x.expect(\"invariant: b\"); }\n", &[]),
                (PATH, "//! A.\n#[cfg(test)]\nmod t { fn f() { x.unwrap(); } }\n", &[]),
                ("crates/tsdb/tests/a.rs", "//! A.\nfn f() { x.unwrap(); }\n", &[]),
                ("crates/tsdb/src/head/tests.rs", "//! A.\nfn f() { x.unwrap(); }\n", &[]),
            ],
        );
    }

    #[test]
    fn nothing_is_ignored_or_silenced() {
        check_files(
            check,
            &[
                (PATH, "//! A.\n#[test]\n#[ignore]\nfn f() {}\n", &["3: ignored"]),
                (PATH, "//! A.\n#[test]\n#[ignore = \"slow\"]\nfn f() {}\n", &["3: ignored"]),
                (PATH, "//! A.\n#[cfg_attr(unix, ignore)]\nfn f() {}\n", &["2: ignored"]),
                (PATH, "//! A.\n#![allow(dead_code)]\n", &["2: dead code"]),
                (PATH, "//! A.\n#[allow(clippy::print_stdout, reason = \"a program\")]\nfn f() {}\n", &[]),
            ],
        );
    }

    #[test]
    fn markers_are_found_as_whole_words() {
        let first = MARKERS[0];
        check_files(
            check,
            &[
                (PATH, &format!("//! A.\n// {first}: later\n"), &["2: marks work"]),
                (PATH, &format!("//! A.\n// {first}S and {first}_LIST are other words\n"), &[]),
            ],
        );
    }
}
