//! The programs that ours is held against, from Debian's packages. Never fakes: what they answer is the truth
//! that a test compares with.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::service::{Service, Spec};

/// Starts Prometheus with this configuration (the text of `prometheus.yml`) and further flags.
///
/// # Panics
/// If the program is not installed or does not become ready.
#[must_use]
#[track_caller]
pub fn prometheus(config: &str, flags: &[&str]) -> Service {
    prometheus_at(find("prometheus"), config, flags)
}

/// Starts the Prometheus that stands at `program`.
///
/// # Panics
/// If it does not become ready.
#[must_use]
#[track_caller]
pub fn prometheus_at(program: PathBuf, config: &str, flags: &[&str]) -> Service {
    let own = ["--config.file={folder}/prometheus.yml", "--storage.tsdb.path={folder}/data"];
    start(Spec {
        name: "Prometheus".to_owned(),
        program,
        arguments: arguments(&own, flags),
        files: vec![("prometheus.yml".to_owned(), config.to_owned())],
        ready_path: "/-/ready".to_owned(),
    })
}

/// The same in an environment that has these variables too.
///
/// # Panics
/// If it does not become ready.
#[must_use]
#[track_caller]
pub fn prometheus_in(program: PathBuf, environment: &[(&str, &str)], config: &str) -> Service {
    if environment.is_empty() {
        return prometheus_at(program, config, &[]);
    }
    let own = ["--config.file={folder}/prometheus.yml", "--storage.tsdb.path={folder}/data"];
    let variables = environment.iter().map(|(name, value)| format!("{name}={value}"));
    let program = program.display().to_string();
    start(Spec {
        name: "Prometheus".to_owned(),
        program: find("env"),
        arguments: variables.chain([program]).chain(arguments(&own, &[])).collect(),
        files: vec![("prometheus.yml".to_owned(), config.to_owned())],
        ready_path: "/-/ready".to_owned(),
    })
}

/// Debian's Prometheus, which has sources that the newer one was built without.
///
/// # Panics
/// If it is not installed.
#[must_use]
#[track_caller]
pub fn prometheus_2() -> PathBuf {
    find("prometheus")
}

/// Where `cargo xtask setup` puts a Prometheus 3, which Debian's stable release does not have.
pub const PROMETHEUS_3: &str = ".peers/prometheus-3/usr/bin/prometheus";

/// The Prometheus 3 that the set-up brought. It could not be had everywhere; then this says so, loudly, and a
/// test goes on without it.
#[must_use]
pub fn prometheus_3() -> Option<PathBuf> {
    unpacked("Prometheus 3", PROMETHEUS_3)
}

/// Where `cargo xtask setup` puts a cAdvisor, which Debian's stable release does not have.
pub const CADVISOR: &str = ".peers/cadvisor/usr/bin/cadvisor";

/// Starts the cAdvisor that the set-up brought, with these flags, or says that there is none, as for
/// [`prometheus_3`].
///
/// # Panics
/// If it does not become ready.
#[must_use]
#[track_caller]
pub fn cadvisor(flags: &[&str]) -> Option<Service> {
    let program = unpacked("cAdvisor", CADVISOR)?;
    let own = ["-listen_ip=127.0.0.1", "-port={port}"];
    Some(start(Spec {
        name: "cAdvisor".to_owned(),
        program,
        arguments: own.iter().chain(flags).map(|flag| (*flag).to_owned()).collect(),
        files: Vec::new(),
        ready_path: "/healthz".to_owned(),
    }))
}

/// A program that the set-up unpacks where it can be had; a test that goes on without it says so, loudly.
#[expect(clippy::print_stderr, reason = "a test that ran without its peer says so")]
fn unpacked(name: &str, program: &str) -> Option<PathBuf> {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2)?.join(program);
    if place.is_file() {
        return Some(place);
    }
    eprintln!("WARNING: this test ran WITHOUT {name}; `cargo xtask setup` tries to get {program}");
    None
}

/// Debian's promtool.
///
/// # Panics
/// If it is not installed.
#[must_use]
#[track_caller]
pub fn promtool() -> PathBuf {
    find("promtool")
}

/// The promtool of the Prometheus 3 that the set-up brought, with the same warning.
#[must_use]
pub fn promtool_3() -> Option<PathBuf> {
    Some(prometheus_3()?.with_file_name("promtool"))
}

/// What `PROGRAM tsdb ARGUMENTS` prints.
///
/// # Panics
/// If the program cannot be run, fails or does not print text.
#[must_use]
#[track_caller]
pub fn promtool_tsdb(program: &Path, arguments: &[&Path]) -> String {
    let output = Command::new(program).arg("tsdb").args(arguments).output();
    let output = output.unwrap_or_else(|e| panic!("{}: {e}", program.display()));
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("its words are text")
}

