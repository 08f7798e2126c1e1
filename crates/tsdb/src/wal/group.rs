//! Groups: the records of a batch that needs several of them, all or none. Knows what is a member of which
//! group; never looks into a member.
//!
//! ```text
//!   marker 0 · record · marker 1 · record · … · record · marker n
//! ```
//! A marker says how many records the group has, how many stand before it, and what the next one is. So a
//! record is known for a member by what stands before it or behind it, also where damage took the rest.

use super::{
    page::{Compression, Framable},
    record::{GroupMarker, RecordError, RecordKind, push_group_marker, read_group_marker},
};
use std::mem;

/// The markers of a group, one more than it has records. `records`: as they are without compression.
pub(crate) fn group_markers<'a>(records: impl Iterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    let sums: Vec<u32> = records.map(crc32c::crc32c).collect();
    let (group, len) = (group_of(&sums), sums.len() as u64);
    let next = sums.iter().copied().map(Some).chain([None]);
    (0..)
        .zip(next)
        .map(|(before, next)| {
            let mut record = Vec::new();
            push_group_marker(&mut record, &GroupMarker { group, len, before, next });
            record
        })
        .collect()
}

/// Adds the records of a group to `out`, with their markers.
pub(crate) fn push_group<'a>(out: &mut Vec<Framable<'a>>, records: &[Framable<'a>], markers: &'a [Vec<u8>]) {
    for (i, marker) in markers.iter().enumerate() {
        out.push(Framable { bytes: marker, compression: Compression::None });
        out.extend(records.get(i));
    }
}

fn group_of(sums: &[u32]) -> u32 {
    sums.iter().fold(0, |crc, sum| crc32c::crc32c_append(crc, &sum.to_be_bytes()))
}

/// What stood right before the next record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Before {
    /// A record, or nothing.
    #[default]
    Record,
    /// A place that is damaged.
    Damage,
    /// A marker; the next record has this checksum.
    Marker(u32),
}

/// Records that belong together, or one that stands for itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch<'a> {
    pub(crate) records: &'a [&'a [u8]],
    /// It stands right behind damage, maybe in the segment before.
    pub(crate) is_behind_damage: bool,
}

impl<'a> Batch<'a> {
    fn of(records: &'a [&'a [u8]]) -> Self {
        Self { records, is_behind_damage: false }
    }
}

/// Lets records through: those of no group at once, those of a group once all are there.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    before: Before,
    /// The group under way, of which nothing is missing so far.
    group: Option<Group>,
    /// A record behind damage: what follows it says whether it was part of a group.
    doubtful: Option<Vec<u8>>,
}

#[derive(Debug)]
struct Group {
    marker: GroupMarker,
    members: Vec<Vec<u8>>,
    sums: Vec<u32>,
}

