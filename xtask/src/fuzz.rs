//! `cargo xtask fuzz`: the fuzz targets of `crates/fuzz` at length: libFuzzer, led by the compiler's
//! coverage. Owns how it is built and run, and where inputs are kept; the targets and their checks are
//! that crate's.
//!
//! Below `target/fuzz/`: `build` (with coverage), `seeds/NAME` (made anew each time), `corpus/NAME` (grows
//! from run to run), `failed/NAME`, `log/NAME`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, Result, bail};

use crate::process::{cargo, command, find, output, run as run_command, target_folder};
use crate::setup;

/// How long each target runs unless the command line says.
const SECONDS: u64 = 60;
/// Coverage as libFuzzer wants it: counters of edges, their places, and what is compared with what. These
/// flags are stable; the code has no `unsafe`, so that an address sanitizer would find nothing.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
                        -Cllvm-args=-sanitizer-coverage-pc-table \
                        -Cllvm-args=-sanitizer-coverage-trace-compares";
/// What libFuzzer is told of every target.
const LIMITS: [&str; 5] =
    ["-max_len=65536", "-timeout=20", "-rss_limit_mb=2048", "-print_final_stats=1", "-use_value_profile=1"];
/// Longer inputs are not kept in the repository.
const KEPT_BYTES: &str = "-max_len=2048";

/// The test that writes what corpora begin with, where it is told to.
const WRITE_SEEDS: [&str; 9] = [
    "test",
    "--quiet",
    "--locked",
    "--package",
    "skopos-fuzz",
    "--test",
    "corpus",
    "--",
    "each_target_has_a_corpus",
];

/// What the command line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Task<'a> {
    /// Run the target, or all, for so many seconds each.
    Run { target: Option<&'a str>, seconds: u64 },
    /// Check one input.
    Replay { target: &'a str, file: &'a str },
    /// Write the inputs that corpora begin with into the repository.
    Seeds,
    /// Take those inputs of earlier runs into the repository that reach code that no other one reaches.
    Keep { target: &'a str },
}

/// Does what the arguments say.
pub(crate) fn run(root: &Path, arguments: &[&str]) -> Result<()> {
    let task = parse(arguments)?;
    if task == Task::Seeds {
        return write_seeds(root);
    }
    let plain = Plain::build(root)?;
    let names = plain.targets()?;
    let check = |name: &str| match names.iter().any(|one| one == name) {
        true => Ok(()),
        false => bail!("there is no target `{name}`; the targets are: {}", names.join(" ")),
    };
    match task {
        Task::Seeds => unreachable!("invariant: nothing is built for it"),
        Task::Replay { target, file } => {
            check(target)?;
            run_command(command(&plain.program, &["replay", target, file], root))
        }
        Task::Keep { target } => {
            check(target)?;
            Coverage::build(root)?.keep(&plain, target)
        }
        Task::Run { target: Some(target), seconds } => {
            check(target)?;
            Coverage::build(root)?.run_all(&plain, &[target.to_owned()], seconds)
        }
        Task::Run { target: None, seconds } => Coverage::build(root)?.run_all(&plain, &names, seconds),
    }
}

fn parse<'a>(arguments: &[&'a str]) -> Result<Task<'a>> {
    let number = |text: &str| text.parse::<u64>().with_context(|| format!("`--seconds {text}` is no number"));
    Ok(match arguments {
        [] => Task::Run { target: None, seconds: SECONDS },
        ["--seconds", seconds] => Task::Run { target: None, seconds: number(seconds)? },
        ["--seeds"] => Task::Seeds,
        [target, "--seconds", seconds] => Task::Run { target: Some(target), seconds: number(seconds)? },
        [target, "--replay", file] => Task::Replay { target, file },
        [target, "--keep"] => Task::Keep { target },
        [target] if !target.starts_with('-') => Task::Run { target: Some(target), seconds: SECONDS },
        other => bail!(
            "`{}`: fuzz takes --seeds, or [TARGET] and --seconds N, --replay FILE or --keep",
            other.join(" ")
        ),
    })
}

/// The program without coverage: it lists, writes seeds, replays and shrinks.
struct Plain<'a> {
    root: &'a Path,
    program: PathBuf,
}

