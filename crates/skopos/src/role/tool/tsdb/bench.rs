//! `bench write`: how fast samples are taken, with the figures printed.

use super::super::output::Out;
use super::failed;
use crate::role::Failure;
use skopos_base::Env;
use skopos_tsdb::{
    Options,
    tool::bench::{WriteBench, made_series, read_series},
};
use std::{path::PathBuf, time::Duration};

#[derive(Debug, clap::Subcommand)]
pub(in crate::role::tool) enum Bench {
    /// Write scrapes of many series into a new database and say how fast that was.
    Write(Flags),
}

#[derive(Debug, clap::Args)]
pub(in crate::role::tool) struct Flags {
    /// Where the database is made; nothing may be there before, and it stays there.
    #[arg(long, value_name = "DIR", default_value = "benchout")]
    out: PathBuf,
    /// How many series.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    metrics: usize,
    /// How many scrapes of each.
    #[arg(long, value_name = "N", default_value_t = 3_000)]
    scrapes: usize,
    /// The labels of the series: a JSON object on each line. Without a file series are made up.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

pub(super) fn run(Bench::Write(flags): &Bench) -> Result<(), Failure> {
    let env = Env::real();
    let mut out = Out::new();
    let started = env.clock.monotonic();
    let series = match &flags.file {
        Some(file) => read_series(&*env.fs, file, flags.metrics).map_err(failed)?,
        None => made_series(flags.metrics),
    };
    out.line(&format!(" > series: {}", series.len()))?;
    stage(&mut out, "readData", env.clock.monotonic().saturating_sub(started))?;
    let bench = WriteBench { series: &series, scrapes: flags.scrapes };
    let done = bench.run(&flags.out, Options::default(), &env).map_err(failed)?;
    stage(&mut out, "ingestScrapes", done.ingest)?;
    out.line(&format!(" > total samples: {}", done.samples))?;
    let per_second = done.samples as f64 / done.ingest.as_secs_f64().max(f64::EPSILON);
    out.line(&format!(" > samples/sec: {per_second:.0}"))?;
    out.line(&format!(" > WAL bytes/sample: {:.2}", done.wal_bytes as f64 / done.samples.max(1) as f64))?;
    stage(&mut out, "stopStorage", done.stop)?;
    out.finish()
}

fn stage(out: &mut Out, stage: &str, took: Duration) -> Result<(), Failure> {
    out.line(&format!(">> completed stage={stage} duration={took:?}"))
}
