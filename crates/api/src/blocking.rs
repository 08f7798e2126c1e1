//! Work for a thread that ends when its client goes, within a bounded number at a time.

use crate::{
    parts::Parts,
    reply::{ApiError, ErrorType},
};
use skopos_storage::QueryBudget;
use std::sync::Arc;

/// Cancels its query when it is dropped: when the client has gone, so has the handler's future.
struct CancelOnDrop(Arc<QueryBudget>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Runs `work` on a thread once there is a slot for it.
pub(crate) async fn run<T: Send + 'static>(
    parts: Arc<Parts>,
    budget: Arc<QueryBudget>,
    work: impl FnOnce(&Parts, &Arc<QueryBudget>) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let cancel = CancelOnDrop(Arc::clone(&budget));
    let waiting = Arc::clone(&parts.query_slots).acquire_owned();
    let slot = tokio::time::timeout(parts.engine.options().limits.timeout.as_std(), waiting)
        .await
        .map_err(|_| ApiError::new(ErrorType::Timeout, "no free query slot (query.max-concurrency) in time"))?
        .map_err(|_| ApiError::new(ErrorType::Unavailable, "the server is stopping"))?;
    let done = tokio::task::spawn_blocking(move || {
        let result = work(&parts, &budget);
        drop(slot);
        result
    });
    let result = done.await.map_err(|e| ApiError::internal(format!("the query's thread failed: {e}")))?;
    drop(cancel);
    result
}
