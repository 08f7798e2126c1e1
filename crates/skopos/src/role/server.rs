//! `skopos server`: scrape, store, query, web interface; without a configuration file also the agent
//! for the machine it runs on.

use super::Failure;
use crate::{
    logging::{self, LogFlags},
    signals::{Asked, Signals},
};
use skopos_agent::{BuildInfo, Host, NodeAgent, NodeOptions, ThisHost};
use skopos_api::{
    App, Parts,
    own_metrics::{MetricsSource, OwnMetrics},
    serve::{DEFAULT_MAX_CONNECTIONS, listen, serve},
};
use skopos_base::Env;
use skopos_config::{Config, Live};
use skopos_exposition::Format;
use skopos_model::{DurationMs, Labels, LabelsBuilder};
use skopos_promql::{Engine, EngineOptions};
use skopos_scrape::{
    fetch::{Fetcher, InProcessSource},
    manager::Manager,
    scraper::Shared,
    status::ScrapeCounters,
    target::{Reading, Source, Target},
};
use skopos_storage::QueryLimits;
use skopos_tsdb::Db;
use std::{
    collections::HashMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::sync::{Semaphore, oneshot};

/// The configuration file that is used when it is there and none was named.
const DEFAULT_CONFIG_FILE: &str = "prometheus.yml";
/// The sources in this process, as their targets call them.
const NODE: &str = "node";
const SELF: &str = "skopos";

#[derive(Debug, clap::Args)]
pub(crate) struct Flags {
    /// Configuration file [default: prometheus.yml if there is one, else watch this machine].
    #[arg(long = "config.file", value_name = "FILE")]
    config_file: Option<PathBuf>,
    /// Where data is stored.
    #[arg(long = "storage.tsdb.path", value_name = "DIR", default_value = "data")]
    storage_path: PathBuf,
    /// Address to listen on; `:9090` is all interfaces. May be given several times.
    #[arg(long = "web.listen-address", value_name = "HOST:PORT", default_value = "localhost:9090")]
    listen_address: Vec<String>,
    /// Connections served at the same time; more wait.
    #[arg(long = "web.max-connections", value_name = "N", default_value_t = DEFAULT_MAX_CONNECTIONS)]
    max_connections: usize,
    /// How far back the newest sample of a series may lie.
    #[arg(long = "query.lookback-delta", value_name = "DURATION", default_value = "5m")]
    lookback_delta: DurationMs,
    /// How long a query may take.
    #[arg(long = "query.timeout", value_name = "DURATION", default_value = "2m")]
    query_timeout: DurationMs,
    /// Queries evaluated at the same time; more wait.
    #[arg(long = "query.max-concurrency", value_name = "N", default_value_t = 20)]
    query_concurrency: usize,
    /// Samples that one query may read.
    #[arg(long = "query.max-samples", value_name = "N", default_value_t = 50_000_000)]
    query_max_samples: u64,
    /// Series that one query may select.
    #[arg(long = "query.max-series", value_name = "N", default_value_t = 1_000_000)]
    query_max_series: u64,
    #[command(flatten)]
    log: LogFlags,
}

/// The configuration in force and where it came from.
struct Configured {
    path: Option<PathBuf>,
    config: Config,
}

impl Configured {
    /// Reads the file that was named, or the one that lies there, or takes the built-in one.
    fn load(flags: &Flags, env: &Env) -> Result<Self, Failure> {
        let lies_there = || {
            let path = Path::new(DEFAULT_CONFIG_FILE);
            env.fs.exists(path).unwrap_or(false).then(|| path.to_path_buf())
        };
        let path = flags.config_file.clone().or_else(lies_there);
        let config = match &path {
            Some(path) => Config::load(env.fs.as_ref(), path)?,
            None => Config::built_in(),
        };
        Ok(Self { path, config })
    }
}

pub(crate) fn run(flags: Flags) -> Result<(), Failure> {
    logging::init(&flags.log);
    let env = Env::real();
    let configured = Configured::load(&flags, &env)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("skopos-io")
        .build()
        .map_err(Failure::system("cannot start threads"))?;
    runtime.block_on(serve_until_stopped(flags, env, configured))
}

async fn serve_until_stopped(flags: Flags, env: Env, configured: Configured) -> Result<(), Failure> {
    let mut signals = Signals::take().map_err(Failure::system("cannot handle signals"))?;
    let mut listeners = Vec::new();
    for address in &flags.listen_address {
        listeners.extend(listen(address).await.map_err(Failure::system("web.listen-address"))?);
    }
    let addresses: Vec<SocketAddr> = listeners.iter().filter_map(|l| l.local_addr().ok()).collect();
    let app = App::default();
    let (stop_web, web_stopped) = oneshot::channel::<()>();
    let router = skopos_api::router(app.clone());
    let web = tokio::spawn(serve(listeners, router, flags.max_connections, async {
        let _stopped_or_gone = web_stopped.await;
    }));

    let opened = open_storage(&flags, &env).await?;
    let services = Services::start(&flags, &env, configured, opened, &app)?;
    announce(&addresses, services.path.as_deref());
    while signals.next().await == Asked::Reload {
        services.reload(&env);
    }
    tracing::info!("stopping: requests under way are finished first");
    let _web_may_have_ended = stop_web.send(());
    let _web_ended = web.await;
    services.stop().await
}

/// Replay may take a while, and threads of the reactor must not be held meanwhile.
async fn open_storage(flags: &Flags, env: &Env) -> Result<Arc<Db>, Failure> {
    let (path, env) = (flags.storage_path.clone(), env.clone());
    let opened = tokio::task::spawn_blocking(move || Db::open(&path, skopos_tsdb::Options::default(), &env));
    match opened.await {
        Ok(Ok(db)) => Ok(Arc::new(db)),
        Ok(Err(e)) => Err(Failure::Storage(e.to_string())),
        Err(e) => Err(Failure::Storage(format!("opening storage failed: {e}"))),
    }
}

/// Says how to open the page, to whoever started the program by hand.
fn announce(addresses: &[SocketAddr], config_file: Option<&Path>) {
    let local =
        addresses.iter().find(|a| a.ip().is_loopback() || a.ip().is_unspecified()).or(addresses.first());
    let url = match local {
        Some(a) if a.ip().is_loopback() || a.ip().is_unspecified() => {
            format!("http://localhost:{}/", a.port())
        }
        Some(a) => format!("http://{a}/"),
        None => String::new(),
    };
    match config_file {
        Some(path) => tracing::info!(config = %path.display(), "ready: open {url}"),
        None => tracing::info!("ready: open {url} (no configuration file: watching this machine)"),
    }
}

/// What runs once storage is open.
struct Services {
    db: Arc<Db>,
    targets: Arc<Manager>,
    live: Arc<Live>,
    path: Option<PathBuf>,
    /// Targets in this process.
    own_targets: Vec<Target>,
}

impl Services {
    fn start(
        flags: &Flags,
        env: &Env,
        configured: Configured,
        db: Arc<Db>,
        app: &App,
    ) -> Result<Self, Failure> {
        let Configured { path, config } = configured;
        let counters = Arc::new(ScrapeCounters::default());
        let metrics = Arc::new(OwnMetrics::new(vec![
            storage_metrics(&db),
            skopos_api::own_metrics::scrape_source(Arc::clone(&counters)),
        ]));
        let watches_machine = path.is_none();
        let sources = if watches_machine { own_sources(env, &metrics) } else { HashMap::new() };
        let own_targets = if watches_machine { own_targets(&config) } else { Vec::new() };
        let fetcher = Fetcher::new(sources).map_err(|e| Failure::Flags(e.to_string()))?;
        let targets = Arc::new(Manager::new(Shared {
            storage: Arc::clone(&db) as _,
            fetcher,
            clock: Arc::clone(&env.clock),
            counters,
        }));
        let live = Arc::new(Live::new(config));
        let limits = QueryLimits {
            max_samples: flags.query_max_samples,
            max_series: flags.query_max_series,
            timeout: flags.query_timeout,
        };
        let options =
            EngineOptions { lookback_delta: flags.lookback_delta, limits, ..EngineOptions::default() };
        let engine = Engine::new(options, Arc::clone(&env.clock));
        app.ready(Parts {
            storage: Arc::clone(&db) as _,
            engine,
            targets: Arc::clone(&targets),
            config: Arc::clone(&live),
            clock: Arc::clone(&env.clock),
            query_slots: Arc::new(Semaphore::new(flags.query_concurrency)),
            metrics,
        });
        let config = live.get();
        targets.apply(&config.global, &config.scrape_configs, &own_targets);
        Ok(Self { db, targets, live, path, own_targets })
    }

    /// Reads the file again. All or nothing: a file with an error changes nothing.
    fn reload(&self, env: &Env) {
        let Some(path) = &self.path else {
            tracing::info!("nothing to reload: there is no configuration file");
            return;
        };
        match Config::load(env.fs.as_ref(), path) {
            Ok(config) => {
                let applied = self.targets.apply(&config.global, &config.scrape_configs, &self.own_targets);
                self.live.set(config);
                let (kept, started, stopped) = (applied.kept, applied.started, applied.stopped);
                tracing::info!(config = %path.display(), kept, started, stopped, "configuration reloaded");
            }
            Err(error) => {
                tracing::error!(%error, "configuration not reloaded, the one before stays in force");
            }
        }
    }

    async fn stop(self) -> Result<(), Failure> {
        self.targets.shutdown().await;
        let db = self.db;
        drop(self.targets);
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

/// This machine and this process, as sources of metrics.
fn own_sources(env: &Env, metrics: &Arc<OwnMetrics>) -> HashMap<&'static str, InProcessSource> {
    let agent = NodeAgent::new(NodeOptions::default(), BuildInfo::default(), super::agent::agent_env(env));
    let metrics = Arc::clone(metrics);
    let node: InProcessSource = Arc::new(move |out| agent.gather(Format::Text, out));
    let own: InProcessSource = Arc::new(move |out| metrics.write(Format::Text, out));
    HashMap::from([(NODE, node), (SELF, own)])
}

/// The targets in this process, scraped as often as the configuration says.
fn own_targets(config: &Config) -> Vec<Target> {
    let host = host_name();
    [NODE, SELF].into_iter().map(|name| own_target(name, &host, config)).collect()
}

/// How the machine is called; the label `instance` of its own targets.
fn host_name() -> String {
    let named = ThisHost.uname().nodename;
    if named.is_empty() { "localhost".to_owned() } else { named }
}

fn own_target(name: &'static str, host: &str, config: &Config) -> Target {
    let labels = Labels::from_pairs([("job", name), ("instance", host)]);
    let mut discovered = LabelsBuilder::from_labels(&labels);
    discovered.set("__address__", &format!("in-process://{name}"));
    Target {
        job: Arc::from(name),
        source: Source::InProcess(name),
        labels,
        discovered: discovered.build(),
        interval: config.global.scrape_interval,
        timeout: config.global.scrape_interval,
        reading: Reading { honor_labels: false, honor_timestamps: true },
    }
}

/// What storage says of itself, under the names that Prometheus' dashboards and rules know.
fn storage_metrics(db: &Arc<Db>) -> MetricsSource {
    let db = Arc::clone(db);
    Arc::new(move |out| crate::storage_metrics::write(&db.stats(), out))
}
