//! `skopos tool check web-config`: whether files of `--web.config.file`, and those that they name, can be
//! used.

use super::super::output::Out;
use crate::role::{Failure, protection};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(in crate::role::tool) struct Flags {
    /// The files.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

pub(super) fn run(flags: &Flags) -> Result<(), Failure> {
    let mut out = Out::new();
    for file in &flags.files {
        protection(Some(file))?;
        out.line(&format!("{}: valid", file.display()))?;
    }
    out.finish()
}
