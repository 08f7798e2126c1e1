//! What is stored goes on to other servers: the flags of their queues, and where the log is.

use super::{Flags, memory::MemoryBudget};
use crate::role::Failure;
use skopos_api::own_metrics::MetricsSource;
use skopos_base::Env;
use skopos_config::Config;
use skopos_model::{ByteSize, DurationMs};
use skopos_remote::{RemoteWrites, Source, WritesOptions};
use skopos_tsdb::Db;
use std::{path::Path, sync::Arc};

/// The directory of queues, beside the data.
const DIR: &str = "remote_write";

#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct RemoteWriteFlags {
    /// How long the end of the process waits for what remote write has still to send; the rest waits on disk
    /// for the next start.
    #[arg(long = "storage.remote.flush-deadline", value_name = "DURATION", default_value = "1m")]
    flush_deadline: DurationMs,
    /// Disk that the queue of each server of `remote_write` may take; beyond it the oldest goes.
    #[arg(long = "storage.remote.queue-max-size", value_name = "SIZE", default_value = "8GB")]
    max_size: ByteSize,
    /// How long samples wait at most to be sent.
    #[arg(long = "storage.remote.queue-max-age", value_name = "DURATION", default_value = "7d")]
    max_age: DurationMs,
    /// Memory that the newest of what waits may take while the disk takes nothing.
    #[arg(long = "storage.remote.queue-max-memory", value_name = "SIZE|PERCENT", default_value = "64MiB")]
    max_memory: MemoryBudget,
}

/// A smaller queue would not hold what one scrape of a large target has.
const LEAST_BYTES: ByteSize = ByteSize::from_bytes(64 << 20);

impl RemoteWriteFlags {
    /// Whether the flags can be.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.max_size < LEAST_BYTES {
            return Err(format!("--storage.remote.queue-max-size: must be at least {LEAST_BYTES}"));
        }
        if self.max_age == DurationMs::ZERO {
            return Err("--storage.remote.queue-max-age: must be more than 0".to_owned());
        }
        Ok(())
    }

    /// The servers that the configuration names, to which nothing is sent yet.
    fn writes(&self, db: &Arc<Db>, data: &Path, env: &Env) -> Arc<RemoteWrites> {
        let (log, metadata) = (Arc::downgrade(db), Arc::downgrade(db));
        let closed = || std::io::Error::other("storage is closed");
        let source = Source {
            tail: Arc::new(move |from| log.upgrade().ok_or_else(closed)?.wal_tail(from)),
            metadata: Arc::new(move || metadata.upgrade().map(|db| db.all_metadata()).unwrap_or_default()),
        };
        let options = WritesOptions {
            dir: data.join(DIR),
            spool: skopos_spool::Options {
                max_age: self.max_age.as_std(),
                max_unwritten_bytes: self.max_memory.bytes(&*env.fs),
                ..skopos_spool::Options::of_bytes(self.max_size.bytes())
            },
            flush_deadline: self.flush_deadline.as_std(),
        };
        Arc::new(RemoteWrites::new(env, source, options))
    }
}

/// Puts what the configuration says in force, at the start.
pub(super) fn begin(
    (flags, env): (&Flags, &Env),
    db: &Arc<Db>,
    config: &Config,
) -> Result<Arc<RemoteWrites>, Failure> {
    let writes = flags.remote_write.writes(db, &flags.storage_path, env);
    let prepared = writes.prepare(&config.global.external_labels, &config.remote_write);
    writes.apply(prepared.map_err(|e| Failure::Data(e.to_string()))?);
    Ok(writes)
}

/// What is said of them.
pub(super) fn metrics(writes: &Arc<RemoteWrites>) -> MetricsSource {
    let writes = Arc::clone(writes);
    Arc::new(move |out| writes.write(out))
}
