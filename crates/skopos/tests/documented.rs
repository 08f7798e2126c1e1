//! Every flag that the program shows is in the documentation. Reads the help texts of the program itself.

use std::{collections::BTreeSet, path::Path, process::Command};

/// Clap's own.
const OWN: [&str; 2] = ["--help", "--version"];

/// The long flags of a command's help text.
fn flags(command: &[&str]) -> BTreeSet<String> {
    let program = Command::new(env!("CARGO_BIN_EXE_skopos")).args(command).arg("--help").output();
    let help = String::from_utf8(program.expect("the program starts").stdout).expect("it is text");
    let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    let named = lines.flat_map(|line| line.split([' ', ',', '[', '=']).take(4));
    let flags = named.filter(|word| word.starts_with("--") && !OWN.contains(word));
    flags.map(str::to_owned).collect()
}

fn documents(names: &[&str]) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let read =
        |name: &&str| std::fs::read_to_string(folder.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    names.iter().map(read).collect()
}

#[track_caller]
fn check(command: &[&str], names: &[&str], least: usize) {
    let (flags, text) = (flags(command), documents(names));
    assert!(flags.len() >= least, "{command:?} shows {flags:?}");
    let missing: Vec<_> = flags.iter().filter(|flag| !text.contains(flag.as_str())).collect();
    assert!(missing.is_empty(), "{names:?} lack flags of {command:?}: {missing:?}");
}

#[test]
fn every_flag_of_the_server_is_documented() {
    check(&["server"], &["configuration.md", "http-api.md"], 30);
}

#[test]
fn every_flag_of_sending_is_documented() {
    let (flags, text) = (flags(&["agent"]), documents(&["agent.md"]));
    let short = |flag: &str| flag.rsplit_once('.').map_or(String::new(), |(_, last)| format!("`.{last}`"));
    let ours =
        flags.iter().filter(|f| ["--remote-write.", "--storage."].iter().any(|part| f.starts_with(part)));
    let ours: Vec<_> = ours.collect();
    assert!(ours.len() >= 19, "{ours:?}");
    let missing: Vec<_> =
        ours.iter().filter(|f| !text.contains(f.as_str()) && !text.contains(&short(f))).collect();
    assert!(missing.is_empty(), "docs/agent.md lacks {missing:?}");
}

#[test]
fn every_flag_of_the_tools_for_data_directories_is_documented() {
    for (command, least) in [
        (&["list"][..], 1),
        (&["analyze"], 3),
        (&["dump"], 3),
        (&["dump-openmetrics"], 3),
        (&["verify"], 0),
        (&["repair"], 1),
        (&["bench", "write"], 3),
        (&["create-blocks-from", "openmetrics"], 4),
        (&["create-blocks-from", "rules"], 8),
    ] {
        check(&[&["tool", "tsdb"], command].concat(), &["tools.md"], least);
    }
}
