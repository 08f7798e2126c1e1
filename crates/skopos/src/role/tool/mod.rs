//! `skopos tool`: check files and look into data.
//!
//! - `check`: whether files are valid. `tsdb`: what a data directory has.
//! - `output`: standard output, which may be closed before all is said.

mod check;
mod output;
mod tsdb;

use super::Failure;
use clap::Subcommand;

#[derive(Debug, clap::Args)]
pub(crate) struct Flags {
    #[command(subcommand)]
    tool: Tool,
}

#[derive(Debug, Subcommand)]
enum Tool {
    /// Check that files say what the program understands.
    Check {
        #[command(subcommand)]
        what: check::Check,
    },
    /// Look into a data directory, make blocks, check and repair them.
    Tsdb {
        #[command(subcommand)]
        what: tsdb::Tsdb,
    },
}

pub(crate) fn run(flags: &Flags) -> Result<(), Failure> {
    match &flags.tool {
        Tool::Check { what } => check::run(what),
        Tool::Tsdb { what } => tsdb::run(what),
    }
}
