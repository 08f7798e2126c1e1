//! `cargo xtask sim`: the crash enumerations and the schedules of threads of the tests at length, in as many
//! processes as there are cores and with another seed each time. Owns the loop and the sums; what a crash or
//! a schedule is, and what is checked, is the tests'.
//!
//! A test takes part when it stands in a module `crash` or `schedules` of one of `SUITES`, or in one whose
//! name begins so, and goes by `skopos_base`'s `sim::effort`: `CrashTest`, `every_call` and
//! `schedules::check` do so by themselves. A test here sees to it that those of the storage engine stand in
//! such modules.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::process::{cargo, command, output};

/// Tests of one kind of a package.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Suite {
    package: &'static str,
    /// What cargo is told so that they are built.
    features: &'static [&'static str],
    /// The module in which they stand, or the beginning of its name.
    module: &'static str,
    /// What a line begins with that says how much was checked.
    report: &'static str,
}

/// The states after a crash, and the orders of threads.
const CRASHES: Suite =
    Suite { package: "skopos-tsdb", features: &[], module: "crash", report: "crash states: " };
const SCHEDULES: Suite = Suite {
    package: "skopos-tsdb",
    features: &["--features", "shuttle"],
    module: "schedules",
    report: "schedules: ",
};
const SUITES: [&Suite; 2] = [&CRASHES, &SCHEDULES];
/// What a run checks unless it is told.
const STATES: usize = 500_000;
/// How many times more states than in every run are checked at each point. Much more would mostly show states
/// that differ little; another seed shows other ones.
const EFFORT: &str = "4";
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
    suite: &'static Suite,
    /// The name of the test program's target.
    target: String,
    program: PathBuf,
    name: String,
}

