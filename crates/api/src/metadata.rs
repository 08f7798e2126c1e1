//! `/api/v1/metadata` and `/api/v1/targets/metadata`: what targets say of their metrics.

use crate::{
    params::Params,
    parts::Ready,
    reply::{ApiError, ErrorType, Success},
};
use serde::Serialize;
use skopos_model::Metadata;
use std::collections::{BTreeMap, BTreeSet};

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
    target: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    metric: String,
    #[serde(rename = "type")]
    metric_type: &'static str,
    help: String,
    unit: String,
}

/// What targets say of each metric, each thing once.
pub(crate) async fn metadata(Ready(parts): Ready, params: Params) -> Result<Success, ApiError> {
    let limit = number(&params, "limit")?;
    let per_metric = number(&params, "limit_per_metric")?.filter(|n| *n > 0);
    let mut all: BTreeMap<String, BTreeSet<Said>> = BTreeMap::new();
    for target in parts.targets.targets() {
        let said = match params.get("metric") {
            Some(metric) => target.metadata.get(metric).map(|m| (metric.to_owned(), m)).into_iter().collect(),
            None => target.metadata.all(),
        };
        for (metric, metadata) in said {
            all.entry(metric).or_default().insert(metadata.into());
        }
    }
    let some = |said: BTreeSet<Said>| said.into_iter().take(per_metric.unwrap_or(usize::MAX)).collect();
    let cut: BTreeMap<String, Vec<Said>> = all
        .into_iter()
        .take(limit.unwrap_or(usize::MAX))
        .map(|(metric, said)| (metric, some(said)))
        .collect();
    Success::of(&cut)
}

/// What each target says of each metric. Targets are left out once `limit` is reached, as in Prometheus.
pub(crate) async fn of_targets(Ready(parts): Ready, params: Params) -> Result<Success, ApiError> {
    let limit = number(&params, "limit")?.unwrap_or(usize::MAX);
    let matchers = params.get("match_target").map_or(Ok(Vec::new()), |text| {
        skopos_promql::parse_selector(text).map_err(|e| ApiError::new(ErrorType::BadData, e.to_string()))
    })?;
    let mut out = Vec::new();
    for status in parts.targets.targets() {
        let labels = &status.target.labels;
        if out.len() >= limit {
            break;
        }
        if !matchers.iter().all(|m| m.matches(labels.value(m.name()))) {
            continue;
        }
        let said = match params.get("metric") {
            Some(metric) => status.metadata.get(metric).map(|m| (String::new(), m)).into_iter().collect(),
            None => status.metadata.all(),
        };
        out.extend(said.into_iter().map(|(metric, metadata)| {
            let Said { metric_type, unit, help } = metadata.into();
            OfTarget { target: crate::targets::map(labels), metric, metric_type, help, unit }
        }));
    }
    Success::of(&out)
}

/// A number that bounds an answer; a negative one bounds nothing.
fn number(params: &Params, name: &str) -> Result<Option<usize>, ApiError> {
    let Some(text) = params.get(name) else { return Ok(None) };
    let parsed: Result<i64, _> = text.parse();
    let wrong = |_| ApiError::new(ErrorType::BadData, format!("{name} must be a number"));
    Ok(usize::try_from(parsed.map_err(wrong)?).ok())
}
