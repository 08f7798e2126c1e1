//! Whether a record can be read, whatever its kind. Keeps nothing of it.

use super::{
    RecordError, RecordKind, read_any_samples, read_deletion_bound, read_exemplars, read_group_marker,
    read_histograms, read_markers, read_metadata, read_min_valid_time, read_series, read_tombstones,
};
use skopos_model::LabelsBuilder;

/// Reads a record to its end.
pub(crate) fn check_record(record: &[u8]) -> Result<(), RecordError> {
    match RecordKind::of(record) {
        None => Ok(()),
        Some(RecordKind::Series) => read_series(record, &mut LabelsBuilder::default(), |_, _| ()),
        Some(RecordKind::Samples | RecordKind::SamplesV2) => read_any_samples(record, &mut Vec::new()),
        Some(RecordKind::Histograms) => read_histograms(record, &mut Vec::new()).map(drop),
        Some(RecordKind::Tombstones) => read_tombstones(record, &mut Vec::new()),
        Some(RecordKind::Exemplars) => read_exemplars(record, &mut Vec::new()),
        Some(RecordKind::MmapMarkers) => read_markers(record, &mut Vec::new()),
        Some(RecordKind::Metadata) => read_metadata(record, |_, _| ()),
        Some(RecordKind::MinValidTime) => read_min_valid_time(record).map(drop),
        Some(RecordKind::GroupMarker) => read_group_marker(record).map(drop),
        Some(RecordKind::DeletionBound) => read_deletion_bound(record, &mut Vec::new()).map(drop),
        Some(RecordKind::Unknown(kind)) => Err(RecordError::UnknownKind(kind)),
    }
}
