//! Files are opened in one place, which notes what is refused: nothing that a collector may not have goes
//! untold because it was read by another way.

use crate::common::here;
use std::{fs, path::Path};

/// Calls that name a file.
const CALLS: [&str; 12] = [
    "std::fs::",
    "fs::read(",
    "fs::read_to_string(",
    "fs::read_dir(",
    "fs::read_link(",
    "fs::metadata(",
    "fs::open(",
    "fs::openat(",
    "fs::stat(",
    "fs::readlink(",
    "fs::access(",
    "fs::canonicalize(",
];
/// What else may make them, each for its reason.
const ELSEWHERE: [(&str, &str); 4] = [
    ("source/", "it is this place"),
    ("system_calls.rs", "files of this process, when its code is let go of"),
    ("flags/process_groups.rs", "the file of rules, before anything runs"),
    ("host.rs", "the vector that the kernel gives this process"),
];

fn check(folder: &Path, root: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            check(&path, root, found);
            continue;
        }
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        let is_test = ["tests.rs", "testing.rs", "fuzzing.rs"].iter().any(|end| name.ends_with(end));
        if is_test || ELSEWHERE.iter().any(|(place, _)| name.starts_with(place)) {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        let lines = code.lines().enumerate().filter(|(_, line)| CALLS.iter().any(|call| line.contains(call)));
        found.extend(lines.map(|(at, line)| format!("{name}:{}: {}", at + 1, line.trim())));
    }
}

#[test]
fn files_are_named_to_the_system_in_one_place() {
    let root = here("../src");
    let mut found = Vec::new();
    check(&root, &root, &mut found);
    assert!(found.is_empty(), "use crate::source: {found:#?}");
}
