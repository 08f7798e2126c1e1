//! `ChunkSegments`: all open segments of a block. `ChunkFetcher`: reads chunks that stand near one another
//! with one call and hands out slices of what it read. Decodes nothing.

use super::{CHUNKS_DIR, CRC_LEN, ENCODING_LEN, HEADER_LEN, MAGIC, VERSION, segment_name};
use crate::block::{error::BlockError, index::ChunkRef, input::Input};
use bytes::{Bytes, BytesMut};
use skopos_base::{crc::crc32c, fs::Fs, varint};
use skopos_chunk::Encoding;
use std::{ops::Range, path::Path};

/// Chunks no farther apart than this are read with one call.
const GAP: u64 = 16 << 10;
/// The most bytes read with one call, unless one chunk is longer: what is read stays in the processor's cache
/// until it is decoded.
const WINDOW: u64 = 256 << 10;
/// How long a chunk is guessed to be of which the end is not known.
const GUESS: u64 = 1536;

/// The open segments of a block.
#[derive(Debug)]
pub(crate) struct ChunkSegments {
    segments: Vec<Input>,
}

impl ChunkSegments {
    pub(crate) fn open(fs: &dyn Fs, block: &Path) -> Result<Self, BlockError> {
        Self::open_with(fs, block, Err)
    }

    /// Opens what there is. Chunks of a segment that is missing, or behind it, are not found then.
    pub(crate) fn open_damaged(fs: &dyn Fs, block: &Path) -> Result<Self, BlockError> {
        Self::open_with(fs, block, |_| Ok(()))
    }

    fn open_with(
        fs: &dyn Fs,
        block: &Path,
        damaged: impl Fn(BlockError) -> Result<(), BlockError>,
    ) -> Result<Self, BlockError> {
        let dir = block.join(CHUNKS_DIR);
        let entries = fs.read_dir(&dir).map_err(BlockError::io("listing", &dir))?;
        let names = entries.iter().filter(|e| !e.is_dir && e.name.bytes().all(|b| b.is_ascii_digit()));
        let mut segments = Vec::new();
        for (i, entry) in names.enumerate() {
            if entry.name != segment_name(i) {
                let reason = format!("segment {} is missing", segment_name(i));
                damaged(BlockError::corrupt(&dir, 0, reason))?;
                break;
            }
            let input = Input::open(fs, dir.join(&entry.name))?;
            let header = input.read(0, HEADER_LEN.min(input.len()))?;
            if header.len() < HEADER_LEN as usize || header[..4] != MAGIC.to_be_bytes() {
                damaged(input.corrupt(0, "it does not begin as a chunk segment"))?;
            } else if header[4] != VERSION {
                return Err(BlockError::Version { path: input.path().to_owned(), version: header[4].into() });
            }
            segments.push(input);
        }
        Ok(Self { segments })
    }

    /// How many bytes they have together.
    pub(crate) fn len(&self) -> u64 {
        self.segments.iter().map(Input::len).sum()
    }

    /// That the chunk there cannot be used.
    pub(crate) fn corrupt(&self, at: ChunkRef, reason: impl Into<String>) -> BlockError {
        match self.get(at) {
            Ok(input) => input.corrupt(at.offset(), reason),
            Err(e) => e,
        }
    }

    fn get(&self, at: ChunkRef) -> Result<&Input, BlockError> {
        self.segments.get(at.segment()).ok_or_else(|| {
            let path = self.segments.first().map_or(Path::new(CHUNKS_DIR), Input::path);
            BlockError::corrupt(path, at.offset(), format!("there is no segment {}", at.segment() + 1))
        })
    }
}

/// A chunk that will be asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) at: ChunkRef,
    /// Where the chunk behind it begins, in the same segment, if that is known.
    pub(crate) end: Option<ChunkRef>,
}

impl Wanted {
    fn likely_end(&self) -> u64 {
        let end = self.end.filter(|end| end.segment() == self.at.segment() && *end > self.at);
        end.map_or(self.at.offset() + GUESS, ChunkRef::offset)
    }
}

/// Reads chunks. Those asked for next mostly stand behind one another.
#[derive(Debug, Default)]
pub(crate) struct ChunkFetcher {
    window: Bytes,
    segment: usize,
    /// Where the window begins in the segment.
    start: u64,
}

