//! Debian's packages: installs those whose programs are missing, and leaves no service of theirs running.
//! Never touches a package that is there already.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process::{command, find, output, run, succeeds};

/// A program that is needed and the package that brings it.
pub(crate) struct Wanted {
    pub(crate) program: &'static str,
    pub(crate) package: &'static str,
    /// The service that the package would start.
    pub(crate) service: Option<&'static str>,
}

/// What tests and benches hold this program against, and the browser that they look at its pages with.
pub(crate) const PEERS: [Wanted; 8] = [
    Wanted { program: "prometheus", package: "prometheus", service: Some("prometheus") },
    Wanted {
        program: "prometheus-node-exporter",
        package: "prometheus-node-exporter",
        service: Some("prometheus-node-exporter"),
    },
    Wanted {
        program: "prometheus-process-exporter",
        package: "prometheus-process-exporter",
        service: Some("prometheus-process-exporter"),
    },
    Wanted {
        program: "prometheus-alertmanager",
        package: "prometheus-alertmanager",
        service: Some("prometheus-alertmanager"),
    },
    Wanted {
        program: "prometheus-blackbox-exporter",
        package: "prometheus-blackbox-exporter",
        service: Some("prometheus-blackbox-exporter"),
    },
    Wanted {
        program: "prometheus-pushgateway",
        package: "prometheus-pushgateway",
        service: Some("prometheus-pushgateway"),
    },
    Wanted { program: "victoria-metrics", package: "victoria-metrics", service: Some("victoria-metrics") },
    Wanted { program: "chromium", package: "chromium", service: None },
];

/// While a package is installed, this script forbids it to start its services.
const SERVICE_POLICY: &str = "/usr/sbin/policy-rc.d";

/// Installs the packages of those among `wanted` whose program is not there.
pub(crate) fn ensure(wanted: &[Wanted]) -> Result<()> {
    let missing: Vec<&Wanted> = wanted.iter().filter(|one| find(one.program).is_none()).collect();
    let packages: Vec<&str> = missing.iter().map(|one| one.package).collect();
    if packages.is_empty() {
        return Ok(());
    }
    install(&packages)?;
    for one in &missing {
        if find(one.program).is_none() {
            bail!("package `{}` is installed, but there is no program `{}`", one.package, one.program);
        }
    }
    missing.iter().filter_map(|one| one.service).for_each(switch_off);
    Ok(())
}

/// Installs `packages`, however old or empty the machine's lists of packages are.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    let names = packages.join(" ");
    if find("apt-get").is_none() {
        bail!("`{names}` is missing and this is no Debian; install it with the means of this system");
    }
    if output(command("id", &["-u"], Path::new("/")))?.trim() != "0" {
        bail!("`{names}` is missing; as root, run: apt-get install --no-install-recommends {names}");
    }
    println!("setup: installing {names}");
    let _no_services = ServicesHeld::new()?;
    let known = succeeds(apt_get(&install_arguments(packages, true)));
    if !known {
        run(apt_get(&["update", "--quiet"]))?;
    } else if run(apt_get(&install_arguments(packages, false))).is_ok() {
        return Ok(());
    } else {
        // The lists are older than the archive: what they name may be gone from it.
        run(apt_get(&["update", "--quiet"]))?;
    }
    run(apt_get(&install_arguments(packages, false)))
}

fn install_arguments<'a>(packages: &[&'a str], only_simulate: bool) -> Vec<&'a str> {
    let mut arguments = vec!["install", "--yes", "--quiet", "--no-install-recommends"];
    if only_simulate {
        arguments.push("--simulate");
    }
    arguments.extend(packages);
    arguments
}

fn apt_get(arguments: &[&str]) -> Command {
    let mut command =
        command("apt-get", &["-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Use-Pty=0"], Path::new("/"));
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// Packages enable their service for the next start of the machine; it would take the port that we want.
fn switch_off(service: &str) {
    if find("systemctl").is_some() {
        let is_running = Path::new("/run/systemd/system").is_dir();
        let how: &[&str] = if is_running { &["disable", "--now", service] } else { &["disable", service] };
        if !succeeds(command("systemctl", how, Path::new("/"))) {
            println!("setup: service `{service}` could not be switched off; it may start with the machine");
        }
    }
}

/// Forbids services to be started as long as it lives, unless the machine has a policy of its own.
struct ServicesHeld {
    is_ours: bool,
}

impl ServicesHeld {
    fn new() -> Result<ServicesHeld> {
        let policy = Path::new(SERVICE_POLICY);
        if policy.exists() {
            return Ok(ServicesHeld { is_ours: false });
        }
        let explain = || format!("cannot write {SERVICE_POLICY}, which keeps new services from starting");
        // 101 is the policy's way to say "not allowed".
        fs::write(policy, "#!/bin/sh\nexit 101\n").with_context(explain)?;
        let held = ServicesHeld { is_ours: true };
        fs::set_permissions(policy, fs::Permissions::from_mode(0o755)).with_context(explain)?;
        Ok(held)
    }
}

impl Drop for ServicesHeld {
    fn drop(&mut self) {
        if self.is_ours && fs::remove_file(SERVICE_POLICY).is_err() {
            println!("setup: {SERVICE_POLICY} could not be removed; take it away by hand");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_simulated_installation_differs_in_nothing_else() {
        let expected = ["install", "--yes", "--quiet", "--no-install-recommends", "a", "b"];
        assert_eq!(install_arguments(&["a", "b"], false), expected);
        let simulated = install_arguments(&["a", "b"], true);
        let without: Vec<&str> = simulated.iter().copied().filter(|one| *one != "--simulate").collect();
        assert_eq!((without.as_slice(), simulated.len()), (expected.as_slice(), expected.len() + 1));
    }

    #[test]
    fn nothing_is_installed_when_the_programs_are_there() {
        // Were it to try, it would fail: there is no such package.
        ensure(&[Wanted { program: "sh", package: "no-such-package", service: None }]).unwrap();
    }
}
