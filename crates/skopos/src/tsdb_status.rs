//! What the head consists of, as the API says it. Owns nothing.

use skopos_api::tsdb_status::{HeadStats, NamedCount, TsdbStatus, TsdbStatusSource};
use skopos_tsdb::{Db, TopEntry};
use std::sync::Arc;

/// Asks `db`.
pub(crate) fn source(db: &Arc<Db>) -> TsdbStatusSource {
    let db = Arc::clone(db);
    Arc::new(move |limit, budget| {
        let found = db.cardinality(limit, budget)?;
        // An empty head says what Prometheus' empty head says: that it begins where the blocks end.
        let (min, max) = match db.head_time_range() {
            Some(range) => (range.min.as_ms(), range.max.as_ms()),
            None => {
                let blocks_end = db.block_metas().iter().map(|meta| meta.max_time.as_ms()).max();
                blocks_end.map_or((i64::MAX, i64::MIN), |end| (end, end))
            }
        };
        Ok(TsdbStatus {
            head_stats: HeadStats {
                num_series: found.series,
                num_label_pairs: found.label_pairs,
                chunk_count: db.stats().chunks,
                min_time: min,
                max_time: max,
            },
            series_count_by_metric_name: named(found.series_by_metric),
            label_value_count_by_label_name: named(found.values_by_label),
            memory_in_bytes_by_label_name: named(found.bytes_by_label),
            series_count_by_label_value_pair: named(found.series_by_pair),
        })
    })
}

fn named(entries: Vec<TopEntry>) -> Vec<NamedCount> {
    entries.into_iter().map(|e| NamedCount { name: e.name, value: e.count }).collect()
}
