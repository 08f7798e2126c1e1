//! Speaking to servers of other people over HTTP, as the files of Prometheus say it for all of them: targets,
//! sources of targets, remote storage, alert managers, the servers that tools ask.
//!
//! Modules:
//! - `config`: `HttpConfig`, the keys as files have them, and what is wrong with them.
//!   `config/credentials`, `config/oauth2`, `config/tls`, `config/proxy`, `config/headers`: its parts.
//! - `secret_text`: a secret that stands in the file itself or in another one, read when it is needed.
//! - `client`: `HttpClient`, which makes requests by such a configuration.
//! - `connector`: a configuration becomes a client of the HTTP library; made anew when certificates change.
//! - `denied`: where connections may not lead.
//! - `names`: the address of a server whose certificate has another name.
//! - `token`: access tokens of OAuth 2, fetched and kept until they end.
//! - `address`: addresses as logs may say them.
//! - `answer`: what comes back: a body within a bound, or an error with its causes.
//!
//! What always holds:
//! - An `HttpConfig` that was checked makes a client, but for files that are not what they should be.
//! - Files of secrets are read for each request, those of certificates too: new ones need no restart. Ones
//!   of certificates that cannot be used, as somebody writes them, leave what there was.
//! - No secret is in a log line, an error, a page or what a configuration is printed as.
//!
//! When you add a key: its field in `config` with its check, a row in the tests, and docs/configuration.md.

pub mod address;
pub mod answer;
mod client;
pub mod config;
mod connector;
pub mod denied;
mod names;
mod secret_text;
mod token;

pub use client::{ClientError, ClientOptions, HttpClient, Redirects};
pub use config::{HttpConfig, HttpConfigError};
pub use denied::{Denied, DeniedAddresses};
