//! `WalTail`: the log as it grows, batch by batch and in its order, for whoever sends on what was stored.
//! Reads files and changes nothing: a log with a tail is written as one without.
//!
//! A tail goes no farther than the end of a sound log, so that it never sees a batch half-written. It opens
//! every segment as soon as it is there: one that is removed while the tail has not come to it is read
//! nevertheless. What a failed synchronisation has written twice is told twice.

use super::{
    Wal,
    group::{Batch, Gate},
    reader::{Item, SegmentReader},
    record::{
        HistogramValue, RecordError, RecordKind, WalExemplar, WalHistogram, WalSample, read_exemplars,
        read_histograms, read_metadata, read_samples, read_samples_v2, read_series,
    },
    segment::{Listing, SegmentFile, list},
    snapshot::Position,
};
use skopos_base::fs::{File, OpenMode, SharedFs};
use skopos_model::{Exemplar, FloatHistogram, Histogram, Labels, LabelsBuilder, Metadata, TimestampMs};
use std::{collections::VecDeque, io, path::PathBuf, sync::Arc};

/// What the log says next.
#[derive(Debug)]
pub enum Logged<'a> {
    /// From here on a number means this series.
    Series {
        /// The number.
        number: u64,
        /// The series.
        labels: Labels,
    },
    /// A float of a series.
    Float {
        /// Which series and when.
        at: LoggedAt,
        /// The float, of which every bit counts.
        value: f64,
    },
    /// A histogram of whole counts.
    Histogram {
        /// Which series and when.
        at: LoggedAt,
        /// The histogram.
        value: &'a Histogram,
    },
    /// A histogram of float counts.
    FloatHistogram {
        /// Which series and when.
        at: LoggedAt,
        /// The histogram.
        value: &'a FloatHistogram,
    },
    /// An exemplar of a series.
    Exemplar {
        /// The series.
        number: u64,
        /// The exemplar.
        exemplar: Exemplar,
    },
    /// What the metric of a series is.
    Metadata {
        /// The series.
        number: u64,
        /// What is known of its metric.
        metadata: Metadata,
    },
    /// Something is missing here: a place is damaged, or segments are gone.
    Missing,
}

/// Which series a sample is of, and when it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoggedAt {
    /// The number of the series.
    pub number: u64,
    /// The time.
    pub timestamp: TimestampMs,
    /// When the count began, if that is known.
    pub start: Option<TimestampMs>,
}

impl LoggedAt {
    fn new(number: u64, timestamp_ms: i64, start_ms: i64) -> Self {
        let start = (start_ms != 0).then(|| TimestampMs::new(start_ms));
        Self { number, timestamp: TimestampMs::new(timestamp_ms), start }
    }
}

/// How far a tail came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// The end, as it is now.
    End,
    /// There is more.
    More,
}

/// A segment that is there, or was when it was opened.
#[derive(Debug)]
struct Opened {
    index: u32,
    file: Box<dyn File>,
}

impl Opened {
    fn open(fs: &SharedFs, segment: &SegmentFile) -> io::Result<Self> {
        Ok(Self { index: segment.index, file: fs.open(&segment.path, OpenMode::Read)? })
    }
}

/// See above.
#[derive(Debug)]
pub struct WalTail {
    fs: SharedFs,
    dir: PathBuf,
    wal: Arc<Wal>,
    /// Where the next record begins.
    at: Position,
    /// Up to where everything was told.
    place: Position,
    gate: Gate,
    /// What is to be read for names before anything else.
    named_before: VecDeque<Opened>,
    /// From the segment of `at` on.
    segments: VecDeque<Opened>,
    checkpoint: Option<u32>,
    is_missing: bool,
    scratch: Scratch,
}

#[derive(Debug, Default)]
struct Scratch {
    labels: LabelsBuilder,
    samples: Vec<WalSample>,
    with_starts: Vec<(WalSample, i64)>,
    histograms: Vec<WalHistogram>,
    exemplars: Vec<WalExemplar>,
}

impl WalTail {
    /// A tail that goes on at `from`, or begins where the log ends now.
    pub(crate) fn new(fs: SharedFs, wal: Arc<Wal>, from: Option<Position>) -> io::Result<Self> {
        let dir = wal.dir().to_owned();
        let end = wal.sound_end().map_err(io::Error::other)?;
        // A log that was taken away begins anew: a place behind its end is of another one.
        let wanted = from.filter(|from| from.segment <= end.segment).unwrap_or(end);
        let listing = list(&*fs, &dir)?;
        let open = |segment: &SegmentFile| Opened::open(&fs, segment);
        let is_whole = |s: &&SegmentFile| s.index <= wanted.segment;
        let names = listing.checkpoint.iter().chain(listing.segments.iter().filter(is_whole));
        let named_before = names.map(open).collect::<io::Result<_>>()?;
        let rest = listing.segments.iter().filter(|s| (wanted.segment..=end.segment).contains(&s.index));
        let segments: VecDeque<_> = rest.map(open).collect::<io::Result<_>>()?;
        let first = segments.front().map_or(wanted.segment, |segment| segment.index);
        let at = if first == wanted.segment { wanted } else { Position { segment: first, offset: 0 } };
        Ok(Self {
            is_missing: from.is_some() && at != wanted || from.is_some_and(|from| from != wanted),
            checkpoint: listing.checkpoint_index,
            place: at,
            gate: Gate::default(),
            scratch: Scratch::default(),
            fs,
            dir,
            wal,
            at,
            named_before,
            segments,
        })
    }

