//! `HistogramEncoder` and `FloatHistogramEncoder`: append histograms to one chunk. They never cut chunks by
//! size and never check the order of time: both are the head's decisions.

use crate::ChunkError;
use crate::bits::BitWriter;
use crate::encoder::MAX_SAMPLES;
use crate::fit::{Facts, Fit, positions, spread};
use crate::frame::{Frame, Header, MAX_WITH_STARTS, reset_bits};
use crate::histogram_decoder::{ChunkCounts, Cursor};
use crate::layout::put_layout;
use crate::starts::{HEADER, StartsWriter, Times};
use skopos_model::histogram::{CounterResetHint, Layout, Span, bucket_count};
use skopos_model::{FloatHistogram, Histogram, TimestampMs, is_stale_nan};

/// A chunk without samples.
const EMPTY: [u8; HEADER] = [0; HEADER];

/// What became of a histogram that was to be appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Appended {
    /// It stands in the chunk.
    Same,
    /// It stands in the chunk, all of whose bytes were written anew: it has more buckets now.
    Recoded,
    /// It does not fit: `begin` a chunk with this header and it.
    NewChunk(CounterResetHint),
}

/// Appends histograms with whole counts; see `HistogramChunkEncoder`.
pub type HistogramEncoder = HistogramChunkEncoder<Histogram>;
/// Appends histograms with float counts; see `HistogramChunkEncoder`.
pub type FloatHistogramEncoder = HistogramChunkEncoder<FloatHistogram>;

/// Appends histograms to a chunk whose bytes are complete after every append, and are those that Prometheus
/// writes; see `docs/formats/histogram-chunk.md`.
///
/// Histograms have to be valid (`validate`) or staleness markers: where spans and buckets disagree,
/// appending panics.
#[derive(Clone, Debug)]
#[expect(private_bounds, reason = "there are two kinds of histogram, and both are here")]
pub struct HistogramChunkEncoder<H: Kind> {
    out: BitWriter,
    /// The layout; its hint is the chunk's header.
    layout: Layout,
    timestamp: i64,
    delta: i64,
    counts: H::Counts,
    /// Where the chunk has start timestamps.
    starts: Option<StartsWriter>,
}

/// A histogram's counts as chunks hold them: whole, or floats. Implemented by the two histograms and by
/// nothing else.
pub(crate) trait Kind: Clone + Sized {
    /// The counts of the last sample, and what the next one builds on.
    type Counts: ChunkCounts<Histogram = Self>;

    /// Where the buckets are.
    fn layout(&self) -> &Layout;
    /// Whether it is a staleness marker.
    fn is_marker(&self) -> bool;
    /// How many buckets are given on both sides.
    fn given(&self) -> [usize; 2];
    /// The same histogram with other spans, which have all its buckets.
    fn spread(&self, positive: Vec<Span>, negative: Vec<Span>) -> Self;
    /// How the histogram fits behind those counts.
    fn fit(&self, chunk: &Layout, counts: &Self::Counts) -> Fit;
    /// The header of a chunk that begins with this histogram, had it been cut in spite of `fit`.
    fn header_of(fit: &Fit) -> CounterResetHint;
    /// Writes the counts of a chunk's first sample.
    fn put_first(&self, out: &mut BitWriter, counts: &mut Self::Counts);
    /// Writes the counts of a later sample.
    fn put_later(&self, out: &mut BitWriter, counts: &mut Self::Counts);
}

impl<H: Kind> Default for HistogramChunkEncoder<H> {
    fn default() -> Self {
        Self::new()
    }
}

#[expect(private_bounds, reason = "there are two kinds of histogram, and both are here")]
impl<H: Kind> HistogramChunkEncoder<H> {
    /// A chunk without samples.
    pub fn new() -> Self {
        let layout = Layout::default();
        let counts = H::Counts::none(&layout);
        Self { out: BitWriter::new(), layout, timestamp: 0, delta: 0, counts, starts: None }
    }

    /// A chunk that begins with that header and sample: what follows `Appended::NewChunk` or a cut by time
    /// or size, for which `header_of_next` gives the header.
    pub fn begin(header: CounterResetHint, timestamp: TimestampMs, histogram: &H) -> Self {
        Self::begin_since(header, At::of(timestamp), histogram)
    }

    /// The same of a sample that may have a start, for which the chunk then has room.
    pub(crate) fn begin_since(header: CounterResetHint, at: At, histogram: &H) -> Self {
        let mut encoder = Self { starts: at.starts_writer(), ..Self::new() };
        encoder.put_first(header, at, histogram);
        encoder
    }

    /// Whether the chunk has start timestamps, and hence which number.
    pub(crate) const fn has_starts(&self) -> bool {
        self.starts.is_some()
    }

