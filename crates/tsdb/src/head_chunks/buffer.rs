//! `Buffer`: entries that are not in a file yet, in parts, each of one file. Decides which file an entry goes
//! to; never touches the disk.

use super::{
    format::{Entry, HEADER_SIZE, MAX_OVERHEAD, push_entry},
    max_of,
};
use std::{collections::VecDeque, sync::Arc};

/// A part that is so long takes no more: a list that grew to all that waits would be copied too often.
const PART_BYTES: usize = 1 << 20;

/// Where an entry begins, or where one would. Places are in the order in which chunks are put.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ChunkPlace {
    pub(super) file: u32,
    pub(super) offset: u32,
}

impl ChunkPlace {
    /// Grows from place to place; what Prometheus calls a chunk's reference.
    pub(crate) fn number(self) -> u64 {
        u64::from(self.file) << 32 | u64::from(self.offset)
    }

    /// The place of a number.
    pub(crate) fn of_number(number: u64) -> Self {
        Self { file: (number >> 32) as u32, offset: number as u32 }
    }
}

/// Entries that follow one another in a file.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) start: ChunkPlace,
    pub(super) bytes: Vec<u8>,
    /// Of its chunks.
    pub(super) max_ms: i64,
}

impl Part {
    fn at(start: ChunkPlace) -> Self {
        Self { start, bytes: Vec::new(), max_ms: i64::MIN }
    }

    pub(super) fn end(&self) -> ChunkPlace {
        // A file's length is below 2^32 by the check in `push`.
        ChunkPlace { offset: self.start.offset + self.bytes.len() as u32, ..self.start }
    }

    fn copy(&self, at: ChunkPlace, out: &mut Vec<u8>) -> bool {
        let inside = at >= self.start && at < self.end();
        if inside {
            let bytes = &self.bytes[(at.offset - self.start.offset) as usize..];
            let len = super::extent(bytes).map_or(bytes.len(), |(_, len)| len.min(bytes.len()));
            out.extend_from_slice(&bytes[..len]);
        }
        inside
    }
}

/// See above.
#[derive(Debug)]
pub(super) struct Buffer {
    /// Takes entries.
    open: Part,
    /// Take no more; the oldest first.
    sealed: VecDeque<Arc<Part>>,
    /// Of all parts.
    bytes: usize,
}

impl Buffer {
    /// A buffer whose first entry begins file `file`.
    pub(super) fn new(file: u32) -> Self {
        Self { open: Part::at(start_of(file)), sealed: VecDeque::new(), bytes: 0 }
    }

    /// Adds an entry; where it begins, and how long it is.
    pub(super) fn push(&mut self, entry: &Entry<'_>, max_file_bytes: u32) -> (ChunkPlace, usize) {
        let end = self.open.end();
        let longest = entry.bytes.len() + MAX_OVERHEAD;
        assert!(longest <= i32::MAX as usize, "invariant: a chunk is shorter than a file can say");
        if end.offset as usize + longest > max_file_bytes as usize {
            self.cut();
        } else if self.open.bytes.len() >= PART_BYTES {
            self.seal();
        }
        let at = self.open.end();
        let len = push_entry(&mut self.open.bytes, entry);
        self.bytes += len;
        self.open.max_ms = max_of(self.open.max_ms, entry.max);
        (at, len)
    }

    /// Begins a part; where it begins.
    pub(super) fn seal(&mut self) -> ChunkPlace {
        let end = self.open.end();
        if !self.open.bytes.is_empty() {
            let part = std::mem::replace(&mut self.open, Part::at(end));
            self.sealed.push_back(Arc::new(part));
        }
        end
    }

    /// Begins a file, unless the last one has no entry.
    pub(super) fn cut(&mut self) {
        let end = self.seal();
        if end.offset as usize > HEADER_SIZE {
            self.open = Part::at(start_of(end.file + 1));
        }
    }

    /// The oldest part that takes no more.
    pub(super) fn first_sealed(&self) -> Option<Arc<Part>> {
        self.sealed.front().map(Arc::clone)
    }

    /// The file that is written to next.
    pub(super) fn first_file(&self) -> u32 {
        self.sealed.front().map_or(self.open.start.file, |part| part.start.file)
    }

    /// Forgets the oldest part that takes no more.
    pub(super) fn drop_first_sealed(&mut self) {
        let dropped = self.sealed.pop_front();
        self.bytes -= dropped.map_or(0, |part| part.bytes.len());
    }

    /// Copies the entry at a place to `out`, if it is here.
    pub(super) fn copy(&self, at: ChunkPlace, out: &mut Vec<u8>) -> bool {
        self.open.copy(at, out) || self.sealed.iter().any(|part| part.copy(at, out))
    }

    pub(super) fn byte_len(&self) -> usize {
        self.bytes
    }
}

fn start_of(file: u32) -> ChunkPlace {
    ChunkPlace { file, offset: HEADER_SIZE as u32 }
}
