//! What the program says of how it runs: `status/{flags,runtimeinfo,walreplay,tsdb/blocks}`, `features`,
//! `scrape_pools`. Knows no flag and no block: whoever runs the program says them (`About`).

use crate::{
    blocking,
    params::Params,
    parts::{App, Ready},
    reply::{self, ApiError, ErrorType, Success},
    targets::rfc_3339,
};
use axum::extract::State;
use serde::Serialize;
use serde_json::json;
use skopos_model::TimestampMs;
use skopos_promql::{
    ast::{AggregateOp, BinaryOp},
    functions::FUNCTIONS,
};
use skopos_scrape::ingest::StartTimes;
use skopos_web::process;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// How the last reload of the configuration went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastReload {
    /// Whether it succeeded.
    pub succeeded: bool,
    /// When the configuration in force was loaded.
    pub loaded_at: TimestampMs,
}

/// How the program runs.
pub struct About {
    /// All flags by their names, with their values.
    pub flags: BTreeMap<String, String>,
    /// What must be enabled and is.
    pub features: Vec<String>,
    /// When the process started.
    pub started_at: TimestampMs,
    /// Where it runs.
    pub directory: String,
    /// The machine's name.
    pub hostname: String,
    /// Threads that may run at the same time.
    pub threads: usize,
    /// How long samples are kept.
    pub retention: Arc<dyn Fn() -> String + Send + Sync>,
    /// How the last reload went.
    pub last_reload: Arc<dyn Fn() -> LastReload + Send + Sync>,
    /// Damaged places of the log that the start found.
    pub corruptions: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// What `meta.json` says of each block, as JSON.
    pub blocks: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
}

impl Default for About {
    fn default() -> Self {
        let never = TimestampMs::new(0);
        Self {
            flags: BTreeMap::new(),
            features: Vec::new(),
            started_at: never,
            directory: String::new(),
            hostname: String::new(),
            threads: 1,
            retention: Arc::new(String::new),
            last_reload: Arc::new(move || LastReload { succeeded: true, loaded_at: never }),
            corruptions: Arc::new(|| 0),
            blocks: Arc::new(Vec::new),
        }
    }
}

/// How far stored data has been read: numbers of segments of the write-ahead log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Replay {
    /// The first.
    pub min: u64,
    /// The last.
    pub max: u64,
    /// The one that is read.
    pub current: u64,
}

/// `status/runtimeinfo`, its members in Prometheus' order.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RuntimeInfo<'a> {
    start_time: String,
    #[serde(rename = "CWD")]
    directory: &'a str,
    hostname: &'a str,
    server_time: String,
    reload_config_success: bool,
    last_config_time: String,
    corruption_count: u64,
    goroutine_count: usize,
    #[serde(rename = "GOMAXPROCS")]
    threads: usize,
    #[serde(rename = "GOMEMLIMIT")]
    memory_limit: i64,
    #[serde(rename = "GOGC")]
    gogc: &'a str,
    #[serde(rename = "GODEBUG")]
    godebug: &'a str,
    storage_retention: String,
}

/// All flags with their values.
pub(crate) async fn flags(Ready(parts): Ready) -> Result<Success, ApiError> {
    Success::of(&parts.about.flags)
}

/// How the process runs. What only a Go program has is empty or zero; its threads stand for goroutines.
pub(crate) async fn runtime_info(Ready(parts): Ready) -> Result<Success, ApiError> {
    let about = &parts.about;
    let reload = (about.last_reload)();
    Success::of(&RuntimeInfo {
        start_time: rfc_3339(about.started_at),
        directory: &about.directory,
        hostname: &about.hostname,
        server_time: rfc_3339(TimestampMs::new(parts.clock.wall_ms())),
        reload_config_success: reload.succeeded,
        last_config_time: rfc_3339(reload.loaded_at),
        corruption_count: (about.corruptions)(),
        goroutine_count: process::threads().unwrap_or(about.threads),
        threads: about.threads,
        memory_limit: i64::MAX,
        gogc: "",
        godebug: "",
        storage_retention: (about.retention)(),
    })
}

/// How far stored data has been read; also asked before the server is ready.
pub(crate) async fn wal_replay(State(app): State<App>) -> Result<Success, ApiError> {
    Success::of(&app.replay())
}

/// The blocks that queries read.
pub(crate) async fn blocks(Ready(parts): Ready) -> Result<Success, ApiError> {
    let budget = parts.engine.budget();
    blocking::run(parts, budget, |parts, _| {
        let mut body = reply::BEGIN.to_vec();
        body.extend_from_slice(b"{\"blocks\":[");
        body.extend_from_slice((parts.about.blocks)().join(",").as_bytes());
        body.extend_from_slice(b"]}");
        Ok(body.into())
    })
    .await
}

