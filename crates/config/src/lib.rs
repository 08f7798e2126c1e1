//! The configuration file: Prometheus' `prometheus.yml`, read strictly.
//!
//! Modules:
//! - `file`: `Config`, the file's shape, composed of the structs that stand beside each subsystem;
//!   loading it, and the built-in configuration that holds when there is no file.
//! - `error`: `LoadError`: file, line, column, what is wrong and what is allowed.
//! - `live`: `Live`, the configuration in force, exchanged as a whole.
//! - `rules`: files of rules, and the file that says how a tool speaks to a server.
//! - `storage`: the sections `storage` and `retention`.
//! - `web`: the file of `--web.config.file`, which is one of its own.
//! - `yaml`: the only module that knows the YAML library.
//!
//! What always holds:
//! - A `Config` that exists is valid: shapes were checked while reading, everything else by `check`.
//! - An unknown field is an error, never ignored; so is a key that stands twice.
//!
//! When you add a section: put its struct beside its subsystem, a field here, and its defaults into
//! the struct's `Default` (a key without a value must mean the same as no key).

mod error;
mod file;
mod live;
mod rules;
mod storage;
mod web;
mod yaml;

pub use error::LoadError;
pub use file::Config;
pub use live::Live;
pub use rules::{load_http_client, load_rules, parse_rules};
pub use storage::{
    ByteSize, ExemplarsConfig, Percentage, RetentionConfig, RetentionRuleConfig, Selector, StorageConfig,
    TsdbConfig,
};
pub use web::load_web_config;
pub use yaml::to_string as to_yaml;
