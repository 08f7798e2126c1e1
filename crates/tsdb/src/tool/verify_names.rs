//! Whether the log names the series of its samples, or the copy of names does, as a server asks at its start.
//! Changes nothing.

use super::{
    listing::block_dirs,
    verify::{Finding, Verified},
};
use crate::{
    block::BlockMeta,
    db::covered_until,
    wal::{
        names::list_names,
        reader::{Item, SegmentReader},
        record::{RecordKind, read_any_samples, read_histograms, read_series},
        segment::{self, Listing},
        unnamed::{FirstNames, Unnamed, given_twice_reason},
    },
};
use skopos_base::fs::{Fs, OpenMode};
use skopos_model::{LabelsBuilder, TimestampMs};
use std::{io, path::Path};

/// What a log has named so far, and what it has not.
pub(super) struct SeenNames {
    /// Samples of before are in blocks.
    covered_ms: i64,
    named: FirstNames,
    unnamed: Unnamed,
}

impl SeenNames {
    pub(super) fn new(fs: &dyn Fs, dir: &Path) -> io::Result<Self> {
        let metas: Vec<_> = block_dirs(fs, dir)?.iter().filter_map(|b| BlockMeta::read(fs, b).ok()).collect();
        let covered_ms = covered_until(&metas).map_or(i64::MIN, TimestampMs::as_ms);
        let (named, unnamed) = Default::default();
        Ok(Self { covered_ms, named, unnamed })
    }

    /// Looks at a record. What cannot be read of it is a finding already.
    pub(super) fn see(&mut self, record: &[u8]) {
        let (mut samples, mut histograms) = (Vec::new(), Vec::new());
        match RecordKind::of(record) {
            Some(RecordKind::Series) => {
                let _ = read_series(record, &mut LabelsBuilder::default(), |wal_ref, labels| {
                    self.named.see(wal_ref, &labels);
                });
            }
            Some(RecordKind::Samples | RecordKind::SamplesV2) => {
                let _ = read_any_samples(record, &mut samples);
            }
            Some(RecordKind::Histograms) => drop(read_histograms(record, &mut histograms)),
            _ => {}
        }
        let floats = samples.iter().map(|s| (s.wal_ref, s.timestamp_ms));
        for (wal_ref, timestamp_ms) in floats.chain(histograms.iter().map(|h| (h.wal_ref, h.timestamp_ms))) {
            if timestamp_ms >= self.covered_ms && !self.named.has(wal_ref) {
                self.unnamed.add(wal_ref, timestamp_ms);
            }
        }
    }

    /// Whether the log names no series of this number, whose samples until `max` are not all in blocks.
    pub(super) fn lacks(&self, wal_ref: u64, max: TimestampMs) -> bool {
        max.as_ms() >= self.covered_ms && !self.named.has(wal_ref)
    }

    /// Says what nobody names.
    pub(super) fn finish(&mut self, fs: &dyn Fs, dir: &Path, out: &mut Verified) -> io::Result<()> {
        let reason = given_twice_reason(self.named.given_twice());
        out.findings.extend(reason.map(|reason| Finding::contradiction(&dir.join("wal"), reason)));
        if self.unnamed.samples() == 0 {
            return Ok(());
        }
        each_copied_name(fs, dir, |wal_ref| self.unnamed.forget(wal_ref))?;
        let reason = self.unnamed.reason();
        out.findings.extend(reason.map(|reason| Finding::damage(&dir.join("wal"), None, reason)));
        Ok(())
    }
}

/// Hands out the numbers that the copy of names has, where it is to be believed.
pub(super) fn each_copied_name(fs: &dyn Fs, dir: &Path, mut each: impl FnMut(u64)) -> io::Result<()> {
    let wal = dir.join("wal");
    let listing = if fs.exists(&wal)? { segment::list(fs, &wal)? } else { Listing::default() };
    let Some(names) = list_names(fs, dir, &listing)? else { return Ok(()) };
    for segment in names.checkpoint.iter().chain(&names.segments) {
        let file = fs.open(&segment.path, OpenMode::Read)?;
        let mut reader = SegmentReader::new(&*file);
        while let Some(item) = reader.next()? {
            if let Item::Record(_, record) = item
                && RecordKind::of(record) == Some(RecordKind::Series)
            {
                let _ = read_series(record, &mut LabelsBuilder::default(), |wal_ref, _| each(wal_ref));
            }
        }
    }
    Ok(())
}