/// The jobs.
pub(crate) async fn scrape_pools(Ready(parts): Ready) -> Result<Success, ApiError> {
    let config = parts.config.get();
    let targets = parts.targets.targets();
    let named = config.jobs().map(|job| job.job_name.as_str());
    let pools: BTreeSet<&str> = named.chain(targets.iter().map(|t| &*t.target.job)).collect();
    Success::of(&json!({"scrapePools": pools}))
}

/// What the file says of one job, with every default written out.
pub(crate) async fn scrape_pool_config(Ready(parts): Ready, params: Params) -> Result<Success, ApiError> {
    let pool = params.required("scrapePool")?;
    let config = parts.config.get();
    let found = config.jobs().find(|job| job.job_name == pool);
    let unknown = || ApiError::new(ErrorType::BadData, format!("unknown scrape pool {pool:?}"));
    let job = found.ok_or_else(unknown)?.filled(&config.global);
    Success::of(&json!({"yaml": skopos_config::to_yaml(&job)}))
}

/// What this program can, by category; the names are those of Prometheus.
pub(crate) async fn features(Ready(parts): Ready) -> Result<Success, ApiError> {
    let enabled = |name: &str| parts.about.features.iter().any(|f| f == name);
    let has_flag = |name: &str| parts.about.flags.get(name).is_some_and(|v| v == "true");
    let options = parts.engine.options();
    let language = options.language;
    let usable = |is_experimental: bool| !is_experimental || language.experimental_functions;
    let functions: BTreeMap<&str, bool> =
        FUNCTIONS.iter().map(|f| (f.name, usable(f.id.is_experimental()))).collect();
    let aggregations = AggregateOp::ALL.iter().map(|op| (op.as_str(), usable(op.is_experimental())));
    // Those of selectors among them.
    let others = BinaryOp::ALL.iter().map(|op| op.as_str()).chain(["=~", "!~", "@"]);
    let operators: BTreeMap<&str, bool> = aggregations.chain(others.map(|op| (op, true))).collect();
    Success::of(&json!({
        "api": {
            "admin": has_flag("web.enable-admin-api"),
            "exclude_alerts": true,
            "label_values_match": true,
            "lifecycle": has_flag("web.enable-lifecycle"),
            "openapi_3.1": true, "openapi_3.2": true, "otlp_write_receiver": parts.push.takes_otlp(),
            "query_stats": true, "query_warnings": true,
            "remote_write_receiver": parts.push.takes_remote_write(), "search": true,
            "time_range_labels": true, "time_range_series": true,
        },
        "otlp_receiver": {"delta_conversion": false, "native_delta_ingestion": false},
        "prometheus": {
            "agent_mode": false, "auto_reload_config": enabled("auto-reload-config"), "server_mode": true,
        },
        "promql": {
            "anchored": language.extended_range_selectors, "at_modifier": true, "bool": true, "by": true,
            "delayed_name_removal": options.delayed_name_removal,
            "duration_expr": language.duration_expressions, "fill": language.fill_modifiers,
            "fill_left": language.fill_modifiers, "fill_right": language.fill_modifiers,
            "group_left": true, "group_right": true, "ignoring": true, "negative_offset": true,
            "offset": true, "on": true, "per_query_lookback_delta": true, "per_step_stats": true,
            "smoothed": language.extended_range_selectors, "subqueries": true,
            "type_and_unit_labels": options.type_labels, "use_start_timestamps": options.start_timestamps,
            "without": true,
        },
        "promql_functions": functions,
        "promql_operators": operators,
        "rules": {"concurrent_rule_eval": false, "keep_firing_for": false, "query_offset": false},
        "scrape": {
            "extra_scrape_metrics": parts.config.get().global.extra_scrape_metrics,
            "start_timestamp_zero_ingestion": parts.targets.start_times() == StartTimes::AsZeros,
            "type_and_unit_labels": options.type_labels,
        },
        "service_discovery_providers": {
            "consul": true, "digitalocean": true, "dns": true, "docker": true, "dockerswarm": true,
            "eureka": true, "file": true, "hetzner": true, "http": true, "ionos": true, "kubernetes": true,
            "kuma": true, "linode": true, "nomad": true, "puppetdb": true, "scaleway": true, "static": true,
            "triton": true, "vultr": true,
        },
        "tsdb": {
            "delayed_compaction": false, "exemplar_storage": true, "isolation": true,
            "memory_snapshot": enabled("memory-snapshot-on-shutdown"), "native_histograms": true,
            "use_uncached_io": false,
        },
    }))
}
