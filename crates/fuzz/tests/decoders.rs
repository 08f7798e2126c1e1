//! No decoder without a target: every file of the library crates with a function that makes something of
//! bytes is covered by a fuzz target, or stands here with the reason why not.

#![allow(clippy::unwrap_used)]

use skopos_fuzz::TARGETS;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Crates whose decoders read what comes from a disk or from a stranger.
const CRATES: [&str; 7] = ["base", "model", "chunk", "exposition", "proto", "tsdb", "promql"];
/// How the names of functions begin that read bytes or text.
const VERBS: [&str; 8] = ["decode", "parse", "read", "take", "from_bytes", "open", "load", "next"];
/// Files with such functions that need no target.
const EXCUSED: [(&str, &str); 3] = [
    ("crates/model/src/duration.rs", "reads flags; PromQL has its own"),
    ("crates/tsdb/src/fuzzing/", "no part of the product"),
    ("crates/tsdb/src/wal/segment.rs", "reads names of files"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The signatures in `text` of functions that look like decoders: of `&[u8]`, or `parse` of `&str`.
fn decoders(text: &str) -> Vec<String> {
    let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let mut found = Vec::new();
    for (at, _) in product.match_indices("fn ") {
        let rest = &product[at + 3..];
        let signature = &rest[..rest.find(['{', ';']).unwrap_or(rest.len())];
        let name = signature.split(['(', '<']).next().unwrap_or_default();
        let reads = VERBS.iter().any(|verb| {
            let rest = name.strip_prefix(verb);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
        });
        let may_fail = signature.contains("Result<") || signature.contains("Option<");
        let of_bytes = signature.contains("[u8]");
        let of_text = signature.contains("&str") && name.starts_with("parse");
        if reads && may_fail && (of_bytes || of_text) {
            found.push(signature.split_whitespace().collect::<Vec<_>>().join(" "));
        }
    }
    found
}

fn rust_files(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, out);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            out.push(path);
        }
    }
}

#[test]
fn every_decoder_has_a_target() {
    let covered: BTreeSet<&str> = TARGETS.iter().flat_map(|target| target.covers).copied().collect();
    let mut without = Vec::new();
    let mut excuses_used = BTreeSet::new();
    for name in CRATES {
        let mut files = Vec::new();
        rust_files(&root().join("crates").join(name).join("src"), &mut files);
        for file in files {
            let path = file.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
            let found = decoders(&std::fs::read_to_string(&file).unwrap());
            if found.is_empty() || covered.contains(path.as_str()) {
                continue;
            }
            match EXCUSED.iter().find(|(excused, _)| path.starts_with(excused)) {
                Some((excused, _)) => {
                    excuses_used.insert(*excused);
                }
                None => without.push(format!("{path}: {}", found.join("; "))),
            }
        }
    }
    assert!(
        without.is_empty(),
        "decoders without a fuzz target (add one to crates/fuzz/src/targets, or an excuse here):\n{}",
        without.join("\n")
    );
    let idle: Vec<_> = EXCUSED.iter().filter(|(excused, _)| !excuses_used.contains(excused)).collect();
    assert!(idle.is_empty(), "these excuse nothing; take them out: {idle:?}");
}

#[test]
fn what_targets_cover_exists() {
    for target in TARGETS {
        assert!(!target.covers.is_empty(), "{} covers nothing", target.name);
        for path in target.covers {
            assert!(root().join(path).is_file(), "{} covers {path}, which is not there", target.name);
        }
    }
}

#[test]
fn decoders_are_told_by_their_signatures() {
    let cases = [
        ("fn decode(bytes: &[u8]) -> Result<u8, E> {", 1),
        ("pub fn parse(text: &str) -> Option<u8> {", 1),
        ("fn read_series(\n    record: &[u8],\n) -> Result<(), E> {", 1),
        ("fn readiness(b: &[u8]) -> Result<(), E> {", 0),
        ("fn decode(bytes: &[u8]) -> u8 {", 0),
        ("fn encode(bytes: &[u8]) -> Result<u8, E> {", 0),
        ("fn a() {}\n#[cfg(test)]\nmod tests {\n fn decode(b: &[u8]) -> Option<u8> {", 0),
    ];
    for (text, expected) in cases {
        assert_eq!(decoders(text).len(), expected, "{text}");
    }
}
