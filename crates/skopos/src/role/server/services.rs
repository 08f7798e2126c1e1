//! What runs once storage is open, wired together: scraping, queries, reloads.

use super::{
    Configured, Flags, about, admin::Administered, listeners::Listeners, own, reloads::Reloads, remote_read,
    remote_write, retention::BlockFlags,
};
use crate::role::Failure;
use skopos_agent::{NodeOptions, Top};
use skopos_api::{
    App, Parts, QueryLog, QueryThreads, RemoteRead, Slots,
    metadata::KeptMetadata,
    notifications::RELOAD_FAILED,
    own_metrics::{MetricsSource, OwnMetrics, discovery_source, query_source, scrape_source},
};
use skopos_base::Env;
use skopos_config::{Config, Live};
use skopos_exposition::Format;
use skopos_model::DurationMs;
use skopos_promql::{
    Engine, EngineOptions,
    active_log::{ActiveLog, Opened},
    queries::Queries,
    shards::{ShardOptions, Shards},
};
use skopos_remote::{RemoteReads, RemoteWrites};
use skopos_scrape::{
    config::ScrapeFeatures,
    fetch::Fetcher,
    ingest::{MetadataLabels, StartTimes},
    manager::Manager,
    pool::DeniedTargets,
    scraper::Shared,
    status::ScrapeCounters,
    target::Target,
};
use skopos_storage::{QueryLimits, QueryMemory};
use skopos_tsdb::Db;
use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

/// Of so many metrics, those with the most series, the server's own metrics say how many they have.
const METRICS_SHOWN: usize = 10;

/// What runs once storage is open.
pub(super) struct Services {
    db: Arc<Db>,
    targets: Arc<Manager>,
    live: Arc<Live>,
    pub(super) path: Option<PathBuf>,
    reloads: Arc<Reloads>,
    blocks: BlockFlags,
    /// Targets in this process.
    own_targets: Vec<Target>,
    listeners: Listeners,
    writes: Arc<RemoteWrites>,
    features: ScrapeFeatures,
    reads: Arc<RemoteReads>,
}

impl Services {
    pub(super) fn start(
        (flags, values): (&Flags, BTreeMap<String, String>),
        env: &Env,
        (Configured { path, config, .. }, node): (Configured, NodeOptions),
        db: Arc<Db>,
        (app, web_metrics): (&App, MetricsSource),
    ) -> Result<Self, Failure> {
        let (counters, discovery) = (Arc::new(ScrapeCounters::default()), discovery(env));
        let (reloads, remote_read) = (Reloads::loaded_at(env.clock.wall_ms()), remote_read(flags, &db));
        let writes = remote_write::begin((flags, env), &db, &config)?;
        let reads = remote_read::begin(&db, env, &config)?;
        let gateway = flags.push.gateway(&flags.storage_path, env)?;
        let push = flags.push.push(&db, env, (&flags.enable_feature, gateway.clone()));
        let (listeners, engine) = (flags.push.listeners.listen(push.intake())?, engine(flags, env));
        let slots = || Slots::of_queries(flags.query_concurrency as usize);
        let (queries, query_log) = (active_queries(flags, env), query_log(flags, env));
        let own_targets = own::all_targets(path.is_none(), gateway.is_some(), &config);
        let live = Arc::new(Live::new(config));
        let metrics = checked(OwnMetrics::new(
            app,
            vec![
                web_metrics,
                query_log.metrics(Arc::clone(&live)),
                storage_metrics(&db),
                remote_read.metrics(),
                push.metrics(),
                listeners.metrics(),
                reloads.source(),
                scrape_source(Arc::clone(&counters)),
                discovery_source(Arc::clone(&discovery.stats)),
                scrape_limits(flags.max_series_per_target),
                remote_write::metrics(&writes),
                remote_read::metrics(&reads),
                query_source(engine.clone(), Arc::clone(&queries)),
            ],
        ));
        let processes = Top::new(node.paths.clone(), Arc::clone(&env.clock));
        let sources = own::all_sources(path.is_none().then_some((env, node, &metrics)), gateway.as_ref());
        let fetcher = Fetcher::new(sources, &env.fs);
        let targets = following((flags, env), &db, fetcher, (counters, discovery));
        let about = about::about(values, env, (&db, &live), (&reloads, &flags.blocks));
        let config = live.get();
        let applied = targets.apply(&config.global, &config.all_jobs(), &own_targets);
        applied.map_err(|e| Failure::Data(e.to_string()))?;
        app.notifications().take_back(super::STARTING);
        app.ready(Parts {
            remote_read,
            push,
            response_max_bytes: flags.response_max_bytes,
            exemplars: Arc::clone(&db) as _,
            about,
            storage: Arc::clone(&reads) as _,
            tsdb_status: crate::tsdb_status::source(&db),
            kept_metadata: kept_metadata(&db),
            tsdb_admin: Arc::new(Administered(Arc::clone(&db))),
            engine,
            processes,
            targets: Arc::clone(&targets),
            config: Arc::clone(&live),
            clock: Arc::clone(&env.clock),
            query_slots: slots(),
            lookup_slots: slots(),
            query_threads: QueryThreads::new(Arc::clone(&env.spawner)),
            queries,
            query_log,
            metrics,
        });
        let (blocks, features) = (flags.blocks.clone(), flags.scrape_features());
        Ok(Self { db, targets, live, path, reloads, blocks, own_targets, listeners, writes, features, reads })
    }

