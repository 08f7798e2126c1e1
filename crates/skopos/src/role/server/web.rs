//! The flags of the web server, and what they make of it.

use super::MOST_AT_A_TIME;
use crate::role::{Failure, protection};
use skopos_agent::{Host as _, ThisHost};
use skopos_api::{CorsOrigin, Mount, notifications::DEFAULT_LISTENERS_MAX};
use skopos_model::{ByteSize, DurationMs};
use skopos_web::{
    Scope,
    answers::{Answers, DEFAULT_MAX_WAITING_BYTES},
    serve::{DEFAULT_IDLE_TIMEOUT, DEFAULT_MAX_CONNECTIONS, Protocol, ServeOptions},
};
use std::{path::PathBuf, sync::Arc};

#[derive(Clone, Debug, clap::Args)]
pub(super) struct WebFlags {
    /// File that says how connections are secured and who may do what; it is read again when it changes.
    #[arg(long = "web.config.file", value_name = "FILE")]
    web_config_file: Option<PathBuf>,
    /// Connections at the same time; for one more, the one that rests longest ends, or the slowest.
    #[arg(long = "web.max-connections", value_name = "N", default_value_t = DEFAULT_MAX_CONNECTIONS as u32,
        value_parser = clap::value_parser!(u32).range(1..=MOST_AT_A_TIME))]
    max_connections: u32,
    /// Bytes of answers that may wait for clients, of all together; for more, the client that takes slowest
    /// loses its connection.
    #[arg(long = "web.max-waiting-bytes", value_name = "SIZE",
        default_value_t = ByteSize::from_bytes(DEFAULT_MAX_WAITING_BYTES))]
    max_waiting_bytes: ByteSize,
    /// Clients that may listen to notifications (`/api/v1/notifications/live`) at the same time.
    #[arg(long = "web.max-notifications-subscribers", value_name = "N",
        default_value_t = DEFAULT_LISTENERS_MAX as u32)]
    pub(super) max_notifications_subscribers: u32,
    /// How long a client may take to send the head of a request.
    #[arg(long = "web.read-header-timeout", value_name = "DURATION", default_value = "10s",
        value_parser = DurationMs::parse_positive)]
    read_header_timeout: DurationMs,
    /// How long the body of a request may stand still.
    #[arg(long = "web.read-timeout", value_name = "DURATION", default_value = "5m")]
    read_timeout: DurationMs,
    /// The address under which this server is reached from outside, for links back to it.
    #[arg(long = "web.external-url", value_name = "URL", default_value = "")]
    external_url: String,
    /// What all paths begin with [default: the path of --web.external-url].
    #[arg(long = "web.route-prefix", value_name = "PATH")]
    route_prefix: Option<String>,
    /// Pages of origins that this regular expression matches as a whole may call the API from a browser.
    #[arg(long = "web.cors.origin", value_name = "REGEX", default_value = ".*")]
    cors_origin: String,
    /// Whether deletion and snapshots can be asked for over HTTP.
    #[arg(long = "web.enable-admin-api")]
    admin_api: bool,
    /// Whether reload and end can be asked for over HTTP.
    #[arg(long = "web.enable-lifecycle")]
    lifecycle: bool,
}

impl WebFlags {
    /// Where the routes stand.
    pub(super) fn mount(&self) -> Result<Mount, Failure> {
        let external_url = self.external_url.trim_end_matches('/').to_owned();
        let path_of_url = path_of(&external_url).map_err(Failure::Flags)?;
        let prefix = self.route_prefix.as_deref().unwrap_or(path_of_url).trim_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("/{prefix}") };
        if prefix.contains(['{', '}', '?', '#']) {
            return Err(Failure::Flags(format!("--web.route-prefix={prefix}: write a plain path")));
        }
        let cors_origin = CorsOrigin::new(&self.cors_origin)
            .map_err(|e| Failure::Flags(format!("--web.cors.origin={}: {e}", self.cors_origin)))?;
        Ok(Mount {
            external_url,
            own_name: ThisHost.uname().nodename,
            own_port: None,
            prefix,
            cors_origin,
            admin_api: self.admin_api,
            lifecycle: self.lifecycle,
        })
    }

    pub(super) fn serve_options(&self) -> Result<ServeOptions, Failure> {
        Ok(ServeOptions {
            max_connections: self.max_connections as usize,
            read_timeout: self.read_timeout.as_std(),
            read_header_timeout: self.read_header_timeout.as_std(),
            idle_timeout: DEFAULT_IDLE_TIMEOUT,
            protection: protection(self.web_config_file.as_deref())?,
            needs: skopos_api::needed_scope,
            answers: Answers::new(self.max_waiting_bytes.bytes()),
            in_the_clear: Protocol::Http1,
        })
    }

    /// The same for the listener of gRPC, on the account of the other one: whoever comes there writes, and
    /// speaks HTTP/2.
    pub(super) fn grpc_options(&self, of_http: &ServeOptions) -> Result<ServeOptions, Failure> {
        let (options, answers) = (self.serve_options()?, Arc::clone(&of_http.answers));
        Ok(ServeOptions { needs: |_| Scope::Write, answers, in_the_clear: Protocol::Http2, ..options })
    }
}

/// The path of a URL, from its first slash on; of none, nothing.
fn path_of(url: &str) -> Result<&str, String> {
    if url.is_empty() || url.starts_with('/') {
        return Ok(url);
    }
    let wrong = || format!("--web.external-url={url}: write http://HOST/PATH, https://HOST/PATH or /PATH");
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://")).ok_or_else(wrong)?;
    if rest.is_empty() || rest.starts_with('/') || rest.contains(['?', '#', ' ']) {
        return Err(wrong());
    }
    Ok(rest.find('/').map_or("", |at| &rest[at..]))
}
