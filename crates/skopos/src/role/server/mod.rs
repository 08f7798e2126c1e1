//! `skopos server`: scrape, store, query, web interface; without a configuration file also the agent
//! for the machine it runs on.

mod about;
mod admin;
mod auto_reload;
mod listeners;
mod memory;
mod own;
mod push;
mod reloads;
mod remote_read;
mod remote_write;
mod retention;
mod services;
mod unneeded;
mod web;

use self::{auto_reload::AutoReload, services::Services, web::WebFlags};
use super::Failure;
use crate::{
    logging::{self, LogFlags},
    signals::{Asked, Signals},
};
use axum::Router;
use skopos_agent::{CollectorArgs, NodeOptions};
use skopos_api::{
    App, Asked as AskedOverHttp, Mount,
    notifications::{STARTING, STOPPING},
    own_metrics::MetricsSource,
};
use skopos_base::{Env, real::raise_file_limit};
use skopos_client::DeniedAddresses;
use skopos_config::{Config, Contents};
use skopos_model::{DurationMs, TimestampMs};
use skopos_scrape::config::ScrapeFeatures;
use skopos_tsdb::{Db, ReplayProgress, WalCompression};
use skopos_web::serve::{ServeOptions, listen, serve};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::TcpListener,
    sync::oneshot,
    task::{JoinError, JoinHandle},
};

/// The configuration file that is used when it is there and none was named.
const DEFAULT_CONFIG_FILE: &str = "prometheus.yml";
/// How long threads may go on once everything else has ended; then the process ends without them.
const THREADS_END_TIMEOUT: Duration = Duration::from_secs(3);
/// The most that the flags of numbers of things at a time take: what a semaphore can count, and more
/// than any machine serves.
const MOST_AT_A_TIME: i64 = 1 << 20;
/// One thread decodes the WAL, and keeps so many others busy.
const MOST_REPLAY_THREADS: usize = 8;

/// How Prometheus calls loading files of the configuration that have changed.
const AUTO_RELOAD: &str = "auto-reload-config";
/// How Prometheus calls a snapshot on shutdown.
const MEMORY_SNAPSHOT: &str = "memory-snapshot-on-shutdown";
/// How Prometheus calls types and units as labels.
const TYPE_AND_UNIT_LABELS: &str = "type-and-unit-labels";
/// What of scraping may be enabled.
const START_ZEROS: &str = "created-timestamp-zero-ingestion";
const EXTRA_METRICS: &str = "extra-scrape-metrics";
const NATIVE_HISTOGRAMS: &str = "native-histograms";

/// What may be enabled.
const FEATURES: [&str; 14] = [
    AUTO_RELOAD,
    START_ZEROS,
    EXTRA_METRICS,
    MEMORY_SNAPSHOT,
    NATIVE_HISTOGRAMS,
    "otlp-write-receiver",
    "promql-binop-fill-modifiers",
    "promql-delayed-name-removal",
    "promql-duration-expr",
    "promql-experimental-functions",
    "promql-extended-range-selectors",
    "remote-write-receiver",
    TYPE_AND_UNIT_LABELS,
    "use-start-timestamps",
];

