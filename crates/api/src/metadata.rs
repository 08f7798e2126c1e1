//! `/api/v1/metadata` and `/api/v1/targets/metadata`: what targets say of their metrics, and what storage
//! remembers of metrics whose targets are gone.

use crate::{
    params::Params,
    parts::{Parts, Ready},
    reply::{ApiError, ErrorType, Success},
};
use serde::Serialize;
use skopos_model::{Metadata, MetricType};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

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
    target: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    metric: String,
    #[serde(rename = "type")]
    metric_type: &'static str,
    help: String,
    unit: String,
}

/// The name under which the metric of a stored series is listed. A counter of `OpenMetrics` had a family
/// without the suffix; that cannot be told from one of the text format, where family and series are called
/// the same.
fn family_of(metric: &str, of: MetricType) -> &str {
    let mut families = MetricType::families_of(metric).filter(|(_, fits)| *fits == of);
    match of {
        MetricType::Counter => metric,
        _ => families.next().map_or(metric, |(family, _)| family),
    }
}

/// What targets say of each metric, each thing once; and of metrics that no target speaks of, what was said
/// last, as long as storage has series of them in memory.
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
    add_kept(&parts, params.get("metric"), &mut all);
    let some = |said: BTreeSet<Said>| said.into_iter().take(per_metric.unwrap_or(usize::MAX)).collect();
    let cut: BTreeMap<String, Vec<Said>> = all
        .into_iter()
        .take(limit.unwrap_or(usize::MAX))
        .map(|(metric, said)| (metric, some(said)))
        .collect();
    Success::of(&cut)
}

/// Adds what storage knows of the metric, or of all, where no target says anything of it now.
fn add_kept(parts: &Parts, wanted: Option<&str>, all: &mut BTreeMap<String, BTreeSet<Said>>) {
    let targets = parts.targets.targets();
    let is_said = |family: &str| targets.iter().any(|target| target.metadata.get(family).is_some());
    let mut kept: BTreeMap<String, Metadata> = BTreeMap::new();
    for (metric, metadata) in (parts.kept_metadata)() {
        let family = family_of(&metric, metadata.metric_type);
        if wanted.is_none_or(|wanted| wanted == family) {
            kept.insert(family.to_owned(), metadata);
        }
    }
    for (family, metadata) in kept {
        let said = is_said(&family) || MetricType::families_of(&family).any(|(family, _)| is_said(family));
        if !said {
            all.entry(family).or_default().insert(metadata.into());
        }
    }
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
