//! The flags of the web server, and what they make of it.

use super::MOST_AT_A_TIME;
use crate::role::{Failure, protection};
use skopos_model::DurationMs;
use skopos_web::serve::{DEFAULT_MAX_CONNECTIONS, ServeOptions};
use std::path::PathBuf;

#[derive(Clone, Debug, clap::Args)]
pub(super) struct WebFlags {
    /// File that says how connections are secured and who may do what; it is read again when it changes.
    #[arg(long = "web.config.file", value_name = "FILE")]
    config_file: Option<PathBuf>,
    /// Connections served at the same time; more wait.
    #[arg(long = "web.max-connections", value_name = "N", default_value_t = DEFAULT_MAX_CONNECTIONS as u32,
        value_parser = clap::value_parser!(u32).range(1..=MOST_AT_A_TIME))]
    max_connections: u32,
    /// How long the body of a request may stand still.
    #[arg(long = "web.read-timeout", value_name = "DURATION", default_value = "5m")]
    read_timeout: DurationMs,
}

impl WebFlags {
    pub(super) fn serve_options(&self) -> Result<ServeOptions, Failure> {
        Ok(ServeOptions {
            max_connections: self.max_connections as usize,
            read_timeout: self.read_timeout.as_std(),
            protection: protection(self.config_file.as_deref())?,
            needs: skopos_api::needed_scope,
        })
    }
}