    /// Where to go on another time: all before it was told, and nothing behind it.
    pub fn place(&self) -> Position {
        self.place
    }

    /// Tells the names that the log gave before its place. Once, before anything else.
    ///
    /// # Errors
    /// When the system refuses a file; what was told stays true.
    pub fn names(&mut self, each: &mut dyn FnMut(u64, Labels)) -> io::Result<()> {
        while let Some(segment) = self.named_before.front() {
            let mut reader = SegmentReader::new(&*segment.file);
            while let Some(item) = reader.next()? {
                let Item::Record(_, record) = item else { continue };
                if RecordKind::of(record) == Some(RecordKind::Series) {
                    // Damage behind a sound checksum is counted where the record is told.
                    let _sound = read_series(record, &mut self.scratch.labels, &mut *each);
                }
            }
            self.named_before.pop_front();
        }
        Ok(())
    }

    /// Tells what comes next, up to about so many bytes of the log.
    ///
    /// # Errors
    /// When the system refuses a file. It can be tried again.
    pub fn read(&mut self, max_bytes: u64, each: &mut dyn FnMut(Logged<'_>)) -> io::Result<Reached> {
        let Some(end) = self.wal.end() else { return Ok(Reached::End) };
        self.follow(end)?;
        if std::mem::take(&mut self.is_missing) {
            each(Logged::Missing);
        }
        let mut left = max_bytes;
        loop {
            let Some(first) = self.segments.front() else { return Ok(Reached::End) };
            let is_last = first.index == end.segment;
            let before = self.at.offset;
            let reached = self.read_segment(is_last.then_some(end.offset), left, each)?;
            left = left.saturating_sub(self.at.offset - before);
            if reached == Reached::More {
                return Ok(Reached::More);
            }
            if is_last {
                return Ok(Reached::End);
            }
            let Some(next) = self.segments.get(1).map(|next| next.index) else { return Ok(Reached::End) };
            if next > self.at.segment + 1 {
                each(Logged::Missing);
            }
            self.segments.pop_front();
            self.at = Position { segment: next, offset: 0 };
            self.settle();
        }
    }

    /// Opens what has come since, so that it stays readable, whatever becomes of it in the log.
    ///
    /// # Errors
    /// When the system refuses a file. It can be tried again.
    pub fn hold(&mut self) -> io::Result<()> {
        self.wal.end().map_or(Ok(()), |end| self.follow(end))
    }

    /// The numbers that a checkpoint names which is new, all of whose segments were told: what else was named
    /// up to the segment that comes out is not needed any more. None as long as there is no such one.
    ///
    /// # Errors
    /// When the system refuses a file. It can be tried again.
    pub fn checkpoint(&mut self, each: &mut dyn FnMut(u64)) -> io::Result<Option<u32>> {
        let Listing { checkpoint_index, checkpoint, .. } = list(&*self.fs, &self.dir)?;
        let is_new = |index: &u32| self.checkpoint.is_none_or(|known| *index > known);
        let Some(index) = checkpoint_index.filter(|index| is_new(index) && *index < self.place.segment)
        else {
            return Ok(None);
        };
        for segment in &checkpoint {
            let file = self.fs.open(&segment.path, OpenMode::Read)?;
            let mut reader = SegmentReader::new(&*file);
            while let Some(item) = reader.next()? {
                let Item::Record(_, record) = item else { continue };
                if RecordKind::of(record) == Some(RecordKind::Series) {
                    let _sound = read_series(record, &mut self.scratch.labels, |number, _| each(number));
                }
            }
        }
        self.checkpoint = Some(index);
        Ok(Some(index))
    }

    /// Opens the segments that are new.
    fn follow(&mut self, end: Position) -> io::Result<()> {
        let newest = self.segments.back().map(|segment| segment.index);
        if newest.is_some_and(|newest| newest >= end.segment) {
            return Ok(());
        }
        let from = newest.map_or(self.at.segment, |newest| newest + 1);
        for segment in list(&*self.fs, &self.dir)?.segments {
            if (from..=end.segment).contains(&segment.index) {
                self.segments.push_back(Opened::open(&self.fs, &segment)?);
            }
        }
        Ok(())
    }

    /// Tells the rest of the first segment, as far as `end` where it is still written.
    fn read_segment(
        &mut self,
        end: Option<u64>,
        max_bytes: u64,
        each: &mut dyn FnMut(Logged<'_>),
    ) -> io::Result<Reached> {
        let Some(segment) = self.segments.front() else { return Ok(Reached::End) };
        if end.is_some_and(|end| end <= self.at.offset) {
            return Ok(Reached::End);
        }
        let file = UpTo { file: &*segment.file, end: end.unwrap_or(u64::MAX) };
        let mut reader = SegmentReader::starting_at(&file, self.at.offset)?;
        let last = self.at.offset.saturating_add(max_bytes);
        let (gate, scratch) = (&mut self.gate, &mut self.scratch);
        let mut reached = Reached::End;
        while let Some(item) = reader.next()? {
            let mut tell_all = |batch: Batch<'_>| {
                for record in batch.records {
                    if tell(record, scratch, each).is_err() {
                        each(Logged::Missing);
                    }
                }
            };
            match item {
                Item::Fault(_) => {
                    gate.damage(&mut tell_all);
                    each(Logged::Missing);
                }
                Item::Record(_, record) => {
                    if gate.pass(record, &mut tell_all).is_err() {
                        each(Logged::Missing);
                    }
                    self.at.offset = reader.good_end();
                    if gate.is_settled() {
                        self.place = self.at;
                        if self.at.offset >= last {
                            reached = Reached::More;
                            break;
                        }
                    }
                }
            }
        }
        if reached == Reached::End
            && let Some(end) = end
        {
            // What is damaged at the end is behind us, too.
            self.at.offset = end;
        }
        self.settle();
        Ok(reached)
    }

    fn settle(&mut self) {
        if self.gate.is_settled() {
            self.place = self.at;
        }
    }
}

/// Tells what a record holds, whole or not at all.
fn tell(record: &[u8], scratch: &mut Scratch, each: &mut dyn FnMut(Logged<'_>)) -> Result<(), RecordError> {
    match RecordKind::of(record) {
        Some(RecordKind::Series) => {
            read_series(record, &mut scratch.labels, |number, labels| each(Logged::Series { number, labels }))
        }
        Some(RecordKind::Samples) => {
            scratch.samples.clear();
            read_samples(record, &mut scratch.samples)?;
            for sample in &scratch.samples {
                each(float(sample, 0));
            }
            Ok(())
        }
        Some(RecordKind::SamplesV2) => {
            scratch.with_starts.clear();
            read_samples_v2(record, &mut scratch.with_starts)?;
            for (sample, start_ms) in &scratch.with_starts {
                each(float(sample, *start_ms));
            }
            Ok(())
        }
        Some(RecordKind::Histograms) => {
            scratch.histograms.clear();
            read_histograms(record, &mut scratch.histograms)?;
            for h in &scratch.histograms {
                let at = LoggedAt::new(h.wal_ref, h.timestamp_ms, h.start_ms);
                each(match &h.value {
                    HistogramValue::Int(value) => Logged::Histogram { at, value },
                    HistogramValue::Float(value) => Logged::FloatHistogram { at, value },
                });
            }
            Ok(())
        }
        Some(RecordKind::Exemplars) => {
            scratch.exemplars.clear();
            read_exemplars(record, &mut scratch.exemplars)?;
            for WalExemplar { wal_ref, timestamp_ms, value, labels } in scratch.exemplars.drain(..) {
                let timestamp = Some(TimestampMs::new(timestamp_ms));
                each(Logged::Exemplar { number: wal_ref, exemplar: Exemplar { labels, value, timestamp } });
            }
            Ok(())
        }
        Some(RecordKind::Metadata) => {
            read_metadata(record, |number, metadata| each(Logged::Metadata { number, metadata }))
        }
        _ => Ok(()),
    }
}

fn float(sample: &WalSample, start_ms: i64) -> Logged<'static> {
    let at = LoggedAt::new(sample.wal_ref, sample.timestamp_ms, start_ms);
    Logged::Float { at, value: f64::from_bits(sample.value_bits) }
}

/// A file as if it ended there.
#[derive(Debug)]
struct UpTo<'f> {
    file: &'f dyn File,
    end: u64,
}

impl File for UpTo<'_> {
    fn pread(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let left = usize::try_from(self.end.saturating_sub(offset)).unwrap_or(usize::MAX);
        let len = buf.len().min(left);
        self.file.pread(&mut buf[..len], offset)
    }

    fn append(&mut self, _buf: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn truncate(&mut self, _len: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.len()?.min(self.end))
    }
}
