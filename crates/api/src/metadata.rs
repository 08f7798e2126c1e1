//! `/api/v1/metadata` and `/api/v1/targets/metadata`: what targets say of their metrics, and what storage
//! remembers of metrics whose targets are gone.

use crate::{
    blocking, json,
    params::Params,
    parts::{Parts, Ready},
    reply::{self, ApiError, ErrorType},
    writing::Writing,
};
use axum::{http::StatusCode, response::Response};
use serde::Serialize;
use skopos_model::{Metadata, MetricType};
use skopos_promql::parse_matchers;
use skopos_storage::QueryBudget;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// What the account takes an entry for, in bytes, besides its texts.
const SAID_BYTES: usize = 128;

/// What storage knows of metrics: names of metrics as series have them.
pub type KeptMetadata = Arc<dyn Fn() -> Vec<(String, Metadata)> + Send + Sync>;

/// What is said of a metric. The order is that of equal ones' answers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Said {
    #[serde(rename = "type")]
    metric_type: &'static str,
    unit: String,
    help: String,
}

impl From<Metadata> for Said {
    fn from(m: Metadata) -> Self {
        Self { metric_type: m.metric_type.as_str(), unit: m.unit, help: m.help }
    }
}

#[derive(Serialize)]
struct OfTarget {
    #[serde(skip_serializing_if = "String::is_empty")]
    metric: String,
    #[serde(rename = "type")]
    metric_type: &'static str,
    help: String,
    unit: String,
}

/// What targets say of each metric, each thing once; and of metrics that no target speaks of, what was said
/// last, as long as storage has series of them in memory.
pub(crate) async fn metadata(Ready(parts): Ready, params: Params) -> Result<Response, ApiError> {
    let body = blocking::answer(parts, params, |parts, params, budget, sink| {
        let limit = number(params, "limit")?.unwrap_or(usize::MAX);
        let per_metric = number(params, "limit_per_metric")?.filter(|n| *n > 0).unwrap_or(usize::MAX);
        let all = all_metadata(parts, params.get("metric"), budget)?;
        let mut writing = Writing::begin(parts, budget, sink, reply::BEGIN);
        writing.out.push(b'{');
        for (i, (metric, said)) in all.iter().take(limit).enumerate() {
            if i > 0 {
                writing.out.push(b',');
            }
            json::string(&mut writing.out, metric);
            writing.out.push(b':');
            writing.list(said.iter().take(per_metric), to_json)?;
        }
        writing.out.push(b'}');
        reply::end(&mut writing.out, &[], &[]);
        writing.end()
    });
    Ok(reply::json(StatusCode::OK, body.await?))
}

fn to_json<T: Serialize>(out: &mut Vec<u8>, value: T) {
    json::to_writer(out, &value).expect("invariant: texts serialise");
}

/// What is said of the metric, or of all.
fn all_metadata(
    parts: &Parts,
    wanted: Option<&str>,
    budget: &QueryBudget,
) -> Result<BTreeMap<String, BTreeSet<Said>>, ApiError> {
    let mut all: BTreeMap<String, BTreeSet<Said>> = BTreeMap::new();
    for target in parts.targets.targets() {
        budget.check()?;
        let said = match wanted {
            Some(metric) => target.metadata.get(metric).map(|m| (metric.to_owned(), m)).into_iter().collect(),
            None => target.metadata.all(),
        };
        for (metric, metadata) in said {
            add(&mut all, metric, metadata, budget)?;
        }
    }
    add_kept(parts, wanted, &mut all, budget)?;
    Ok(all)
}

fn add(
    all: &mut BTreeMap<String, BTreeSet<Said>>,
    metric: String,
    metadata: Metadata,
    budget: &QueryBudget,
) -> Result<(), ApiError> {
    let bytes = SAID_BYTES + metric.len() + metadata.unit.len() + metadata.help.len();
    if all.entry(metric).or_default().insert(metadata.into()) {
        budget.charge_memory(bytes as u64)?;
    }
    Ok(())
}

/// Adds what storage knows of the metric, or of all, where no target says anything of it now.
fn add_kept(
    parts: &Parts,
    wanted: Option<&str>,
    all: &mut BTreeMap<String, BTreeSet<Said>>,
    budget: &QueryBudget,
) -> Result<(), ApiError> {
    let targets = parts.targets.targets();
    // Whoever wants all has found all that targets speak of; else there is one metric to look for.
    let found: Option<BTreeSet<String>> = wanted.is_none().then(|| all.keys().cloned().collect());
    let is_said = |family: &str| match &found {
        Some(found) => found.contains(family),
        None => targets.iter().any(|target| target.metadata.get(family).is_some()),
    };
    let mut kept: BTreeMap<String, Metadata> = BTreeMap::new();
    for (metric, metadata) in (parts.kept_metadata)() {
        let family = metadata.metric_type.family_of(&metric);
        if wanted.is_none_or(|wanted| wanted == family) {
            kept.insert(family.to_owned(), metadata);
        }
    }
    for (family, metadata) in kept {
        let said = is_said(&family) || MetricType::families_of(&family).any(|(family, _)| is_said(family));
        if !said {
            add(all, family, metadata, budget)?;
        }
    }
    Ok(())
}

/// What each target says of each metric. Targets are left out once `limit` is reached, as in Prometheus.
pub(crate) async fn of_targets(Ready(parts): Ready, params: Params) -> Result<Response, ApiError> {
    let body = blocking::answer(parts, params, |parts, params, budget, sink| {
        let limit = number(params, "limit")?.unwrap_or(usize::MAX);
        let matchers = params.get("match_target").map_or(Ok(Vec::new()), parse_matchers);
        let matchers = matchers.map_err(|e| ApiError::parameter("match_target", e))?;
        let mut writing = Writing::begin(parts, budget, sink, reply::BEGIN);
        writing.out.push(b'[');
        let mut written = 0;
        for status in parts.targets.targets() {
            let labels = &status.target.labels;
            if written >= limit {
                break;
            }
            if !matchers.iter().all(|m| m.matches(labels.value(m.name()))) {
                continue;
            }
            let said = match params.get("metric") {
                Some(metric) => status.metadata.get(metric).map(|m| (String::new(), m)).into_iter().collect(),
                None => status.metadata.all(),
            };
            for (metric, metadata) in said {
                if written > 0 {
                    writing.out.push(b',');
                }
                let Said { metric_type, unit, help } = metadata.into();
                writing.out.extend_from_slice(b"{\"target\":");
                json::labels(&mut writing.out, labels);
                let others = json::to_vec(&OfTarget { metric, metric_type, help, unit });
                // The members of one object.
                writing.out.push(b',');
                writing.out.extend_from_slice(&others[1..]);
                writing.more()?;
                written += 1;
            }
        }
        writing.out.push(b']');
        reply::end(&mut writing.out, &[], &[]);
        writing.end()
    });
    Ok(reply::json(StatusCode::OK, body.await?))
}

/// A number that bounds an answer; a negative one bounds nothing.
fn number(params: &Params, name: &str) -> Result<Option<usize>, ApiError> {
    let Some(text) = params.get(name) else { return Ok(None) };
    let parsed: Result<i64, _> = text.parse();
    let wrong = |_| ApiError::new(ErrorType::BadData, format!("{name} must be a number"));
    Ok(usize::try_from(parsed.map_err(wrong)?).ok())
}
