//! What is known of series that the log does not name: the copy of names beside it, read when it is needed.

use super::{RefMap, reserve};
use crate::{
    head::Head,
    stats::Stats,
    wal::{
        reader::{Item, SegmentReader},
        record::{RecordKind, read_series},
        segment::{Listing, SegmentFile},
    },
};
use skopos_base::fs::{Fs, OpenMode};
use skopos_model::{Labels, LabelsBuilder};
use std::{collections::BTreeMap, io};

/// The names that the log lacks.
#[derive(Default)]
pub(super) struct Copied<'a> {
    listing: Option<&'a Listing>,
    /// Those that the log had not named when they were read.
    names: BTreeMap<u64, Labels>,
    /// How many of them were needed.
    taken: u64,
}

impl<'a> Copied<'a> {
    pub(super) fn new(listing: Option<&'a Listing>) -> Self {
        Self { listing, ..Self::default() }
    }

    /// Reads the names, once. No number among them is given to another series.
    #[cold]
    pub(super) fn load(&mut self, fs: &dyn Fs, head: &Head, refs: &RefMap) {
        let Some(listing) = self.listing.take() else { return };
        for segment in listing.checkpoint.iter().chain(&listing.segments) {
            match self.load_segment(fs, segment, head, refs) {
                Ok(Agrees::Yes) => {}
                Ok(Agrees::No) => {
                    self.names.clear();
                    tracing::warn!(
                        segment = %segment.path.display(),
                        "the copy of the series' names is of another WAL: it is not used"
                    );
                    return;
                }
                Err(error) => tracing::warn!(
                    segment = %segment.path.display(), %error, "the copy of the series' names cannot be read"
                ),
            }
        }
    }

    fn load_segment(
        &mut self,
        fs: &dyn Fs,
        segment: &SegmentFile,
        head: &Head,
        refs: &RefMap,
    ) -> io::Result<Agrees> {
        let file = fs.open(&segment.path, OpenMode::Read)?;
        let mut reader = SegmentReader::new(&*file);
        let (mut builder, mut agrees) = (LabelsBuilder::default(), true);
        while let Some(item) = reader.next()? {
            let (offset, reason) = match item {
                Item::Fault(fault) => (fault.offset, fault.reason.to_owned()),
                Item::Record(offset, record) if RecordKind::of(record) == Some(RecordKind::Series) => {
                    let read = read_series(record, &mut builder, |wal_ref, labels| {
                        agrees &= self.take_over(wal_ref, labels, head, refs);
                    });
                    let Err(error) = read else { continue };
                    (offset, error.to_string())
                }
                Item::Record(..) => continue,
            };
            Stats::add(&head.stats.wal_corruptions_total, 1);
            tracing::warn!(
                segment = %segment.path.display(), offset, reason,
                "the copy of the series' names is damaged here"
            );
        }
        Ok(if agrees { Agrees::Yes } else { Agrees::No })
    }

    /// Whether it agrees with what the log says.
    fn take_over(&mut self, wal_ref: u64, labels: Labels, head: &Head, refs: &RefMap) -> bool {
        reserve(head, wal_ref);
        if refs.is_given_twice(wal_ref) {
            return true;
        }
        let Some(index) = refs.get(wal_ref) else {
            // A number whose first series was lost with the power may have been given once more.
            self.names.insert(wal_ref, labels);
            return true;
        };
        head.registry.table().get(index).is_none_or(|series| series.labels.is(&labels))
    }

    /// The name of a number that the log does not name.
    pub(super) fn take(&mut self, wal_ref: u64) -> Option<Labels> {
        let name = self.names.remove(&wal_ref);
        self.taken += u64::from(name.is_some());
        name
    }

    /// The numbers that nobody asked for.
    pub(super) fn rest(&self) -> Vec<u64> {
        self.names.keys().copied().collect()
    }

    pub(super) fn say(&self) {
        if self.taken > 0 {
            tracing::warn!(
                series = self.taken,
                "the WAL has lost the names of series; they are taken from the copy beside it"
            );
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Agrees {
    Yes,
    No,
}
