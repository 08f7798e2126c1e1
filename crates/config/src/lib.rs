//! The configuration file: Prometheus' `prometheus.yml`, read strictly.
//!
//! Modules:
//! - `file`: `Config`, the file's shape, composed of the structs that stand beside each subsystem;
//!   loading it, and the built-in configuration that holds when there is no file.
//! - `job_files`: the jobs of the files that `scrape_config_files` names.
//! - `patterns`: the files that a pattern names.
//! - `contents`: whether any of the files that belong together has changed.
//! - `error`: `LoadError`: file, line, column, what is wrong and what is allowed.
//! - `live`: `Live`, the configuration in force, exchanged as a whole.
//! - `rules`: files of rules, and the file that says how a tool speaks to a server.
//! - `storage`: the sections `storage` and `retention`.
//! - `web`: the file of `--web.config.file`, which is one of its own.
//! - `text`: files as texts; `yaml`, `places`: the only modules that know the YAML library.
//!
//! With the feature `server` off, `web` is all that there is: what a role needs that has no
//! configuration file.
//!
//! What always holds:
//! - A `Config` that exists is valid: shapes were checked while reading, everything else by `check`.
//! - An unknown field is an error, never ignored; so is a key that stands twice.
//!
//! When you add a section: put its struct beside its subsystem, a field here, and its defaults into
//! the struct's `Default` (a key without a value must mean the same as no key).

#[cfg(feature = "server")]
mod contents;
mod error;
#[cfg(feature = "server")]
mod file;
#[cfg(feature = "server")]
mod job_files;
#[cfg(feature = "server")]
mod live;
#[cfg(feature = "server")]
mod patterns;
#[cfg(feature = "server")]
mod places;
#[cfg(feature = "server")]
mod rules;
#[cfg(feature = "server")]
mod storage;
mod text;
mod web;
mod yaml;

#[cfg(feature = "server")]
pub use contents::Contents;
pub use error::LoadError;
#[cfg(feature = "server")]
pub use file::Config;
#[cfg(feature = "server")]
pub use live::Live;
#[cfg(feature = "server")]
pub use rules::{load_http_client, load_rules, parse_rules};
#[cfg(feature = "server")]
pub use storage::{
    ExemplarsConfig, Percentage, RetentionConfig, RetentionRuleConfig, Selector, StorageConfig, TsdbConfig,
};
pub use web::load_web_config;
pub use yaml::to_string as to_yaml;
