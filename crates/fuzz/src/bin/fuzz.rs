//! The fuzz targets from the command line, without coverage: lists them, writes their seeds, replays and
//! shrinks an input, and mutates for a while. Never part of the product; `cargo xtask fuzz` starts it.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program of the command line talks on it")]

use skopos_fuzz::{TARGETS, Target, inputs};
use std::path::Path;
use std::process::ExitCode;
use std::{fs, io};

const USAGE: &str = "\
usage: fuzz COMMAND

  list                 the names of all targets
  seeds NAME FOLDER    write the seeds and the corpus of a target into a folder
  replay NAME FILE     check one input
  shrink NAME FILE     write a smaller input that fails too beside a failing one
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[&str]) -> io::Result<()> {
    match arguments {
        ["list"] => {
            TARGETS.iter().for_each(|target| println!("{}", target.name));
            Ok(())
        }
        ["seeds", name, folder] => seeds(target(name)?, Path::new(folder)),
        ["replay", name, file] => {
            let taken = if target(name)?.run(&fs::read(file)?) { "taken as sound" } else { "refused" };
            println!("{name} passes on {file}, which is {taken}");
            Ok(())
        }
        ["shrink", name, file] => shrink(target(name)?, file),
        _ => Err(io::Error::other(USAGE)),
    }
}

fn target(name: &str) -> io::Result<&'static Target> {
    skopos_fuzz::target(name).ok_or_else(|| io::Error::other(format!("there is no target `{name}`")))
}

fn seeds(target: &Target, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for (i, seed) in (target.seeds)().iter().enumerate() {
        fs::write(folder.join(format!("seed-{i:02}")), seed)?;
    }
    for (path, bytes) in inputs::read_folder(&inputs::corpus_folder(target))? {
        fs::write(folder.join(path.file_name().unwrap_or_default()), bytes)?;
    }
    Ok(())
}

fn shrink(target: &Target, file: &str) -> io::Result<()> {
    let input = fs::read(file)?;
    std::panic::set_hook(Box::new(|_| {}));
    if inputs::passes(target, &input) {
        return Err(io::Error::other(format!(
            "{} passes on {file}: there is nothing to shrink",
            target.name
        )));
    }
    let small = inputs::shrink(&input, |bytes| !inputs::passes(target, bytes));
    let path = format!("{file}.small");
    fs::write(&path, &small)?;
    println!("{path}: {} of {} bytes", small.len(), input.len());
    Ok(())
}
