//! What the sources of metrics say about them: the latest of each metric. The log has it as metadata of one
//! series of the metric; when that series goes, it is logged once more, with another one. Never logs what
//! has not changed.

use super::{
    Head,
    series::{MemSeries, SeriesIndex},
};
use crate::stats::Stats;
use crate::wal::{Wal, compress::Compressor, record::push_metadata};
use skopos_base::sync::RwLock;
use skopos_model::{Metadata, name::METRIC_NAME};
use skopos_storage::CommitError;
use std::{collections::HashMap, sync::Arc};

/// A record of metadata is ended at so many bytes.
const RECORD_BYTES: usize = 64 << 10;

/// By metric name. Bounded by the number of metrics, each of which has a series, and by the bytes of all.
#[derive(Debug)]
pub(crate) struct MetricMetadata {
    all: RwLock<All>,
    max_bytes: u64,
}

#[derive(Debug, Default)]
struct All {
    by_metric: HashMap<Box<str>, Known>,
    /// Of names and texts.
    bytes: u64,
}

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

impl All {
    /// What it would come to with this.
    fn bytes_with(&self, metric: &str, metadata: &Metadata) -> u64 {
        let before = self.by_metric.get(metric).map_or(0, |known| bytes_of(metric, &known.metadata));
        self.bytes - before + bytes_of(metric, metadata)
    }
}

fn bytes_of(metric: &str, metadata: &Metadata) -> u64 {
    (metric.len() + metadata.help.len() + metadata.unit.len()) as u64
}

impl MetricMetadata {
    /// Of so many bytes at most.
    pub(crate) fn new(max_bytes: u64) -> Self {
        Self { all: RwLock::default(), max_bytes }
    }

    pub(crate) fn get(&self, metric: &str) -> Option<Metadata> {
        self.all.read().by_metric.get(metric).map(|known| known.metadata.clone())
    }

    /// What is known of all metrics, in no order.
    pub(crate) fn all(&self) -> Vec<(String, Metadata)> {
        let all = self.all.read();
        all.by_metric.iter().map(|(metric, known)| (metric.to_string(), known.metadata.clone())).collect()
    }

    /// Whether this can be kept too; counts it where it cannot.
    pub(super) fn has_room(&self, metric: &str, metadata: &Metadata, stats: &Stats) -> bool {
        let has_room = self.all.read().bytes_with(metric, metadata) <= self.max_bytes;
        if !has_room {
            Stats::add(&stats.metadata_dropped_total, 1);
        }
        has_room
    }

    /// Whether this is what is known of a metric.
    pub(super) fn is_known(&self, metric: &str, metadata: &Metadata) -> bool {
        self.all.read().by_metric.get(metric).is_some_and(|known| known.metadata == *metadata)
    }

    /// Notes what the log has of a metric with a series of it. What is beyond the bound is passed over.
    pub(super) fn set(&self, series: &MemSeries, metadata: &Metadata) {
        let Some(metric) = series.labels.metric_name() else { return };
        let new = || Known { metadata: metadata.clone(), logged_with: series.index };
        let mut all = self.all.write();
        let bytes = all.bytes_with(metric, metadata);
        if bytes > self.max_bytes {
            return;
        }
        all.bytes = bytes;
        match all.by_metric.get_mut(metric) {
            Some(known) => *known = new(),
            None => drop(all.by_metric.insert(metric.into(), new())),
        }
    }

    /// Those whose series is not as wanted, in the order of their metrics.
    fn select(&self, is_wanted: impl Fn(SeriesIndex) -> bool) -> Vec<(Box<str>, Metadata)> {
        let all = self.all.read();
        let wanted = all.by_metric.iter().filter(|(_, known)| is_wanted(known.logged_with));
        let mut out: Vec<_> = wanted.map(|(m, known)| (m.clone(), known.metadata.clone())).collect();
        out.sort_by(|a, b| a.0.cmp(&b.0));
        out
    }

    fn forget(&self, metric: &str) {
        let mut all = self.all.write();
        if let Some(known) = all.by_metric.remove(metric) {
            all.bytes -= bytes_of(metric, &known.metadata);
        }
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
                self.log_names_due(wal)?;
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
            push_metadata(&mut record, series.wal_ref().get(), &metadata);
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
