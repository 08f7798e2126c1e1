//! A Prometheus 3 for the tests that ask one, taken from Debian's testing release and unpacked into
//! `.peers/`: nothing of it is installed. It may be out of reach; then this says so, and the tests do
//! without it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use skopos_testkit::peers::PROMETHEUS_3;

use crate::process::{command, output, run, succeeds};

/// The release that has it. Its index says where the package of the day stands, and its checksum.
const ARCHIVE: &str = "https://deb.debian.org/debian";
const RELEASE: &str = "forky";
const PACKAGES: [&str; 2] = ["prometheus", "promtool"];

/// Part of apt itself: it fetches as apt does, checks sums, and reads every compression.
const APT_HELPER: &str = "/usr/lib/apt/apt-helper";

/// Gets it unless it is there. Never fails: the tests that want it say that they ran without.
pub(super) fn try_to_ensure(root: &Path) {
    let program = root.join(PROMETHEUS_3);
    if is_good(&program) {
        return;
    }
    if let Err(error) = fetch(root, &program) {
        println!("setup: WARNING: there is NO Prometheus 3 for the tests: {error:#}");
        println!(
            "setup: they go on without it, and less is tested; put one at {PROMETHEUS_3} to change that"
        );
    }
}

fn is_good(program: &Path) -> bool {
    program.is_file()
        && output(command(program, &["--version"], Path::new("/"))).is_ok_and(|text| is_3(&text))
}

/// Whether a program that says this of itself is a Prometheus 3.
fn is_3(version: &str) -> bool {
    version.contains("version 3.")
}

fn fetch(root: &Path, program: &Path) -> Result<()> {
    let place: PathBuf = program.ancestors().nth(3).context("the program stands in no folder")?.to_owned();
    let new = place.with_extension("new");
    if new.exists() {
        fs::remove_dir_all(&new).with_context(|| format!("cannot remove {}", new.display()))?;
    }
    fs::create_dir_all(&new).with_context(|| format!("cannot create {}", new.display()))?;
    println!("setup: getting Prometheus 3 from Debian's {RELEASE}");
    let architecture = output(command("dpkg", &["--print-architecture"], root))?;
    let index = new.join("Packages.xz");
    let url = format!("{ARCHIVE}/dists/{RELEASE}/main/binary-{}/Packages.xz", architecture.trim());
    download(&url, &index, None)?;
    let index = output(command(APT_HELPER, &["cat-file", text(&index)?], root))?;
    for name in PACKAGES {
        let found = find(&index, name).with_context(|| format!("{RELEASE} has no package `{name}`"))?;
        let file = new.join(name).with_extension("deb");
        download(&format!("{ARCHIVE}/{}", found.path), &file, Some(&found.sha256))?;
        run(command("dpkg", &["-x", text(&file)?, text(&new)?], root))?;
        fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
    }
    if !is_good(&new.join("usr/bin/prometheus")) {
        bail!("what {RELEASE} has is no Prometheus 3, or does not run here");
    }
    if place.exists() {
        fs::remove_dir_all(&place).with_context(|| format!("cannot remove {}", place.display()))?;
    }
    fs::rename(&new, &place).with_context(|| format!("cannot rename {}", new.display()))
}

fn download(url: &str, to: &Path, sha256: Option<&str>) -> Result<()> {
    let sum = sha256.map(|sum| format!("SHA256:{sum}"));
    let mut arguments = vec!["-o", "Acquire::Retries=2", "-o", "Acquire::https::Timeout=30", "download-file"];
    arguments.extend([url, text(to)?]);
    arguments.extend(sum.as_deref());
    if !succeeds(command(APT_HELPER, &arguments, Path::new("/"))) {
        bail!("{url} cannot be fetched");
    }
    Ok(())
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("the repository's path is not UTF-8; move it")
}

/// Where a package stands in the archive, and its checksum.
#[derive(Debug, PartialEq, Eq)]
struct Package {
    path: String,
    sha256: String,
}

/// Looks up `name` in the text of an index.
fn find(index: &str, name: &str) -> Option<Package> {
    let first = format!("Package: {name}");
    let entry = index.split("\n\n").find(|entry| entry.lines().any(|line| line == first))?;
    let field = |key: &str| Some(entry.lines().find_map(|line| line.strip_prefix(key))?.trim().to_owned());
    let (path, sha256) = (field("Filename:")?, field("SHA256:")?);
    // An index is not signed for us: what it says must at least look like what it should.
    let is_sum = sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_sum && path.starts_with("pool/") && !path.contains("..")).then_some(Package { path, sha256 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_found_by_its_whole_name() {
        let sum = "0".repeat(64);
        let entry = |name: &str, path: &str| {
            format!("Package: {name}\nVersion: 1\nFilename: {path}\nSize: 1\nSHA256: {sum}\n")
        };
        let paths = ["pool/m/a.deb", "pool/m/b.deb", "elsewhere/c.deb", "pool/../d.deb"];
        let names = ["prometheus-alertmanager", "prometheus", "c", "d"];
        let index: Vec<String> = names.iter().zip(paths).map(|(name, path)| entry(name, path)).collect();
        let index = index.join("\n");
        let found = Package { path: "pool/m/b.deb".to_owned(), sha256: sum.clone() };
        assert_eq!(find(&index, "prometheus"), Some(found));
        for missing in ["prom", "c", "d", ""] {
            assert_eq!(find(&index, missing), None, "{missing}");
        }
    }

    #[test]
    fn versions_are_told_apart() {
        assert!(is_3("prometheus, version 3.5.3+ds1 (branch: x)"));
        assert!(!is_3("prometheus, version 2.42.0+ds (branch: 3)"));
    }
}
