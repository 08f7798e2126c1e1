//! Metadata of series: type, unit and help.

use super::{
    METADATA, RecordError,
    bytes::{take_count, take_text},
    push_text, take, take_uvarint,
};
use skopos_base::varint::put_uvarint;
use skopos_model::{Metadata, MetricType};

const UNIT: &str = "UNIT";
const HELP: &str = "HELP";

/// Adds a series' metadata to a record, beginning it when it is empty.
pub(crate) fn push_metadata(record: &mut Vec<u8>, wal_ref: u64, metadata: &Metadata) {
    if record.is_empty() {
        record.push(METADATA);
    }
    put_uvarint(record, wal_ref);
    let number = TYPES.iter().position(|t| *t == metadata.metric_type).unwrap_or(0);
    record.push(number as u8);
    put_uvarint(record, 2);
    for (name, value) in [(UNIT, &metadata.unit), (HELP, &metadata.help)] {
        push_text(record, name);
        push_text(record, value);
    }
}

/// Reads a metadata record. Fields that we do not know are passed over.
pub(crate) fn read_metadata(record: &[u8], mut each: impl FnMut(u64, Metadata)) -> Result<(), RecordError> {
    let mut rest = &record[1..];
    while !rest.is_empty() {
        let wal_ref = take_uvarint(&mut rest)?;
        let [number] = take::<1>(&mut rest)?;
        let metric_type = TYPES.get(usize::from(number)).copied().unwrap_or_default();
        let mut metadata = Metadata { metric_type, ..Metadata::default() };
        for _ in 0..take_count(&mut rest, 2)? {
            let name = take_text(&mut rest)?;
            let value = take_text(&mut rest)?;
            match name {
                UNIT => value.clone_into(&mut metadata.unit),
                HELP => value.clone_into(&mut metadata.help),
                _ => {}
            }
        }
        each(wal_ref, metadata);
    }
    Ok(())
}

/// Types by their number in a record.
const TYPES: [MetricType; 8] = [
    MetricType::Unknown,
    MetricType::Counter,
    MetricType::Gauge,
    MetricType::Histogram,
    MetricType::GaugeHistogram,
    MetricType::Summary,
    MetricType::Info,
    MetricType::StateSet,
];
