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
    check_page(&params)?;
    let budget = parts.engine.budget();
    params.charge(&budget)?;
    blocking::run(parts, budget, move |_, budget| {
        params.selectors(budget)?;
        Success::of(&json!({"groups": []}))
    })
    .await
}

/// Checks by which page groups are asked for. There are none, so no answer gave a token.
fn check_page(params: &Params) -> Result<(), ApiError> {
    let limit = params.count("group_limit")?;
    if params.get("group_limit").is_some() && limit == 0 {
        return Err(ApiError::parameter("group_limit", "group_limit needs to be greater than 0"));
    }
    let Some(token) = params.get("group_next_token") else { return Ok(()) };
    Err(ApiError::parameter(
        "group_next_token",
        if limit == 0 {
            "group_limit needs to be present in order to paginate over the groups".to_owned()
        } else {
            format!("invalid group_next_token '{token}'. were rule groups changed?")
        },
    ))
}

/// The alerts that are pending or firing.
pub(crate) async fn alerts() -> Result<Success, ApiError> {
    Success::of(&json!({"alerts": []}))
}

/// Where alerts are sent.
pub(crate) async fn alertmanagers() -> Result<Success, ApiError> {
    Success::of(&json!({"activeAlertmanagers": [], "droppedAlertmanagers": []}))
}
