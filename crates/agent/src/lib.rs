//! Collectors that read this machine, as node_exporter does: the same names, labels, types and flags.
//! `docs/agent.md` says what is read, what always holds, and where the two differ.
//!
//! # Modules
//! - `flags`: the command line (`AgentArgs`, `CollectorArgs`), spelled as the reference spells it; `names`
//!   has all its collectors, `switches` all that is on or off
//! - `options`, `filter`: what the flags come to, when they fit together (`NodeOptions`)
//! - `registry`: `NodeAgent`, all enabled collectors and the page they write; what a failure means
//! - `foreign`: families of files of metrics beside the agent's own, each name once
//! - `pool`: collectors side by side on a few threads, each with a deadline
//! - `collector`, `output`: the contract of a collector, and where it writes
//! - `table`: what collectors find device by device, and pages have family by family
//! - `source`, `scan`: files below three roots in reused buffers; bytes to fields and numbers
//! - `host`, `netlink`, `perf_events`: the system beside its files; a trait, since tests have hosts that hang
//! - `task_exits`: what processes had used when they ended, as the kernel tells it
//! - `system_calls`: the one file with `unsafe`, for calls that no crate makes safely
//! - `local_socket`: connections to programs on this machine, which may hang
//! - `refusals`: what the system refused to this user, told once
//! - `dbus`: a client of D-Bus, over a connection that `host` makes
//! - `collectors`: one file a collector, and what a large one is made of (`cpu_info`, `cpu_topology`,
//!   `mounts`, `stat_pool`, `netdev_columns`, `udev`, `link_modes`, `mountstats_families`); `class` reads
//!   devices whose files are numbers, `names` makes families' names of drivers' names, `glob` finds files
//! - `fuzzing`: collectors and readers as `crates/fuzz` sees them; only with the feature of this name
//! - `containers`, `process_groups`: collectors too large for a file; their `mod.rs` have maps of their own
//!
//! # Way of a scrape
//! `NodeAgent::scrape` → `Pool::run` → on a worker, `Collector::collect` with a `Context` →
//! `source::File::read` → the collector's parser → `Output::family(…).sample(…)` into the slot's part →
//! the part goes to the page if the collector succeeded → success, duration and build metrics.
//!
//! # Way of a flag
//! `CollectorArgs` (clap) → `CollectorArgs::options`, the only place that refuses → `NodeOptions` →
//! `collectors::build`.
//!
//! # What always holds
//! - A collector's families are in a page whole or not at all, and none disturbs another, not by a panic
//!   either.
//! - No content of a file makes a parser panic or read without bound; a table that was cut is not read.
//! - A collector that hangs costs one deadline, once, and a file system one timeout.
//! - Only `source` opens files, only `host`, `local_socket`, `netlink`, `perf_events`, `task_exits` and
//!   `system_calls` call the system.
//!
//! # When you change something
//! - a collector is added: `collectors::FACTORIES`, its flags in `flags`, its options in `options`, a machine
//!   in `tests/fixtures` (named in `tests/agent/broken_files.rs`) with its page in `tests/golden`
//!   (`NAME.args`, then `UPDATE_GOLDEN=1`), its row in `docs/agent.md`, its name in
//!   `tests/agent/reference.rs`
//! - something differs from the reference: `DIFFERENCES` in `tests/agent/reference.rs` and `docs/agent.md`

mod collector;
mod collectors;
mod containers;
mod dbus;
mod error;
mod filter;
mod flags;
mod foreign;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod host;
mod local_socket;
pub mod netlink;
mod options;
mod output;
pub mod perf_events;
mod pool;
mod process_groups;
mod refusals;
mod registry;
mod scan;
mod source;
mod system_calls;
mod table;
mod task_exits;
#[cfg(test)]
mod testing;

pub use collector::{Collector, Context};
pub use collectors::names as collector_names;
pub use collectors::{
    pcidevice::PciOptions, perf::PerfOptions, sysctl::Sysctl, systemd::SystemdOptions,
    tcpstat::TcpStatOptions,
};
pub use error::{CollectError, OptionsError, SelectionError};
pub use filter::Filter;
pub use flags::{
    AgentArgs, AskedArgs, AskedOptions, CollectorArgs, ContainerArgs, DeviceArgs, FilterArgs,
    ProcessGroupArgs, Switches, WebArgs,
};
pub use host::{BtrfsDevice, BtrfsSystem, ClockState, DriverInfo, Host, Stream, ThisHost, Uname, Usage};
pub use options::{
    ArpOptions, ContainerOptions, CpuInfoOptions, CpuOptions, DeviceOptions, EthtoolOptions,
    FileSystemOptions, HwMonOptions, InterruptOptions, NetClassOptions, NetDevOptions, NodeOptions,
    ProcessGroupOptions,
};
pub use output::{Family, Output};
pub use process_groups::{
    Process, ProcessRules, RulesError, Snapshot, Top, TopBy, TopRequest, TopRequestError,
};
pub use registry::{AgentEnv, BuildInfo, NodeAgent, Scrape, Selection};
pub use source::Paths;
pub use system_calls::release_code;