impl ChunkFetcher {
    /// The first of `wanted`: its encoding and data, which keep all that was read with them. The others are
    /// those that will be asked for next.
    pub(crate) fn fetch(
        &mut self,
        segments: &ChunkSegments,
        wanted: &[Wanted],
    ) -> Result<(Encoding, Bytes), BlockError> {
        let (encoding, data) = self.find(segments, wanted)?;
        Ok((encoding, self.window.slice(data)))
    }

    /// The same, with the data until the next chunk is asked for.
    pub(crate) fn fetch_borrowed(
        &mut self,
        segments: &ChunkSegments,
        wanted: &[Wanted],
    ) -> Result<(Encoding, &[u8]), BlockError> {
        let (encoding, data) = self.find(segments, wanted)?;
        Ok((encoding, &self.window[data]))
    }

    fn find(
        &mut self,
        segments: &ChunkSegments,
        wanted: &[Wanted],
    ) -> Result<(Encoding, Range<usize>), BlockError> {
        let first = wanted[0];
        let input = segments.get(first.at)?;
        if first.at.offset() < HEADER_LEN {
            return Err(input.corrupt(first.at.offset(), "no chunk stands here"));
        }
        if let Some(found) = self.slice(input, first.at)? {
            return Ok(found);
        }
        let mut end = first.likely_end();
        for next in &wanted[1..] {
            let near = next.at.segment() == first.at.segment()
                && (first.at.offset()..=end + GAP).contains(&next.at.offset())
                && next.likely_end() <= first.at.offset() + WINDOW;
            if !near {
                break;
            }
            end = end.max(next.likely_end());
        }
        self.load(input, first.at, end - first.at.offset())?;
        if let Some(found) = self.slice(input, first.at)? {
            return Ok(found);
        }
        let head = &self.window[..];
        let whole =
            varint::uvarint(head).map(|(len, n)| len.saturating_add((n + ENCODING_LEN + CRC_LEN) as u64));
        let rest = input.len() - first.at.offset();
        let Some(whole) = whole.filter(|whole| *whole <= rest) else {
            return Err(input.corrupt(first.at.offset(), "a chunk reaches beyond its segment"));
        };
        self.load(input, first.at, whole)?;
        let found = self.slice(input, first.at)?;
        found.ok_or_else(|| input.corrupt(first.at.offset(), "a chunk reaches beyond its segment"))
    }

    fn load(&mut self, input: &Input, at: ChunkRef, len: u64) -> Result<(), BlockError> {
        let Some(rest) = input.len().checked_sub(at.offset()).filter(|rest| *rest > 0) else {
            return Err(input.corrupt(at.offset(), "a chunk stands beyond its segment"));
        };
        // The memory is taken again unless somebody still holds a slice of it.
        let mut buffer = std::mem::take(&mut self.window).try_into_mut().unwrap_or_else(|_| BytesMut::new());
        buffer.resize(len.min(rest) as usize, 0);
        input.read_into(&mut buffer, at.offset())?;
        (self.segment, self.start, self.window) = (at.segment(), at.offset(), buffer.freeze());
        Ok(())
    }

    /// Where the chunk's data stand in the window, if all of it does.
    fn slice(&self, input: &Input, at: ChunkRef) -> Result<Option<(Encoding, Range<usize>)>, BlockError> {
        let skipped = at.offset().checked_sub(self.start).filter(|_| at.segment() == self.segment);
        let Some(bytes) = skipped.and_then(|n| self.window.get(usize::try_from(n).ok()?..)) else {
            return Ok(None);
        };
        let Some((len, n)) = varint::uvarint(bytes) else {
            return if bytes.len() < varint::MAX_LEN {
                Ok(None)
            } else {
                Err(input.corrupt(at.offset(), "the length of a chunk has more than 64 bits"))
            };
        };
        let data = n + ENCODING_LEN;
        let end = usize::try_from(len).ok().and_then(|len| len.checked_add(data));
        let Some((end, sum)) = end.and_then(|end| Some((end, bytes.get(end..)?.first_chunk::<CRC_LEN>()?)))
        else {
            return Ok(None);
        };
        if crc32c(&bytes[n..end]).to_be_bytes() != *sum {
            return Err(input.corrupt(at.offset(), "the checksum of a chunk is another"));
        }
        let Some(encoding) = Encoding::from_byte(bytes[n]) else {
            return Err(
                input.corrupt(at.offset(), format!("the encoding {} of a chunk is unknown", bytes[n]))
            );
        };
        let from = (at.offset() - self.start) as usize;
        Ok(Some((encoding, from + data..from + end)))
    }
}