#[derive(Debug, clap::Args)]
pub(crate) struct Flags {
    /// Configuration file [default: prometheus.yml if there is one, else watch this machine].
    #[arg(long = "config.file", value_name = "FILE")]
    config_file: Option<PathBuf>,
    /// How often the files of the configuration are looked at, with --enable-feature=auto-reload-config:
    /// those that have changed are loaded.
    #[arg(long = "config.auto-reload-interval", value_name = "DURATION", default_value = "30s",
        value_parser = above_zero)]
    auto_reload_interval: DurationMs,
    /// Where data is stored.
    #[arg(long = "storage.tsdb.path", value_name = "DIR", default_value = "data")]
    storage_path: PathBuf,
    /// How records of the write-ahead log are compressed.
    #[arg(long = "storage.tsdb.wal-compression-type", value_name = "TYPE", default_value = "snappy",
        value_parser = ["snappy", "zstd", "none"])]
    wal_compression: String,
    /// Whether a clean stop leaves a snapshot of what is in memory alone, so that the next start is fast.
    #[arg(long = "storage.tsdb.snapshot-on-shutdown", value_name = "BOOL", default_value_t = true,
        action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true,
        default_missing_value = "true")]
    snapshot_on_shutdown: bool,
    /// Features by the names that they have in Prometheus: auto-reload-config,
    /// created-timestamp-zero-ingestion, extra-scrape-metrics, memory-snapshot-on-shutdown,
    /// native-histograms, promql-binop-fill-modifiers, promql-delayed-name-removal, promql-duration-expr,
    /// promql-experimental-functions, promql-extended-range-selectors, type-and-unit-labels,
    /// use-start-timestamps; others are answered with a warning.
    #[arg(long = "enable-feature", value_name = "NAME", value_delimiter = ',')]
    enable_feature: Vec<String>,
    /// Series that storage takes; samples of further ones are refused.
    #[arg(long = "storage.tsdb.max-series", value_name = "N", default_value_t = 20_000_000,
        value_parser = clap::value_parser!(u32).range(1..))]
    max_series: u32,
    /// Series of one metric that storage takes.
    #[arg(long = "storage.tsdb.max-series-per-metric", value_name = "N", default_value_t = 5_000_000,
        value_parser = clap::value_parser!(u32).range(1..))]
    max_series_per_metric: u32,
    /// Series that one target may have in storage, those that it no longer shows among them; 0 is no bound.
    /// A job may say otherwise (`max_series`).
    #[arg(long = "scrape.max-series-per-target", value_name = "N",
        default_value_t = skopos_scrape::ingest::DEFAULT_MAX_SERIES)]
    max_series_per_target: u32,
    /// Addresses that targets which sources find may not have, nor lead to by names or redirects: metadata
    /// (of cloud providers), link-local, loopback, addresses and networks, with commas between.
    #[arg(long = "scrape.deny-addresses", value_name = "LIST", default_value = "")]
    deny_addresses: DeniedAddresses,
    /// The same of targets that stand in the configuration.
    #[arg(long = "scrape.deny-addresses-of-static", value_name = "LIST", default_value = "")]
    deny_addresses_of_static: DeniedAddresses,
    /// Memory that the newest samples may take, in bytes or in percent of what there is; beyond it new
    /// series are refused, and samples of known series are taken.
    #[arg(long = "storage.memory-budget", value_name = "SIZE|PERCENT", default_value = "60%",
        value_parser = memory::for_samples)]
    memory_budget: memory::MemoryBudget,
    #[command(flatten)]
    blocks: retention::BlockFlags,
    #[command(flatten)]
    unneeded: unneeded::UnneededFlags,
    /// Address to listen on; `:9090` is all interfaces. May be given several times.
    #[arg(long = "web.listen-address", value_name = "HOST:PORT", default_value = "localhost:9090")]
    listen_address: Vec<String>,
    #[command(flatten)]
    web: WebFlags,
    /// How far back the newest sample of a series may lie.
    #[arg(long = "query.lookback-delta", value_name = "DURATION", default_value = "5m")]
    lookback_delta: DurationMs,
    /// How long a query may take.
    #[arg(long = "query.timeout", value_name = "DURATION", default_value = "2m")]
    query_timeout: DurationMs,
    /// Queries evaluated at the same time; more wait.
    #[arg(long = "query.max-concurrency", value_name = "N", default_value_t = 20,
        value_parser = clap::value_parser!(u32).range(1..=MOST_AT_A_TIME))]
    query_concurrency: u32,
    /// Threads that work on one query, its own among them; of all queries together so many help less one.
    /// Without it, as many as the program may use processors.
    #[arg(long = "query.max-shards", value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=MOST_AT_A_TIME))]
    query_max_shards: Option<u32>,
    /// Samples that one query may read.
    #[arg(long = "query.max-samples", value_name = "N", default_value_t = 50_000_000)]
    query_max_samples: u64,
    /// Series that one query may select.
    #[arg(long = "query.max-series", value_name = "N", default_value_t = 1_000_000)]
    query_max_series: u64,
    /// Bytes that the answer to one query may have, before it is compressed.
    #[arg(long = "query.max-response-bytes", value_name = "N",
        default_value_t = skopos_api::DEFAULT_RESPONSE_MAX_BYTES,
        value_parser = clap::value_parser!(u64).range(1024..))]
    response_max_bytes: u64,
    /// Queries that take longer are logged.
    #[arg(long = "query.log-slower-than", value_name = "DURATION")]
    query_log_slower_than: Option<DurationMs>,
    /// Memory that one query may hold, in bytes or in percent of what there is.
    #[arg(long = "query.max-memory", value_name = "SIZE|PERCENT", default_value = "1GiB")]
    query_max_memory: memory::MemoryBudget,
    /// Memory that all queries together may hold.
    #[arg(long = "query.total-memory", value_name = "SIZE|PERCENT", default_value = "25%")]
    query_total_memory: memory::MemoryBudget,
    #[command(flatten)]
    remote_read: remote_read::RemoteReadFlags,
    #[command(flatten)]
    remote_write: remote_write::RemoteWriteFlags,
    #[command(flatten)]
    push: push::PushFlags,
    /// How this machine is read: the flags of `skopos agent`.
    #[command(flatten)]
    collectors: CollectorArgs,
    #[command(flatten)]
    log: LogFlags,
}

