//! `skopos tool tsdb`: what a data directory has. The commands, arguments and lines are those of promtool.

mod analyze;
mod bench;
mod create_open_metrics;
mod create_rules;
mod damage;
mod dump;
mod list;
mod repair;
mod verify;

use crate::role::Failure;
use clap::Subcommand;
use skopos_base::Env;
use skopos_tsdb::block::BlockDir;
use std::{io, path::Path};

#[derive(Debug, Subcommand)]
pub(super) enum Tsdb {
    /// List the blocks of a data directory.
    #[command(after_help = "Example: skopos tool tsdb list -r data")]
    List(list::Flags),
    /// Say what the series of a block are of: churn, cardinality, how full chunks are.
    #[command(after_help = "Example: skopos tool tsdb analyze --limit=5 --match='{job=\"node\"}' data")]
    Analyze(analyze::Flags),
    /// Print all samples, one a line: of blocks and of what is not in a block yet.
    ///
    /// Nothing is locked or changed, so that it may be the directory of a running server.
    #[command(after_help = "Example: skopos tool tsdb dump --min-time=1700000000000 --match=up data")]
    Dump(dump::Flags),
    /// Print all samples as OpenMetrics text, for `create-blocks-from openmetrics`.
    ///
    /// Native histograms and staleness markers are left out, since OpenMetrics cannot say them.
    #[command(after_help = "Example: skopos tool tsdb dump-openmetrics --match=up data > up.om")]
    DumpOpenmetrics(dump::Flags),
    /// Read everything and say what is damaged, with file and offset. Exit code 1 when something is.
    ///
    /// Run it on a directory that no server has open: what a server is writing looks unfinished.
    #[command(after_help = "Example: skopos tool tsdb verify data")]
    Verify(verify::Flags),
    /// Set damaged blocks aside, with what can be read of them in new blocks; cut torn ends; remove what
    /// was left unfinished.
    ///
    /// Nothing that is sound is lost, and a damaged block is not removed: it stays as ULID.damaged. A
    /// directory that a server has open is not touched.
    #[command(after_help = "Example: skopos tool tsdb repair --dry-run data")]
    Repair(repair::Flags),
    /// Measure this machine.
    Bench {
        #[command(subcommand)]
        what: bench::Bench,
    },
    /// Make blocks of other data, to be moved into a data directory.
    CreateBlocksFrom {
        #[command(subcommand)]
        what: CreateBlocksFrom,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum CreateBlocksFrom {
    /// Make blocks of OpenMetrics text whose samples have timestamps.
    #[command(
        after_help = "Example: skopos tool tsdb create-blocks-from openmetrics --label=site=a in.om data"
    )]
    Openmetrics(create_open_metrics::Flags),
    /// Make blocks of what recording rules would have recorded.
    ///
    /// `limit` and `query_offset` of a group are not applied, as in promtool.
    #[command(
        after_help = "Example: skopos tool tsdb create-blocks-from rules --start=2026-01-01T00:00:00Z \
                            --url=http://localhost:9090 --output-dir=filled rules.yml"
    )]
    Rules(create_rules::Flags),
}

pub(super) fn run(what: &Tsdb) -> Result<(), Failure> {
    match what {
        Tsdb::List(flags) => list::run(flags),
        Tsdb::Analyze(flags) => analyze::run(flags),
        Tsdb::Dump(flags) => dump::run(flags, dump::Form::Lines),
        Tsdb::DumpOpenmetrics(flags) => dump::run(flags, dump::Form::OpenMetrics),
        Tsdb::Bench { what } => bench::run(what),
        Tsdb::Verify(flags) => verify::run(flags),
        Tsdb::Repair(flags) => repair::run(flags),
        Tsdb::CreateBlocksFrom { what: CreateBlocksFrom::Openmetrics(flags) } => {
            create_open_metrics::run(flags)
        }
        Tsdb::CreateBlocksFrom { what: CreateBlocksFrom::Rules(flags) } => create_rules::run(flags),
    }
}

/// Says so when `dir` is no data directory: a wrong name is not an empty database.
fn expect_data(env: &Env, dir: &Path) -> Result<(), Failure> {
    let shown = dir.display();
    let entries = env.fs.read_dir(dir).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => Failure::Data(format!(
            "there is no directory {shown}; name the data directory of a server (its --storage.tsdb.path)"
        )),
        io::ErrorKind::NotADirectory => Failure::Data(format!("{shown} is not a directory")),
        _ => failed(e),
    })?;
    let known = |name: &str| matches!(name, "wal" | "wbl" | "chunks_head") || BlockDir::of(name).is_some();
    if entries.iter().any(|e| e.is_dir && known(&e.name)) {
        return Ok(());
    }
    Err(Failure::Data(format!("{shown} is no data directory: it has neither blocks nor a log (wal)")))
}

/// What went wrong, as the last word of a tool.
fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::Data(error.to_string())
}
