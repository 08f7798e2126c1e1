//! Runs Prometheus' acceptance scripts of PromQL against the engine. The scripts are not part of this
//! repository: `SKOPOS_CONFORMANCE_DIR` says where they are, else `../shared/conformance/promqltest`
//! beside the repository is looked into.
//!
//! The scripts run in two modes: with names removed late, which is what they are written for, and as the
//! server evaluates unless it is told otherwise. Every eval must hold in the first. In the second, those of
//! `late_names.txt` must fail and all others hold.

#![expect(clippy::disallowed_methods, reason = "the scripts are files of the system")]

mod compare;
mod histograms;
#[path = "../support/memory.rs"]
mod memory;
mod points;
mod run;
mod script;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
    path::{Path, PathBuf},
};

/// How names are treated, and what cannot hold then: a property of the mode and no failure.
struct Mode {
    name: &'static str,
    delayed_name_removal: bool,
    /// By how many threads.
    shards: usize,
    by_design: &'static str,
}

/// Details of failures are shown up to this many.
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

/// Scripts and lines, of a list of `script, reason: lines`.
fn listed(list: &str) -> BTreeSet<(String, usize)> {
    let mut all = BTreeSet::new();
    for line in list.lines().filter(|l| !l.is_empty() && !l.starts_with('#')) {
        let (head, lines) = line.rsplit_once(": ").expect("`script, reason: lines`");
        let (script, _) = head.split_once(", ").expect("`script, reason: lines`");
        for n in lines.split(' ') {
            assert!(
                all.insert((script.to_owned(), n.parse().expect("a line"))),
                "{script}:{n} is listed twice"
            );
        }
    }
    all
}

#[test]
fn the_scripts_hold() {
    check(&Mode { name: "names removed late", delayed_name_removal: true, shards: 1, by_design: "" });
}

#[test]
fn the_scripts_hold_with_any_number_of_shards() {
    for shards in [2, 7] {
        let name = if shards == 2 { "two shards" } else { "seven shards" };
        check(&Mode { name, delayed_name_removal: true, shards, by_design: "" });
    }
}

#[test]
fn the_scripts_hold_as_the_server_evaluates_them() {
    let by_design = include_str!("late_names.txt");
    check(&Mode { name: "as served", delayed_name_removal: false, shards: 1, by_design });
}

#[test]
fn our_own_script_holds() {
    let commands = script::parse(include_str!("own.test")).expect("a script");
    let outcomes = run::run(&commands, false, 1);
    let failed = outcomes.iter().filter_map(|o| o.failure.as_ref().map(|f| (o.line, f)));
    let failed: Vec<_> = failed.map(|(line, f)| format!("{line} {}: {}", f.reason, f.detail)).collect();
    assert!(failed.is_empty(), "{} do not hold:\n{}", failed.len(), failed.join("\n"));
    assert!(outcomes.len() > 40);
}

fn check(mode: &Mode) {
    let dir = scripts_dir();
    let Some(scripts) = scripts(&dir) else {
        say(&format!("*** SKIPPED: no acceptance scripts in {} (SKOPOS_CONFORMANCE_DIR) ***", dir.display()));
        return;
    };
    let mut by_design = listed(mode.by_design);
    let (mut passed, mut wrong) = (0, Vec::new());
    for (name, text) in &scripts {
        let commands = script::parse(text).unwrap_or_else(|e| panic!("{name}: {e}"));
        for outcome in run::run(&commands, mode.delayed_name_removal, mode.shards) {
            let must_fail = by_design.remove(&(name.clone(), outcome.line));
            let place = format!("{name}:{}", outcome.line);
            match outcome.failure {
                None if must_fail => wrong.push(format!("{place} holds, and is listed as one that cannot")),
                Some(failure) if !must_fail => {
                    wrong.push(format!("{place} {}: {}", failure.reason, failure.detail));
                }
                None => passed += 1,
                Some(_) => {}
            }
        }
    }
    wrong.extend(by_design.into_iter().map(|(name, line)| format!("{name}:{line} is no eval")));
    let shown = wrong.iter().take(MAX_SHOWN).map(String::as_str).collect::<Vec<_>>().join("\n");
    assert!(wrong.is_empty(), "{} do not hold:\n{shown}", wrong.len());
    assert!(passed > 0, "the scripts have no eval");
    say(&format!("{}: {} scripts, {passed} evals passed", mode.name, scripts.len()));
}

/// Past the harness, which shows what a test prints only when it fails.
fn say(line: &str) {
    writeln!(std::io::stderr(), "\n{line}").expect("a standard error stream");
}
