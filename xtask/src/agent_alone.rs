//! The program with `skopos agent` alone: that it builds, that nothing of the server is in it, and how large
//! it is. Never measures what it does: `peers::agent` does.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::process::{cargo, output, run, target_folder};

/// What makes cargo build it.
const ONLY_AGENT: [&str; 6] =
    ["--locked", "--package", "skopos", "--no-default-features", "--features", "agent"];
/// How the allocator of a process with few threads, which does the same again and again, holds little: one
/// arena for all, no thread of its own, and small pieces alone kept by each thread. docs/agent.md has it.
const ALLOCATOR: (&str, &str) = (
    "JEMALLOC_SYS_WITH_MALLOC_CONF",
    "dirty_decay_ms:1000,narenas:1,background_thread:false,tcache_max:1024",
);
/// What only the server and the tools need.
const OF_THE_SERVER: [&str; 8] = [
    "skopos-api",
    "skopos-chunk",
    "skopos-promql",
    "skopos-rules",
    "skopos-scrape",
    "skopos-storage",
    "skopos-tsdb",
    "rust-embed",
];

/// Checks that it compiles, and what is in it.
pub(crate) fn check(root: &Path) -> Result<()> {
    check_tree(root)?;
    run(cargo(&[&["check", "--quiet"], &ONLY_AGENT[..]].concat(), root))
}

fn check_tree(root: &Path) -> Result<()> {
    let arguments = [&["tree", "--edges", "normal", "--prefix", "none", "--format", "{p}"], &ONLY_AGENT[..]];
    let found = packages(&output(cargo(&arguments.concat(), root))?);
    ensure!(
        found.iter().any(|name| name == "skopos-agent"),
        "the agent is not in its own program: {found:?}"
    );
    let wrong: Vec<_> = found.iter().filter(|name| OF_THE_SERVER.contains(&name.as_str())).collect();
    ensure!(wrong.is_empty(), "the program with the agent alone has {wrong:?}, which are of the server");
    Ok(())
}

/// The names in what `cargo tree` prints: a package a line, its name first.
fn packages(tree: &str) -> Vec<String> {
    tree.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// Builds it, and puts it where a build of the whole program does not replace it.
pub(crate) fn build(root: &Path) -> Result<PathBuf> {
    let mut build = cargo(&[&["build", "--release"], &ONLY_AGENT[..]].concat(), root);
    build.env(ALLOCATOR.0, ALLOCATOR.1);
    run(build)?;
    let release = target_folder(root)?.join("release");
    let (built, kept) = (release.join("skopos"), release.join("skopos-agent-alone"));
    fs::copy(&built, &kept).with_context(|| format!("cannot copy {}", built.display()))?;
    Ok(kept)
}

/// How many bytes of a program are loaded: its code and data, without what only debuggers read.
pub(crate) fn loaded_bytes(program: &Path) -> Result<u64> {
    let bytes = fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
    match loaded_of(&bytes) {
        Some(loaded) => Ok(loaded),
        None => bail!("{} is no 64-bit program of Linux", program.display()),
    }
}

fn loaded_of(elf: &[u8]) -> Option<u64> {
    const LOAD: u64 = 1;
    let number = |at: usize, len: usize| {
        let bytes = elf.get(at..at.checked_add(len)?)?;
        Some(bytes.iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte)))
    };
    // The magic, then 2 for 64 bits and 1 for the least byte first.
    if !elf.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let (table, entry, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    let mut loaded = 0;
    for i in 0..count {
        let at = usize::try_from(table.checked_add(i * entry)?).ok()?;
        if number(at, 4)? == LOAD {
            loaded += number(at.checked_add(32)?, 8)?;
        }
    }
    Some(loaded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo;

    #[test]
    fn nothing_of_the_server_is_in_it() {
        check_tree(&repo::root()).unwrap();
    }

    #[test]
    fn a_tree_is_read() {
        let tree = "skopos v0.1.0 (/x)\nskopos-tsdb v0.1.0 (/x/crates/tsdb) (*)\n\nring v0.17.1\n";
        assert_eq!(packages(tree), ["skopos", "skopos-tsdb", "ring"]);
    }

    #[test]
    fn a_program_is_its_loaded_parts() {
        let own = std::env::current_exe().unwrap();
        let (loaded, whole) = (loaded_bytes(&own).unwrap(), fs::metadata(&own).unwrap().len());
        assert!(loaded > 100_000 && loaded < whole, "{loaded} of {whole}");
        let bytes = fs::read(&own).unwrap();
        assert_eq!(loaded_of(&bytes[..100]), None);
        assert_eq!(loaded_of(b"#!/bin/sh\n"), None);
    }
}
