//! `skopos tool`: check files and look into data.
//!
//! - `check`: whether files are valid. `tsdb`: what a data directory has.
//! - `query`: asks a server. `promql`: writes queries anew.
//! - `reading`: says of long work how much it has read.
//! - `output`: standard output, which may be closed before all is said.

mod check;
mod output;
mod promql;
mod query;
mod reading;
mod tsdb;

use super::Failure;
use clap::Subcommand;

#[derive(Debug, clap::Args)]
pub(crate) struct Flags {
    #[command(subcommand)]
    tool: Tool,
    /// Features of PromQL by the names that they have in Prometheus.
    #[arg(long = "enable-feature", global = true, value_name = "NAME", value_delimiter = ',')]
    features: Vec<String>,
    /// promtool wants it before some commands; nothing changes.
    #[arg(long, global = true, hide = true)]
    experimental: bool,
}

#[derive(Debug, Subcommand)]
enum Tool {
    /// Check that files say what the program understands.
    Check {
        #[command(subcommand)]
        what: check::Check,
    },
    /// Ask a server that has Prometheus' API.
    Query(query::Flags),
    /// Write queries anew.
    Promql(promql::Flags),
    /// Look into a data directory, make blocks, check and repair them.
    Tsdb {
        #[command(subcommand)]
        what: tsdb::Tsdb,
    },
}

pub(crate) fn run(Flags { tool, features, .. }: &Flags) -> Result<(), Failure> {
    match tool {
        Tool::Check { what } => check::run(what),
        Tool::Query(flags) => query::run(flags),
        Tool::Promql(flags) => promql::run(flags, features),
        Tool::Tsdb { what } => tsdb::run(what),
    }
}
