//! Starting other programs: with their whole command line in every error, and without input.
//! Never hides what they print.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// Variables that cargo sets for this program alone; a nested cargo that saw them would build again for
/// nothing.
const OWN_VARIABLES: [&str; 3] = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"];

/// A command to run in `folder`, with nothing on its standard input.
pub(crate) fn command(program: impl AsRef<Path>, arguments: &[&str], folder: &Path) -> Command {
    let mut command = Command::new(program.as_ref());
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if OWN_VARIABLES.iter().any(|prefix| name.starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    command
}

/// Runs `command` and fails unless it succeeds.
pub(crate) fn run(mut command: Command) -> Result<()> {
    let line = shown(&command);
    let status = command.status().with_context(|| format!("cannot start `{line}`"))?;
    if !status.success() {
        bail!("`{line}` failed ({status})");
    }
    Ok(())
}

/// The path of our program: of one that was built before, wherever a measured process runs, or of one that is
/// built now.
pub(crate) fn our_program(root: &Path, built: Option<&str>) -> Result<PathBuf> {
    match built {
        Some(path) => fs::canonicalize(path).with_context(|| format!("there is no program {path}")),
        None => {
            run(cargo(&["build", "--release", "--locked", "--package", "skopos"], root))?;
            Ok(target_folder(root)?.join("release/skopos"))
        }
    }
}

/// Runs `command` and gives what it printed; fails unless it succeeds.
pub(crate) fn output(mut command: Command) -> Result<String> {
    let line = shown(&command);
    let output = command.output().with_context(|| format!("cannot start `{line}`"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{line}` failed ({}): {}", output.status, said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs `command` without showing what it prints, and tells whether it succeeded.
pub(crate) fn succeeds(mut command: Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Where the program `name` stands: in one of `$PATH`'s folders, or where Debian puts programs for root.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain([PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")]);
    folders.map(|folder| folder.join(name)).find(|candidate| candidate.is_file())
}

/// The cargo that runs this program.
pub(crate) fn cargo(arguments: &[&str], folder: &Path) -> Command {
    command(env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from), arguments, folder)
}

/// Where cargo puts what it builds.
pub(crate) fn target_folder(root: &Path) -> Result<PathBuf> {
    Ok(metadata(root)?.target_directory)
}

/// What `cargo metadata` tells of the workspace.
pub(crate) fn metadata(root: &Path) -> Result<Metadata> {
    let text = output(cargo(&["metadata", "--no-deps", "--format-version", "1", "--locked"], root))?;
    serde_json::from_str(&text).context("cannot read what `cargo metadata` says")
}

/// The workspace as cargo sees it, as far as it matters here.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    pub(crate) target_directory: PathBuf,
}

/// A package of the workspace.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) targets: Vec<Target>,
}

/// A library, program, test or bench of a package.
#[derive(Debug, Deserialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) kind: Vec<String>,
}

/// The command as one would type it.
fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        command("sh", &["-c", script], Path::new("/"))
    }

    #[test]
    fn a_failure_shows_the_command_and_what_it_said() {
        let error = output(shell("echo no such luck >&2; exit 3")).unwrap_err().to_string();
        assert!(error.contains("sh -c echo no such luck") && error.contains("exit status: 3"), "{error}");
        assert!(error.ends_with("no such luck"), "{error}");
    }

    #[test]
    fn a_program_that_is_missing_is_named() {
        let error = run(command("no-such-program", &["--flag"], Path::new("/"))).unwrap_err().to_string();
        assert_eq!(error, "cannot start `no-such-program --flag`");
        assert_eq!(find("no-such-program"), None);
        assert!(find("sh").is_some());
    }

    #[test]
    fn nothing_comes_in_and_cargo_s_own_variables_are_gone() {
        let text = output(shell("cat; env | grep -c ^CARGO_PKG_ || true")).unwrap();
        assert_eq!(text.trim(), "0");
    }
}
