//! Reads XOR2 chunks, which newer versions of Prometheus write for floats. Start timestamps are read over.
//! Never writes; never panics on bytes, never trusts the chunk's count.

use crate::ChunkError;
use crate::bits::{BitReader, Window, Xored};
use crate::frame::{HEADER, Starts};
use skopos_model::{Columns, STALE_NAN_BITS, Sample, TimestampMs, is_stale_nan};

/// How many samples the chunk says it has.
pub(crate) fn sample_count(bytes: &[u8]) -> Result<u16, ChunkError> {
    match bytes.first_chunk::<HEADER>() {
        Some(header) => Ok(u16::from_be_bytes([header[0], header[1]])),
        None => Err(ChunkError::HeaderCutOff { len: bytes.len(), header: HEADER }),
    }
}

/// Appends the samples from `min` to `max` to the columns; see `decode_columns`.
pub(crate) fn decode(
    bytes: &[u8],
    min: TimestampMs,
    max: TimestampMs,
    columns: &mut Columns,
) -> Result<(), ChunkError> {
    let mut cursor = Cursor::new(bytes)?;
    while cursor.remaining() > 0 {
        cursor.advance()?;
        let sample = cursor.sample();
        if sample.timestamp > max {
            break;
        }
        if sample.timestamp >= min {
            columns.push_float(sample.timestamp, sample.value);
        }
    }
    Ok(())
}

/// Where reading stands, and what the next sample builds on.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    reader: BitReader<'a>,
    starts: Starts,
    timestamp: i64,
    delta: u64,
    bits: u64,
    /// The last value that was no staleness marker.
    base: Xored,
    read: u16,
    count: u16,
}

impl<'a> Cursor<'a> {
    /// Stands before the first sample. A count that the bytes cannot hold at a bit a sample is refused.
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Self, ChunkError> {
        let count = sample_count(bytes)?;
        let cursor = Self {
            reader: BitReader::new(bytes, HEADER * 8),
            starts: Starts::of_byte(bytes[2]),
            timestamp: 0,
            delta: 0,
            bits: 0,
            base: Xored::first(0),
            read: 0,
            count,
        };
        if usize::from(count) > cursor.reader.bits_left() {
            return Err(cursor.truncated(HEADER * 8));
        }
        Ok(cursor)
    }

    pub(crate) const fn remaining(&self) -> u16 {
        self.count - self.read
    }

    /// The sample read last.
    pub(crate) const fn sample(&self) -> Sample {
        Sample { timestamp: TimestampMs::new(self.timestamp), value: f64::from_bits(self.bits) }
    }

    /// Reads the next sample. There must be one.
    pub(crate) fn advance(&mut self) -> Result<(), ChunkError> {
        let start = self.reader.bit;
        let value = match self.read {
            0 => self.advance_to_first()?,
            1 => self.advance_to_second()?,
            _ => self.advance_to_later(),
        };
        value.map_err(|window| self.bad_window(start, window))?;
        self.starts.skip(&mut self.reader, self.read)?;
        if self.reader.is_over() {
            return Err(self.truncated(start));
        }
        self.read += 1;
        Ok(())
    }

    fn advance_to_first(&mut self) -> Result<Result<(), Window>, ChunkError> {
        let offset = self.reader.bit / 8;
        self.timestamp = self.reader.take_zigzag().ok_or(ChunkError::IntegerOverflow { offset })?;
        self.bits = self.reader.take(64);
        if !is_stale_nan(f64::from_bits(self.bits)) {
            self.base.bits = self.bits;
        }
        Ok(Ok(()))
    }

    fn advance_to_second(&mut self) -> Result<Result<(), Window>, ChunkError> {
        let offset = self.reader.bit / 8;
        self.delta = self.reader.take_varint().ok_or(ChunkError::IntegerOverflow { offset })?;
        self.timestamp = self.timestamp.wrapping_add(self.delta as i64);
        Ok(self.take_value())
    }

    #[inline(always)]
    fn advance_to_later(&mut self) -> Result<(), Window> {
        let word = self.reader.peek();
        let (prefix, len) = match word.leading_ones() {
            0 => return self.same_interval(1, Self::keep_value),
            1 => return self.same_interval(2, Self::take_changed_value),
            2 => (3, 13),
            3 => (4, 20),
            4 => (5, 64),
            _ => return self.same_interval(5, Self::mark_stale),
        };
        self.reader.bit += prefix;
        let change = self.reader.take(len);
        // As usual, the upper half is negative: here the ranges are not off the middle.
        let change = ((change << (64 - len)) as i64) >> (64 - len);
        self.delta = self.delta.wrapping_add(change as u64);
        self.timestamp = self.timestamp.wrapping_add(self.delta as i64);
        self.take_value()
    }

    #[inline(always)]
    fn same_interval(
        &mut self,
        prefix: usize,
        value: impl FnOnce(&mut Self) -> Result<(), Window>,
    ) -> Result<(), Window> {
        self.reader.bit += prefix;
        self.timestamp = self.timestamp.wrapping_add(self.delta as i64);
        value(self)
    }

    fn keep_value(&mut self) -> Result<(), Window> {
        self.bits = self.base.bits;
        Ok(())
    }

    fn mark_stale(&mut self) -> Result<(), Window> {
        self.bits = STALE_NAN_BITS;
        Ok(())
    }

    /// Reads a value that has its own prefix.
    #[inline(always)]
    fn take_value(&mut self) -> Result<(), Window> {
        match self.reader.peek().leading_ones() {
            0 => {
                self.reader.bit += 1;
                self.keep_value()
            }
            1 => {
                self.reader.bit += 2;
                self.take_in_window();
                Ok(())
            }
            2 => {
                self.reader.bit += 3;
                self.take_with_window()
            }
            _ => {
                self.reader.bit += 3;
                self.mark_stale()
            }
        }
    }

    /// Reads a value that is known to have changed.
    fn take_changed_value(&mut self) -> Result<(), Window> {
        if self.reader.take(1) == 1 {
            return self.take_with_window();
        }
        self.take_in_window();
        Ok(())
    }

    fn take_in_window(&mut self) {
        self.base.bits ^= self.reader.take(self.base.significant()) << self.base.trailing;
        self.bits = self.base.bits;
    }

    fn take_with_window(&mut self) -> Result<(), Window> {
        let window = self.reader.take(11) as u32;
        self.base.set_window(window >> 6, window & 63)?;
        self.take_in_window();
        Ok(())
    }

    #[cold]
    fn truncated(&self, start: usize) -> ChunkError {
        ChunkError::Truncated { offset: start / 8, sample: self.read, count: self.count }
    }

    #[cold]
    fn bad_window(&self, start: usize, window: Window) -> ChunkError {
        // Behind the end zeros are read: the window may only look impossible.
        if self.reader.is_over() {
            return self.truncated(start);
        }
        let Window { leading, significant } = window;
        ChunkError::BadWindow { offset: start / 8, sample: self.read, leading, significant }
    }
}