impl Flags {
    fn enables(&self, feature: &str) -> bool {
        self.enable_feature.iter().any(|enabled| enabled == feature)
    }

    /// What features mean for scrapes where the file says nothing.
    fn scrape_features(&self) -> ScrapeFeatures {
        ScrapeFeatures {
            native_histograms: self.enables(NATIVE_HISTOGRAMS),
            families_first: self.enables(START_ZEROS),
            extra_metrics: self.enables(EXTRA_METRICS),
        }
    }
}

/// The configuration in force and where it came from.
struct Configured {
    path: Option<PathBuf>,
    config: Config,
    /// What its files said before they were read.
    contents: Contents,
}

impl Configured {
    /// Reads the file that was named, or the one that lies there, or takes the built-in one.
    fn load(flags: &Flags, env: &Env) -> Result<Self, Failure> {
        let lies_there = || {
            let path = Path::new(DEFAULT_CONFIG_FILE);
            env.fs.exists(path).unwrap_or(false).then(|| path.to_path_buf())
        };
        let path = flags.config_file.clone().or_else(lies_there);
        let contents = path.as_ref().map(|path| Contents::of(env.fs.as_ref(), path));
        let config = match &path {
            Some(path) => Config::load(env.fs.as_ref(), path)?.with_features(flags.scrape_features()),
            None => Config::built_in().with_features(flags.scrape_features()),
        };
        Ok(Self { path, config, contents: contents.unwrap_or_default() })
    }
}

/// A duration that is longer than zero.
fn above_zero(text: &str) -> Result<DurationMs, String> {
    let duration: DurationMs = text.parse().map_err(|e| format!("{e}"))?;
    if duration > DurationMs::ZERO { Ok(duration) } else { Err("it must be longer than zero".to_owned()) }
}

