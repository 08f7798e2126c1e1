//! `SeriesEntry`: what the index says of one series, and `SeriesReader`, which reads many of them with few
//! calls. Knows no text and no chunk.

use super::{CRC_LEN, ChunkMeta, ChunkRef, HEADER_LEN, IndexVersion, SERIES_ALIGNMENT};
use crate::block::{error::BlockError, input::Input};
use skopos_base::{
    crc::crc32c,
    varint::{self, put_uvarint, put_varint},
};
use skopos_model::TimestampMs;

/// Entries no farther apart than this are read with one call.
const GAP: u64 = 4 << 10;
/// The most bytes read with one call, unless one entry is longer.
const WINDOW: u64 = 128 << 10;
/// How long the last entry of a call is guessed to be.
const GUESS: u64 = 512;

/// What the index says of one series.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct SeriesEntry {
    /// Names and values, as symbols.
    pub(crate) labels: Vec<(u32, u32)>,
    /// In the order of their times.
    pub(crate) chunks: Vec<ChunkMeta>,
}

impl SeriesEntry {
    /// Reads an entry's content, which stands at `offset` of the file.
    pub(crate) fn decode(&mut self, input: &Input, bytes: &[u8], offset: u64) -> Result<(), BlockError> {
        self.labels.clear();
        self.chunks.clear();
        let mut scan = input.scan(bytes, offset);
        let symbol = |n: u64, at: u64| {
            u32::try_from(n).map_err(|_| input.corrupt(at, format!("there is no symbol {n}")))
        };
        for _ in 0..scan.uvarint()? {
            let at = scan.offset();
            self.labels.push((symbol(scan.uvarint()?, at)?, symbol(scan.uvarint()?, at)?));
        }
        let (mut max, mut place) = (0i64, 0u64);
        for nth in 0..scan.uvarint()? {
            // Differences wrap as the writer's do.
            let min = if nth == 0 { scan.varint()? } else { max.wrapping_add(scan.uvarint()? as i64) };
            max = min.wrapping_add(scan.uvarint()? as i64);
            place = if nth == 0 { scan.uvarint()? } else { place.wrapping_add(scan.varint()? as u64) };
            if max < min {
                return Err(scan.corrupt(format!("a chunk ends at {max} and begins at {min}")));
            }
            let at = ChunkRef(place);
            self.chunks.push(ChunkMeta { min: TimestampMs::new(min), max: TimestampMs::new(max), at });
        }
        if scan.is_empty() { Ok(()) } else { Err(scan.corrupt("a series goes on behind its last chunk")) }
    }

    /// Writes the entry, its length and its checksum behind `out`.
    pub(crate) fn encode(
        labels: impl ExactSizeIterator<Item = (u32, u32)>,
        chunks: &[ChunkMeta],
        scratch: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) {
        scratch.clear();
        put_uvarint(scratch, labels.len() as u64);
        for (name, value) in labels {
            put_uvarint(scratch, u64::from(name));
            put_uvarint(scratch, u64::from(value));
        }
        put_uvarint(scratch, chunks.len() as u64);
        let mut before: Option<ChunkMeta> = None;
        for chunk in chunks {
            match before {
                None => put_varint(scratch, chunk.min.as_ms()),
                Some(b) => put_uvarint(scratch, chunk.min.as_ms().wrapping_sub(b.max.as_ms()) as u64),
            }
            put_uvarint(scratch, chunk.max.as_ms().wrapping_sub(chunk.min.as_ms()) as u64);
            match before {
                None => put_uvarint(scratch, chunk.at.0),
                Some(b) => put_varint(scratch, chunk.at.0.wrapping_sub(b.at.0) as i64),
            }
            before = Some(*chunk);
        }
        put_uvarint(out, scratch.len() as u64);
        out.extend_from_slice(scratch);
        out.extend_from_slice(&crc32c(scratch).to_be_bytes());
    }
}

/// Reads entries of growing references.
#[derive(Debug, Default)]
pub(crate) struct SeriesReader {
    buffer: Vec<u8>,
    /// Where the buffer's first byte stands in the file.
    start: u64,
}

impl SeriesReader {
    /// Reads the first of `series` into `entry`. The others are those that will be asked for next.
    pub(crate) fn read(
        &mut self,
        input: &Input,
        version: IndexVersion,
        series: &[u32],
        entry: &mut SeriesEntry,
    ) -> Result<(), BlockError> {
        let offset = |series: u32| match version {
            IndexVersion::V1 => u64::from(series),
            IndexVersion::V2 => u64::from(series) * SERIES_ALIGNMENT,
        };
        let first = offset(series[0]);
        if first < HEADER_LEN {
            return Err(input.corrupt(first, "no series stands here"));
        }
        if let Some((from, to)) = self.content(first, input)? {
            return self.decode(input, from, to, entry);
        }
        let mut end = first;
        for next in series.iter().map(|s| offset(*s)) {
            if next > end + GAP || next > first + WINDOW {
                break;
            }
            end = end.max(next);
        }
        self.load(input, first, end + GUESS - first)?;
        loop {
            let there = self.buffer.len() as u64;
            if let Some((from, to)) = self.content(first, input)? {
                return self.decode(input, from, to, entry);
            }
            if first + there >= input.len() {
                return Err(input.corrupt(first, "a series reaches beyond the file"));
            }
            let len = varint::uvarint(&self.buffer).map_or(there * 2, |(len, n)| len + n as u64 + CRC_LEN);
            self.load(input, first, len.max(there + 1))?;
        }
    }

    fn load(&mut self, input: &Input, start: u64, len: u64) -> Result<(), BlockError> {
        let Some(rest) = input.len().checked_sub(start).filter(|rest| *rest > 0) else {
            return Err(input.corrupt(start, "a series stands beyond the file"));
        };
        self.start = start;
        self.buffer.resize(len.min(rest) as usize, 0);
        input.read_into(&mut self.buffer, start)
    }

    /// Where the content of the entry at `offset` stands in the buffer, if all of it does.
    fn content(&self, offset: u64, input: &Input) -> Result<Option<(usize, usize)>, BlockError> {
        let Some(at) = offset.checked_sub(self.start).filter(|at| *at < self.buffer.len() as u64) else {
            return Ok(None);
        };
        let bytes = &self.buffer[at as usize..];
        let Some((len, n)) = varint::uvarint(bytes) else {
            return if bytes.len() < varint::MAX_LEN {
                Ok(None)
            } else {
                Err(input.corrupt(offset, "the length of a series has more than 64 bits"))
            };
        };
        if len > input.len() - offset {
            return Err(input.corrupt(offset, format!("a series of {len} bytes reaches beyond the file")));
        }
        let from = at as usize + n;
        let to = from + len as usize;
        Ok((to + CRC_LEN as usize <= self.buffer.len()).then_some((from, to)))
    }

    fn decode(
        &self,
        input: &Input,
        from: usize,
        to: usize,
        entry: &mut SeriesEntry,
    ) -> Result<(), BlockError> {
        let (content, sum) = (&self.buffer[from..to], &self.buffer[to..to + CRC_LEN as usize]);
        let offset = self.start + from as u64;
        if crc32c(content).to_be_bytes() != *sum {
            return Err(input.corrupt(offset, "the checksum of a series is another"));
        }
        entry.decode(input, content, offset)
    }
}
