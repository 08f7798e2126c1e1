//! Reads XOR2 chunks, which newer versions of Prometheus write for floats, with their start timestamps.
//! `xor2_encoder` writes them. Never panics on bytes, never trusts the chunk's count.

use crate::ChunkError;
use crate::bits::{BitReader, Window, Xored};
use crate::starts::{HEADER, Starts, Times};
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
            if cursor.starts.any() {
                columns.note_start(cursor.start());
            }
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

    /// Since when that was counted; zero when that is not known.
    pub(crate) const fn start(&self) -> TimestampMs {
        self.starts.of_last()
    }

    /// Reads the next sample. There must be one.
    pub(crate) fn advance(&mut self) -> Result<(), ChunkError> {
        let start = self.reader.bit;
        let before = self.timestamp;
        let value = match self.read {
            0 => self.advance_to_first()?,
            1 => self.advance_to_second()?,
            _ => self.advance_to_later(),
        };
        value.map_err(|window| self.bad_window(start, window))?;
        let times = Times { before, now: self.timestamp };
        self.starts.advance(&mut self.reader, self.read, times)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bits::BitWriter;
    use skopos_base::varint;

    /// A chunk as `docs/formats/xor2-chunk.md` has it, in the simplest forms: every value that changes has
    /// its own window. A start timestamp stands in the first sample, and differences to it from the second
    /// on.
    fn write(samples: &[(i64, f64)], start: Option<i64>) -> Vec<u8> {
        let mut out = BitWriter::new();
        out.buf = vec![0, samples.len() as u8, if start.is_some() { 0x81 } else { 0 }];
        let (mut last, mut delta, mut base) = (0, 0, 0u64);
        for (i, (t, v)) in samples.iter().enumerate() {
            let bits = v.to_bits();
            let window = |out: &mut BitWriter, xor: u64| {
                let leading = xor.leading_zeros().min(31);
                let significant = 64 - leading - xor.trailing_zeros();
                out.put(u128::from(leading << 6 | significant & 63), 11);
                out.put(u128::from(xor >> xor.trailing_zeros()), significant);
            };
            let value = |out: &mut BitWriter| match (is_stale_nan(*v), bits ^ base) {
                (true, _) => out.put(0b111, 3),
                (false, 0) => out.put(0, 1),
                (false, xor) => {
                    out.put(0b110, 3);
                    window(out, xor);
                }
            };
            let change = t - last - delta;
            match i {
                0 => {
                    varint::put_varint(&mut out.buf, *t);
                    out.buf.extend_from_slice(&bits.to_be_bytes());
                    start.iter().for_each(|start| varint::put_varint(&mut out.buf, t - start));
                }
                1 => {
                    varint::put_uvarint(&mut out.buf, (t - last) as u64);
                    value(&mut out);
                }
                _ if change == 0 && is_stale_nan(*v) => out.put(0b11111, 5),
                _ if change == 0 && bits == base => out.put(0, 1),
                _ if change == 0 => {
                    out.put(0b101, 3);
                    window(&mut out, bits ^ base);
                }
                _ => {
                    let low = |len: u32| u128::from(change as u64) & ((1 << len) - 1);
                    match change {
                        -4096..=4095 => out.put(0b110 << 13 | low(13), 16),
                        -524_288..=524_287 => out.put(0b1110 << 20 | low(20), 24),
                        _ => out.put(0b11110 << 64 | low(64), 69),
                    }
                    value(&mut out);
                }
            }
            if let (Some(start), 1..) = (start, i) {
                out.put_signed(if i == 1 { last - start } else { delta });
            }
            delta = if i == 0 { 0 } else { t - last };
            last = *t;
            base = if is_stale_nan(*v) { base } else { bits };
        }
        out.buf
    }

    fn read(bytes: &[u8]) -> Result<Vec<(i64, u64)>, ChunkError> {
        let mut columns = Columns::default();
        let (min, max) = (TimestampMs::new(i64::MIN), TimestampMs::new(i64::MAX));
        decode(bytes, min, max, &mut columns)?;
        Ok(columns.timestamps.iter().zip(&columns.values).map(|(t, v)| (t.as_ms(), v.to_bits())).collect())
    }

    /// The start timestamp of each sample, zero for none.
    fn read_starts(bytes: &[u8]) -> Vec<i64> {
        let mut columns = Columns::default();
        decode(bytes, TimestampMs::MIN, TimestampMs::MAX, &mut columns).unwrap();
        let mut starts = vec![0; columns.len()];
        columns.starts.of(0..columns.len()).iter().for_each(|s| starts[s.sample] = s.at.as_ms());
        starts
    }

    #[test]
    fn what_is_written_so_comes_back() {
        let stale = skopos_model::stale_nan();
        let mut samples =
            vec![(1000, 1.0), (2000, 1.5), (3000, 1.5), (4000, stale), (5000, 1.5), (6001, stale)];
        samples.extend([
            (6002, -2.25),
            (2_000_000, 0.1),
            (-9_000_000_000_000, 0.1),
            (7, f64::NAN),
            (8, f64::MAX),
        ]);
        samples.extend((0..20).map(|i| (10_000 + i * 4096, i as f64)));
        for (first, start) in [(0, None), (0, Some(900)), (3, None), (3, Some(-5))] {
            let bytes = write(&samples[first..], start);
            let expected: Vec<_> = samples[first..].iter().map(|(t, v)| (*t, v.to_bits())).collect();
            assert_eq!(read(&bytes), Ok(expected));
            assert_eq!(read_starts(&bytes), vec![start.unwrap_or(0); samples.len() - first]);
            for len in 0..bytes.len() {
                assert!(read(&bytes[..len]).is_err(), "{len} bytes");
            }
            for bit in 0..bytes.len() * 8 {
                let mut bytes = bytes.clone();
                bytes[bit / 8] ^= 0x80 >> (bit % 8);
                drop(read(&bytes));
            }
        }
    }

    #[test]
    fn starts_change_from_the_sample_that_the_header_names() {
        // Samples at 10, 20, 30, 40 of one value; the first was counted since 5, and so are all up to the
        // third.
        let mut out = BitWriter::new();
        out.buf = vec![0, 4, 0x80 | 3];
        varint::put_varint(&mut out.buf, 10);
        out.buf.extend_from_slice(&1f64.to_be_bytes());
        varint::put_varint(&mut out.buf, 5);
        varint::put_uvarint(&mut out.buf, 10);
        // The second value as before; the third sample at the same interval with the same value, and the
        // fourth.
        out.put(0, 1);
        out.put(0, 1);
        out.put(0, 1);
        // The third was at 30: the fourth was counted since 28.
        out.put_signed(2);
        assert_eq!(read_starts(&out.buf), [5, 5, 5, 28]);
        // Without a start of the first, those before the change have none.
        let mut bytes = out.buf.clone();
        bytes[2] = 3;
        bytes.remove(12);
        assert_eq!(read_starts(&bytes), [0, 0, 0, 28]);
    }

    #[test]
    fn a_window_is_reused() {
        // 1.0, then 1.5 in a new window of one bit, then 1.0 in the same window, 1.0 again.
        let mut bytes = vec![0, 4, 0, 2, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0, 5];
        // 110 01100 000001 1, then 10 0 1, then 0.
        bytes.extend([0b1100_1100, 0b0000_0111, 0b0010_0000]);
        let one = 1f64.to_bits();
        assert_eq!(read(&bytes), Ok(vec![(1, one), (6, 1.5f64.to_bits()), (11, one), (16, one)]));
    }
}
