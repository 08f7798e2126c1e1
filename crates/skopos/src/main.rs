//! The binary: picks a role and handles what all roles share; never holds logic of its own.
//!
//! Modules: `role::server`, `role::agent` and `role::tool` wire the crates together, one file a role;
//! `storage_metrics` says what storage counts; `logging` writes the log; `signals` turns SIGTERM, SIGINT and SIGHUP into what a role waits for.

mod logging;
mod role;
mod signals;
mod storage_metrics;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Freed memory goes back to the system soon: a query's peak is not kept.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Watches machines, the services on them and the sensors around them.
///
/// `skopos server` without any flag watches the machine it runs on: open http://localhost:9090/.
#[derive(Parser)]
#[command(name = "skopos", version, propagate_version = true, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
enum Role {
    /// Scrape targets, store and query their metrics, serve the web interface.
    Server(role::server::Flags),
    /// Serve this machine's metrics for others to scrape, as node_exporter does.
    Agent(role::agent::Flags),
    /// Check files and look into data.
    Tool(role::tool::Flags),
}

fn main() -> ExitCode {
    let result = match Cli::parse().role {
        Role::Server(flags) => role::server::run(flags),
        Role::Agent(flags) => role::agent::run(flags),
        Role::Tool(flags) => role::tool::run(&flags),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln_once(&message);
            ExitCode::FAILURE
        }
    }
}

/// The one line that a failed start leaves behind, whatever the log's level is.
#[expect(clippy::print_stderr, reason = "the last word to whoever started the program")]
fn eprintln_once(message: &role::Failure) {
    eprintln!("skopos: {message}");
}
