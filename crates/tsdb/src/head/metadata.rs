//! What the sources of metrics say about them: the latest of each metric. The log has it as metadata of one
//! series of the metric; when that series goes, it is logged once more, with another one. Never logs what
//! has not changed.

use super::{
    Head,
    series::{MemSeries, SeriesIndex},
};
use crate::wal::{Wal, compress::Compressor, record::push_metadata};
use skopos_base::sync::RwLock;
use skopos_model::{Metadata, name::METRIC_NAME};
use skopos_storage::CommitError;
use std::{collections::HashMap, sync::Arc};

/// A record of metadata is ended at so many bytes.
const RECORD_BYTES: usize = 64 << 10;

/// By metric name. Bounded by the number of metrics, each of which has a series.
#[derive(Debug, Default)]
pub(crate) struct MetricMetadata(RwLock<HashMap<Box<str>, Known>>);

#[derive(Debug)]
struct Known {
    metadata: Metadata,
    /// The series by which the log has it.
    logged_with: SeriesIndex,
}

/// Which metadata are logged once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    All,
    /// Those whose series is gone.
    OfSeriesGone,
}

impl MetricMetadata {
    pub(crate) fn get(&self, metric: &str) -> Option<Metadata> {
        self.0.read().get(metric).map(|known| known.metadata.clone())
    }

    /// Whether this is what is known of a metric.
    pub(super) fn is_known(&self, metric: &str, metadata: &Metadata) -> bool {
        self.0.read().get(metric).is_some_and(|known| known.metadata == *metadata)
    }

    /// Notes what the log has of a metric with a series of it.
    pub(super) fn set(&self, series: &MemSeries, metadata: &Metadata) {
        let Some(metric) = series.labels.metric_name() else { return };
        let new = || Known { metadata: metadata.clone(), logged_with: series.index };
        let mut all = self.0.write();
        match all.get_mut(metric) {
            Some(known) => *known = new(),
            None => drop(all.insert(metric.into(), new())),
        }
    }

    /// Those whose series is not as wanted, in the order of their metrics.
    fn select(&self, is_wanted: impl Fn(SeriesIndex) -> bool) -> Vec<(Box<str>, Metadata)> {
        let all = self.0.read();
        let wanted = all.iter().filter(|(_, known)| is_wanted(known.logged_with));
        let mut out: Vec<_> = wanted.map(|(m, known)| (m.clone(), known.metadata.clone())).collect();
        out.sort_by(|a, b| a.0.cmp(&b.0));
        out
    }

    fn forget(&self, metric: &str) {
        self.0.write().remove(metric);
    }
}

impl Head {
    /// Writes metadata to the log once more, and makes them durable there. What is known of a metric without
    /// series is forgotten.
    pub(crate) fn log_metadata(&self, wal: &Wal, again: Again) -> Result<(), CommitError> {
        // No batch changes them meanwhile.
        let commit = self.commit.lock();
        let metadata =
            self.metadata.select(|index| again == Again::All || self.registry.table().get(index).is_none());
        let (how, mut compressor, mut compressed) =
            (self.options.wal_compression, Compressor::default(), Vec::new());
        let mut record = Vec::new();
        let mut log = |record: &mut Vec<u8>| -> Result<(), CommitError> {
            if !record.is_empty() {
                wal.log(&[compressor.compress(how, record, &mut compressed)])?;
                record.clear();
            }
            Ok(())
        };
        let mut logged = Vec::new();
        for (metric, metadata) in metadata {
            let Some(series) = self.logged_series_of(&metric) else {
                self.metadata.forget(&metric);
                continue;
            };
            push_metadata(&mut record, series.wal_ref(), &metadata);
            logged.push((series, metadata));
            if record.len() >= RECORD_BYTES {
                log(&mut record)?;
            }
        }
        log(&mut record)?;
        logged.iter().for_each(|(series, metadata)| self.metadata.set(series, metadata));
        drop(commit);
        if logged.is_empty() { Ok(()) } else { wal.sync() }
    }

    /// A series of a metric that the log names.
    fn logged_series_of(&self, metric: &str) -> Option<Arc<MemSeries>> {
        let ids = self.registry.postings().values(METRIC_NAME).map(|all| all.get(metric).to_vec());
        let table = self.registry.table();
        let mut series = ids.iter().flatten().filter_map(|id| table.get(SeriesIndex(*id)));
        series.find(|series| series.is_logged()).cloned()
    }
}