/// Runs until it is told to end; `values` are the flags as texts.
pub(crate) fn run(flags: Flags, values: BTreeMap<String, String>) -> Result<(), Failure> {
    logging::init(&flags.log);
    let env = Env::real();
    // A target is a connection, a block some files.
    if let Err(error) = raise_file_limit() {
        tracing::warn!(%error, "there may be fewer files and connections than the system has");
    }
    flags.unneeded.warn(&flags.enable_feature);
    flags.blocks.check().and_then(|()| flags.remote_write.check()).map_err(Failure::Flags)?;
    let node = flags.collectors.options().map_err(|e| Failure::Flags(e.to_string()))?;
    let configured = Configured::load(&flags, &env)?;
    if configured.path.is_some() && flags.collectors != CollectorArgs::default() {
        tracing::warn!(
            "flags of collectors change nothing: with a configuration file the server does not watch its own \
             machine; let it scrape `skopos agent`"
        );
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("skopos-io")
        .build()
        .map_err(Failure::system("cannot start threads"))?;
    let result = runtime.block_on(serve_until_stopped((flags, values), env, (configured, node)));
    runtime.shutdown_timeout(THREADS_END_TIMEOUT);
    result
}

/// The whole life: listen, open storage, serve; and back again when a signal asks for it.
async fn serve_until_stopped(
    (flags, values): (Flags, BTreeMap<String, String>),
    env: Env,
    (configured, node): (Configured, NodeOptions),
) -> Result<(), Failure> {
    let mut signals = Signals::take().map_err(Failure::system("cannot handle signals"))?;
    let mut listeners = Vec::new();
    for address in &flags.listen_address {
        listeners.extend(listen(address).await.map_err(Failure::system("web.listen-address"))?);
    }
    let grpc_listeners = flags.push.grpc_listeners().await?;
    let options = flags.web.serve_options()?;
    let (grpc_options, web_metrics) = (flags.web.grpc_options(&options)?, web_metrics(&options));
    let secured = options.protection.has_tls();
    let addresses: Vec<SocketAddr> = listeners.iter().filter_map(|l| l.local_addr().ok()).collect();
    let app = App::default();
    app.notifications().let_listen(flags.web.max_notifications_subscribers as usize);
    app.notifications().say(STARTING, now(&env));
    let progress = ReplayProgress::default();
    let seen = progress.clone();
    app.replay_is(move || about::replay(&seen));
    let own_port = addresses.first().map(SocketAddr::port);
    let mount = Mount { own_port, ..flags.web.mount()? };
    let mut asked = app.asked();
    let mut web = Web::start(listeners, skopos_api::router(app.clone(), &mount), options);
    let grpc = Web::start(grpc_listeners, skopos_api::otlp_grpc_router(app.clone()), grpc_options);

    let opened = tokio::select! {
        opened = open_storage(&flags, &env, &configured.config, progress) => opened?,
        () = signals.stop() => {
            tracing::info!("stopping before storage was open");
            return Ok(());
        }
    };
    let every = flags.enable_feature.iter().any(|f| f == AUTO_RELOAD);
    let every = every.then(|| flags.auto_reload_interval.as_std());
    let contents = configured.contents.clone();
    let mut files = AutoReload::new(every, configured.path.clone(), contents, &env);
    let services = Services::start((&flags, values), &env, (configured, node), opened, (&app, web_metrics))?;
    let reload = || services.reload(&env, &app);
    announce(&addresses, (secured, &mount), services.path.as_deref());
    let ended = loop {
        tokio::select! {
            asked = signals.next() => match asked {
                // The log says what came of it.
                Asked::Reload => drop(files.around(reload)),
                Asked::Stop => break Ok(()),
            },
            Some(asked) = asked.recv() => match asked {
                // Whoever asked may have gone.
                AskedOverHttp::Reload(answer) => drop(answer.send(files.around(reload))),
                AskedOverHttp::Quit => break Ok(()),
            },
            () = files.changed() => drop(files.around(reload)),
            ended = &mut web.task => break Err(web_failed(ended)),
        }
    };
    app.notifications().say(STOPPING, now(&env));
    app.notifications().end();
    tracing::info!("stopping: requests under way are finished first");
    // Whoever cannot wait signals again; what is committed is safe either way.
    tokio::select! {
        ((), ()) = async { tokio::join!(web.stop(), grpc.stop()) } => {}
        () = signals.stop() => tracing::warn!("stopping at once, as asked again"),
    }
    // The handlers' share of storage goes with the last of them.
    drop(app);
    services.stop().await.and(ended)
}

/// What waits for clients.
fn web_metrics(options: &ServeOptions) -> MetricsSource {
    let answers = Arc::clone(&options.answers);
    Arc::new(move |out| answers.write(out))
}

fn now(env: &Env) -> TimestampMs {
    TimestampMs::new(env.clock.wall_ms())
}

/// The web server while it runs.
struct Web {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Web {
    fn start(listeners: Vec<TcpListener>, router: Router, options: ServeOptions) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(serve(listeners, router, options, async {
            let _stopped_or_gone = stopped.await;
        }));
        Self { stop, task }
    }

    /// Takes no new requests and waits for those under way.
    async fn stop(self) {
        let _may_have_ended = self.stop.send(());
        if !self.task.is_finished() {
            let _ended = self.task.await;
        }
    }
}

/// The web server ends only when it is told to; otherwise something is badly wrong.
fn web_failed(ended: Result<(), JoinError>) -> Failure {
    let reason = ended.err().map_or_else(|| "it ended by itself".to_owned(), |e| e.to_string());
    Failure::System { what: "web server".to_owned(), source: std::io::Error::other(reason) }
}

/// Replay may take a while, and threads of the reactor must not be held meanwhile.
async fn open_storage(
    flags: &Flags,
    env: &Env,
    config: &Config,
    replay_progress: ReplayProgress,
) -> Result<Arc<Db>, Failure> {
    let (path, env) = (flags.storage_path.clone(), env.clone());
    let mut options = skopos_tsdb::Options {
        wal_compression: match flags.wal_compression.as_str() {
            "none" => WalCompression::None,
            "zstd" => WalCompression::Zstd,
            _ => WalCompression::Snappy,
        },
        max_series: flags.max_series,
        max_exemplars: config.storage.exemplars.max_exemplars,
        snapshot_on_shutdown: flags.snapshot_on_shutdown || flags.enables(MEMORY_SNAPSHOT),
        replay_threads: std::thread::available_parallelism().map_or(1, |n| n.get().min(MOST_REPLAY_THREADS)),
        max_series_per_metric: flags.max_series_per_metric,
        memory_budget_bytes: flags.memory_budget.bytes(&*env.fs),
        replay_progress,
        ..skopos_tsdb::Options::default()
    };
    flags.blocks.apply(config, &mut options);
    let opened = tokio::task::spawn_blocking(move || Db::open(&path, options, &env));
    match opened.await {
        Ok(Ok(db)) => Ok(Arc::new(db)),
        Ok(Err(e)) => Err(Failure::Storage(e.to_string())),
        Err(e) => Err(Failure::Storage(format!("opening storage failed: {e}"))),
    }
}

/// Says how to open the page, to whoever started the program by hand.
fn announce(addresses: &[SocketAddr], (secured, mount): (bool, &Mount), config_file: Option<&Path>) {
    let local =
        addresses.iter().find(|a| a.ip().is_loopback() || a.ip().is_unspecified()).or(addresses.first());
    let scheme = if secured { "https" } else { "http" };
    let url = match local {
        Some(a) if a.ip().is_loopback() || a.ip().is_unspecified() => {
            format!("{scheme}://localhost:{}{}/", a.port(), mount.prefix)
        }
        Some(a) => format!("{scheme}://{a}{}/", mount.prefix),
        None => String::new(),
    };
    match config_file {
        Some(path) => tracing::info!(config = %path.display(), "ready: open {url}"),
        None => tracing::info!("ready: open {url} (no configuration file: watching this machine)"),
    }
}