impl<'a> Plain<'a> {
    fn build(root: &'a Path) -> Result<Plain<'a>> {
        let build = ["build", "--profile", "long", "--locked", "--package", "skopos-fuzz", "--bin", "fuzz"];
        run_command(cargo(&build, root))?;
        Ok(Plain { root, program: target_folder(root)?.join("long/fuzz") })
    }

    fn targets(&self) -> Result<Vec<String>> {
        let listed = output(command(&self.program, &["list"], self.root))?;
        Ok(listed.lines().map(str::to_owned).collect())
    }

    fn seeds(&self, target: &str, folder: &Path) -> Result<()> {
        let folder = folder.to_str().context("the target folder's name is not UTF-8")?;
        run_command(command(&self.program, &["seeds", target, folder], self.root))
    }
}

/// The program with coverage.
struct Coverage<'a> {
    root: &'a Path,
    program: PathBuf,
    /// Where everything of fuzzing is kept.
    folder: PathBuf,
}

impl<'a> Coverage<'a> {
    fn build(root: &'a Path) -> Result<Coverage<'a>> {
        if find("c++").is_none() {
            setup::install_compiler()?;
        }
        let folder = target_folder(root)?.join("fuzz");
        let place = folder.join("build");
        let triple = host(root)?;
        // Only with a target named do build scripts and macros stay without coverage.
        let build =
            ["build", "--profile", "long", "--locked", "--package", "skopos-fuzz", "--target", &triple];
        let mut build = cargo(&build, root);
        build.args(["--features", "libfuzzer", "--bin", "fuzz-coverage", "--target-dir"]).arg(&place);
        run_command_with(build, COVERAGE)?;
        Ok(Coverage { root, program: place.join(triple).join("long/fuzz-coverage"), folder })
    }

    fn run_all(&self, plain: &Plain<'_>, targets: &[String], seconds: u64) -> Result<()> {
        println!("{} targets, {seconds} s each", targets.len());
        let next = AtomicUsize::new(0);
        let failed = Mutex::new(Vec::new());
        let worker = || {
            while let Some(target) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
                match self.run(plain, target, seconds) {
                    Ok(line) => println!("{target}: {line}"),
                    Err(error) => {
                        println!("{target}: FAILED");
                        failed.lock().expect("invariant: no worker panics").push(format!("{error:#}"));
                    }
                }
            }
        };
        thread::scope(|scope| {
            let workers = thread::available_parallelism().map_or(1, usize::from);
            (0..workers).for_each(|_| drop(scope.spawn(worker)));
        });
        let failed = failed.into_inner().expect("invariant: no worker panics");
        if failed.is_empty() { Ok(()) } else { bail!("{}", failed.join("\n\n")) }
    }