/// Starts VictoriaMetrics with this configuration of its scraper (the text of `prometheus.yml`) and
/// further flags.
///
/// # Panics
/// If the program is not installed or does not become ready.
#[must_use]
#[track_caller]
pub fn victoria_metrics(config: &str, flags: &[&str]) -> Service {
    let own = [
        "-httpListenAddr={address}",
        "-promscrape.config={folder}/prometheus.yml",
        "-storageDataPath={folder}/data",
    ];
    start(Spec {
        name: "VictoriaMetrics".to_owned(),
        program: find("victoria-metrics"),
        arguments: own.iter().chain(flags).map(|flag| (*flag).to_owned()).collect(),
        files: vec![("prometheus.yml".to_owned(), config.to_owned())],
        ready_path: "/health".to_owned(),
    })
}

/// Starts the Pushgateway with these flags.
///
/// # Panics
/// If the program is not installed or does not become ready.
#[must_use]
#[track_caller]
pub fn pushgateway(flags: &[&str]) -> Service {
    start(Spec {
        name: "Pushgateway".to_owned(),
        program: find("prometheus-pushgateway"),
        // Debian's has a default of its own for this.
        arguments: arguments(&["--persistence.file={folder}/groups"], flags),
        files: Vec::new(),
        ready_path: "/-/ready".to_owned(),
    })
}

/// Starts the Alertmanager with this configuration (the text of `alertmanager.yml`), alone.
///
/// # Panics
/// If the program is not installed or does not become ready.
#[must_use]
#[track_caller]
pub fn alertmanager(config: &str) -> Service {
    let own = [
        "--config.file={folder}/alertmanager.yml",
        "--storage.path={folder}/data",
        "--cluster.listen-address=",
    ];
    start(Spec {
        name: "Alertmanager".to_owned(),
        program: find("prometheus-alertmanager"),
        arguments: arguments(&own, &[]),
        files: vec![("alertmanager.yml".to_owned(), config.to_owned())],
        ready_path: "/-/ready".to_owned(),
    })
}

/// Starts the blackbox exporter with this configuration (the text of `blackbox.yml`).
///
/// # Panics
/// If the program is not installed or does not become ready.
#[must_use]
#[track_caller]
pub fn blackbox_exporter(config: &str) -> Service {
    start(Spec {
        name: "blackbox exporter".to_owned(),
        program: find("prometheus-blackbox-exporter"),
        arguments: arguments(&["--config.file={folder}/blackbox.yml"], &[]),
        files: vec![("blackbox.yml".to_owned(), config.to_owned())],
        ready_path: "/-/healthy".to_owned(),
    })
}

/// Starts node_exporter with these flags.
///
/// # Panics
/// If the program is not installed or does not become ready.
#[must_use]
#[track_caller]
pub fn node_exporter(flags: &[&str]) -> Service {
    start(Spec {
        name: "node_exporter".to_owned(),
        program: find("prometheus-node-exporter"),
        arguments: arguments(&[], flags),
        files: Vec::new(),
        ready_path: "/".to_owned(),
    })
}

/// Starts process-exporter with this file of rules and further flags.
///
/// # Panics
/// If the program is not installed or does not become ready.
#[must_use]
#[track_caller]
pub fn process_exporter(rules: &str, flags: &[&str]) -> Service {
    let own = ["-web.listen-address={address}", "-config.path={folder}/groups.yml"];
    start(Spec {
        name: "process-exporter".to_owned(),
        program: find("prometheus-process-exporter"),
        arguments: own.iter().chain(flags).map(|flag| (*flag).to_owned()).collect(),
        files: vec![("groups.yml".to_owned(), rules.to_owned())],
        ready_path: "/".to_owned(),
    })
}

#[track_caller]
fn start(spec: Spec) -> Service {
    Service::start(spec)
}

fn arguments(own: &[&str], flags: &[&str]) -> Vec<String> {
    let address = ["--web.listen-address={address}"];
    let all = address.iter().chain(own).chain(flags);
    all.map(|flag| (*flag).to_owned()).collect()
}

/// Where the program stands.
#[track_caller]
fn find(program: &str) -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let found =
        env::split_paths(&path).map(|folder| folder.join(program)).find(|candidate| candidate.is_file());
    found.unwrap_or_else(|| panic!("the program `{program}` is not installed; run `cargo xtask setup`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "the program `no-such-peer` is not installed; run `cargo xtask setup`")]
    fn a_missing_program_says_how_to_get_it() {
        find("no-such-peer");
    }
}
