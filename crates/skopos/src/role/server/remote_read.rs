//! Remote read both ways: the flags of what others ask, and what this server asks others.

use super::MOST_AT_A_TIME;
use crate::role::Failure;
use skopos_api::{RemoteReadLimits, own_metrics::MetricsSource};
use skopos_base::Env;
use skopos_config::Config;
use skopos_remote::RemoteReads;
use skopos_storage::Queryable;
use skopos_tsdb::Db;
use std::sync::Arc;

#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct RemoteReadFlags {
    /// Samples that a request of remote read may be answered with, unless it is streamed; 0 is as many as
    /// --query.max-samples.
    #[arg(long = "storage.remote.read-sample-limit", value_name = "N", default_value_t = 50_000_000)]
    samples: u64,
    /// Requests of remote read answered at the same time; 0 is as many as there are connections.
    #[arg(long = "storage.remote.read-concurrent-limit", value_name = "N", default_value_t = 10,
        value_parser = clap::value_parser!(u32).range(..=MOST_AT_A_TIME))]
    concurrent: u32,
    /// Bytes that end a frame of a streamed answer; a frame has at least one chunk.
    #[arg(long = "storage.remote.read-max-bytes-in-frame", value_name = "N", default_value_t = 1 << 20,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(u32::MAX >> 4)))]
    frame_bytes: u32,
}

impl RemoteReadFlags {
    pub(super) fn limits(&self) -> RemoteReadLimits {
        let concurrent =
            if self.concurrent == 0 { MOST_AT_A_TIME as usize } else { self.concurrent as usize };
        RemoteReadLimits { samples: self.samples, concurrent, frame_bytes: self.frame_bytes as usize }
    }
}

/// Storage with what the servers of the configuration have.
pub(super) fn begin(db: &Arc<Db>, env: &Env, config: &Config) -> Result<Arc<RemoteReads>, Failure> {
    let reads = RemoteReads::new(Arc::clone(db) as Arc<dyn Queryable>, &env.fs);
    let prepared = reads.prepare(&config.global.external_labels, &config.remote_read);
    reads.apply(prepared.map_err(|e| Failure::Data(format!("remote_read: {e}")))?);
    Ok(Arc::new(reads))
}

/// What is said of those servers.
pub(super) fn metrics(reads: &Arc<RemoteReads>) -> MetricsSource {
    let reads = Arc::clone(reads);
    Arc::new(move |out| reads.write(out))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        flags: RemoteReadFlags,
    }

    #[test]
    fn limits_are_those_of_prometheus_and_zero_is_none() {
        let limits = |arguments: &[&str]| Line::parse_from([&["x"], arguments].concat()).flags.limits();
        assert_eq!(limits(&[]), RemoteReadLimits::default());
        let none =
            limits(&["--storage.remote.read-sample-limit=0", "--storage.remote.read-concurrent-limit=0"]);
        assert_eq!((none.samples, none.concurrent), (0, 1 << 20));
    }
}
