//! The corpora: each target has one, and what is named valid in it is taken as sound. With
//! `SKOPOS_FUZZ_WRITE_CORPUS` set (`cargo xtask fuzz --seeds`) the inputs of `made` are written first.

#![allow(clippy::unwrap_used)]

mod from_prometheus;
mod made;

use skopos_fuzz::inputs::{VALID, corpus_folder, read_folder};
use skopos_fuzz::{TARGETS, Target};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Longer inputs stay in the code that makes them.
const MAX_BYTES: usize = 8 << 10;

/// An input of a corpus.
struct Input {
    target: &'static str,
    /// Begins with `VALID` where the decoder must take it as sound.
    name: String,
    bytes: Vec<u8>,
}

fn target_of(input: &Input) -> &'static Target {
    skopos_fuzz::target(input.target).unwrap_or_else(|| panic!("{} is no target", input.target))
}

/// Writes what is made and is not there under its name or as another input.
fn write(inputs: &[Input]) {
    for input in inputs {
        let folder = corpus_folder(target_of(input));
        fs::create_dir_all(&folder).unwrap();
        let known = read_folder(&folder).unwrap();
        let path = folder.join(&input.name);
        if known.iter().all(|(other, bytes)| *other == path || *bytes != input.bytes) {
            fs::write(path, &input.bytes).unwrap();
        }
    }
}

fn name_of(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

#[test]
fn each_target_has_a_corpus_with_valid_inputs_that_are_taken_and_others_that_are_not() {
    let made = made::all();
    if std::env::var_os("SKOPOS_FUZZ_WRITE_CORPUS").is_some() {
        write(&made);
    }
    let mut wrong = Vec::new();
    for target in TARGETS {
        let folder = read_folder(&corpus_folder(target)).unwrap();
        let (mut valid, mut refused) = (0, 0);
        for (path, bytes) in &folder {
            let is_sound = target.run(bytes);
            let is_valid = name_of(path).starts_with(VALID);
            if is_valid && !is_sound {
                wrong.push(format!("{} is valid and is refused", path.display()));
            }
            valid += usize::from(is_valid);
            refused += usize::from(!is_sound);
        }
        let counts = format!("{}: {valid} valid inputs, {refused} that are refused", target.name);
        println!("{counts}");
        if valid < 2 || refused < 1 {
            wrong.push(format!("{counts}: `cargo xtask fuzz --seeds` writes them"));
        }
        let of_target = made.iter().filter(|input| input.target == target.name);
        for input in of_target {
            let is_there = folder.iter().any(|(_, bytes)| *bytes == input.bytes);
            let is_there = is_there || folder.iter().any(|(path, _)| name_of(path) == input.name);
            if !is_there {
                wrong.push(format!("{}/{} is missing: `cargo xtask fuzz --seeds`", target.name, input.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Kinds of a format that the first bytes of valid inputs tell: records of a log, of a snapshot, encodings of
/// chunks, files of a block.
const KINDS: [(&str, &[u8]); 4] = [
    ("wal_record", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 208, 209]),
    ("snapshot_record", &[1, 2, 3]),
    ("chunk", &[1, 2, 3, 4, 5, 6]),
    ("block", &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
];

#[test]
fn there_is_a_valid_input_of_every_kind() {
    for (name, kinds) in KINDS {
        let folder = read_folder(&corpus_folder(skopos_fuzz::target(name).unwrap())).unwrap();
        let valid = folder.iter().filter(|(path, _)| name_of(path).starts_with(VALID));
        let found: BTreeSet<u8> = valid.filter_map(|(_, bytes)| bytes.first().copied()).collect();
        assert!(found.iter().eq(kinds), "{name} has {found:?}");
    }
}

#[test]
fn what_is_made_is_small_and_has_names_of_its_own() {
    let made = made::all();
    let names: BTreeSet<_> = made.iter().map(|input| (input.target, &input.name)).collect();
    assert_eq!(names.len(), made.len(), "two inputs have one name");
    for input in &made {
        assert!(input.bytes.len() <= MAX_BYTES, "{}/{} is long", input.target, input.name);
    }
}
