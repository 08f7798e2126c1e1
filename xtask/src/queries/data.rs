//! The data that is asked about: blocks of made samples, a copy of them for each system that writes beside
//! them, and the same samples in VictoriaMetrics. Made once, kept below the target folder. Never measures.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use skopos_testkit::service::Service;

use super::list::Asks;
use super::systems::{self, System};
use crate::process::{cargo, command, find, run};

/// The end of all data: a time that every run shares, so that answers do not depend on the clock.
pub(super) const END_S: i64 = 1_768_089_600;
const SEED: u64 = 1;
/// Series of a machine.
const MACHINE_SERIES: u64 = 100;
/// Stands in a folder once all of it is there.
const WHOLE: &str = "whole";

/// A data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DataSet {
    pub(super) machines: u64,
    pub(super) hours: i64,
    pub(super) asks: Asks,
}

impl DataSet {
    /// What it is called: series and length.
    pub(super) fn name(&self) -> String {
        format!("{}x{}h", self.machines * MACHINE_SERIES, self.hours)
    }

    /// Its folder below that of all data.
    pub(super) fn folder(&self, below: &Path) -> PathBuf {
        below.join(self.name())
    }

    /// Makes what is not there yet: the blocks and what `system` needs of them.
    pub(super) fn prepare(&self, root: &Path, below: &Path, system: &System) -> Result<()> {
        let folder = self.folder(below);
        let blocks = folder.join("blocks");
        once(&blocks, || self.write_blocks(root, &blocks))?;
        let own = folder.join(system.key);
        once(&own, || if system.imports { import(&blocks, &own) } else { copy(&blocks, &own) })
    }

    fn write_blocks(&self, root: &Path, out: &Path) -> Result<()> {
        let out = out.to_str().context("the target folder has a name that is not UTF-8")?;
        println!("{}: writing blocks", self.name());
        let (machines, hours) = (self.machines.to_string(), self.hours.to_string());
        let (end_ms, seed) = ((END_S * 1000).to_string(), SEED.to_string());
        let build =
            ["run", "--release", "--locked", "--package", "skopos-tsdb", "--example", "query_data", "--"];
        let what =
            ["--out", out, "--machines", &machines, "--hours", &hours, "--end-ms", &end_ms, "--seed", &seed];
        run(cargo(&[&build[..], &what[..]].concat(), root))
    }
}

/// Fills `folder` by `make`, unless that was done before.
fn once(folder: &Path, make: impl FnOnce() -> Result<()>) -> Result<()> {
    let whole = folder.with_extension(WHOLE);
    if whole.is_file() {
        return Ok(());
    }
    if folder.is_dir() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    make()?;
    fs::write(&whole, "").with_context(|| format!("cannot write {}", whole.display()))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

/// Hands all samples to VictoriaMetrics by its own tool, and waits until they are on the disk.
fn import(blocks: &Path, data: &Path) -> Result<()> {
    let tool = find("vmctl").context("`vmctl` is not installed; run `cargo xtask setup`")?;
    let mut service: Service = Service::start(systems::victoria_metrics(data)?);
    println!("importing {} into VictoriaMetrics", blocks.display());
    // The tool goes on only where it finds a terminal, which `script` makes for it.
    let tool = tool.display();
    let (blocks_at, url) = (blocks.display(), service.url(""));
    let line = format!("'{tool}' prometheus -s '--prom-snapshot={blocks_at}' '--vm-addr={url}'");
    let words = ["--quiet", "--return", "--command", &line, "/dev/null"];
    run(command("script", &words, blocks))?;
    let _ = service.get("/internal/force_flush");
    service.terminate();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_filled_once_and_anew_when_that_did_not_end() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("x");
        assert!(once(&own, || Err(anyhow::anyhow!("no"))).is_err());
        fs::write(own.join("half"), "").unwrap();
        once(&own, || Ok(fs::write(own.join("all"), "")?)).unwrap();
        assert!(!own.join("half").exists() && own.join("all").exists());
        once(&own, || panic!("it is there")).unwrap();
    }

    #[test]
    fn folders_are_copied_with_what_is_in_them() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("a"), folder.path().join("b"));
        fs::create_dir_all(from.join("x/y")).unwrap();
        fs::write(from.join("x/y/z"), "1").unwrap();
        copy(&from, &to).unwrap();
        assert_eq!(fs::read_to_string(to.join("x/y/z")).unwrap(), "1");
    }
}
