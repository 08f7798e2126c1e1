//! Start timestamps, as XOR2 chunks and histogram chunks have them: which samples have one, and where each
//! stands. Knows no value of a sample.

use crate::ChunkError;
use crate::bits::{BitReader, BitWriter};
use skopos_model::TimestampMs;

/// Bytes of the header of a chunk that can have start timestamps, and of a histogram chunk.
pub(crate) const HEADER: usize = 3;
/// Which of them says where start timestamps stand.
const STARTS_BYTE: usize = 2;
/// The last sample from which on it can say that each has its own.
const LAST_FROM: u16 = 0x7f;

/// Where start timestamps stand in a chunk that can have them, and that of the sample read last.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Starts {
    /// The first sample has one.
    first: bool,
    /// From this sample on each has its own, until then that of the first; 0 stands for none.
    from: u16,
    /// That of the sample read last; 0 when there is none.
    start: i64,
    /// The time of the sample before that one, less the start.
    since: i64,
}

/// The times of a sample and of the one before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) before: i64,
    pub(crate) now: i64,
}

impl Starts {
    pub(crate) const fn of_byte(byte: u8) -> Self {
        Self { first: byte & 0x80 != 0, from: (byte & 0x7f) as u16, start: 0, since: 0 }
    }

    /// Whether any sample may have one.
    pub(crate) const fn any(self) -> bool {
        self.first || self.from > 0
    }

    /// That of the sample read last; 0 when there is none.
    pub(crate) const fn of_last(self) -> TimestampMs {
        TimestampMs::new(self.start)
    }

    /// Reads what stands behind sample number `sample`.
    pub(crate) fn advance(
        &mut self,
        reader: &mut BitReader<'_>,
        sample: u16,
        times: Times,
    ) -> Result<(), ChunkError> {
        if sample == 0 {
            if self.first {
                let offset = reader.bit / 8;
                let since = reader.take_zigzag().ok_or(ChunkError::IntegerOverflow { offset })?;
                self.start = times.now.wrapping_sub(since);
            }
        } else if self.from > 0 && sample >= self.from {
            let change = reader.take_signed();
            self.since = if sample == self.from { change } else { self.since.wrapping_add(change) };
            self.start = times.before.wrapping_sub(self.since);
        }
        Ok(())
    }
}

/// Writes the start timestamps of a chunk, each behind its sample, and the byte that says where they stand.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct StartsWriter {
    /// From this sample on each has its own; 0 stands for none so far.
    from: u16,
    /// That of the sample written last; 0 when there is none.
    start: i64,
    /// The time of the sample before that one, less the start.
    since: i64,
}

impl StartsWriter {
    /// Writes what stands behind sample number `sample` of the chunk that `out` begins with.
    pub(crate) fn put(&mut self, out: &mut BitWriter, sample: u16, times: Times, start: i64) {
        if sample == 0 {
            if start != 0 {
                out.buf[STARTS_BYTE] |= 0x80;
                out.put_zigzag(times.now.wrapping_sub(start));
            }
        } else if self.from > 0 || start != self.start || sample == LAST_FROM {
            let since = times.before.wrapping_sub(start);
            if self.from == 0 {
                // The byte has no room for a later one: from here on each has its own, whether it changes or
                // not.
                self.from = sample;
                out.buf[STARTS_BYTE] |= sample as u8;
                out.put_signed(since);
            } else {
                out.put_signed(since.wrapping_sub(self.since));
            }
            self.since = since;
        }
        self.start = start;
    }
}
