//! What the write-behind log has, looked through while the WAL is still read. Passes over what the replay of
//! that log passes over; never stores a sample, never says what is damaged: that is done when it is replayed.

use crate::{
    error::OpenError,
    head::histograms::is_sound,
    wal::{
        group::{Batch, Gate},
        reader::{Item, SegmentReader},
        record::{RecordKind, read_any_samples, read_histograms},
        segment::SegmentFile,
    },
};
use skopos_base::fs::{Fs, OpenMode};

/// Hands out the series' number in the log and the time of each sample.
pub(super) fn each_sample(
    fs: &dyn Fs,
    segments: &[SegmentFile],
    each: &mut dyn FnMut(u64, i64),
) -> Result<(), OpenError> {
    let mut gate = Gate::default();
    let (mut floats, mut histograms) = (Vec::new(), Vec::new());
    let mut batch = |Batch { records, .. }: Batch<'_>| {
        for record in records {
            floats.clear();
            histograms.clear();
            // A record that is damaged in its middle brings nothing at its replay.
            let read = match RecordKind::of(record) {
                Some(RecordKind::Samples | RecordKind::SamplesV2) => read_any_samples(record, &mut floats),
                Some(RecordKind::Histograms) => read_histograms(record, &mut histograms).map(drop),
                _ => continue,
            };
            if read.is_ok() {
                floats.iter().for_each(|s| each(s.wal_ref, s.timestamp_ms));
                let sound = histograms.iter().filter(|s| is_sound(&s.value));
                sound.for_each(|s| each(s.wal_ref, s.timestamp_ms));
            }
        }
    };
    for segment in segments {
        let fail = |doing| OpenError::io(doing, &segment.path);
        let file = fs.open(&segment.path, OpenMode::Read).map_err(fail("opening"))?;
        let mut reader = SegmentReader::starting_at(&*file, 0).map_err(fail("reading"))?;
        while let Some(item) = reader.next().map_err(fail("reading"))? {
            match item {
                Item::Fault(_) => gate.damage(&mut batch),
                // A marker that cannot be read is damage; the gate sees to it.
                Item::Record(_, record) => drop(gate.pass(record, &mut batch)),
            }
        }
    }
    gate.damage(&mut batch);
    Ok(())
}
