//! No decoder without a target: every function of the library crates that takes bytes and may refuse them is
//! named by a fuzz target, or stands here with the reason why not.

#![allow(clippy::unwrap_used)]

use skopos_fuzz::{Decoders, TARGETS};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Crates whose decoders read what comes from a disk or from a stranger.
const CRATES: [&str; 12] = [
    "base",
    "model",
    "chunk",
    "spool",
    "exposition",
    "proto",
    "tsdb",
    "promql",
    "agent",
    "intake",
    "discovery",
    "remote",
];
/// How the names of functions begin that take bytes in order to write them.
const WRITE: [&str; 6] = ["append", "push", "put", "add", "replace", "write"];
/// No part of the product.
const FUZZING: [&str; 3] =
    ["crates/tsdb/src/fuzzing", "crates/agent/src/fuzzing", "crates/discovery/src/fuzzing"];
/// Functions that take bytes, may give nothing, and need no target.
const EXCUSED: &[(Decoders, &str)] = &[
    (("crates/agent/src/collectors/perf.rs", &["parse_cpus"]), "reads flags"),
    (("crates/agent/src/collectors/sysctl.rs", &["parse"]), "reads flags"),
    (("crates/agent/src/host.rs", &["netlink_in_pieces", "netlink_in_pieces"]), "asks the kernel"),
    (("crates/agent/src/host.rs", &["page_bytes_of"]), "reads what the kernel gave this program"),
    (("crates/agent/src/netlink.rs", &["ask_in_pieces"]), "asks the kernel"),
    (("crates/agent/src/process_groups/top.rs", &["parse"]), "reads one word of a request"),
    (("crates/discovery/src/http.rs", &["parse_url"]), "reads addresses of the configuration"),
    (("crates/model/src/duration.rs", &["parse", "parse_positive"]), "reads flags; PromQL has its own"),
    (("crates/remote/src/batch.rs", &["read"]), "hands a page on to its parser"),
    (("crates/remote/src/gather.rs", &["metric_of"]), "reads what this program wrote"),
    (("crates/model/src/labels.rs", &["behind_text"]), "walks labels that were checked when they were made"),
    (("crates/tsdb/src/head/series/collected.rs", &["visible_chunk"]), "hands a chunk on to its decoder"),
    (("crates/tsdb/src/tool/open_metrics.rs", &["piece"]), "hands lines on to the parser"),
    (("crates/tsdb/src/tool/verify.rs", &["verify_log", "verify_segment"]), "takes a file system, no bytes"),
    (("crates/tsdb/src/tool/verify_block.rs", &["check_chunk"]), "hands a chunk on to its decoder"),
    (("crates/tsdb/src/wal/group.rs", &["pass"]), "hands a record on to its decoder"),
    (("crates/tsdb/src/wal/tail.rs", &["tell"]), "hands records on to their decoders"),
    (("crates/tsdb/src/wal/segment.rs", &["parse_index"]), "reads names of files"),
    (
        (
            "crates/tsdb/src/wal/checkpoint/filter.rs",
            &[
                "name_series",
                "pass",
                "damage",
                "batch",
                "record",
                "series",
                "samples",
                "samples_v2",
                "histograms",
                "metadata",
                "release",
                "finish",
            ],
        ),
        "hands records on to their decoders",
    ),
    (("crates/exposition/src/write.rs", &["start_sample"]), "writes"),
    (("crates/promql/src/printer.rs", &["quoted_bytes"]), "writes"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Whether what a function gives, `Result<..>` or `std::io::Result<..>`, says that it may refuse.
fn may_refuse(returned: &str) -> bool {
    let head = returned.trim().split('<').next().unwrap_or_default();
    matches!(head.rsplit("::").next(), Some("Result" | "Option"))
}

/// The names of the functions in `text` that look like decoders: of bytes or of a block's file, or `parse`
/// of text.
fn decoders(text: &str) -> Vec<&str> {
    let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let mut found = Vec::new();
    for (at, _) in product.match_indices("fn ") {
        let rest = &product[at + 3..];
        let signature = &rest[..rest.find(['{', ';']).unwrap_or(rest.len())];
        let name = signature.split(['(', '<']).next().unwrap_or_default().trim();
        let is_name = product[..at].ends_with([' ', '\n', '(']) || at == 0;
        let Some((arguments, returned)) = signature.rsplit_once("->").filter(|_| is_name) else { continue };
        let verb = name.split('_').next().unwrap_or_default();
        let of_bytes = arguments.replace("&mut [u8]", "").contains("[u8]");
        let of_file = arguments.contains("&Input");
        let of_text = arguments.contains("&str") && verb == "parse";
        if may_refuse(returned) && !name.is_empty() && !WRITE.contains(&verb) {
            found.extend((of_bytes || of_file || of_text).then_some(name));
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

/// How often each name stands there.
fn counted<'a>(names: impl IntoIterator<Item = &'a str>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    names.into_iter().for_each(|name| *counts.entry(name.to_owned()).or_default() += 1);
    counts
}

/// The decoders of each file of the product that has any.
fn in_the_product() -> BTreeMap<String, BTreeMap<String, usize>> {
    let mut all = BTreeMap::new();
    for name in CRATES {
        let mut files = Vec::new();
        rust_files(&root().join("crates").join(name).join("src"), &mut files);
        for file in files {
            let path = file.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
            let found = counted(decoders(&std::fs::read_to_string(&file).unwrap()));
            if !found.is_empty() && !FUZZING.iter().any(|own| path.starts_with(own)) {
                all.insert(path, found);
            }
        }
    }
    all
}

/// The decoders that targets and excuses name; where several name one, the most counts.
fn named() -> BTreeMap<String, BTreeMap<String, usize>> {
    let mut all: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    let covered = TARGETS.iter().flat_map(|target| target.covers);
    for (path, names) in covered.chain(EXCUSED.iter().map(|(decoders, _)| decoders)) {
        for (name, count) in counted(names.iter().copied()) {
            let most = all.entry((*path).to_owned()).or_default().entry(name).or_default();
            *most = count.max(*most);
        }
    }
    all
}

#[test]
fn every_decoder_has_a_target() {
    let (product, named) = (in_the_product(), named());
    let none = BTreeMap::new();
    let mut wrong = Vec::new();
    for path in product.keys().chain(named.keys().filter(|path| !product.contains_key(*path))) {
        let (found, named) = (product.get(path).unwrap_or(&none), named.get(path).unwrap_or(&none));
        for name in found.keys().chain(named.keys().filter(|name| !found.contains_key(*name))) {
            let count = |of: &BTreeMap<String, usize>| of.get(name).copied().unwrap_or(0);
            let (is, should) = (count(found), count(named));
            if is != should {
                wrong.push(format!("{path}: {name} is there {is} times and named {should} times"));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "decoders and fuzz targets differ (name them in crates/fuzz/src/targets/mod.rs with a target that \
         runs them, or here with an excuse):\n{}",
        wrong.join("\n")
    );
}

#[test]
fn what_targets_cover_exists() {
    for target in TARGETS {
        assert!(!target.covers.is_empty(), "{} covers nothing", target.name);
        for (path, _) in target.covers {
            assert!(root().join(path).is_file(), "{} covers {path}, which is not there", target.name);
        }
    }
}

#[test]
fn decoders_are_told_by_their_signatures() {
    let cases: [(&str, &[&str]); 14] = [
        ("fn decode(bytes: &[u8]) -> Result<u8, E> {", &["decode"]),
        ("pub fn parse(text: &str) -> Option<u8> {", &["parse"]),
        ("pub(crate) fn extent(bytes: &'a [u8]) -> io::Result<u8> {", &["extent"]),
        ("fn read_series(\n    record: &[u8],\n) -> Result<(), E> {", &["read_series"]),
        ("fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], E> {", &["take"]),
        ("fn symbol(&self, input: &Input, at: u64) -> Result<u8, E> {", &["symbol"]),
        ("fn a(b: &[u8]) -> Option<u8> {}\nfn a(b: &[u8]) -> Option<u8> {}", &["a", "a"]),
        ("fn decode(bytes: &[u8]) -> u8 {", &[]),
        ("fn fill(bytes: &mut [u8]) -> Result<u8, E> {", &[]),
        ("fn push_all(bytes: &[u8]) -> Result<u8, E> {", &[]),
        ("fn name(text: &str) -> Option<u8> {", &[]),
        ("fn each(of: u8) -> impl Fn(&[u8]) -> Vec<Result<u8, E>> {", &[]),
        ("struct Known { each: fn(&[u8]) -> Option<u8> }", &[]),
        ("fn a() {}\n#[cfg(test)]\nmod tests {\n fn decode(b: &[u8]) -> Option<u8> {", &[]),
    ];
    for (text, expected) in cases {
        assert_eq!(decoders(text), expected, "{text}");
    }
}
