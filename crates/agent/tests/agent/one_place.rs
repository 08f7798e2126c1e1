//! Files are named to the system in one place, which notes what is refused: nothing that a collector may not
//! have goes untold because it was read by another way.

use crate::common::here;
use std::{fs, path::Path};

/// Methods and types that ask the system about a path, or open it. The modules `fs` of the standard library
/// and of rustix count whole, by whatever name a function of them is called.
const CALLS: [&str; 14] = [
    ".is_dir()",
    ".is_file()",
    ".is_symlink()",
    ".exists()",
    ".try_exists()",
    ".metadata()",
    ".symlink_metadata()",
    ".read_dir()",
    ".read_link()",
    ".canonicalize()",
    "File::open(",
    "File::options(",
    "File::create(",
    "OpenOptions",
];
/// What else may, line by line: where, what stands in the line, and why.
const ELSEWHERE: [(&str, &str, &str); 9] = [
    ("source/", "", "it is this place"),
    ("source.rs", "fs::{FileType, OFlags, RawDir}", "types, and the names in a folder that is open"),
    ("system_calls.rs", "/proc/self/smaps", "a file of this process, when its code is let go of"),
    ("system_calls.rs", "fs::{self, Mode, OFlags}", "for the next"),
    ("system_calls.rs", "fs::open(mount_point", "a call about a file system, which its collector notes"),
    ("flags/process_groups.rs", "std::fs::", "the file of rules, before anything runs"),
    ("flags/process_groups.rs", ".is_file()", "the file of rules, before anything runs"),
    ("host.rs", "fs::statfs(path)", "a call about a file system, whose failure is a metric"),
    ("host.rs", "/proc/self/auxv", "the vector that the kernel gives this process"),
];

/// Whether the line has a module `fs` in it: as a part of a path, not in a text or a comment.
fn names_fs(line: &str) -> bool {
    let is_of_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '/' | '"' | '.');
    !line.trim_start().starts_with("//")
        && line.match_indices("fs").any(|(at, _)| {
            let behind = &line[at + 2..];
            !line[..at].ends_with(is_of_name)
                && ["::", ";", ",", "}"].iter().any(|next| behind.starts_with(next))
        })
}

fn asks_the_system(line: &str) -> bool {
    names_fs(line) || CALLS.iter().any(|call| line.contains(call))
}

fn check(folder: &Path, root: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            check(&path, root, found);
            continue;
        }
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        if ["tests.rs", "testing.rs", "fuzzing.rs"].iter().any(|end| name.ends_with(end)) {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        let may = |line: &str| {
            ELSEWHERE.iter().any(|(place, part, _)| name.starts_with(place) && line.contains(part))
        };
        let lines = code.lines().enumerate().filter(|(_, line)| asks_the_system(line) && !may(line));
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

#[test]
fn a_line_that_names_a_file_is_seen() {
    for line in [
        "let has_udev = Path::new(&options.paths.udev_data).is_dir();",
        "if path.is_file() || path.exists() {",
        "let found = rustix::fs::statfs(path)?;",
        "use std::{fs, path::Path};",
        "use rustix::fs;",
        "use rustix::{io, fs::{Mode, openat}};",
        "let file = File::open(path)?;",
        "let file = OpenOptions::new().read(true).open(path)?;",
        "let bytes = fs::metadata(path)?.len();",
        "let bytes = path.metadata()?.len();",
    ] {
        assert!(asks_the_system(line), "{line}");
    }
    for line in [
        "const FOLDER: &str = \"fs/xfs\";",
        "on_disks().any(|fs| fs.device == device)",
        "(\"btrfs\", |_, _| Box::new(btrfs::Btrfs::new())),",
        "/// What std::fs::read does.",
    ] {
        assert!(!asks_the_system(line), "{line}");
    }
}
