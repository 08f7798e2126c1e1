//! What all histogram chunks have around their counts: header, layout, timestamps. Knows no bucket's count.

use crate::ChunkError;
use crate::bits::{BitReader, Window};
use crate::layout::take_layout;
use crate::starts::{HEADER, Starts, Times};
use skopos_model::histogram::{CounterResetHint, Layout};

/// How many samples a histogram chunk with start timestamps can count.
pub(crate) const MAX_WITH_STARTS: u16 = 0x3fff;
/// The fewest bits that a sample takes: timestamp, count, zero count, sum of a staleness marker.
const MIN_SAMPLE_BITS: usize = 4;
/// The bits of a byte that hold the counter reset header.
const RESET_BITS: u8 = 0b1100_0000;

/// The header of a histogram chunk in its byte.
pub(crate) const fn reset_bits(hint: CounterResetHint) -> u8 {
    match hint {
        CounterResetHint::Unknown => 0,
        CounterResetHint::NotReset => 0b0100_0000,
        CounterResetHint::Reset => 0b1000_0000,
        CounterResetHint::Gauge => 0b1100_0000,
    }
}

const fn reset_hint(byte: u8) -> CounterResetHint {
    match byte & RESET_BITS {
        0 => CounterResetHint::Unknown,
        0b0100_0000 => CounterResetHint::NotReset,
        0b1000_0000 => CounterResetHint::Reset,
        _ => CounterResetHint::Gauge,
    }
}

/// How a histogram chunk's header is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Header {
    /// 16 bits of count, then the flags.
    Plain,
    /// The flags in the upper 2 bits of the count, then where start timestamps stand.
    WithStarts,
}

/// How many samples the chunk says it has.
pub(crate) fn sample_count(bytes: &[u8], header: Header) -> Result<u16, ChunkError> {
    let first = bytes.first_chunk::<HEADER>();
    let first = first.ok_or(ChunkError::HeaderCutOff { len: bytes.len(), header: HEADER })?;
    let count = u16::from_be_bytes([first[0], first[1]]);
    Ok(if header == Header::Plain { count } else { count & MAX_WITH_STARTS })
}

/// Where reading stands in a histogram chunk, and what its samples share.
#[derive(Clone, Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) reader: BitReader<'a>,
    /// The layout; its hint is the chunk's header.
    pub(crate) layout: Layout,
    pub(crate) timestamp: i64,
    pub(crate) delta: i64,
    pub(crate) read: u16,
    pub(crate) count: u16,
    /// The time of the sample before that read last.
    before: i64,
    pub(crate) starts: Starts,
}

impl<'a> Frame<'a> {
    /// Reads header and layout. `bucket_bits` is the fewest bits that a bucket of the first sample takes.
    pub(crate) fn new(bytes: &'a [u8], header: Header, bucket_bits: u64) -> Result<Self, ChunkError> {
        let count = sample_count(bytes, header)?;
        let mut reader = BitReader::new(bytes, HEADER * 8);
        let mut layout = if count == 0 { Layout::default() } else { take_layout(&mut reader, bucket_bits)? };
        let starts = match header {
            Header::Plain => {
                layout.counter_reset_hint = reset_hint(bytes[2]);
                Starts::default()
            }
            Header::WithStarts => {
                layout.counter_reset_hint = reset_hint(bytes[0]);
                Starts::of_byte(bytes[2])
            }
        };
        let frame = Self { reader, layout, timestamp: 0, delta: 0, read: 0, count, before: 0, starts };
        if usize::from(count) * MIN_SAMPLE_BITS > frame.reader.bits_left() {
            return Err(frame.truncated(frame.reader.bit));
        }
        Ok(frame)
    }

    pub(crate) const fn remaining(&self) -> u16 {
        self.count - self.read
    }

    /// Reads the next sample's timestamp.
    #[inline]
    pub(crate) fn advance_time(&mut self) {
        let read = self.reader.take_signed();
        self.before = self.timestamp;
        if self.read == 0 {
            self.timestamp = read;
        } else {
            self.delta = self.delta.wrapping_add(read);
            self.timestamp = self.timestamp.wrapping_add(self.delta);
        }
    }

    /// Ends the sample that began at bit `start`.
    #[inline]
    pub(crate) fn end_sample(&mut self, start: usize) -> Result<(), ChunkError> {
        let times = Times { before: self.before, now: self.timestamp };
        self.starts.advance(&mut self.reader, self.read, times)?;
        if self.reader.is_over() {
            return Err(self.truncated(start));
        }
        self.read += 1;
        Ok(())
    }

    /// What the sample read last says of resets: only a chunk's first one can be a reset.
    pub(crate) const fn hint(&self) -> CounterResetHint {
        match (self.layout.counter_reset_hint, self.read) {
            (CounterResetHint::Gauge, _) => CounterResetHint::Gauge,
            (CounterResetHint::Reset, 0 | 1) => CounterResetHint::Reset,
            // The chunk before may be gone by now: what its header knew of it is of no use.
            (_, 0 | 1) => CounterResetHint::Unknown,
            _ => CounterResetHint::NotReset,
        }
    }

    #[cold]
    fn truncated(&self, start: usize) -> ChunkError {
        ChunkError::Truncated { offset: start / 8, sample: self.read, count: self.count }
    }

    #[cold]
    pub(crate) fn bad_window(&self, start: usize, window: Window) -> ChunkError {
        // Behind the end zeros are read: the window may only look impossible.
        if self.reader.bit + 13 > self.reader.bytes().len() * 8 {
            return self.truncated(start);
        }
        let Window { leading, significant } = window;
        ChunkError::BadWindow { offset: start / 8, sample: self.read, leading, significant }
    }
}
