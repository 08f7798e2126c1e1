//! `skopos tool check`: whether files are valid.

use super::output::Out;
use crate::role::Failure;
use clap::Subcommand;
use skopos_base::Env;
use skopos_config::Config;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(super) enum Check {
    /// Check configuration files. Exit code 1 when one is not valid.
    Config {
        /// The files.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

pub(super) fn run(what: &Check) -> Result<(), Failure> {
    let Check::Config { files } = what;
    let env = Env::real();
    for file in files {
        let config = Config::load(env.fs.as_ref(), file)?;
        let targets: usize =
            config.jobs().flat_map(|job| &job.static_configs).map(|group| group.targets.len()).sum();
        let jobs = config.jobs().count();
        let mut out = Out::new();
        out.line(&format!("{}: valid, {jobs} jobs, {targets} targets", file.display()))?;
        out.finish()?;
    }
    Ok(())
}
