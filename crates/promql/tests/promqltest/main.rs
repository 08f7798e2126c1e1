//! Runs Prometheus' acceptance scripts of PromQL against the engine. The scripts are not part of this
//! repository: `SKOPOS_CONFORMANCE_DIR` says where they are, else `../shared/conformance/promqltest`
//! beside the repository is looked into.
//!
//! The scripts run in two modes, with delayed name removal and as the server evaluates. Each has a list of
//! the evals that do not hold yet, and why: `known_failures.txt` and `known_failures_as_served.txt`. A run
//! must match its list exactly: an eval that fails must be listed, and one that holds must not, so the
//! lists only shrink. `SKOPOS_UPDATE_KNOWN_FAILURES=1` writes them anew. What cannot hold as the server
//! evaluates, because names are to go late, stands in `late_names.txt`.

#![expect(clippy::disallowed_methods, reason = "the scripts are files of the system")]

mod compare;
mod histograms;
#[path = "../support/memory.rs"]
mod memory;
mod points;
mod run;
mod script;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::Write as _,
    path::{Path, PathBuf},
};

/// How names are treated, and the list of what does not hold then.
struct Mode {
    delayed_name_removal: bool,
    file: &'static str,
    list: &'static str,
    /// Evals that cannot hold in this mode, which is a property of it and no failure.
    by_design: &'static str,
}

/// The mode that the scripts are written for: all feature flags are on.
const ALL_FLAGS: Mode = Mode {
    delayed_name_removal: true,
    file: "known_failures.txt",
    list: include_str!("known_failures.txt"),
    by_design: "",
};
/// The mode of the server. The evals in which names are to go late cannot hold in it.
const AS_SERVED: Mode = Mode {
    delayed_name_removal: false,
    file: "known_failures_as_served.txt",
    list: include_str!("known_failures_as_served.txt"),
    by_design: include_str!("late_names.txt"),
};
const HEADER: &str = "\
# Evals of the acceptance scripts that do not hold yet: `script, reason: lines`. The run must match this
# list exactly. SKOPOS_UPDATE_KNOWN_FAILURES=1 cargo test --test promqltest writes it anew.
";
/// Details of failures that are not on the list are shown up to this many.
const MAX_SHOWN: usize = 40;

fn scripts_dir() -> PathBuf {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance/promqltest");
    std::env::var_os("SKOPOS_CONFORMANCE_DIR").map_or_else(beside, PathBuf::from)
}

/// Names and texts of all scripts, by name.
fn scripts(dir: &Path) -> Option<BTreeMap<String, String>> {
    let files = std::fs::read_dir(dir).ok()?;
    let scripts: BTreeMap<_, _> = files
        .map(|f| f.expect("a readable directory").path())
        .filter(|path| path.extension().is_some_and(|e| e == "test"))
        .map(|path| {
            let name = path.file_name().expect("a file's name").to_string_lossy().into_owned();
            (name, std::fs::read_to_string(&path).expect("a readable script"))
        })
        .collect();
    (!scripts.is_empty()).then_some(scripts)
}

/// Lines by script, of the list.
fn known_failures(list: &str) -> BTreeMap<(String, usize), String> {
    let mut known = BTreeMap::new();
    for line in list.lines().filter(|l| !l.is_empty() && !l.starts_with('#')) {
        let (head, lines) = line.rsplit_once(": ").expect("`script, reason: lines`");
        let (script, reason) = head.split_once(", ").expect("`script, reason: lines`");
        for n in lines.split(' ') {
            let twice = known.insert((script.to_owned(), n.parse().expect("a line")), reason.to_owned());
            assert!(twice.is_none(), "{script}:{n} is listed twice");
        }
    }
    known
}

#[test]
fn the_scripts_hold_but_for_the_known_failures() {
    check(&ALL_FLAGS);
}

#[test]
fn the_scripts_hold_as_the_server_evaluates_them() {
    check(&AS_SERVED);
}

fn check(mode: &Mode) {
    let dir = scripts_dir();
    let Some(scripts) = scripts(&dir) else {
        say(&format!("*** SKIPPED: no acceptance scripts in {} (SKOPOS_CONFORMANCE_DIR) ***", dir.display()));
        return;
    };
    let mut known = known_failures(mode.list);
    let mut by_design = known_failures(mode.by_design);
    let mut failed: BTreeMap<(String, String), Vec<usize>> = BTreeMap::new();
    let (mut passed, mut unlisted, mut listed) = (0, Vec::new(), Vec::new());
    for (name, text) in &scripts {
        let commands = script::parse(text).unwrap_or_else(|e| panic!("{name}: {e}"));
        for outcome in run::run(&commands, mode.delayed_name_removal) {
            if by_design.remove(&(name.clone(), outcome.line)).is_some() {
                listed.extend(outcome.failure.is_none().then(|| format!("{name}:{} holds", outcome.line)));
                continue;
            }
            let was_known = known.remove(&(name.clone(), outcome.line));
            let Some(failure) = outcome.failure else {
                passed += 1;
                listed.extend(was_known.map(|_| format!("{name}:{} holds", outcome.line)));
                continue;
            };
            if was_known.is_none() {
                unlisted.push(format!("{name}:{} {}: {}", outcome.line, failure.reason, failure.detail));
            }
            failed.entry((name.clone(), failure.reason)).or_default().push(outcome.line);
        }
    }
    listed.extend(
        known
            .into_keys()
            .chain(by_design.into_keys())
            .map(|(name, line)| format!("{name}:{line} is no eval")),
    );
    if std::env::var_os("SKOPOS_UPDATE_KNOWN_FAILURES").is_some() {
        write_known_failures(mode, &failed);
    } else {
        let shown = unlisted.iter().take(MAX_SHOWN).map(String::as_str).collect::<Vec<_>>().join("\n");
        assert!(unlisted.is_empty(), "{} fail that are not listed:\n{shown}", unlisted.len());
        assert!(listed.is_empty(), "listed as known failures and should not be:\n{}", listed.join("\n"));
    }
    let failures: usize = failed.values().map(Vec::len).sum();
    say(&format!(
        "{}: {} scripts, {passed} evals passed, {failures} known failures",
        mode.file,
        scripts.len()
    ));
}

/// Past the harness, which shows what a test prints only when it fails.
fn say(line: &str) {
    writeln!(std::io::stderr(), "\n{line}").expect("a standard error stream");
}

fn write_known_failures(mode: &Mode, failed: &BTreeMap<(String, String), Vec<usize>>) {
    let mut out = HEADER.to_owned();
    for ((script, reason), lines) in failed {
        let lines: Vec<_> = lines.iter().map(ToString::to_string).collect();
        writeln!(out, "{script}, {reason}: {}", lines.join(" ")).expect("writing to a String cannot fail");
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/promqltest").join(mode.file);
    std::fs::write(path, out).expect("a writable list");
}
