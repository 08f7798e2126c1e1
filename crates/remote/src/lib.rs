//! Speaking to other people's servers: remote write 1.0 out of a durable queue.
//!
//! Modules:
//! - `endpoint`: a server that takes samples: its address, and what its answers mean.
//! - `batch`: a page of metrics becomes requests, each ready to be sent; `metadata`: what it says of its
//!   families becomes others, which no queue holds.
//! - `sender`: takes requests from the queue and sends them, in order, until they are taken.
//! - `backoff`: how long to wait before it is tried again.
//! - `stats`: what was sent, refused, tried again.
//! - `push`: `RemoteWrite`, the queue with a sender for each server.
//!
//! The way of a sample: page → `batch::Batcher` → `skopos_spool::Spool::push` (durable) → `sender` →
//! `endpoint::HttpEndpoint::send` → `Spool::advance`.
//!
//! What always holds:
//! - A request leaves the queue when its server took it, or refused it for good, or a named bound is reached.
//! - A server gets requests in their order, and one at a time. One that is down delays no other.
//! - No secret is in a log line, an error or a metric.
//!
//! When you add an option: its field in `push::Options`, its flag in `skopos/src/role/agent/push.rs`, its
//! line in docs/agent.md. What is counted stands in `stats` and in the same place of the documentation.

mod backoff;
mod batch;
mod endpoint;
mod metadata;
mod push;
mod sender;
mod stats;

pub use batch::{Batch, Batcher, TargetLabels};
pub use endpoint::{Endpoint, EndpointError, EndpointOptions, HttpEndpoint, Reply};
pub use push::{OpenError, Options, RemoteWrite};
