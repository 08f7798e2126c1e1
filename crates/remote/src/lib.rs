//! Speaking to other people's servers: remote write 1.0 and 2.0 out of durable queues.
//!
//! Modules:
//! - `endpoint`: a server that takes samples: its address, and what its answers mean.
//! - `message`: the two messages, and how samples are gathered into one.
//! - `round`: requests that wait together, as a record of a queue.
//! - `batch`: a page of metrics becomes requests, each ready to be sent; `metadata`: what it says of its
//!   families becomes others, which no queue holds.
//! - `sender`: takes rounds from the queue and sends their requests until they are taken.
//! - `backoff`: how long to wait before it is tried again.
//! - `stats`: what was sent, refused, tried again.
//! - `push`: `RemoteWrite`, the agent's queue with a sender for each server.
//!
//! With the feature `server`, for what a server stores:
//! - `config`: the sections of the configuration file.
//! - `gather`: what the log says becomes requests; `follow`: the log is followed and a queue filled from it.
//! - `read`: `RemoteReads`: what other servers have, merged into queries of what this one has.
//! - `writes`: `RemoteWrites`, a queue, a follower and a sender for each server that the file names.
//!
//! The way of a sample: page → `batch::Batcher` → `round::encode` → `skopos_spool::Spool::push` (durable) →
//! `sender` → `endpoint::HttpEndpoint::send` → `Spool::advance`.
//!
//! Of what a server stores: log → `follow` → `gather::Gatherer` → the same from `round::encode` on.
//!
//! What always holds:
//! - A request leaves the queue when its server took it, or refused it for good, or a named bound is reached.
//! - A server gets the samples of a series in their order. One that is down delays no other.
//! - No secret is in a log line, an error or a metric.
//!
//! When you add a key of the file: its field in `config`, its line in docs/configuration.md. An option of the
//! agent: its field in `push::Options`, its flag in `skopos/src/role/agent/push.rs`, its
//! line in docs/agent.md. What is counted stands in `stats` and in the same place of the documentation.

mod backoff;
mod batch;
#[cfg(feature = "server")]
pub mod config;
mod endpoint;
#[cfg(feature = "server")]
mod follow;
#[cfg(feature = "server")]
mod gather;
mod message;
mod metadata;
mod push;
#[cfg(feature = "server")]
pub mod read;
pub mod round;
mod sender;
mod stats;
#[cfg(feature = "server")]
mod writes;

pub use backoff::Waits;
pub use batch::{Batcher, TargetLabels};
pub use endpoint::{Endpoint, EndpointError, EndpointOptions, HttpEndpoint, Reply};
#[cfg(feature = "server")]
pub use follow::Source;
pub use message::{Counts, Message, Request};
pub use push::{OpenError, Options, RemoteWrite};
#[cfg(feature = "server")]
pub use read::{PreparedReads, RemoteReads};
#[cfg(feature = "server")]
pub use writes::{Prepared, RemoteWrites, WritesError, WritesOptions};