impl Gate {
    /// Records may be missing here.
    pub(crate) fn damage(&mut self, each: &mut dyn FnMut(Batch<'_>)) {
        self.release(each);
        self.group = None;
        self.before = Before::Damage;
    }

    /// Takes the next record. Hands out what is complete: a record, or all of a group, without markers.
    ///
    /// # Errors
    /// When it is a marker that cannot be read.
    pub(crate) fn pass(&mut self, record: &[u8], each: &mut dyn FnMut(Batch<'_>)) -> Result<(), RecordError> {
        if RecordKind::of(record) == Some(RecordKind::GroupMarker) {
            let marker = read_group_marker(record).inspect_err(|_| self.damage(each))?;
            self.marker(marker, each);
            return Ok(());
        }
        self.release(each);
        match mem::take(&mut self.before) {
            Before::Marker(sum) if sum == crc32c::crc32c(record) => {
                if let Some(group) = &mut self.group {
                    group.members.push(record.to_vec());
                    group.sums.push(sum);
                }
                return Ok(());
            }
            Before::Damage => {
                self.doubtful = Some(record.to_vec());
                return Ok(());
            }
            Before::Marker(_) | Before::Record => {}
        }
        // A group ends before its time where the process did.
        self.group = None;
        each(Batch::of(&[record]));
        Ok(())
    }

    fn marker(&mut self, marker: GroupMarker, each: &mut dyn FnMut(Batch<'_>)) {
        if marker.before == 0 {
            self.release(each);
            self.group = Some(Group { marker, members: Vec::new(), sums: Vec::new() });
        } else {
            // The record before is the group's, and its beginning is not there.
            self.doubtful = None;
            self.group.take_if(|group| {
                let same = group.marker.group == marker.group && group.marker.len == marker.len;
                !same || group.members.len() as u64 != marker.before
            });
        }
        self.before = marker.next.map_or(Before::Record, Before::Marker);
        if marker.next.is_none()
            && let Some(group) = self.group.take()
            && group_of(&group.sums) == marker.group
        {
            each(Batch::of(&group.members.iter().map(Vec::as_slice).collect::<Vec<_>>()));
        }
    }

    /// Lets through the record behind damage: nothing that follows claims it.
    fn release(&mut self, each: &mut dyn FnMut(Batch<'_>)) {
        if let Some(record) = self.doubtful.take() {
            each(Batch { records: &[&record], is_behind_damage: true });
        }
    }

    /// Whether a group has begun of which nothing is missing, but its end.
    pub(crate) fn is_open(&self) -> bool {
        self.group.is_some()
    }

    /// Whether everything so far was handed out, or never will be.
    pub(crate) fn is_settled(&self) -> bool {
        self.group.is_none() && self.doubtful.is_none()
    }

    /// No record follows.
    pub(crate) fn finish(&mut self, each: &mut dyn FnMut(Batch<'_>)) {
        self.release(each);
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A log of batches, numbered from `first` on: each record says its batch and its place there.
    fn log(first: u8, lens: &[usize]) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        for (b, len) in (first..).zip(lens) {
            let records: Vec<Vec<u8>> = (0..*len).map(|i| vec![2, b, i as u8]).collect();
            if let [one] = &records[..] {
                out.push(one.clone());
                continue;
            }
            let markers = group_markers(records.iter().map(Vec::as_slice));
            let framable = |r| Framable { bytes: r, compression: Compression::None };
            let records: Vec<_> = records.iter().map(|r| framable(r)).collect();
            let mut all = Vec::new();
            push_group(&mut all, &records, &markers);
            out.extend(all.into_iter().map(|r| r.bytes.to_vec()));
        }
        out
    }

    /// What a gate lets through of a log, of which some records are lost.
    fn through(log: &[Vec<u8>], is_lost: impl Fn(usize) -> bool) -> Vec<(u8, usize)> {
        let mut out = Vec::new();
        let mut gate = Gate::default();
        let mut each = |Batch { records, .. }: Batch<'_>| {
            let batch = records[0][1];
            let in_order = records.iter().enumerate().all(|(i, r)| r[1..] == [batch, i as u8]);
            assert!(in_order, "{records:?}");
            out.push((batch, records.len()));
        };
        for (i, record) in log.iter().enumerate() {
            if is_lost(i) {
                gate.damage(&mut each);
            } else {
                gate.pass(record, &mut each).unwrap();
            }
        }
        gate.finish(&mut each);
        out
    }

    proptest! {
        /// Damage costs the groups that it touches and no other batch. A record that lost both of its markers
        /// and nothing else is the one case in which a part stays: no page ends right before and right
        /// behind.
        #[test]
        fn a_group_is_whole_or_not_there(
            lens in prop::collection::vec(1usize..5, 1..12),
            runs in prop::collection::vec((0usize..80, 2usize..9), 0..4),
        ) {
            let log = log(0, &lens);
            let is_lost = |i: usize| runs.iter().any(|(from, len)| (*from..from + len).contains(&i));
            let lost_behind = |i: usize| i + 1 == log.len() || is_lost(i + 1);
            let alone = |i: usize| i > 0 && !is_lost(i) && is_lost(i - 1) && lost_behind(i);
            prop_assume!(!(0..log.len()).any(alone));
            let got = through(&log, is_lost);
            let mut expected = Vec::new();
            let mut at = 0;
            for (b, len) in lens.iter().enumerate() {
                let records = if *len == 1 { 1 } else { 2 * len + 1 };
                if !(at..at + records).any(is_lost) {
                    expected.push((b as u8, *len));
                }
                at += records;
            }
            prop_assert_eq!(got, expected);
        }

        /// A process ends in the middle of a group, and the next one goes on behind it.
        #[test]
        fn what_a_process_left_unfinished_is_not_there(
            first in prop::collection::vec(1usize..5, 1..5),
            second in prop::collection::vec(1usize..5, 1..5),
            cut in 0usize..11,
        ) {
            let mut one = log(0, &first);
            let cut = cut.min(one.len());
            one.truncate(one.len() - cut);
            let whole: Vec<_> = through(&one, |_| false);
            let two = log(100, &second);
            prop_assert!(cut > 0 || whole.len() == first.len());
            let expected: Vec<_> = whole.into_iter().chain((100..).zip(second)).collect();
            one.extend(two);
            prop_assert_eq!(through(&one, |_| false), expected);
        }

        #[test]
        fn arbitrary_markers_never_panic(
            records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..30),
        ) {
            let mut gate = Gate::default();
            for mut record in records {
                if record.len() > 2 {
                    record[0] = 208;
                }
                let _ = gate.pass(&record, &mut |_| ());
            }
            gate.finish(&mut |_| ());
        }
    }

    #[test]
    fn a_marker_that_cannot_be_read_is_damage() {
        let mut log = log(0, &[3, 1]);
        let marker = log.iter().position(|r| r[0] == 208).unwrap();
        log[marker + 2].truncate(4);
        let mut gate = Gate::default();
        let mut seen = Vec::new();
        let mut each = |batch: Batch<'_>| seen.push(batch.records.concat());
        let failed = log.iter().filter(|record| gate.pass(record, &mut each).is_err()).count();
        gate.finish(&mut each);
        assert_eq!((failed, seen), (1, vec![vec![2, 1, 0]]));
    }
}