    /// How many samples the chunk can have when that one is the next.
    pub(crate) const fn max_samples(&self, next: At) -> u16 {
        if self.has_starts() || next.start != 0 { MAX_WITH_STARTS } else { MAX_SAMPLES }
    }

    /// An encoder that goes on where `bytes` end. What stands behind the last counted sample is dropped.
    ///
    /// # Errors
    /// When `bytes` are no chunk.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ChunkError> {
        let mut cursor = Cursor::<H::Counts>::new(bytes, Header::Plain)?;
        while cursor.frame.remaining() > 0 {
            cursor.advance()?;
        }
        let Cursor { frame, counts, .. } = cursor;
        if frame.read == 0 {
            return Ok(Self::new());
        }
        let Frame { reader, layout, timestamp, delta, .. } = frame;
        let out = BitWriter::behind(bytes, reader.bit);
        Ok(Self { out, layout, timestamp, delta, counts, starts: None })
    }

    /// How many samples the chunk has.
    pub fn len(&self) -> u16 {
        let count = self.out.buf.first_chunk::<2>().map_or(0, |count| u16::from_be_bytes(*count));
        if self.has_starts() { count & MAX_WITH_STARTS } else { count }
    }

    /// Whether the chunk has no sample.
    pub fn is_empty(&self) -> bool {
        self.out.buf.is_empty()
    }

    /// The chunk, complete with all samples so far.
    pub fn bytes(&self) -> &[u8] {
        if self.out.buf.is_empty() { &EMPTY } else { &self.out.buf }
    }

    /// The chunk, complete; its memory fits its length.
    pub fn into_bytes(self) -> Vec<u8> {
        if self.out.buf.is_empty() {
            return EMPTY.to_vec();
        }
        let mut buf = self.out.buf;
        buf.shrink_to_fit();
        buf
    }

    /// What the chunk's header says of resets.
    pub fn header(&self) -> CounterResetHint {
        self.layout.counter_reset_hint
    }

    /// The last sample as a reader finds it, but for its hint, which is the chunk's header.
    pub fn last(&self) -> Option<(TimestampMs, H)> {
        let last = || match is_stale_nan(self.counts.sum()) {
            true => H::Counts::marker(),
            false => self.counts.histogram(self.layout.clone()),
        };
        (!self.is_empty()).then(|| (TimestampMs::new(self.timestamp), last()))
    }

    /// When the last sample was.
    pub fn last_timestamp(&self) -> Option<TimestampMs> {
        (!self.is_empty()).then(|| TimestampMs::new(self.timestamp))
    }

    /// How many bytes the chunk holds besides the encoder and its counts.
    pub fn heap_bytes(&self) -> usize {
        self.out.buf.capacity()
    }

    /// The header of the chunk that begins with `histogram` behind this one, when this one is cut by time
    /// or size.
    pub fn header_of_next(&self, histogram: &H) -> CounterResetHint {
        match histogram.layout().counter_reset_hint {
            hint @ (CounterResetHint::Gauge | CounterResetHint::Reset) => hint,
            _ if self.is_empty() => CounterResetHint::Unknown,
            _ => H::header_of(&histogram.fit(&self.layout, &self.counts)),
        }
    }

    /// Appends a sample, where it fits.
    ///
    /// # Panics
    /// When the chunk has `MAX_SAMPLES` samples already, and when spans and buckets of `histogram` disagree.
    pub fn append(&mut self, timestamp: TimestampMs, histogram: &H) -> Appended {
        self.append_since(At::of(timestamp), histogram)
    }

    /// The same of a sample that may have a start: the first one makes the chunk to be written anew.
    pub(crate) fn append_since(&mut self, at: At, histogram: &H) -> Appended {
        assert_counts_agree(histogram);
        if self.is_empty() {
            let header = self.header_of_next(histogram);
            self.starts = at.starts_writer();
            self.put_first(header, at, histogram);
            return Appended::Same;
        }
        let fit = histogram.fit(&self.layout, &self.counts);
        let appended = match fit {
            Fit::Another(header) => return Appended::NewChunk(header),
            Fit::AsIs => Appended::Same,
            Fit::Wider { positive, negative } => {
                self.recode(&positive, &negative, self.starts.map(|_| StartsWriter::default()));
                Appended::Recoded
            }
        };
        if let (None, Some(starts)) = (self.starts, at.starts_writer()) {
            let Layout { positive_spans, negative_spans, .. } = self.layout.clone();
            self.recode(&positive_spans, &negative_spans, Some(starts));
        }
        let marker = histogram.is_marker();
        let (positive, negative) = (&self.layout.positive_spans, &self.layout.negative_spans);
        let given = histogram.layout();
        if marker || given.positive_spans == *positive && given.negative_spans == *negative {
            self.put_later(at, histogram);
        } else {
            let spread = histogram.spread(positive.clone(), negative.clone());
            self.put_later(at, &spread);
        }
        appended
    }

    /// Writes the chunk anew with spans that have all its buckets and maybe more, with room for starts or
    /// without.
    fn recode(&mut self, positive: &[Span], negative: &[Span], starts: Option<StartsWriter>) {
        let mut wider = Self { starts, ..Self::new() };
        let header = if self.has_starts() { Header::WithStarts } else { Header::Plain };
        for (at, sample) in samples::<H>(self.bytes(), header) {
            let spread = match sample.is_marker() {
                true => sample,
                false => sample.spread(positive.to_vec(), negative.to_vec()),
            };
            match wider.is_empty() {
                true => wider.put_first(self.layout.counter_reset_hint, at, &spread),
                false => wider.put_later(at, &spread),
            }
        }
        *self = wider;
    }

    fn put_first(&mut self, header: CounterResetHint, at: At, histogram: &H) {
        assert_counts_agree(histogram);
        let marker = H::Counts::marker();
        let histogram = if histogram.is_marker() { &marker } else { histogram };
        self.layout = Layout { counter_reset_hint: header, ..histogram.layout().clone() };
        self.counts = H::Counts::none(&self.layout);
        self.out.buf.extend_from_slice(&match self.starts {
            None => [0, 1, reset_bits(header)],
            Some(_) => [reset_bits(header), 1, 0],
        });
        put_layout(&mut self.out, &self.layout);
        self.timestamp = at.time;
        self.out.put_signed(self.timestamp);
        histogram.put_first(&mut self.out, &mut self.counts);
        if let Some(starts) = &mut self.starts {
            starts.put(&mut self.out, 0, Times { before: 0, now: at.time }, at.start);
        }
    }

    fn put_later(&mut self, at: At, histogram: &H) {
        let (count, max) = (self.len(), self.max_samples(at));
        assert!(count < max, "invariant: a chunk is cut before it has {max} samples");
        let times = Times { before: self.timestamp, now: at.time };
        let delta = times.now.wrapping_sub(times.before);
        self.out.put_signed(delta.wrapping_sub(self.delta));
        (self.timestamp, self.delta) = (times.now, delta);
        let marker = H::Counts::marker();
        let histogram = if histogram.is_marker() { &marker } else { histogram };
        histogram.put_later(&mut self.out, &mut self.counts);
        let mut header = (count + 1).to_be_bytes();
        if let Some(starts) = &mut self.starts {
            starts.put(&mut self.out, count, times, at.start);
            header[0] |= reset_bits(self.layout.counter_reset_hint);
        }
        self.out.buf[..2].copy_from_slice(&header);
    }
}

