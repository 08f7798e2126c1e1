//! `skopos tool check`: whether files, and what servers show, are as they should be.
//!
//! - `config`, `web_config`: files of configurations. `service_discovery`: the targets of a job.
//! - `metrics`: expositions, held against the rules of `lint`.

mod config;
mod lint;
mod metrics;
mod service_discovery;
mod web_config;

use crate::role::Failure;
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(super) enum Check {
    /// Check configuration files. Exit code 1 when one is not valid.
    Config(config::Flags),
    /// Check files of --web.config.file. Exit code 1 when one is not valid.
    WebConfig(web_config::Flags),
    /// Find the targets of a job and show what its rules make of them.
    ServiceDiscovery(service_discovery::Flags),
    /// Check expositions in the text format. Exit code 1 when one cannot be read, 3 when a rule does not
    /// hold.
    Metrics(metrics::Flags),
}

pub(super) fn run(what: &Check) -> Result<(), Failure> {
    match what {
        Check::Config(flags) => config::run(flags),
        Check::WebConfig(flags) => web_config::run(flags),
        Check::ServiceDiscovery(flags) => service_discovery::run(flags),
        Check::Metrics(flags) => metrics::run(flags),
    }
}
