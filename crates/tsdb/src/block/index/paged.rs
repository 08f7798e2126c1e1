//! A table of an index that is not held in memory: it is walked once when it is opened, and read again page
//! by page. Knows no entry's meaning.
//!
//! The file has one checksum for a whole table. It is checked by the walk, which takes one more of each page:
//! 8 bytes of memory a page, so that later reads are checked too.

use super::CRC_LEN;
use crate::block::{error::BlockError, input::Input};
use skopos_base::crc::{crc32c, crc32c_append};

/// Entries of a page.
pub(super) const PAGE_ENTRIES: usize = 32;
/// A table of no more bytes is held as a whole: reading it again would cost more than it saves.
const HELD: u64 = 1 << 20;
/// Bytes read at once by the walk.
const WINDOW: usize = 256 << 10;

#[derive(Clone, Copy, Debug)]
struct Page {
    /// Where it begins in the table.
    start: u32,
    crc: u32,
}

/// A table whose pages can be read.
#[derive(Debug)]
pub(super) struct Paged {
    /// Where the table's content begins in the file.
    start: u64,
    len: u32,
    pages: Vec<Page>,
    held: Option<Vec<u8>>,
}

impl Paged {
    pub(super) fn len(&self) -> usize {
        self.pages.len()
    }

    /// Where the table's content begins in the file.
    pub(super) fn start(&self) -> u64 {
        self.start
    }

    /// The offset, from the start of the table, of a page, or of the end behind the last one.
    pub(super) fn page_start(&self, page: usize) -> u32 {
        self.pages.get(page).map_or(self.len, |p| p.start)
    }

    /// The page that has the byte at `offset` of the table.
    pub(super) fn page_of(&self, offset: u32) -> Option<usize> {
        if offset >= self.len {
            return None;
        }
        self.pages.partition_point(|p| p.start <= offset).checked_sub(1)
    }

    /// The bytes of the pages from `first` to before `end`, checked.
    pub(super) fn read<'a>(
        &'a self,
        input: &Input,
        pages: std::ops::Range<usize>,
        buffer: &'a mut Vec<u8>,
    ) -> Result<&'a [u8], BlockError> {
        let (from, to) = (self.page_start(pages.start), self.page_start(pages.end));
        if let Some(held) = &self.held {
            return Ok(&held[from as usize..to as usize]);
        }
        buffer.resize((to - from) as usize, 0);
        input.read_into(buffer, self.start + u64::from(from))?;
        for page in pages {
            let (start, end) = (self.page_start(page), self.page_start(page + 1));
            let bytes = &buffer[(start - from) as usize..(end - from) as usize];
            if crc32c(bytes) != self.pages[page].crc {
                let at = self.start + u64::from(start);
                return Err(input.corrupt(at, "the checksum is another than when the block was opened"));
            }
        }
        Ok(buffer)
    }

    /// The bytes of one page, which may be the one read last.
    pub(super) fn read_again<'a>(
        &'a self,
        input: &Input,
        page: usize,
        last: &'a mut LastPage,
    ) -> Result<&'a [u8], BlockError> {
        if last.page == Some(page) && self.held.is_none() {
            return Ok(&last.buffer);
        }
        last.page = None;
        let bytes = self.read(input, page..page + 1, &mut last.buffer)?;
        last.page = Some(page);
        Ok(bytes)
    }
}

/// The page that was read last, so that the same one is not read again.
#[derive(Debug, Default)]
pub(super) struct LastPage {
    /// Which one `buffer` has.
    page: Option<usize>,
    buffer: Vec<u8>,
}

/// The first walk over a table: `len` bytes of content, before them their number, behind them the checksum.
pub(super) struct Walk<'a> {
    input: &'a Input,
    start: u64,
    len: u32,
    /// Content from `read - buffer.len()` to `read`.
    buffer: Vec<u8>,
    at: usize,
    read: u32,
    crc: u32,
    page_crc: u32,
    pages: Vec<Page>,
    held: Option<Vec<u8>>,
}

impl<'a> Walk<'a> {
    pub(super) fn start(input: &'a Input, section: u64) -> Result<Self, BlockError> {
        let len = input.read_u32(section)?;
        let start = section + 4;
        if start + u64::from(len) + CRC_LEN > input.len() {
            return Err(input.corrupt(section, format!("a table of {len} bytes reaches beyond the file")));
        }
        let held = (u64::from(len) <= HELD).then(Vec::new);
        Ok(Self {
            input,
            start,
            len,
            buffer: Vec::new(),
            at: 0,
            read: 0,
            crc: 0,
            page_crc: 0,
            pages: Vec::new(),
            held,
        })
    }

    pub(super) fn corrupt(&self, reason: &str) -> BlockError {
        self.input.corrupt(self.start + u64::from(self.offset()), reason)
    }

    /// Where the walk stands in the table.
    pub(super) fn offset(&self) -> u32 {
        self.read - (self.buffer.len() - self.at) as u32
    }

    pub(super) fn is_done(&self) -> bool {
        self.offset() == self.len
    }

    /// Reads on until `wanted` bytes are there, or all that are left.
    fn fill(&mut self, wanted: usize) -> Result<(), BlockError> {
        if self.buffer.len() - self.at >= wanted || self.read == self.len {
            return Ok(());
        }
        self.buffer.drain(..self.at);
        self.at = 0;
        let more = WINDOW.max(wanted).min((self.len - self.read) as usize);
        let from = self.buffer.len();
        self.buffer.resize(from + more, 0);
        self.input.read_into(&mut self.buffer[from..], self.start + u64::from(self.read))?;
        self.crc = crc32c_append(self.crc, &self.buffer[from..]);
        if let Some(held) = &mut self.held {
            held.extend_from_slice(&self.buffer[from..]);
        }
        self.read += more as u32;
        Ok(())
    }

    /// The bytes at which the walk stands: at least `wanted`, or all that are left.
    pub(super) fn peek(&mut self, wanted: usize) -> Result<&[u8], BlockError> {
        self.fill(wanted)?;
        Ok(&self.buffer[self.at..])
    }

    /// Goes on by `n` bytes that were seen.
    pub(super) fn advance(&mut self, n: usize) {
        let end = self.at + n;
        self.page_crc = crc32c_append(self.page_crc, &self.buffer[self.at..end]);
        self.at = end;
    }

    /// Says that a page begins here.
    pub(super) fn begin_page(&mut self) {
        self.end_page();
        let start = self.offset();
        self.pages.push(Page { start, crc: 0 });
    }

    fn end_page(&mut self) {
        if let Some(last) = self.pages.last_mut() {
            last.crc = self.page_crc;
        }
        self.page_crc = 0;
    }

    /// Ends the walk at the end of the table and checks it as a whole.
    pub(super) fn finish(mut self) -> Result<Paged, BlockError> {
        if !self.is_done() {
            return Err(self.corrupt("the table goes on behind its last entry"));
        }
        if self.input.read_u32(self.start + u64::from(self.len))? != self.crc {
            return Err(self.input.corrupt(self.start, "the checksum of the table is another"));
        }
        self.end_page();
        self.pages.shrink_to_fit();
        Ok(Paged { start: self.start, len: self.len, pages: self.pages, held: self.held })
    }
}
