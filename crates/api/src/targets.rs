//! `/api/v1/targets`: what is scraped, and how the last scrape of each went.

use crate::{
    json,
    mount::GlobalUrls,
    params::Params,
    parts::{Parts, Ready},
    reply::{self, ApiError, ErrorType, Success},
};
use axum::Extension;
use serde::Serialize;
use skopos_model::{Labels, LabelsBuilder, TimestampMs};
use skopos_relabel::{Kept, RuleConfig};
use skopos_scrape::{pool, status::TargetStatus};
use std::{collections::BTreeMap, sync::Arc};

/// What stands for a time that never was.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// A target that rules drop.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DroppedTarget {
    discovered_labels: BTreeMap<String, String>,
    scrape_pool: String,
}

/// What stands behind the active ones.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Dropped {
    dropped_targets: Vec<DroppedTarget>,
    /// None where those that are dropped are not asked for.
    dropped_target_counts: Option<BTreeMap<String, usize>>,
}

impl Dropped {
    /// What the jobs' rules drop, in the order of their names.
    fn of(mut pools: Vec<(Arc<str>, pool::Dropped)>, wanted: bool, pool: Option<&str>) -> Self {
        if !wanted {
            return Self { dropped_targets: Vec::new(), dropped_target_counts: None };
        }
        pools.sort_by(|a, b| a.0.cmp(&b.0));
        let counts = pools.iter().map(|(job, dropped)| (job.to_string(), dropped.count)).collect();
        let mut targets = Vec::new();
        for (job, dropped) in pools.into_iter().filter(|(job, _)| pool.is_none_or(|p| p == &**job)) {
            let target =
                |labels| DroppedTarget { discovered_labels: pairs(&labels), scrape_pool: job.to_string() };
            targets.extend(dropped.kept.into_iter().map(target));
        }
        Self { dropped_targets: targets, dropped_target_counts: Some(counts) }
    }
}

fn pairs(labels: &Labels) -> BTreeMap<String, String> {
    labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// What a rule makes of labels.
#[derive(Serialize)]
struct Step<'a> {
    rule: &'a RuleConfig,
    output: BTreeMap<String, String>,
    keep: bool,
}

/// What stands behind the labels of a target.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Active {
    scrape_pool: String,
    scrape_url: String,
    global_url: String,
    last_error: String,
    last_scrape: String,
    last_scrape_duration: f64,
    health: &'static str,
    scrape_interval: String,
    scrape_timeout: String,
}

/// The targets, narrowed by `state` and `scrapePool`. Where there are thousands, writing them takes a while,
/// and scrapes run on the threads that answer.
pub(crate) async fn targets(
    Ready(parts): Ready,
    Extension(global): Extension<Arc<GlobalUrls>>,
    params: Params,
) -> Result<Success, ApiError> {
    let written = tokio::task::spawn_blocking(move || write_targets(&parts, &global, &params));
    written.await.map_err(|e| ApiError::internal(e.to_string()))
}

fn write_targets(parts: &Parts, global: &GlobalUrls, params: &Params) -> Success {
    // As in Prometheus, another state is that of no target.
    let state = params.get("state").map(str::to_ascii_lowercase);
    let wants_active = matches!(state.as_deref(), None | Some("any" | "active"));
    let wants_dropped = matches!(state.as_deref(), None | Some("any" | "dropped"));
    let pool = params.get("scrapePool");
    let mut all = parts.targets.targets();
    all.sort_by(|a, b| a.target.job.cmp(&b.target.job));
    let in_pool = |t: &&Arc<TargetStatus>| pool.is_none_or(|p| p == &*t.target.job);
    let mut body = reply::BEGIN.to_vec();
    body.extend_from_slice(b"{\"activeTargets\":[");
    for (i, target) in all.iter().filter(in_pool).filter(|_| wants_active).enumerate() {
        body.extend_from_slice(if i == 0 { b"" } else { b"," });
        write_active(&mut body, target, global);
    }
    body.extend_from_slice(b"],");
    let dropped = json::to_vec(&Dropped::of(parts.targets.dropped(), wants_dropped, pool));
    // The members of one object.
    body.extend_from_slice(&dropped[1..]);
    body.into()
}

/// What each rule of a job makes of the labels that it is given, up to the one that drops them.
pub(crate) async fn relabel_steps(Ready(parts): Ready, params: Params) -> Result<Success, ApiError> {
    let missing = |name: &str| ApiError::new(ErrorType::BadData, format!("no {name} parameter provided"));
    let pool = params.get("scrapePool").ok_or_else(|| missing("scrapePool"))?;
    let labels = params.get("labels").ok_or_else(|| missing("labels"))?;
    let labels: BTreeMap<String, String> =
        serde_json::from_str(labels).map_err(|e| ApiError::parameter("labels", e))?;
    let config = parts.config.get();
    let unknown = || ApiError::new(ErrorType::BadData, format!("unknown scrape pool {pool:?}"));
    let job = config.jobs().find(|job| job.job_name == pool).ok_or_else(unknown)?;
    let mut builder = LabelsBuilder::default();
    labels.iter().for_each(|(name, value)| builder.set(name, value));
    let steps = job.relabel_configs.steps(&builder.build());
    let steps: Vec<_> = steps
        .into_iter()
        .map(|step| Step { rule: step.rule, output: pairs(&step.labels), keep: step.kept == Kept::Yes })
        .collect();
    Success::of(&serde_json::json!({"steps": steps}))
}

fn write_active(out: &mut Vec<u8>, status: &TargetStatus, global: &GlobalUrls) {
    let (target, last) = (&status.target, status.last());
    out.extend_from_slice(b"{\"discoveredLabels\":");
    json::labels(out, &target.discovered);
    out.extend_from_slice(b",\"labels\":");
    json::labels(out, &target.labels);
    out.push(b',');
    let others = json::to_vec(&Active {
        scrape_pool: target.job.to_string(),
        scrape_url: target.url(),
        global_url: global.of(&target.url()),
        last_error: last.error,
        last_scrape: last.at.map_or_else(|| NEVER.to_owned(), rfc_3339),
        last_scrape_duration: last.took_secs,
        health: last.health.as_str(),
        scrape_interval: target.interval.to_string(),
        scrape_timeout: target.timeout.to_string(),
    });
    // The members of one object.
    out.extend_from_slice(&others[1..]);
}

pub(crate) fn rfc_3339(t: TimestampMs) -> String {
    jiff::Timestamp::from_millisecond(t.as_ms()).map_or_else(|_| NEVER.to_owned(), |t| t.to_string())
}