    /// Runs one target; gives libFuzzer's last line of figures.
    fn run(&self, plain: &Plain<'_>, target: &str, seconds: u64) -> Result<String> {
        let of = |what: &str| self.folder.join(what).join(target);
        let (seeds, corpus, failed) = (of("seeds"), of("corpus"), of("failed"));
        plain.seeds(target, &seeds)?;
        for folder in [&corpus, &failed, &self.folder.join("log")] {
            fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let log = of("log");
        let out = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut fuzzer = command(&self.program, &LIMITS, self.root);
        fuzzer.arg(format!("-max_total_time={seconds}"));
        fuzzer.arg(format!("-artifact_prefix={}/", failed.display()));
        fuzzer.args([&corpus, &seeds]).env("SKOPOS_FUZZ_TARGET", target);
        fuzzer.stdout(out.try_clone()?).stderr(out);
        let status = fuzzer.status().with_context(|| format!("cannot start {}", self.program.display()))?;
        let said = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
        if status.success() {
            return Ok(figures(&said));
        }
        bail!("{target} failed: {}", self.explain(plain, target, &said, &log))
    }

    /// What failed, shrunk, and how to see it again.
    fn explain(&self, plain: &Plain<'_>, target: &str, said: &str, log: &Path) -> String {
        let Some(file) = artifact(said) else { return format!("see {}", log.display()) };
        let mut shrink = command(&plain.program, &["shrink", target, file], self.root);
        shrink.stdout(Stdio::null()).stderr(Stdio::null());
        let small = format!("{file}.small");
        let is_shrunk = shrink.status().is_ok_and(|status| status.success()) && Path::new(&small).is_file();
        let file = if is_shrunk { &small } else { file };
        let reason = said.lines().skip_while(|line| !line.contains("panicked at")).take(4);
        let reason: Vec<&str> = reason.collect();
        format!(
            "{}\nreplay: cargo xtask fuzz {target} --replay {file}\nlog: {}",
            reason.join("\n"),
            log.display()
        )
    }

    fn keep(&self, plain: &Plain<'_>, target: &str) -> Result<()> {
        let kept = self.root.join("crates/fuzz/corpus").join(target);
        let (seeds, corpus) =
            (self.folder.join("seeds").join(target), self.folder.join("corpus").join(target));
        plain.seeds(target, &seeds)?;
        fs::create_dir_all(&kept)?;
        if !corpus.is_dir() {
            bail!("there is no run whose inputs could be kept; run `cargo xtask fuzz {target}` first");
        }
        let before = fs::read_dir(&kept)?.count();
        let mut merge = command(&self.program, &["-merge=1", KEPT_BYTES], self.root);
        merge.args([&kept, &corpus]).env("SKOPOS_FUZZ_TARGET", target);
        output(merge)?;
        println!("{target}: {} inputs before, {} now", before, fs::read_dir(&kept)?.count());
        Ok(())
    }
}

fn write_seeds(root: &Path) -> Result<()> {
    let mut write = cargo(&WRITE_SEEDS, root);
    write.env("SKOPOS_FUZZ_WRITE_CORPUS", "1");
    run_command(write)
}

fn run_command_with(mut build: std::process::Command, flags: &str) -> Result<()> {
    build.env("RUSTFLAGS", flags).env_remove("CARGO_ENCODED_RUSTFLAGS");
    run_command(build)
}

/// The triple of this machine, as rustc calls it.
fn host(root: &Path) -> Result<String> {
    let said = output(command("rustc", &["-vV"], root))?;
    let line = said.lines().find_map(|line| line.strip_prefix("host: "));
    line.map(str::to_owned).context("`rustc -vV` names no host")
}

/// The file that libFuzzer says it wrote.
fn artifact(said: &str) -> Option<&str> {
    let (_, rest) = said.split_once("Test unit written to ")?;
    rest.lines().next()
}

/// The last line of figures, without its address.
fn figures(said: &str) -> String {
    let is_figures = |line: &&str| line.starts_with('#') && line.contains(" cov: ");
    let line = said.lines().rfind(is_figures).unwrap_or("no figures");
    line.trim_start_matches('#').split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read() {
        let cases: [(&[&str], Task<'_>); 6] = [
            (&["--seeds"], Task::Seeds),
            (&[], Task::Run { target: None, seconds: SECONDS }),
            (&["--seconds", "5"], Task::Run { target: None, seconds: 5 }),
            (&["xor", "--seconds", "5"], Task::Run { target: Some("xor"), seconds: 5 }),
            (&["xor", "--replay", "f"], Task::Replay { target: "xor", file: "f" }),
            (&["xor", "--keep"], Task::Keep { target: "xor" }),
        ];
        for (arguments, expected) in cases {
            assert_eq!(parse(arguments).unwrap(), expected);
        }
        for bad in [&["--keep"][..], &["xor", "--seconds", "x"], &["a", "b"]] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn libfuzzer_s_words_are_understood() {
        let said = "#2\tINITED cov: 3 ft: 4\n#512\tpulse  cov: 9 ft: 9\n\
                    #900\tDONE   cov: 12 ft: 30 exec/s: 90\nDone 900 runs\n";
        assert_eq!(figures(said), "900 DONE cov: 12 ft: 30 exec/s: 90");
        let said =
            "thread panicked at x\nartifact_prefix='/f/'; Test unit written to /f/crash-12\nBase64: AA\n";
        assert_eq!(artifact(said), Some("/f/crash-12"));
        assert_eq!(artifact("all is well"), None);
    }
}
