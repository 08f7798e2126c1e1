//! `/api/v1/rules`, `/api/v1/alerts`, `/api/v1/alertmanagers`: nothing evaluates rules yet, so the lists are
//! empty; parameters are checked all the same.

use crate::{
    blocking,
    params::Params,
    parts::Ready,
    reply::{ApiError, Success},
};
use serde_json::json;

/// The groups of rules.
pub(crate) async fn rules(Ready(parts): Ready, params: Params) -> Result<Success, ApiError> {
    if let Some(kind) = params.get("type")
        && !matches!(kind, "alert" | "record")
    {
        return Err(ApiError::parameter("type", format!("not supported value {kind:?}")));
    }
    params.flag("exclude_alerts")?;
    params.count("group_limit")?;
    let budget = parts.engine.budget();
    params.charge(&budget)?;
    blocking::run(parts, budget, move |_, budget| {
        params.selectors(budget)?;
        Success::of(&json!({"groups": []}))
    })
    .await
}

/// The alerts that are pending or firing.
pub(crate) async fn alerts() -> Result<Success, ApiError> {
    Success::of(&json!({"alerts": []}))
}

/// Where alerts are sent.
pub(crate) async fn alertmanagers() -> Result<Success, ApiError> {
    Success::of(&json!({"activeAlertmanagers": [], "droppedAlertmanagers": []}))
}
