//! `cargo xtask`: every script of the project, in the one script language that it has.
//! Never part of the product.
//!
//! # Modules
//! - `repo`: where the root is, which files belong to the repository
//! - `finding`: one breach of a rule, as it is printed
//! - `layers`: `layers.toml` in types
//! - `tidy`: the rules of the style that a program can check, each in a file of its own
//!
//! # Way of `tidy`
//! `repo::text_files` → `tidy::Tree` (each Rust file parsed once into `tidy::facts`) → each rule → findings,
//! sorted and printed as `path:line: what is wrong; what to do`.
//!
//! # When you change something
//! - a rule of tidy: CONTRIBUTING.md lists them
//! - a crate is added: give it its place in `layers.toml`
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program of the command line talks on it")]

mod finding;
mod layers;
mod repo;
mod tidy;

use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "\
usage: cargo xtask COMMAND

  tidy    check the rules of the style that a program can check
  help    this text
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<()> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let root = repo::root();
    match arguments.as_slice() {
        ["tidy"] => tidy::run(&root),
        ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(())
        }
        other => bail!("`{}` is no command\n{USAGE}", other.join(" ")),
    }
}
