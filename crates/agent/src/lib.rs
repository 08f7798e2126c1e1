//! Collectors that read this machine, as node_exporter does.

mod collector;
mod collectors;
mod error;
mod filter;
mod flags;
mod host;
pub mod netlink;
mod options;
mod output;
mod registry;
mod scan;
mod source;
#[cfg(test)]
mod testing;

pub use collector::{Collector, Context};
pub use error::{CollectError, OptionsError};
pub use filter::Filter;
pub use flags::{AgentArgs, CollectorArgs, LogArgs, LogFormat, LogLevel, Switches, WebArgs};
pub use host::{Host, ThisHost, Uname, Usage};
pub use options::{CpuInfoOptions, CpuOptions, FileSystemOptions, NetDevOptions, NodeOptions};
pub use output::{Family, Output};
pub use registry::{AgentEnv, BuildInfo, NodeAgent};
pub use source::Paths;
