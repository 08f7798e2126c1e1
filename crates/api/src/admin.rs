//! `/api/v1/admin/tsdb/…`: deletion, its cleaning up, snapshots. Only with `--web.enable-admin-api`.

use crate::{
    blocking,
    params::Params,
    parts::Ready,
    reply::{ApiError, ErrorType, Success},
};
use axum::http::StatusCode;
use serde::Serialize;
use skopos_model::{Matcher, TimestampMs};
use skopos_storage::{QueryBudget, QueryError, TimeRange};
use std::sync::Arc;

/// Why the database did not do it.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The series could not be found.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// It was tried and failed; the text says what, where and what to do.
    #[error("{0}")]
    Failed(String),
}

impl From<AdminError> for ApiError {
    fn from(e: AdminError) -> Self {
        match e {
            AdminError::Query(e) => e.into(),
            AdminError::Failed(reason) => Self::internal(reason),
        }
    }
}

/// What an operator may ask of the database.
pub trait TsdbAdmin: Send + Sync {
    /// Deletes the samples of `range` of the series that fulfil all matchers.
    fn delete_series(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        budget: &QueryBudget,
    ) -> Result<(), AdminError>;
    /// Frees the room of what was deleted.
    fn clean_tombstones(&self) -> Result<(), AdminError>;
    /// Makes a snapshot, and returns its name.
    fn snapshot(&self, head: WithHead) -> Result<String, AdminError>;
}

/// Whether a snapshot has the newest samples too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WithHead {
    /// It has.
    Yes,
    /// It has what is in blocks.
    No,
}

#[derive(Serialize)]
struct Name {
    name: String,
}

/// Makes a snapshot.
pub(crate) async fn snapshot(Ready(parts): Ready, params: Params) -> Result<Success, ApiError> {
    let head = if params.flag("skip_head")? { WithHead::No } else { WithHead::Yes };
    let budget = parts.engine.budget();
    blocking::run(parts, budget, move |parts, _| {
        let name = parts.tsdb_admin.snapshot(head)?;
        Success::of(&Name { name })
    })
    .await
}

/// Deletes samples.
pub(crate) async fn delete_series(Ready(parts): Ready, params: Params) -> Result<StatusCode, ApiError> {
    if params.all("match[]").next().is_none() {
        return Err(ApiError::new(ErrorType::BadData, "no match[] parameter provided"));
    }
    let range = TimeRange {
        min: params.time("start")?.unwrap_or(TimestampMs::MIN),
        max: params.time("end")?.unwrap_or(TimestampMs::MAX),
    };
    if range.max < range.min {
        return Err(ApiError::parameter("end", "it is before start"));
    }
    let budget = parts.engine.budget();
    params.charge(&budget)?;
    blocking::run(parts, budget, move |parts, budget| {
        for matchers in &params.selectors(budget)? {
            parts.tsdb_admin.delete_series(matchers, range, budget)?;
        }
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

/// Frees the room of what was deleted.
pub(crate) async fn clean_tombstones(Ready(parts): Ready) -> Result<StatusCode, ApiError> {
    let budget = parts.engine.budget();
    blocking::run(parts, budget, move |parts, _| {
        parts.tsdb_admin.clean_tombstones()?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

/// The answer where the flag was not given.
pub(crate) async fn not_enabled() -> ApiError {
    ApiError::new(ErrorType::Unavailable, "admin APIs disabled: start with --web.enable-admin-api")
}

/// A database that nobody administers.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoAdmin;

impl TsdbAdmin for NoAdmin {
    fn delete_series(&self, _: &[Matcher], _: TimeRange, _: &QueryBudget) -> Result<(), AdminError> {
        Err(nothing_stored())
    }

    fn clean_tombstones(&self) -> Result<(), AdminError> {
        Err(nothing_stored())
    }

    fn snapshot(&self, _: WithHead) -> Result<String, AdminError> {
        Err(nothing_stored())
    }
}

fn nothing_stored() -> AdminError {
    AdminError::Failed("this role stores nothing".to_owned())
}

/// Shared by all handlers.
pub type SharedAdmin = Arc<dyn TsdbAdmin>;
