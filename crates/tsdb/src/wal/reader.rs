//! Reads the records of one segment, page by page. Never panics on bytes and never trusts a length;
//! what is damaged costs the rest of its page and the record that it belonged to.
//!
//! A checksum covers a fragment's bytes, not its header. So a fragment whose kind does not continue
//! what was read before is not believed either: a flipped bit could have made a whole record out of
//! the middle of one. Nor is a page that is followed by others ever left empty by a writer: zeros
//! there are bytes that a power loss took.

use super::{
    compress::Decompressor,
    page::{Compression, FragmentKind, HEADER_SIZE, PAGE_SIZE, parse_type},
};
use skopos_base::fs::File;
use std::{io, ops::Range};

/// Pages read at once.
const READ_PAGES: usize = 16;
/// What stands next in a segment.
#[derive(Debug, PartialEq)]
pub(crate) enum Item<'a> {
    /// A whole record with the offset at which it begins.
    Record(u64, &'a [u8]),
    /// Damage, after which reading goes on.
    Fault(Fault),
}

/// Damage at an offset of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) offset: u64,
    pub(crate) reason: &'static str,
}

/// Streams over one segment with bounded memory: some pages and one record.
#[derive(Debug)]
pub(crate) struct SegmentReader<'f> {
    file: &'f dyn File,
    /// Bytes of the file from `loaded_at` on.
    loaded: Vec<u8>,
    loaded_at: u64,
    at_end: bool,
    /// The next fragment, counted from the file's start.
    offset: u64,
    /// The record being put together, with the offset and the compression of its first fragment.
    pending: Option<(u64, Compression)>,
    parts: Vec<u8>,
    /// After damage, fragments that continue an unknown record are passed over in silence.
    resyncing: bool,
    /// Where zeros began that would be the end of the segment, if nothing came behind them.
    zeros_from: Option<u64>,
    decompressor: Decompressor,
    good_end: u64,
}

/// Where a finished record's bytes are.
enum Bytes {
    Loaded(Range<usize>),
    Parts,
}

enum Step {
    Record { offset: u64, bytes: Bytes, compression: Compression },
    Fault(Fault),
    Continue,
    End,
}

impl<'f> SegmentReader<'f> {
    pub(crate) fn new(file: &'f dyn File) -> Self {
        Self {
            file,
            loaded: Vec::new(),
            loaded_at: 0,
            at_end: false,
            offset: 0,
            pending: None,
            parts: Vec::new(),
            resyncing: false,
            zeros_from: None,
            decompressor: Decompressor::default(),
            good_end: 0,
        }
    }

    /// Where the last whole record ends. Behind it stand at most unfinished or damaged bytes.
    pub(crate) fn good_end(&self) -> u64 {
        self.good_end
    }

