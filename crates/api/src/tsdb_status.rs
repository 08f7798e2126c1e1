//! `/api/v1/status/tsdb`: what the head consists of, and what most of it is. Knows no database: who has one
//! says it (`TsdbStatusSource`).

use crate::{
    blocking,
    params::Params,
    parts::Ready,
    reply::{ApiError, ErrorType, Success},
};
use serde::Serialize;
use skopos_storage::{QueryBudget, QueryError};
use std::sync::Arc;

/// How long the lists are where the client does not say.
const DEFAULT_LIMIT: usize = 10;
/// The most that a client may ask for.
const MAX_LIMIT: usize = 10_000;

/// Says what the head consists of; lists have at most so many entries.
pub type TsdbStatusSource = Arc<dyn Fn(usize, &QueryBudget) -> Result<TsdbStatus, QueryError> + Send + Sync>;

/// What the head consists of. Every list begins with the largest.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TsdbStatus {
    /// The head as a whole.
    pub head_stats: HeadStats,
    /// The metrics with the most series.
    pub series_count_by_metric_name: Vec<NamedCount>,
    /// The labels with the most values.
    pub label_value_count_by_label_name: Vec<NamedCount>,
    /// The labels whose values are the most bytes.
    pub memory_in_bytes_by_label_name: Vec<NamedCount>,
    /// The pairs with the most series.
    pub series_count_by_label_value_pair: Vec<NamedCount>,
}

/// The head as a whole; times in milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the names say it")]
pub struct HeadStats {
    pub num_series: u64,
    pub num_label_pairs: u64,
    pub chunk_count: u64,
    pub min_time: i64,
    pub max_time: i64,
}

/// A name with its count.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct NamedCount {
    pub name: String,
    pub value: u64,
}

pub(crate) async fn tsdb_status(Ready(parts): Ready, params: Params) -> Result<Success, ApiError> {
    let budget = parts.engine.budget();
    blocking::run(parts, budget, move |parts, budget| {
        let limit = match params.count("limit")? {
            0 if params.get("limit").is_some() => {
                return Err(ApiError::new(ErrorType::BadData, "limit must be a positive number"));
            }
            0 => DEFAULT_LIMIT,
            limit if limit > MAX_LIMIT => {
                return Err(ApiError::parameter("limit", format!("it is more than {MAX_LIMIT}")));
            }
            limit => limit,
        };
        Success::of(&(parts.tsdb_status)(limit, budget)?)
    })
    .await
}
