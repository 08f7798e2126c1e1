//! `/api/v1/search/…`: names of metrics and labels, and values of a label, that fit a term; as lines of JSON
//! that are sent in batches, the last of which says how it ended.

use crate::{
    blocking, json,
    params::Params,
    parts::{Parts, Ready},
    reply::{ApiError, ErrorType},
    search_score::{Algorithm, Case, Terms},
    writing::Writing,
};
use axum::{
    http::{HeaderValue, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use skopos_model::{DurationMs, Matcher, Metadata, TimestampMs, name::METRIC_NAME};
use skopos_storage::{LabelRequest, QueryBudget, TimeRange};
use std::{collections::BTreeSet, sync::Arc};

/// So many results are wanted, and sent in one line, where the client does not say.
const DEFAULT_COUNT: usize = 100;
/// The most results of one line.
const BATCH_MAX: usize = 10_000;

/// What is searched.
enum Of {
    MetricNames,
    LabelNames,
    LabelValues,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Ascending,
    Descending,
    /// The best first, equal ones ascending.
    Score,
}

/// One request.
struct Search {
    range: TimeRange,
    selectors: Vec<Vec<Matcher>>,
    terms: Terms,
    order: Order,
    limit: usize,
    batch: usize,
    with_score: bool,
    with_metadata: bool,
}

#[derive(Serialize)]
struct Found {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f64>,
    #[serde(rename = "type", skip_serializing_if = "str::is_empty")]
    metric_type: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    help: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    unit: String,
}

pub(crate) async fn metric_names(ready: Ready, params: Params) -> Result<Response, ApiError> {
    search(ready, params, Of::MetricNames).await
}

pub(crate) async fn label_names(ready: Ready, params: Params) -> Result<Response, ApiError> {
    search(ready, params, Of::LabelNames).await
}

pub(crate) async fn label_values(ready: Ready, params: Params) -> Result<Response, ApiError> {
    search(ready, params, Of::LabelValues).await
}

async fn search(Ready(parts): Ready, params: Params, of: Of) -> Result<Response, ApiError> {
    let body = blocking::answer(parts, params, move |parts, params, budget, sink| {
        let search = Search::read(params, TimestampMs::new(parts.clock.wall_ms()), budget)?;
        let label = match of {
            Of::MetricNames => Some(METRIC_NAME),
            Of::LabelNames => None,
            Of::LabelValues => {
                let missing = || bad("missing required parameter \"label\"");
                Some(params.get("label").ok_or_else(missing)?)
            }
        };
        let with_metadata = search.with_metadata && matches!(of, Of::MetricNames);
        let found = search.find(parts, budget, label)?;
        let writing = Writing::begin(parts, budget, sink, &[]);
        Search { with_metadata, ..search }.answer(parts, found, writing)
    })
    .await?;
    let mut response = body.into_response();
    let lines = HeaderValue::from_static("application/x-ndjson; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, lines);
    Ok(response)
}

fn bad(reason: impl Into<String>) -> ApiError {
    ApiError::new(ErrorType::BadData, reason)
}

impl Search {
    fn read(params: &Params, now: TimestampMs, budget: &QueryBudget) -> Result<Self, ApiError> {
        let min = params.time("start")?.unwrap_or_else(|| now.minus(DurationMs::from_secs(3600)));
        let max = params.time("end")?.unwrap_or(now);
        let percent = match params.get("fuzz_threshold") {
            None => 0,
            Some(text) => text
                .parse()
                .ok()
                .filter(|percent| *percent <= 100)
                .ok_or_else(|| bad(format!("invalid fuzz_threshold {text:?}: must be 0-100")))?,
        };
        let algorithm = match params.get("fuzz_alg") {
            None | Some("subsequence") => Algorithm::Subsequence,
            Some("jarowinkler") => Algorithm::JaroWinkler,
            Some(other) => {
                let reason =
                    format!("unsupported fuzz_alg {other:?}: must be one of [subsequence jarowinkler]");
                return Err(bad(reason));
            }
        };
        let is_sensitive = params.get("case_sensitive").is_none() || params.flag("case_sensitive")?;
        let case = if is_sensitive { Case::Sensitive } else { Case::Insensitive };
        let terms = Terms::new(params.all("search[]"), algorithm, case, percent);
        let count = |name| -> Result<usize, ApiError> {
            let count = params.count(name)?;
            Ok(if count == 0 { DEFAULT_COUNT } else { count })
        };
        Ok(Self {
            range: TimeRange { min, max },
            selectors: params.selectors(budget)?,
            order: order(params, &terms)?,
            terms,
            limit: count("limit")?,
            batch: count("batch_size")?.min(BATCH_MAX),
            with_score: params.flag("include_score")?,
            with_metadata: params.flag("include_metadata")?,
        })
    }

    fn answer(
        &self,
        parts: &Parts,
        mut found: Vec<(String, f64)>,
        mut writing: Writing<'_>,
    ) -> Result<(), ApiError> {
        let has_more = found.len() > self.limit;
        found.truncate(self.limit);
        for batch in found.chunks(self.batch) {
            self.line(parts, batch, &mut writing)?;
            // Whoever asks for batches waits for each.
            writing.flush()?;
        }
        if found.is_empty() {
            self.line(parts, &[], &mut writing)?;
        }
        let end = format!("{{\"status\":\"success\",\"has_more\":{has_more}}}\n");
        writing.out.extend_from_slice(end.as_bytes());
        writing.end()
    }

    /// One line of results.
    fn line(
        &self,
        parts: &Parts,
        batch: &[(String, f64)],
        writing: &mut Writing<'_>,
    ) -> Result<(), ApiError> {
        writing.out.extend_from_slice(b"{\"results\":");
        writing.list(batch, |out, (name, score)| {
            let found = self.found(parts, name, *score);
            json::to_writer(out, &found).expect("invariant: texts and numbers serialise");
        })?;
        writing.out.extend_from_slice(b"}\n");
        Ok(())
    }

    /// All that fits, in order, each once.
    fn find(
        &self,
        parts: &Parts,
        budget: &Arc<QueryBudget>,
        label: Option<&str>,
    ) -> Result<Vec<(String, f64)>, ApiError> {
        let querier = parts.storage.querier(self.range)?;
        let everything: [Vec<Matcher>; 1] = [Vec::new()];
        let selectors = if self.selectors.is_empty() { &everything[..] } else { &self.selectors };
        let mut names = BTreeSet::new();
        for matchers in selectors {
            let request = LabelRequest { matchers, limit: 0, budget: Arc::clone(budget) };
            let more = match label {
                Some(label) => querier.label_values(label, &request)?,
                None => querier.label_names(&request)?,
            };
            budget.charge_memory(more.iter().map(|name| name.len() as u64).sum())?;
            names.extend(more);
        }
        let mut found = Vec::new();
        for name in names {
            budget.check()?;
            if let Some(score) = self.terms.score(&name) {
                found.push((name, score));
            }
        }
        match self.order {
            Order::Ascending => {}
            Order::Descending => found.reverse(),
            // Stable: what is equally good stays ascending.
            Order::Score => found.sort_by(|a, b| b.1.total_cmp(&a.1)),
        }
        Ok(found)
    }

    fn found(&self, parts: &Parts, name: &str, score: f64) -> Found {
        let metadata = if self.with_metadata { metadata_of(parts, name) } else { None };
        let (metric_type, help, unit) =
            metadata.map(|m| (m.metric_type.as_str(), m.help, m.unit)).unwrap_or_default();
        Found { name: name.to_owned(), score: self.with_score.then_some(score), metric_type, help, unit }
    }
}

fn metadata_of(parts: &Parts, metric: &str) -> Option<Metadata> {
    parts.targets.targets().iter().find_map(|target| target.metadata.get(metric))
}

fn order(params: &Params, terms: &Terms) -> Result<Order, ApiError> {
    let (by, direction) = (params.get("sort_by"), params.get("sort_dir"));
    match (by, direction) {
        (None, Some(_)) => Err(bad("sort_dir is only valid when sort_by is set")),
        (Some("score"), Some(_)) => Err(bad("sort_dir is not supported for sort_by=score")),
        (Some("score"), None) if terms.is_empty() => Err(bad("sort_by=score requires search[] to be set")),
        (Some("score"), None) => Ok(Order::Score),
        (None, None) | (Some("alpha"), None | Some("asc")) => Ok(Order::Ascending),
        (Some("alpha"), Some("dsc")) => Ok(Order::Descending),
        (Some("alpha"), Some(other)) => {
            Err(bad(format!("invalid sort_dir {other:?}: must be \"asc\" or \"dsc\"")))
        }
        (Some(other), _) => Err(bad(format!("invalid sort_by {other:?}: must be \"alpha\" or \"score\""))),
    }
}
