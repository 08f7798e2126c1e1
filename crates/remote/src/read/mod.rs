//! `RemoteReads`: what other servers have, merged into what this one has (`remote_read`). A server that
//! cannot answer costs a query a warning and nothing else; the limits of a query hold for what others answer,
//! too.
//!
//! - `answer`: the bytes of an answer, to series.
//! - `server`: one server: whether it is asked, and its answer.

pub mod answer;
mod server;

use self::server::{Server, View};
use crate::{config::RemoteReadConfig, endpoint::EndpointError};
use parking_lot::RwLock;
use skopos_base::fs::SharedFs;
use skopos_exposition::Families;
use skopos_model::{MetricType, TimestampMs};
use skopos_storage::{Querier, QueryError, Queryable, TimeRange, merge_queriers};
use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering::Relaxed},
};
use tokio::runtime::Handle;

/// See above.
pub struct RemoteReads {
    local: Arc<dyn Queryable>,
    fs: SharedFs,
    runtime: Handle,
    servers: RwLock<Arc<[Arc<Server>]>>,
}

impl std::fmt::Debug for RemoteReads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteReads").field("servers", &self.servers.read()).finish_non_exhaustive()
    }
}

/// Servers that are ready to be asked.
#[derive(Debug)]
pub struct PreparedReads(Arc<[Arc<Server>]>);

impl RemoteReads {
    /// What `local` has, and nothing else yet. Servers are asked on the runtime that this is called in.
    pub fn new(local: Arc<dyn Queryable>, fs: &SharedFs) -> Self {
        let servers = RwLock::new(Arc::default());
        Self { local, fs: SharedFs::clone(fs), runtime: Handle::current(), servers }
    }

    /// Looks whether these servers can be asked; nothing changes before `apply`.
    ///
    /// # Errors
    /// When one cannot be spoken to.
    pub fn prepare(
        &self,
        external_labels: &BTreeMap<String, String>,
        configs: &[RemoteReadConfig],
    ) -> Result<PreparedReads, EndpointError> {
        let known = Arc::clone(&self.servers.read());
        let server = |config: &RemoteReadConfig| {
            let same = known.iter().find(|server| server.is_of(config, external_labels));
            match same {
                Some(same) => Ok(Arc::clone(same)),
                None => Server::new(config, external_labels, &self.fs).map(Arc::new),
            }
        };
        configs.iter().map(server).collect::<Result<_, _>>().map(PreparedReads)
    }

    /// Asks these servers from now on. Queries under way ask those that they began with.
    pub fn apply(&self, prepared: PreparedReads) {
        *self.servers.write() = prepared.0;
    }

    /// Appends what is counted of servers; nothing where there is none.
    pub fn write(&self, out: &mut Families<'_>) {
        let servers = Arc::clone(&self.servers.read());
        if servers.is_empty() {
            return;
        }
        let help = "Queries to servers of remote read, by what came of them.";
        out.family("prometheus_remote_storage_read_queries_total", MetricType::Counter, help);
        for server in servers.iter() {
            for (code, count) in [("200", &server.answered), ("error", &server.failed)] {
                let labels = [("code", code), ("remote_name", server.name()), ("url", server.shown())];
                out.sample("", &labels, count.load(Relaxed) as f64);
            }
        }
        let help = "Queries to servers of remote read that are under way.";
        out.family("prometheus_remote_storage_remote_read_queries", MetricType::Gauge, help);
        for server in servers.iter() {
            let labels = [("remote_name", server.name()), ("url", server.shown())];
            out.sample("", &labels, server.asking.load(Relaxed) as f64);
        }
    }
}

impl Queryable for RemoteReads {
    fn querier(&self, range: TimeRange) -> Result<Box<dyn Querier>, QueryError> {
        let local = self.local.querier(range)?;
        let servers = Arc::clone(&self.servers.read());
        let mut sources = vec![local];
        for server in servers.iter() {
            // What storage here has whole is not asked for elsewhere, unless that is wanted.
            let range = if server.reads_recent() { Some(range) } else { older(range, self.local.min_time()) };
            if let Some(range) = range {
                sources.push(Box::new(View::new(Arc::clone(server), range, self.runtime.clone())));
            }
        }
        Ok(merge_queriers(sources))
    }

    fn min_time(&self) -> Option<TimestampMs> {
        if self.servers.read().is_empty() { self.local.min_time() } else { None }
    }
}

/// What of a range is older than all that is here.
fn older(range: TimeRange, oldest: Option<TimestampMs>) -> Option<TimeRange> {
    match oldest {
        Some(oldest) if range.min >= oldest => None,
        Some(oldest) if range.max >= oldest => {
            Some(TimeRange { max: TimestampMs::new(oldest.as_ms().saturating_sub(1)), ..range })
        }
        _ => Some(range),
    }
}
