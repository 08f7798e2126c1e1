//! What an operator asks over HTTP, carried out by the database.

use skopos_api::{AdminError, TsdbAdmin, WithHead};
use skopos_model::Matcher;
use skopos_storage::{QueryBudget, TimeRange};
use skopos_tsdb::{Db, DeleteError, SnapshotOf};
use std::{fmt, sync::Arc};

/// The database behind the seam of the API.
pub(super) struct Administered(pub(super) Arc<Db>);

impl TsdbAdmin for Administered {
    fn delete_series(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        budget: &QueryBudget,
    ) -> Result<(), AdminError> {
        let series = self.0.delete_series(matchers, range, budget).map_err(|e| match e {
            DeleteError::Select(e) => AdminError::Query(e),
            other => failed(&other),
        })?;
        tracing::info!(?matchers, ?range, series, "samples deleted as asked over the API");
        Ok(())
    }

    fn clean_tombstones(&self) -> Result<(), AdminError> {
        let blocks = self.0.clean_tombstones().map_err(|e| failed(&e))?;
        tracing::info!(blocks, "blocks with deleted samples written anew as asked over the API");
        Ok(())
    }

    fn snapshot(&self, head: WithHead) -> Result<String, AdminError> {
        let of = if head == WithHead::Yes { SnapshotOf::BlocksAndHead } else { SnapshotOf::Blocks };
        let name = self.0.snapshot(of).map_err(|e| failed(&e))?;
        tracing::info!(name, "snapshot made as asked over the API");
        Ok(name)
    }
}

fn failed(e: &dyn fmt::Display) -> AdminError {
    AdminError::Failed(e.to_string())
}
