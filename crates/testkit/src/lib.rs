//! What the tests of every crate share: real programs to compare with, our own program as a process, servers
//! that misbehave. Named under `[dev-dependencies]` alone; never part of the product.
//!
//! # Modules
//! - `service`: a program in a temporary folder on a free port: started, waited for, killed, started again,
//!   and gone when the handle is dropped, also when the test panics
//! - `peers`: Debian's Prometheus, VictoriaMetrics and node_exporter as services
//! - `skopos`: our own binary as a service
//! - `process`: a child process, its log and its end
//! - `http`: a small blocking client that hides nothing of the answer
//! - `misbehaving`: an HTTP server that follows a script of bad manners; `drip`: one that gives a byte a
//!   second
//! - `storage`: the contracts of `Querier` and `ChunkQuerier` as suites that every implementation runs, and a
//!   storage so simple that it is right
//! - `series`: series with all kinds of samples, and the text in which fixtures hold them
//! - `expressions`: made-up expressions of PromQL
//! - `archive`: a folder as one compressed file
//! - `machine`: a large machine made of files, for agents to read
//! - `remote`: remote write and read as a client of a real server
//! - `port`, `wait`: a free port; waiting for a real process
//!
//! # Way of a service
//! `peers::prometheus(config)` or `skopos::Skopos::server(binary)` → `service::Spec` → `Service::start`:
//! folder, files, port, process, readiness → the test → `Drop`: SIGTERM, then SIGKILL; the log is shown if
//! the test failed.
//!
//! # When you change something
//! - a peer is added: its package belongs into `xtask/src/setup/debian.rs` too
//! - the server's flags for address, data or configuration change: `skopos.rs` names them
//!
//! Failures panic with what went wrong and what to do: this is code for tests. Only loopback is ever used.

pub mod archive;
pub mod drip;
pub mod expressions;
pub mod http;
pub mod machine;
pub mod misbehaving;
pub mod peers;
pub mod port;
pub mod process;
pub mod remote;
pub mod series;
pub mod service;
pub mod skopos;
pub mod storage;
pub mod wait;

pub use port::free_port;
pub use wait::{let_live, wait_until};