    /// Reads the file again. All or nothing: a file with an error changes nothing.
    pub(super) fn reload(&self, env: &Env, app: &App) -> Result<(), String> {
        let Some(path) = &self.path else {
            tracing::info!("nothing to reload: there is no configuration file");
            return Ok(());
        };
        let loaded = Config::load(env.fs.as_ref(), path).map_err(|e| e.to_string()).and_then(|config| {
            let config = config.with_features(self.features);
            let prepared = self.writes.prepare(&config.global.external_labels, &config.remote_write);
            let prepared = prepared.map_err(|e| e.to_string())?;
            let reads = self.reads.prepare(&config.global.external_labels, &config.remote_read);
            let reads = reads.map_err(|e| format!("remote_read: {e}"))?;
            let applied = self.targets.apply(&config.global, &config.all_jobs(), &self.own_targets);
            let applied = applied.map_err(|e| e.to_string())?;
            self.writes.apply(prepared);
            self.reads.apply(reads);
            Ok((config, applied))
        });
        match loaded {
            Ok((config, applied)) => {
                self.set_retention(&config);
                self.live.set(config);
                self.reloads.succeeded(env.clock.wall_ms());
                app.notifications().take_back(RELOAD_FAILED);
                let (kept, started, stopped) = (applied.kept, applied.started, applied.stopped);
                tracing::info!(config = %path.display(), kept, started, stopped, "configuration reloaded");
                Ok(())
            }
            Err(error) => {
                self.reloads.failed();
                app.notifications().say(RELOAD_FAILED, super::now(env));
                tracing::error!(%error, "configuration not reloaded, the one before stays in force");
                Err(error)
            }
        }
    }

    /// In the background: it waits for the block that is being written, which may take a while.
    fn set_retention(&self, config: &Config) {
        let window = |config: &Config| config.storage.tsdb.out_of_order_time_window;
        if window(config) != window(&self.live.get()) {
            tracing::warn!("storage.tsdb.out_of_order_time_window changes with the next start");
        }
        let (db, retention) = (Arc::clone(&self.db), self.blocks.retention(config));
        drop(tokio::task::spawn_blocking(move || db.set_retention(retention)));
    }

    pub(super) async fn stop(self) -> Result<(), Failure> {
        drop(self.listeners);
        self.targets.shutdown().await;
        self.writes.stop().await;
        let db = self.db;
        drop((self.targets, self.reads));
        // A query that does not end in time still holds the database; then it is only made durable.
        let closed = tokio::task::spawn_blocking(move || match Arc::try_unwrap(db) {
            Ok(db) => db.close(),
            Err(shared) => shared.sync(),
        })
        .await;
        match closed {
            Ok(Ok(())) => Ok(()),
            Ok(Err(e)) => Err(Failure::Storage(e.to_string())),
            Err(e) => Err(Failure::Storage(format!("closing storage failed: {e}"))),
        }
    }
}

/// What other servers read of us.
fn remote_read(flags: &Flags, db: &Arc<Db>) -> RemoteRead {
    let chunks = Arc::clone(db);
    RemoteRead::new(Arc::new(move |range| chunks.chunk_querier(range)), flags.remote_read.limits())
}

/// What storage knows of metrics.
fn kept_metadata(db: &Arc<Db>) -> KeptMetadata {
    let db = Arc::clone(db);
    Arc::new(move || db.all_metadata())
}

/// What scrapes are bounded by.
fn scrape_limits(max_series_per_target: u32) -> MetricsSource {
    Arc::new(move |out| {
        out.gauge(
            "skopos_scrape_max_series_per_target",
            "Series that a target may have where its job says nothing else; 0 is no bound.",
            f64::from(max_series_per_target),
        );
    })
}