    /// The next record or damage; `None` at the end. An error is the system's, not the bytes'.
    pub(crate) fn next(&mut self) -> io::Result<Option<Item<'_>>> {
        loop {
            match self.step()? {
                Step::Continue => {}
                Step::End => return Ok(None),
                Step::Fault(fault) => return Ok(Some(Item::Fault(fault))),
                Step::Record { offset, bytes, compression } => {
                    return Ok(Some(self.open(offset, bytes, compression)));
                }
            }
        }
    }

    fn open(&mut self, offset: u64, bytes: Bytes, compression: Compression) -> Item<'_> {
        let raw = match bytes {
            Bytes::Loaded(range) => &self.loaded[range],
            Bytes::Parts => &self.parts[..],
        };
        let opened = match compression {
            Compression::None => Ok(raw),
            Compression::Snappy => self.decompressor.snappy(raw),
            Compression::Zstd => self.decompressor.zstd(raw),
        };
        match opened {
            Ok(record) => Item::Record(offset, record),
            Err(reason) => Item::Fault(Fault { offset, reason }),
        }
    }

    /// Reads one fragment, or moves to the next page.
    fn step(&mut self) -> io::Result<Step> {
        let in_page = (self.offset % PAGE_SIZE as u64) as usize;
        if in_page == 0 {
            self.load(self.offset)?;
        }
        let page_start = self.offset - in_page as u64;
        let page_at = (page_start - self.loaded_at) as usize;
        let page_len = self.loaded.len().saturating_sub(page_at).min(PAGE_SIZE);
        if in_page >= page_len {
            return Ok(self.finish());
        }
        let at = page_at + in_page;
        let rest = at..page_at + page_len;
        let has_room = PAGE_SIZE - in_page >= HEADER_SIZE;
        if !has_room || self.loaded[at] == 0 {
            if self.loaded[rest].iter().any(|b| *b != 0) {
                return Ok(self.skip_page("what should be padding is not zero"));
            }
            if has_room && self.zeros_from.is_none() {
                self.zeros_from = Some(self.offset);
            }
            self.offset = page_start + PAGE_SIZE as u64;
            return Ok(Step::Continue);
        }
        if let Some(offset) = self.zeros_from.take() {
            self.pending = None;
            self.resyncing = true;
            return Ok(Step::Fault(Fault { offset, reason: "there are zeros where records should be" }));
        }
        let Some((kind, compression)) = parse_type(self.loaded[at]) else {
            return Ok(self.skip_page("no writer writes this type of fragment"));
        };
        if rest.len() < HEADER_SIZE {
            return Ok(self.skip_page("the file ends in the header of a fragment"));
        }
        let len = usize::from(u16::from_be_bytes([self.loaded[at + 1], self.loaded[at + 2]]));
        let crc = u32::from_be_bytes([
            self.loaded[at + 3],
            self.loaded[at + 4],
            self.loaded[at + 5],
            self.loaded[at + 6],
        ]);
        if in_page + HEADER_SIZE + len > PAGE_SIZE {
            return Ok(self.skip_page("the fragment is longer than its page"));
        }
        if HEADER_SIZE + len > rest.len() {
            return Ok(self.skip_page("the file ends in a fragment"));
        }
        let data = at + HEADER_SIZE..at + HEADER_SIZE + len;
        if crc32c::crc32c(&self.loaded[data.clone()]) != crc {
            return Ok(self.skip_page("the checksum of a fragment is wrong"));
        }
        Ok(self.take_fragment(kind, compression, data))
    }

    fn take_fragment(&mut self, kind: FragmentKind, compression: Compression, data: Range<usize>) -> Step {
        let start = self.offset;
        let end = start + (HEADER_SIZE + data.len()) as u64;
        let begins = matches!(kind, FragmentKind::Full | FragmentKind::First);
        match self.pending {
            Some(_) if begins => return self.skip_page("a record begins inside another"),
            Some((_, c)) if c != compression => {
                return self.skip_page("the parts of a record differ in compression");
            }
            None if !begins => {
                if !self.resyncing {
                    return self.skip_page("a record continues that never began");
                }
                self.offset = end;
                return Step::Continue;
            }
            _ => {}
        }
        self.offset = end;
        self.resyncing = false;
        match kind {
            FragmentKind::Full => {
                self.good_end = end;
                Step::Record { offset: start, bytes: Bytes::Loaded(data), compression }
            }
            FragmentKind::First => {
                self.parts.clear();
                self.parts.extend_from_slice(&self.loaded[data]);
                self.pending = Some((start, compression));
                Step::Continue
            }
            FragmentKind::Middle => {
                self.parts.extend_from_slice(&self.loaded[data]);
                Step::Continue
            }
            FragmentKind::Last => {
                self.parts.extend_from_slice(&self.loaded[data]);
                self.good_end = end;
                let (offset, compression) = self.pending.take().unwrap_or((start, compression));
                Step::Record { offset, bytes: Bytes::Parts, compression }
            }
        }
    }

    /// Gives up the page and the record that it belonged to.
    fn skip_page(&mut self, reason: &'static str) -> Step {
        let fault = Fault { offset: self.offset, reason };
        self.pending = None;
        self.resyncing = true;
        self.offset = (self.offset / PAGE_SIZE as u64 + 1) * PAGE_SIZE as u64;
        Step::Fault(fault)
    }

    fn finish(&mut self) -> Step {
        match self.pending.take() {
            Some((offset, _)) => {
                Step::Fault(Fault { offset, reason: "the file ends before the record does" })
            }
            None => Step::End,
        }
    }

    /// Makes the page at `offset` available.
    fn load(&mut self, offset: u64) -> io::Result<()> {
        let loaded_end = self.loaded_at + self.loaded.len() as u64;
        if offset < loaded_end || self.at_end {
            return Ok(());
        }
        self.loaded_at = offset;
        self.loaded.resize(READ_PAGES * PAGE_SIZE, 0);
        let mut have = 0;
        while have < self.loaded.len() {
            let n = self.file.pread(&mut self.loaded[have..], offset + have as u64)?;
            if n == 0 {
                self.at_end = true;
                break;
            }
            have += n;
        }
        self.loaded.truncate(have);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
