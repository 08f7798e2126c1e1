//! `/api/v1/processes`: the processes of this machine that use most. Reads no process itself: the agent's
//! `Top` does.

use crate::{
    blocking,
    params::Params,
    parts::Ready,
    reply::{ApiError, ErrorType, Success},
};
use skopos_agent::TopRequest;

pub(crate) async fn processes(Ready(parts): Ready, params: Params) -> Result<Success, ApiError> {
    let budget = parts.engine.budget();
    params.charge(&budget)?;
    blocking::run(parts, budget, move |parts, _| {
        let asked = ["by", "limit"].into_iter().flat_map(|name| params.all(name).map(move |v| (name, v)));
        let request = TopRequest::of(asked).map_err(|e| ApiError::new(ErrorType::BadData, e.to_string()))?;
        Success::of(&parts.processes.snapshot(request))
    })
    .await
}
