//! Packages of another Debian release than the machine's, unpacked into `.peers/` for the tests that ask
//! their programs: nothing of them is installed. They may be out of reach; then this says so, and the tests
//! do without them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use skopos_testkit::peers::{CADVISOR, PROMETHEUS_3};

use crate::process::{command, output, run, succeeds};

/// Where the index of a release says where its package of the day stands, and its checksum.
const ARCHIVE: &str = "https://deb.debian.org/debian";

/// Part of apt itself: it fetches as apt does, checks sums, and reads every compression.
const APT_HELPER: &str = "/usr/lib/apt/apt-helper";

/// A program that the machine's release does not have in this version.
struct Wanted {
    /// What it is called in messages.
    name: &'static str,
    release: &'static str,
    packages: &'static [&'static str],
    /// Where it stands in the repository: a folder of its own, and `usr/bin/PROGRAM` below it.
    program: &'static str,
    /// A part of what it says of its version.
    says: &'static str,
}

const WANTED: [Wanted; 2] = [
    Wanted {
        name: "Prometheus 3",
        release: "forky",
        packages: &["prometheus", "promtool"],
        program: PROMETHEUS_3,
        says: "version 3.",
    },
    Wanted {
        name: "cAdvisor",
        release: "bullseye",
        packages: &["cadvisor"],
        program: CADVISOR,
        says: "cAdvisor version ",
    },
];

/// Gets those that are not there. Never fails: the tests that want one say that they ran without.
pub(super) fn try_to_ensure(root: &Path) {
    for wanted in &WANTED {
        if let Err(error) = wanted.ensure(root) {
            let Wanted { name, program, .. } = wanted;
            println!("setup: WARNING: there is NO {name} for the tests: {error:#}");
            println!("setup: they go on without it, and less is tested; put one at {program} to change that");
        }
    }
}

impl Wanted {
    fn ensure(&self, root: &Path) -> Result<()> {
        let program = root.join(self.program);
        if self.is_good(&program) { Ok(()) } else { self.fetch(root, &program) }
    }

    fn is_good(&self, program: &Path) -> bool {
        program.is_file()
            && output(command(program, &["--version"], Path::new("/"))).is_ok_and(|text| self.is_it(&text))
    }

    /// Whether it is this that says this of itself.
    fn is_it(&self, version: &str) -> bool {
        version.contains(self.says)
    }

    fn fetch(&self, root: &Path, program: &Path) -> Result<()> {
        let Self { name, release, .. } = self;
        let place: PathBuf =
            program.ancestors().nth(3).context("the program stands in no folder")?.to_owned();
        let new = place.with_extension("new");
        if new.exists() {
            fs::remove_dir_all(&new).with_context(|| format!("cannot remove {}", new.display()))?;
        }
        fs::create_dir_all(&new).with_context(|| format!("cannot create {}", new.display()))?;
        println!("setup: getting {name} from Debian's {release}");
        let architecture = output(command("dpkg", &["--print-architecture"], root))?;
        let index = new.join("Packages.xz");
        let url = format!("{ARCHIVE}/dists/{release}/main/binary-{}/Packages.xz", architecture.trim());
        download(&url, &index, None)?;
        let index = output(command(APT_HELPER, &["cat-file", text(&index)?], root))?;
        for package in self.packages {
            let found =
                find(&index, package).with_context(|| format!("{release} has no package `{package}`"))?;
            let file = new.join(package).with_extension("deb");
            download(&format!("{ARCHIVE}/{}", found.path), &file, Some(&found.sha256))?;
            run(command("dpkg", &["-x", text(&file)?, text(&new)?], root))?;
            fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
        }
        let unpacked = program.strip_prefix(&place).context("the program stands in no folder")?;
        if !self.is_good(&new.join(unpacked)) {
            bail!("what {release} has is no {name}, or does not run here");
        }
        if place.exists() {
            fs::remove_dir_all(&place).with_context(|| format!("cannot remove {}", place.display()))?;
        }
        fs::rename(&new, &place).with_context(|| format!("cannot rename {}", new.display()))
    }
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
        let [prometheus, cadvisor] = &WANTED;
        assert!(prometheus.is_it("prometheus, version 3.5.3+ds1 (branch: x)"));
        assert!(!prometheus.is_it("prometheus, version 2.42.0+ds (branch: 3)"));
        assert!(cadvisor.is_it("cAdvisor version 0.38.7+ds1 (0.38.7+ds1-2+b7)"));
    }

    #[test]
    fn each_program_has_a_folder_of_its_own() {
        let folder = |wanted: &Wanted| Path::new(wanted.program).ancestors().nth(3).map(Path::to_owned);
        for wanted in &WANTED {
            assert!(wanted.program.starts_with(".peers/") && wanted.program.contains("/usr/bin/"));
        }
        assert_ne!(folder(&WANTED[0]), folder(&WANTED[1]));
    }
}
