//! The systems that are asked: how each is started on data that is there. Never asks.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use skopos_testkit::service::Spec;

use crate::process::find;

/// A system.
pub(super) struct System {
    /// What it is called.
    pub(super) name: &'static str,
    /// What the command line and folders call it.
    pub(super) key: &'static str,
    /// Whether it has a format of its own, to which the samples are imported.
    pub(super) imports: bool,
    /// How it is started: the program's path if it is not the installed one, and the folder of its data.
    pub(super) spec: fn(Option<&Path>, &Path) -> Result<Spec>,
    /// What is added to each request, so that no answer is one of an earlier question.
    pub(super) uncached: &'static str,
}

/// All of them, in the order in which they are asked.
pub(super) const SYSTEMS: [System; 3] = [
    System {
        name: "Prometheus",
        key: "prometheus",
        imports: false,
        spec: |program, data| prometheus_like("Prometheus", or_installed(program, "prometheus")?, data, &[]),
        uncached: "",
    },
    System {
        name: "VictoriaMetrics",
        key: "victoria-metrics",
        imports: true,
        spec: |_, data| victoria_metrics(data),
        uncached: "&nocache=1",
    },
    System {
        name: "Skopos",
        key: "skopos",
        imports: false,
        spec: |program, data| prometheus_like("Skopos", or_installed(program, "skopos")?, data, &["server"]),
        uncached: "",
    },
];

fn or_installed(program: Option<&Path>, name: &str) -> Result<PathBuf> {
    match program {
        Some(program) => Ok(program.to_owned()),
        None => find_installed(name),
    }
}

fn find_installed(program: &str) -> Result<PathBuf> {
    find(program).with_context(|| format!("`{program}` is not installed; run `cargo xtask setup`"))
}

/// Nothing is scraped, nothing compacted, nothing dropped, and no question is too large.
fn prometheus_like(name: &str, program: PathBuf, data: &Path, first: &[&str]) -> Result<Spec> {
    let data = data.to_str().context("the target folder has a name that is not UTF-8")?;
    let path = format!("--storage.tsdb.path={data}");
    let flags = [
        "--web.listen-address={address}",
        "--config.file={folder}/prometheus.yml",
        &path,
        "--storage.tsdb.retention.time=100y",
        "--storage.tsdb.min-block-duration=2h",
        "--storage.tsdb.max-block-duration=2h",
        "--query.max-samples=500000000",
        "--query.timeout=10m",
    ];
    Ok(Spec {
        name: name.to_owned(),
        program,
        arguments: first.iter().chain(&flags).map(|flag| (*flag).to_owned()).collect(),
        files: vec![("prometheus.yml".to_owned(), "global: {}\n".to_owned())],
        ready_path: "/-/ready".to_owned(),
    })
}

/// VictoriaMetrics on the data in this folder.
pub(super) fn victoria_metrics(data: &Path) -> Result<Spec> {
    let data = data.to_str().context("the target folder has a name that is not UTF-8")?;
    let path = format!("-storageDataPath={data}");
    let flags = [
        "-httpListenAddr={address}",
        &path,
        "-retentionPeriod=100y",
        "-search.latencyOffset=0s",
        "-search.maxQueryDuration=10m",
        "-search.maxUniqueTimeseries=10000000",
    ];
    Ok(Spec {
        name: "VictoriaMetrics".to_owned(),
        program: find_installed("victoria-metrics")?,
        arguments: flags.iter().map(|flag| (*flag).to_owned()).collect(),
        files: Vec::new(),
        ready_path: "/health".to_owned(),
    })
}