/// Runs the tests until so many states after a crash were checked.
pub(crate) fn run(root: &Path, arguments: &[&str]) -> Result<()> {
    let options = parse(arguments)?;
    let mut tests = Vec::new();
    for suite in SUITES {
        let of_suite = tests_of(root, suite)?;
        if of_suite.is_empty() {
            bail!("no test stands in a module `{}` of {}", suite.module, suite.package);
        }
        tests.extend(of_suite);
    }
    println!("{} tests, seeds from {} on", tests.len(), options.seed);
    let started = Instant::now();
    let (checked, job, stop) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    let schedules = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    let worker = || {
        while !stop.load(Ordering::Relaxed) && checked.load(Ordering::Relaxed) < options.states {
            let job = job.fetch_add(1, Ordering::Relaxed);
            let (test, seed) = (&tests[job % tests.len()], options.seed + (job / tests.len()) as u64);
            match run_test(root, test, seed) {
                Ok(n) => {
                    let sum = if test.suite == &CRASHES { &checked } else { &schedules };
                    sum.fetch_add(n, Ordering::Relaxed);
                    let all = checked.load(Ordering::Relaxed);
                    println!("{all:>9} states; {} with seed {seed}: {}{n}", test.name, test.suite.report);
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
    let (states, schedules) = (checked.into_inner(), schedules.into_inner());
    match failures.into_iter().next() {
        Some(error) => Err(error.context(format!("after {states} states"))),
        None => {
            let seconds = started.elapsed().as_secs_f64();
            println!("{states} states and {schedules} schedules checked in {seconds:.0} s, all survived");
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

/// Builds the test programs of a suite's package and lists its tests.
fn tests_of(root: &Path, suite: &'static Suite) -> Result<Vec<Test>> {
    let build = ["test", "--profile", "long", "--locked", "--package", suite.package, "--tests", "--no-run"];
    let mut build = cargo(&build, root);
    build.args(suite.features).args(["--message-format", "json-render-diagnostics"]);
    build.stderr(std::process::Stdio::inherit());
    let mut tests = Vec::new();
    for (target, program) in programs(&output(build)?) {
        let listed = output(command(&program, &["--list", "--format", "terse"], root))?;
        let names = listed.lines().filter_map(|line| line.strip_suffix(": test"));
        let names = names.filter(|name| is_in(name, suite.module));
        let test = |name: &str| Test {
            suite,
            target: target.clone(),
            program: program.clone(),
            name: name.to_owned(),
        };
        tests.extend(names.map(test));
    }
    Ok(tests)
}

/// Whether a test stands in a module of that name, or in one whose name begins with it and an underscore.
fn is_in(name: &str, wanted: &str) -> bool {
    let modules = name.rsplit_once("::").map_or("", |(modules, _)| modules);
    let is_wanted = |rest: &str| rest.is_empty() || rest.starts_with('_');
    modules.split("::").any(|module| module.strip_prefix(wanted).is_some_and(is_wanted))
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

/// Runs one test; gives how many states or schedules it checked.
fn run_test(root: &Path, test: &Test, seed: u64) -> Result<usize> {
    let mut one = command(&test.program, &[&test.name, "--exact", "--nocapture"], root);
    one.env("SKOPOS_SIM_SEED", seed.to_string()).env("SKOPOS_SIM_EFFORT", EFFORT);
    // The end of what it says is shown, and a backtrace would be all of it.
    one.env("RUST_BACKTRACE", "0");
    let done = one.output().with_context(|| format!("cannot start {}", test.program.display()))?;
    let said = String::from_utf8_lossy(&done.stdout);
    if done.status.success() {
        return Ok(sum_in(&said, test.suite));
    }
    let all = format!("{said}{}", String::from_utf8_lossy(&done.stderr));
    let lines: Vec<&str> = all.lines().collect();
    let end = lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n");
    bail!("{} failed with seed {seed}:\n{end}\n\nreplay: {}", test.name, replay(test, seed))
}

fn replay(test: &Test, seed: u64) -> String {
    let kind = if test.target == test.suite.package.replace('-', "_") {
        "--lib".to_owned()
    } else {
        format!("--test {}", test.target)
    };
    let features: String = test.suite.features.iter().map(|one| format!("{one} ")).collect();
    format!(
        "SKOPOS_SIM_SEED={seed} SKOPOS_SIM_EFFORT={EFFORT} cargo test --profile long --package {} {features}\
         {kind} {} -- --exact --nocapture",
        test.suite.package, test.name
    )
}

/// How many states after a crash tests say that they checked.
pub(crate) fn states_in(text: &str) -> usize {
    sum_in(text, &CRASHES)
}

/// The sum of what the lines of a test's output say.
fn sum_in(text: &str, suite: &Suite) -> usize {
    let numbers = text.split(suite.report).skip(1).filter_map(|rest| {
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
        assert_eq!(sum_in("crash states: 12\nschedules: 7\n", &SCHEDULES), 7);
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
    fn tests_are_told_by_their_module() {
        for (name, expected) in [
            ("crash::a_batch_survives", true),
            ("block::crash::a_cut_survives", true),
            ("crash_compaction::a_block_survives", true),
            ("head::a_crash_is_survived", false),
            ("crash", false),
        ] {
            assert_eq!(is_in(name, "crash"), expected, "{name}");
        }
    }

    /// Which files simulate crashes or failing calls outside of a module that takes part.
    fn left_out(files: &std::collections::BTreeMap<String, String>) -> Vec<&str> {
        let simulates = |text: &str| text.contains("CrashTest::new(") || text.contains("every_call(");
        let takes_part = |path: &str, text: &str| {
            let name = path.rsplit('/').next().unwrap_or(path);
            name.starts_with("crash") || text.contains("mod crash {")
        };
        let own = files.iter().filter(|(path, _)| path.starts_with("crates/tsdb/") && path.ends_with(".rs"));
        own.filter(|(path, text)| simulates(text) && !takes_part(path, text))
            .map(|(path, _)| path.as_str())
            .collect()
    }

    #[test]
    fn all_simulated_crashes_of_the_storage_engine_take_part() {
        let files = crate::repo::text_files(&crate::repo::root()).unwrap();
        assert_eq!(left_out(&files), Vec::<&str>::new(), "move their tests into a module `crash`");
        let with = |path: &str, text: &str| [(path.to_owned(), text.to_owned())].into();
        assert_eq!(left_out(&with("crates/tsdb/tests/a.rs", "CrashTest::new(")), ["crates/tsdb/tests/a.rs"]);
        assert!(left_out(&with("crates/tsdb/tests/crash_a.rs", "CrashTest::new(")).is_empty());
        assert!(left_out(&with("crates/tsdb/tests/a.rs", "mod crash {\n    every_call(")).is_empty());
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
            suite: &CRASHES,
            target: target.to_owned(),
            program: PathBuf::new(),
            name: "crash::x".to_owned(),
        };
        let expected = "SKOPOS_SIM_SEED=7 SKOPOS_SIM_EFFORT=4 cargo test --profile long \
                        --package skopos-tsdb --test tsdb crash::x -- --exact --nocapture";
        assert_eq!(replay(&test("tsdb"), 7), expected);
        assert!(replay(&test("skopos_tsdb"), 7).contains(" --lib "));
        let of_threads = Test { suite: &SCHEDULES, ..test("tsdb") };
        assert!(replay(&of_threads, 7).contains(" --features shuttle --test tsdb "));
    }
}