fn query_log(flags: &Flags, env: &Env) -> QueryLog {
    QueryLog::new(Arc::clone(&env.fs), flags.query_log_slower_than.map(DurationMs::as_std))
}

/// What of the metadata is in the labels of scraped series.
fn metadata_labels(flags: &Flags) -> MetadataLabels {
    if flags.enables(super::TYPE_AND_UNIT_LABELS) {
        MetadataLabels::TypeAndUnit
    } else {
        MetadataLabels::None
    }
}

/// What evaluates queries, as the flags have it.
fn engine(flags: &Flags, env: &Env) -> Engine {
    let limits = QueryLimits {
        max_samples: flags.query_max_samples,
        max_series: flags.query_max_series,
        max_memory: flags.query_max_memory.bytes(env.fs.as_ref()),
        timeout: flags.query_timeout,
    };
    let mut options =
        EngineOptions { lookback_delta: flags.lookback_delta, limits, ..EngineOptions::default() };
    for feature in &flags.enable_feature {
        // Those that are not the engine's are seen to where they belong.
        options.enable(feature);
    }
    let memory = QueryMemory::new(flags.query_total_memory.bytes(env.fs.as_ref()));
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    memory.run_on(processors, Arc::clone(&env.spawner));
    let max_shards = flags.query_max_shards.map_or(processors, |max| max as usize);
    let shards = Shards::new(Arc::clone(&env.spawner), ShardOptions::new(max_shards));
    Engine::new(options, Arc::clone(&env.clock)).with_memory(memory).with_shards(shards)
}

/// The queries that wait and run, with the log of those that run. Those that ran when the process before died
/// are named.
fn active_queries(flags: &Flags, env: &Env) -> Arc<Queries> {
    let Opened { log, unfinished, failed } = ActiveLog::open(Arc::clone(&env.fs), &flags.storage_path);
    if let Some(error) = failed {
        tracing::warn!(
            dir = %flags.storage_path.display(), %error,
            "the log of active queries cannot be begun: queries are answered without it; make room on the \
             disk, or see to its permissions: each query tries again"
        );
    }
    for query in unfinished {
        let (query, began_ms) = (query.query, query.began_ms);
        tracing::warn!(query, began_ms, "this query ran when the server ended without stopping");
    }
    Queries::new(Arc::clone(&env.clock), flags.query_concurrency as usize, Some(log))
}

/// What two parts of the server tell by the same name is said now, not when somebody asks for the page.
fn checked(metrics: OwnMetrics) -> Arc<OwnMetrics> {
    let metrics = Arc::new(metrics);
    let written = Arc::clone(&metrics);
    drop(tokio::task::spawn_blocking(move || written.write(Format::Text, &mut Vec::new())));
    metrics
}

/// What storage says of itself, under the names that Prometheus' dashboards and rules know.
fn storage_metrics(db: &Arc<Db>) -> MetricsSource {
    let db = Arc::clone(db);
    Arc::new(move |out| {
        crate::storage_metrics::write(&db.stats(), out);
        crate::storage_metrics::write_times(&db, out);
        crate::storage_metrics::write_shape(&db.head_shape(METRICS_SHOWN), out);
    })
}

/// What sources of targets share.
fn discovery(env: &Env) -> skopos_discovery::Env {
    skopos_discovery::Env::new(Arc::clone(&env.fs))
}

/// The scrapers, which follow what sources of targets find.
fn following(
    (flags, env): (&Flags, &Env),
    db: &Arc<Db>,
    fetcher: Fetcher,
    (counters, discovery): (Arc<ScrapeCounters>, skopos_discovery::Env),
) -> Arc<Manager> {
    let shared = Shared {
        storage: Arc::clone(db) as _,
        fetcher,
        clock: Arc::clone(&env.clock),
        counters,
        max_series_per_target: flags.max_series_per_target,
        metadata_labels: metadata_labels(flags),
        start_times: if flags.enables(super::START_ZEROS) {
            StartTimes::AsZeros
        } else {
            StartTimes::PassedOver
        },
    };
    let targets = Manager::finding(shared, discovery);
    let denied = DeniedTargets {
        found: flags.deny_addresses.clone(),
        written: flags.deny_addresses_of_static.clone(),
    };
    let targets = Arc::new(targets.denying(denied));
    let follower = Arc::clone(&targets);
    tokio::spawn(async move { follower.follow().await });
    targets
}
