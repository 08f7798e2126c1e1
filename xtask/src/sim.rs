//! `cargo xtask sim`: the crash enumerations of the tests at length, in as many processes as there are
//! cores and with another seed each time. Owns the loop and the sum; what a crash is, and what is checked,
//! is the tests'.
//!
//! A test takes part when it stands in a module `crash` of one of `PACKAGES` and goes by `skopos_base`'s
//! `sim::effort`: `CrashTest` does so by itself.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::process::{cargo, command, output};

/// Packages with crash tests.
const PACKAGES: [&str; 1] = ["skopos-tsdb"];
/// What a run checks unless it is told.
const STATES: usize = 500_000;
/// How many times more states than in every run are checked at each point. Much more would mostly show states
/// that differ little; another seed shows other ones.
const EFFORT: &str = "4";
/// What a line begins with that says how many states were checked; `sim::effort::report` writes it.
const REPORT: &str = "crash states: ";
/// How much of a failed test's output is shown.
const SHOWN_LINES: usize = 60;

/// How many states, and from which seed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Options {
    states: usize,
    seed: u64,
}

/// A test of a built test program.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Test {
    package: String,
    /// The name of the test program's target.
    target: String,
    program: PathBuf,
    name: String,
}

/// Runs the crash tests until so many states were checked.
pub(crate) fn run(root: &Path, arguments: &[&str]) -> Result<()> {
    let options = parse(arguments)?;
    let mut tests = Vec::new();
    for package in PACKAGES {
        tests.extend(crash_tests(root, package)?);
    }
    if tests.is_empty() {
        bail!("no test stands in a module `crash` of {}", PACKAGES.join(", "));
    }
    println!("{} crash tests, seeds from {} on", tests.len(), options.seed);
    let started = Instant::now();
    let (checked, job, stop) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    let failures = Mutex::new(Vec::new());
    let worker = || {
        while !stop.load(Ordering::Relaxed) && checked.load(Ordering::Relaxed) < options.states {
            let job = job.fetch_add(1, Ordering::Relaxed);
            let (test, seed) = (&tests[job % tests.len()], options.seed + (job / tests.len()) as u64);
            match run_test(root, test, seed) {
                Ok(states) => {
                    let all = checked.fetch_add(states, Ordering::Relaxed) + states;
                    let rate = all as f64 / started.elapsed().as_secs_f64();
                    println!("{all:>9} states, {rate:.0}/s: {} with seed {seed}: {states}", test.name);
                }
                Err(error) => {
                    stop.store(true, Ordering::Relaxed);
                    failures.lock().expect("invariant: no worker panics").push(error);
                }
            }
        }
    };
    thread::scope(|scope| {
        let workers = thread::available_parallelism().map_or(1, usize::from);
        (0..workers).for_each(|_| drop(scope.spawn(worker)));
    });
    let failures = failures.into_inner().expect("invariant: no worker panics");
    let states = checked.into_inner();
    match failures.into_iter().next() {
        Some(error) => Err(error.context(format!("after {states} states"))),
        None => {
            println!("{states} states checked in {:.0} s, all survived", started.elapsed().as_secs_f64());
            Ok(())
        }
    }
}

fn parse(mut arguments: &[&str]) -> Result<Options> {
    let mut options = Options { states: STATES, seed: 1 };
    while let [name, value, rest @ ..] = arguments {
        let number = value.parse::<u64>().with_context(|| format!("`{name} {value}` is no number"))?;
        match *name {
            "--states" => options.states = usize::try_from(number).context("that many states")?,
            "--seed" => options.seed = number,
            other => bail!("`{other}` is unknown; sim takes --states N and --seed S"),
        }
        arguments = rest;
    }
    match arguments {
        [] => Ok(options),
        [name, ..] => bail!("`{name}` has no value; sim takes --states N and --seed S"),
    }
}

/// Builds the test programs of `package` and lists their crash tests.
fn crash_tests(root: &Path, package: &str) -> Result<Vec<Test>> {
    let build = ["test", "--profile", "long", "--locked", "--package", package, "--tests", "--no-run"];
    let mut build = cargo(&build, root);
    build.args(["--message-format", "json-render-diagnostics"]);
    build.stderr(std::process::Stdio::inherit());
    let mut tests = Vec::new();
    for (target, program) in programs(&output(build)?) {
        let listed = output(command(&program, &["--list", "--format", "terse"], root))?;
        let names =
            listed.lines().filter_map(|line| line.strip_suffix(": test")).filter(|name| is_crash(name));
        let test = |name: &str| Test {
            package: package.to_owned(),
            target: target.clone(),
            program: program.clone(),
            name: name.to_owned(),
        };
        tests.extend(names.map(test));
    }
    Ok(tests)
}

