//! `cargo xtask`: every script of the project, in the one script language that it has.
//! Never part of the product.
//!
//! # Modules
//! - `repo`: where the root is, which files belong to the repository
//! - `process`, `steps`: starting other programs; a run of named steps
//! - `finding`, `layers`, `tidy`: the rules of the style that a program can check, each in a file of its own
//! - `setup`: what a fresh machine lacks
//! - `ui`, `browser`: the web interface, checked and built; its page tests in a real browser
//! - `test`: every check and test in one run
//! - `fuzz`, `sim`: the fuzz targets and the crash enumerations at length
//! - `fixtures`: data directories written by a real Prometheus, for the tests of `tsdb`
//! - `bench`: every bench in one table, beside the goals of `benches.toml`
//! - `peers`: `bench peers`: the same load for other systems and for this one
//! - `queries`: `bench peers queries`: the same questions for other systems and for this one
//!
//! # Way of `tidy`
//! `repo::text_files` → `tidy::Tree` (each Rust file parsed once into `tidy::facts`) → each rule → findings,
//! sorted and printed as `path:line: what is wrong; what to do`.
//!
//! # Way of `test`
//! `setup` → `tidy` → format → licences → the web interface (the server embeds it) → clippy → tests →
//! the page tests → summary.
//!
//! # When you change something
//! - a rule of tidy, or a command here: CONTRIBUTING.md lists them
//! - a crate is added: give it its place in `layers.toml`
//! - a test needs another program: add its package to `setup::debian::PEERS`
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program of the command line talks on it")]

mod agent_alone;
mod bench;
mod browser;
mod finding;
mod fixtures;
mod fuzz;
mod layers;
mod peers;
mod process;
mod queries;
mod repo;
mod setup;
mod sim;
mod steps;
mod test;
mod tidy;
mod ui;

use std::process::ExitCode;

use anyhow::{Result, bail};

use setup::Purpose;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  setup [--for run|test]   install what is missing for building (run) or for all tests (test, default)
  tidy                     check the rules of the style that a program can check
  ui                       build the web interface into ui/dist if its sources changed
  test                     set up, then run every check and every test
  bench [NAME] [-- ARGS]   run the benches (those whose package or name contains NAME) and show their figures
  bench peers [--quick] [--targets N] [--series N] [--interval S] [--warm-up S] [--seconds S] [--only SYSTEM]
              [--churn PERCENT] [--ladder MORE] [--program PATH]
                           scrape the same load with Prometheus, VictoriaMetrics and skopos, and compare;
                           PERCENT of the series are new every minute; with MORE targets again and again,
                           until scrapes are missed
  bench peers push [--seconds S] [--only SYSTEM] [--program PATH]
                           push 50,000 series by remote write over 4 connections to the three, and compare
  bench peers queries [--quick] [--only SYSTEM] [--name PART] [--repeat N] [--program PATH]
              [--prometheus PATH]
                           ask Prometheus, VictoriaMetrics and skopos the same about the same samples
  bench peers agent [--quick] [--scrapes N] [--rounds N] [--program PATH] [--alone PATH]
                           read this machine, and a large one of files, with node_exporter, `skopos agent` and
                           the program that has the agent alone
  fuzz [TARGET] [--seconds N]
                           run the fuzz targets (or one) at length, led by coverage, for N seconds each (60)
  fuzz TARGET --replay FILE
                           check one input
  fuzz --seeds             write the inputs that the corpora begin with
  fuzz TARGET --keep       take inputs of earlier runs that reach new code into the repository
  sim [--states N] [--seed S]
                           run the crash enumerations of the tests until N states (500,000) were checked
  fixtures --prometheus PATH [--reader PATH]
                           make the data directories anew that tests hold of this version of Prometheus;
                           --reader names a version 3 that is asked what is in them (needed for 2.42)
  help                     this text
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[&str]) -> Result<()> {
    let root = repo::root();
    match arguments {
        ["help" | "-h"] | [.., "--help"] => {
            print!("{USAGE}");
            Ok(())
        }
        ["setup"] => setup::run(&root, Purpose::Test),
        ["setup", "--for", purpose] => setup::run(&root, Purpose::parse(purpose)?),
        ["tidy"] => tidy::run(&root),
        ["ui"] => ui::run(&root),
        ["test"] => test::run_all(&root),
        ["bench", "peers", "queries", rest @ ..] => queries::run_all(&root, rest),
        ["bench", "peers", "agent", rest @ ..] => peers::agent::run_all(&root, rest),
        ["bench", "peers", "push", rest @ ..] => peers::push::run_all(&root, rest),
        ["bench", "peers", rest @ ..] => peers::run_all(&root, rest),
        ["bench"] => bench::run_all(&root, None, &[]),
        ["bench", "--", rest @ ..] => bench::run_all(&root, None, rest),
        ["bench", name] => bench::run_all(&root, Some(name), &[]),
        ["bench", name, "--", rest @ ..] => bench::run_all(&root, Some(name), rest),
        ["fuzz", rest @ ..] => fuzz::run(&root, rest),
        ["sim", rest @ ..] => sim::run(&root, rest),
        ["fixtures", "--prometheus", program] => fixtures::run(&root, program, program),
        ["fixtures", "--prometheus", program, "--reader", reader] => fixtures::run(&root, program, reader),
        other => bail!("`{}` is no command\n{USAGE}", other.join(" ")),
    }
}
