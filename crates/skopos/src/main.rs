//! The binary: picks a role and handles what all roles share; never holds logic of its own.
//!
//! Modules:
//! - `role::server`: opens storage, starts scraping, serves the API and the web interface.
//! - `role::agent`: serves this machine's metrics.
//! - `role::tool`: checks files, looks into data directories and makes blocks.
//! - `logging`: the log, one event a line.
//! - `signals`: SIGTERM, SIGINT and SIGHUP as what a role waits for.
//! - `storage_metrics`: what storage counts, as metric families.
//!
//! The way of a start: flags → configuration → listening → storage opened and replayed → targets →
//! ready. The way of an end is the same backwards: no new requests, those under way, no more scrapes,
//! the last synchronisation.
//!
//! The cargo features `agent` and `server` say which roles are built in.
//!
//! When you add a role: a file in `role/`, a line in `Role`, and its flags in the style of the others.

mod logging;
mod role;
mod signals;
#[cfg(feature = "server")]
mod storage_metrics;
#[cfg(feature = "server")]
mod tsdb_status;
mod usage;

#[cfg(not(any(feature = "agent", feature = "server")))]
compile_error!("a program without a role: take the feature `agent`, `server` or both");

#[cfg(feature = "server")]
use clap::{ArgMatches, parser::ValueSource};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
#[cfg(feature = "server")]
use std::collections::BTreeMap;
use std::process::ExitCode;

/// Freed memory goes back to the system soon: a query's peak is not kept.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Watches machines, the services on them and the sensors around them.
#[cfg_attr(
    feature = "server",
    doc = "\n\n`skopos server` without any flag watches the machine it runs on: open http://localhost:9090/."
)]
#[derive(Parser)]
#[command(name = "skopos", version, propagate_version = true, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
enum Role {
    #[cfg(feature = "server")]
    /// Scrape targets, store and query their metrics, serve the web interface.
    Server(Box<role::server::Flags>),
    #[cfg(feature = "agent")]
    /// Serve this machine's metrics for others to scrape, as node_exporter does.
    Agent(Box<role::agent::Flags>),
    #[cfg(feature = "server")]
    /// Check files and look into data.
    Tool(role::tool::Flags),
}

/// The command line. What the server takes for its collectors stands in the agent's help.
fn command() -> clap::Command {
    let command = Cli::command();
    #[cfg(feature = "server")]
    let command = command.mut_subcommand("server", |server| {
        server
            .mut_args(|a| if a.get_long().is_some_and(is_of_collectors) { a.hide(true) } else { a })
            .after_help(
                "The flags of collectors (--collector.…, --path.…) are those of `skopos agent --help`.",
            )
    });
    command
}

#[cfg(feature = "server")]
/// Whether a flag of this name says how a machine is read.
fn is_of_collectors(name: &str) -> bool {
    ["collector.", "no-collector.", "path."].iter().any(|start| name.starts_with(start))
}

#[cfg(feature = "server")]
/// The exit code of a check that found what should be otherwise, as promtool has it.
const FINDINGS: u8 = 3;

fn main() -> ExitCode {
    let parsed = command().try_get_matches().and_then(|m| Ok((Cli::from_arg_matches(&m)?, m)));
    #[cfg_attr(not(feature = "server"), expect(unused_variables, reason = "the server shows its flags"))]
    let (cli, matches) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return usage::usage(&error),
    };
    let result = match cli.role {
        #[cfg(feature = "server")]
        Role::Server(flags) => role::server::run(*flags, flag_values(&matches)),
        #[cfg(feature = "agent")]
        Role::Agent(flags) => role::agent::run(*flags),
        #[cfg(feature = "server")]
        Role::Tool(flags) => role::tool::run(&flags),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        #[cfg(feature = "server")]
        Err(role::Failure::ReaderGone) => ExitCode::SUCCESS,
        #[cfg(feature = "server")]
        Err(found @ role::Failure::Findings(_)) => {
            eprintln_once(&found);
            ExitCode::from(FINDINGS)
        }
        Err(message) => {
            eprintln_once(&message);
            ExitCode::FAILURE
        }
    }
}

#[cfg(feature = "server")]
/// All flags of the role by their names, with their values as texts; one that has none is empty. Those of
/// collectors are many, and are there when they were given.
fn flag_values(matches: &ArgMatches) -> BTreeMap<String, String> {
    let Some((role, matches)) = matches.subcommand() else { return BTreeMap::new() };
    let command = command();
    let role = command.find_subcommand(role).expect("invariant: it was parsed as one");
    let value = |id: &str| {
        let raw = matches.get_raw(id).into_iter().flatten();
        raw.map(|v| v.to_string_lossy().into_owned()).collect::<Vec<_>>().join(",")
    };
    let shown = |a: &&clap::Arg| {
        let id = a.get_id().as_str();
        let asked = || matches.value_source(id) == Some(ValueSource::CommandLine);
        !matches!(id, "help" | "version") && (!a.get_long().is_some_and(is_of_collectors) || asked())
    };
    let flags = role.get_arguments().filter(shown);
    flags.filter_map(|a| Some((a.get_long()?.to_owned(), value(a.get_id().as_str())))).collect()
}

/// The one line that a failed start leaves behind, whatever the log's level is.
#[expect(clippy::print_stderr, reason = "the last word to whoever started the program")]
fn eprintln_once(message: &role::Failure) {
    eprintln!("skopos: {message}");
}