fn is_crash(name: &str) -> bool {
    let modules = name.rsplit_once("::").map_or("", |(modules, _)| modules);
    modules.split("::").any(|module| module == "crash" || module.starts_with("crash_"))
}

/// The test programs that cargo says it built: the target's name and the program.
fn programs(messages: &str) -> Vec<(String, PathBuf)> {
    #[derive(Deserialize)]
    struct Message {
        target: Option<Target>,
        executable: Option<PathBuf>,
    }
    #[derive(Deserialize)]
    struct Target {
        name: String,
        test: bool,
    }
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Message>(line).ok());
    let programs = messages.filter_map(|message| Some((message.target?, message.executable?)));
    programs.filter(|(target, _)| target.test).map(|(target, program)| (target.name, program)).collect()
}

/// Runs one test; gives how many states it checked.
fn run_test(root: &Path, test: &Test, seed: u64) -> Result<usize> {
    let mut one = command(&test.program, &[&test.name, "--exact", "--nocapture"], root);
    one.env("SKOPOS_SIM_SEED", seed.to_string()).env("SKOPOS_SIM_EFFORT", EFFORT);
    let done = one.output().with_context(|| format!("cannot start {}", test.program.display()))?;
    let said = String::from_utf8_lossy(&done.stdout);
    if done.status.success() {
        return Ok(states_in(&said));
    }
    let all = format!("{said}{}", String::from_utf8_lossy(&done.stderr));
    let lines: Vec<&str> = all.lines().collect();
    let end = lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n");
    bail!("{} failed with seed {seed}:\n{end}\n\nreplay: {}", test.name, replay(test, seed))
}

fn replay(test: &Test, seed: u64) -> String {
    let kind = if test.target == test.package.replace('-', "_") {
        "--lib".to_owned()
    } else {
        format!("--test {}", test.target)
    };
    format!(
        "SKOPOS_SIM_SEED={seed} SKOPOS_SIM_EFFORT={EFFORT} cargo test --profile long --package {} {kind} \
         {} -- --exact --nocapture",
        test.package, test.name
    )
}

/// The sum of what the lines of a test's output say.
pub(crate) fn states_in(text: &str) -> usize {
    let numbers = text.split(REPORT).skip(1).filter_map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest[..end].parse::<usize>().ok()
    });
    numbers.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_summed_wherever_they_stand() {
        assert_eq!(states_in("running\ncrash states: 12\nx crash states: 30</out>\ncrash states: none"), 42);
        assert_eq!(states_in(""), 0);
    }

    #[test]
    fn arguments_are_read() {
        assert_eq!(parse(&[]).unwrap(), Options { states: STATES, seed: 1 });
        assert_eq!(parse(&["--seed", "9", "--states", "10"]).unwrap(), Options { states: 10, seed: 9 });
        for bad in [&["--seed"][..], &["--seed", "x"], &["--sead", "1"]] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn crash_tests_are_told_by_their_module() {
        for (name, expected) in [
            ("crash::a_batch_survives", true),
            ("block::crash::a_cut_survives", true),
            ("crash_compaction::a_block_survives", true),
            ("head::a_crash_is_survived", false),
            ("crash", false),
        ] {
            assert_eq!(is_crash(name), expected, "{name}");
        }
    }

    #[test]
    fn test_programs_are_found_among_cargo_s_messages() {
        let messages = r#"{"reason":"artifact","target":{"name":"a","test":true},"executable":"/t/a-1"}
{"reason":"artifact","target":{"name":"b","test":true},"executable":null}
{"reason":"build-finished","success":true}"#;
        assert_eq!(programs(messages), [("a".to_owned(), PathBuf::from("/t/a-1"))]);
    }

    #[test]
    fn a_failure_can_be_replayed() {
        let test = |target: &str| Test {
            package: "skopos-tsdb".to_owned(),
            target: target.to_owned(),
            program: PathBuf::new(),
            name: "crash::x".to_owned(),
        };
        let expected = "SKOPOS_SIM_SEED=7 SKOPOS_SIM_EFFORT=4 cargo test --profile long \
                        --package skopos-tsdb --test tsdb crash::x -- --exact --nocapture";
        assert_eq!(replay(&test("tsdb"), 7), expected);
        assert!(replay(&test("skopos_tsdb"), 7).contains(" --lib "));
    }
}
