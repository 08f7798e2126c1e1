//! `Stats`: how long a query took, and how many samples it read, for clients that ask by `stats`.

use crate::{params::Params, parts::Parts, reply::ApiError};
use serde_json::json;
use skopos_storage::QueryBudget;
use std::time::Duration;

/// When the parts of a query began and ended.
pub(crate) struct Stats {
    wanted: bool,
    asked: Duration,
    began: Duration,
    ended: Duration,
    read: u64,
    peak: u64,
}

impl Stats {
    /// Evaluation begins; the query was `asked` at that time of the clock.
    pub(crate) fn begin(parts: &Parts, params: &Params, asked: Duration) -> Self {
        let began = parts.clock.monotonic();
        Self { wanted: params.get("stats").is_some(), asked, began, ended: began, read: 0, peak: 0 }
    }

    /// Evaluation ended, having used so much.
    pub(crate) fn evaluated(&mut self, parts: &Parts, budget: &QueryBudget) {
        (self.read, self.peak) = (budget.samples_read(), budget.samples_peak());
        self.ended = parts.clock.monotonic();
    }

    /// Writes the member behind the result, if it is wanted. Sorting and preparing are parts of evaluation.
    pub(crate) fn write(&self, out: &mut Vec<u8>) -> Result<(), ApiError> {
        if !self.wanted {
            return Ok(());
        }
        let queued = self.began.saturating_sub(self.asked).as_secs_f64();
        let evaluated = self.ended.saturating_sub(self.began).as_secs_f64();
        let stats = json!({
            "timings": {
                "evalTotalTime": evaluated,
                "resultSortTime": 0,
                "queryPreparationTime": 0,
                "innerEvalTime": evaluated,
                "execQueueTime": queued,
                "execTotalTime": evaluated + queued,
            },
            "samples": {"totalQueryableSamples": self.read, "peakSamples": self.peak},
        });
        out.extend_from_slice(b",\"stats\":");
        serde_json::to_writer(out, &stats).map_err(|e| ApiError::internal(e.to_string()))
    }
}