/// When a sample is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At {
    pub(crate) time: i64,
    /// Since when it was counted; 0 when that is not known.
    pub(crate) start: i64,
}

impl At {
    const fn of(time: TimestampMs) -> Self {
        Self { time: time.as_ms(), start: 0 }
    }

    /// What a chunk needs that has this sample.
    fn starts_writer(self) -> Option<StartsWriter> {
        (self.start != 0).then(StartsWriter::default)
    }
}

/// All samples of a chunk that was written here.
fn samples<H: Kind>(bytes: &[u8], header: Header) -> Vec<(At, H)> {
    const READABLE: &str = "invariant: a chunk that was written here can be read";
    let mut samples = Vec::new();
    let mut cursor = Cursor::<H::Counts>::new(bytes, header).expect(READABLE);
    while cursor.frame.remaining() > 0 {
        cursor.advance().expect(READABLE);
        let start = cursor.frame.starts.of_last().as_ms();
        samples.push((At { time: cursor.frame.timestamp, start }, cursor.exact()));
    }
    samples
}

/// A histogram that is none would make a chunk that nobody can read.
fn assert_counts_agree<H: Kind>(histogram: &H) {
    let layout = histogram.layout();
    let spans = [&layout.positive_spans, &layout.negative_spans].map(|s| bucket_count(s));
    let agree = spans == histogram.given().map(|b| b as u64);
    assert!(agree || histogram.is_marker(), "invariant: only valid histograms are appended");
}

/// The facts that both kinds of histogram know of themselves and their chunk.
pub(crate) fn facts<'a, H: Kind>(
    next: &'a H,
    chunk: &'a Layout,
    counts: &H::Counts,
    [count_fell, zero_count_fell]: [bool; 2],
    behind_gauge: CounterResetHint,
) -> Facts<'a> {
    Facts {
        chunk,
        chunk_stale: is_stale_nan(counts.sum()),
        next: next.layout(),
        next_stale: next.is_marker(),
        count_fell,
        zero_count_fell,
        behind_gauge,
    }
}

/// Values moved from the buckets of some spans to those of others, which have them all.
pub(crate) fn moved<C: Default + Clone>(
    values: impl Iterator<Item = C>,
    from: &[Span],
    to: &[Span],
) -> Vec<C> {
    spread(values, &positions(from, to), bucket_count(to) as usize)
}
