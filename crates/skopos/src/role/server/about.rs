//! What the server says of how it runs, for the API.

use super::{reloads::Reloads, retention::BlockFlags};
use skopos_agent::{Host, ThisHost};
use skopos_api::about::{About, Replay};
use skopos_base::Env;
use skopos_config::Live;
use skopos_tsdb::{Db, ReplayProgress, ReplaySegments, Retention};
use std::{collections::BTreeMap, sync::Arc};

pub(super) fn about(
    flags: BTreeMap<String, String>,
    env: &Env,
    (db, live): (&Arc<Db>, &Arc<Live>),
    (reloads, kept): (&Arc<Reloads>, &BlockFlags),
) -> About {
    let features = flags.get("enable-feature").map(String::as_str).unwrap_or_default();
    let features = features.split(',').filter(|f| !f.is_empty()).map(str::to_owned).collect();
    let (db, live, reloads, kept) = (Arc::downgrade(db), Arc::clone(live), Arc::clone(reloads), kept.clone());
    let stats = db.clone();
    let metas = move || db.upgrade().map(|db| db.block_metas()).unwrap_or_default();
    About {
        flags,
        features,
        started_at: super::now(env),
        directory: std::env::current_dir().map(|d| d.display().to_string()).unwrap_or_default(),
        hostname: ThisHost.uname().nodename,
        threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        retention: Arc::new(move || retention_text(&kept.retention(&live.get()))),
        last_reload: Arc::new(move || reloads.last()),
        corruptions: Arc::new(move || stats.upgrade().map_or(0, |db| db.stats().wal_corruptions_total)),
        blocks: Arc::new(move || metas().iter().filter_map(|m| serde_json::to_string(m).ok()).collect()),
    }
}

/// `15d or 512 MiB`: whichever is reached first.
fn retention_text(retention: &Retention) -> String {
    let limits = &retention.limits;
    let time = limits.time.map(|t| t.to_string());
    let bytes = limits.bytes.map(size_text);
    time.into_iter().chain(bytes).collect::<Vec<_>>().join(" or ")
}

fn size_text(bytes: u64) -> String {
    let units = [("EiB", 60), ("PiB", 50), ("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let whole = units.iter().find(|(_, shift)| bytes >= 1 << shift && bytes.is_multiple_of(1 << shift));
    whole.map_or_else(|| format!("{bytes}B"), |(unit, shift)| format!("{}{unit}", bytes >> shift))
}

/// How far a start has read the write-ahead log, as the API says it.
pub(super) fn replay(progress: &ReplayProgress) -> Replay {
    let ReplaySegments { first, last, current } = progress.segments();
    Replay { min: first, max: last, current }
}
