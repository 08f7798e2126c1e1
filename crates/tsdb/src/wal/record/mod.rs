//! What the records of the WAL hold, to and from bytes (docs/formats/wal.md). Never trusts a length; knows
//! no page and no series.
//!
//! A reader takes a record whole or not at all, so that a batch is never half there. What Prometheus can
//! write is read; a histogram of a schema that nobody knows yet is passed over, as Prometheus does.
//!
//! - `bytes`: integers and texts.
//! - `base`: how entries stand against the first one (version 1) or the one before (version 2).
//! - one file for each kind of record.

mod base;
mod bytes;
mod check;
mod exemplars;
mod group;
mod histograms;
mod markers;
mod metadata;
mod samples;
mod series;
mod tombstones;

pub(crate) use check::check_record;
pub(crate) use exemplars::{WalExemplar, push_exemplars, push_exemplars_as, read_exemplars};
pub(crate) use group::{GroupMarker, push_group_marker, read_group_marker};
pub(crate) use histograms::{
    Counts, HistogramValue, WalHistogram, push_histograms, push_value, read_histograms, take_value,
};
pub(crate) use markers::{MmapMarker, push_markers, read_markers, read_min_valid_time};
pub(crate) use metadata::{push_metadata, read_metadata};
pub(crate) use samples::{
    SamplesRecord, SamplesV2Record, WalSample, read_any_samples, read_samples, read_samples_v2,
};
pub(crate) use series::{push_series, read_series};
pub(crate) use tombstones::{
    WalTombstone, push_deletion_bound, push_tombstones, read_deletion_bound, read_tombstones,
};

use bytes::push_text;
pub(super) use bytes::{push_labels, take, take_bytes, take_labels, take_uvarint, take_varint};

/// The first byte of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RecordKind {
    Series,
    Samples,
    Tombstones,
    Exemplars,
    MmapMarkers,
    Metadata,
    /// Any of the kinds of histogram samples.
    Histograms,
    /// Samples with start timestamps, as Prometheus 3 can write them.
    SamplesV2,
    MinValidTime,
    /// Of a group of records; only Skopos writes it.
    GroupMarker,
    /// Before which deletions count no more; only Skopos writes it.
    DeletionBound,
    Unknown(u8),
}

const SERIES: u8 = 1;
const SAMPLES: u8 = 2;
const TOMBSTONES: u8 = 3;
const EXEMPLARS: u8 = 4;
const MMAP_MARKERS: u8 = 5;
const METADATA: u8 = 6;
const HISTOGRAMS: u8 = 7;
const FLOAT_HISTOGRAMS: u8 = 8;
const CUSTOM_HISTOGRAMS: u8 = 9;
const CUSTOM_FLOAT_HISTOGRAMS: u8 = 10;
const SAMPLES_V2: u8 = 11;
const HISTOGRAMS_V2: u8 = 12;
const FLOAT_HISTOGRAMS_V2: u8 = 13;
const MIN_VALID_TIME: u8 = 14;
/// Far from the kinds that Prometheus may come to use.
const GROUP_MARKER: u8 = 208;
const DELETION_BOUND: u8 = 209;

impl RecordKind {
    pub(crate) fn of(record: &[u8]) -> Option<Self> {
        Some(match *record.first()? {
            SERIES => Self::Series,
            SAMPLES => Self::Samples,
            TOMBSTONES => Self::Tombstones,
            EXEMPLARS => Self::Exemplars,
            MMAP_MARKERS => Self::MmapMarkers,
            METADATA => Self::Metadata,
            HISTOGRAMS..=CUSTOM_FLOAT_HISTOGRAMS | HISTOGRAMS_V2 | FLOAT_HISTOGRAMS_V2 => Self::Histograms,
            SAMPLES_V2 => Self::SamplesV2,
            MIN_VALID_TIME => Self::MinValidTime,
            GROUP_MARKER => Self::GroupMarker,
            DELETION_BOUND => Self::DeletionBound,
            other => Self::Unknown(other),
        })
    }
}

/// What is wrong with a record whose checksum is right: another writer's fault, or a flipped header bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecordError {
    #[error("it ends in the middle of an entry")]
    Truncated,
    #[error("a variable-length integer has more than 64 bits")]
    Overflow,
    #[error("a text is not UTF-8")]
    NotUtf8,
    #[error("a label has no name")]
    NoName,
    #[error("a number is out of the range of its field")]
    OutOfRange,
    #[error("the buckets of a histogram do not fit its spans")]
    Buckets,
    #[error("it is of kind {0}, which is unknown")]
    UnknownKind(u8),
}

/// Runs `read`, and takes back what it appended to `out` when it fails.
fn whole<T>(
    out: &mut Vec<T>,
    read: impl FnOnce(&mut Vec<T>) -> Result<(), RecordError>,
) -> Result<(), RecordError> {
    let before = out.len();
    let result = read(out);
    if result.is_err() {
        out.truncate(before);
    }
    result
}

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod tests;
