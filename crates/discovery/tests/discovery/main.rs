//! Sources against made-up servers on the loopback interface, and each beside a real Prometheus 3 that asks
//! the same ones: targets and their labels are the same.

#![allow(clippy::unwrap_used)]
#![expect(clippy::needless_pass_by_value, reason = "answers are made where they are handed on")]

mod aws;
mod beside;
mod clouds;
mod cluster;
mod configs;
mod containers;
mod failures;
mod identified;
mod lists;
mod made_up;
mod members;
mod services;
