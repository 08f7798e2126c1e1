//! `Symbols`: all texts of labels, by the names that series have for them. Knows no series.

use super::{
    IndexVersion,
    paged::{PAGE_ENTRIES, Paged, Walk},
};
use crate::block::{
    error::BlockError,
    input::{Input, Scan},
};
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use skopos_base::varint;

/// So many pages are kept by one reader of symbols, and as many that were not asked for since.
const YOUNG_PAGES: usize = 256;

/// The symbol table of an index.
#[derive(Debug)]
pub(crate) struct Symbols {
    table: Paged,
    count: u32,
    version: IndexVersion,
}

impl Symbols {
    pub(crate) fn open(input: &Input, section: u64, version: IndexVersion) -> Result<Self, BlockError> {
        let mut walk = Walk::start(input, section)?;
        let count = walk.peek(4)?.first_chunk().map(|n| u32::from_be_bytes(*n));
        let Some(count) = count else { return Err(walk.corrupt("the table has no count")) };
        walk.advance(4);
        let mut seen = 0;
        while !walk.is_done() {
            let Some((len, n)) = varint::uvarint(walk.peek(varint::MAX_LEN)?) else {
                return Err(walk.corrupt("the length of a symbol is cut off"));
            };
            let whole = usize::try_from(len).ok().and_then(|len| len.checked_add(n));
            let Some(whole) = whole.filter(|w| *w <= u32::MAX as usize) else {
                return Err(walk.corrupt("a symbol is longer than its table"));
            };
            if walk.peek(whole)?.len() < whole {
                return Err(walk.corrupt("a symbol is longer than its table"));
            }
            if (seen as usize).is_multiple_of(PAGE_ENTRIES) {
                walk.begin_page();
            }
            walk.advance(whole);
            seen += 1;
        }
        if seen != count {
            return Err(walk.corrupt("the table has another number of symbols than it says"));
        }
        Ok(Self { table: walk.finish()?, count, version })
    }

    /// The page of the symbol of that name, and its place there.
    fn place(&self, input: &Input, symbol: u32) -> Result<(usize, Place), BlockError> {
        let found = match self.version {
            IndexVersion::V2 if symbol < self.count => {
                let (page, nth) = (symbol as usize / PAGE_ENTRIES, symbol as usize % PAGE_ENTRIES);
                Some((page, Place::Nth(nth)))
            }
            IndexVersion::V2 => None,
            IndexVersion::V1 => {
                let offset = u64::from(symbol).checked_sub(self.table.start());
                let offset = offset.and_then(|o| u32::try_from(o).ok());
                let page = offset.and_then(|o| Some((o, self.table.page_of(o)?)));
                page.map(|(offset, page)| (page, Place::At(offset - self.table.page_start(page))))
            }
        };
        found.ok_or_else(|| input.corrupt(self.table.start(), format!("there is no symbol {symbol}")))
    }

    /// Hands out all symbols in order.
    pub(crate) fn for_each(&self, input: &Input, mut visit: impl FnMut(&str)) -> Result<(), BlockError> {
        let mut buffer = Vec::new();
        for page in 0..self.table.len() {
            let bytes = self.table.read(input, page..page + 1, &mut buffer)?;
            let mut scan = input.scan(bytes, self.table.start() + u64::from(self.table.page_start(page)));
            while !scan.is_empty() {
                visit(scan.text()?);
            }
        }
        Ok(())
    }
}

/// A symbol's place in its page.
#[derive(Clone, Copy, Debug)]
enum Place {
    Nth(usize),
    /// The offset of its length.
    At(u32),
}

/// One page of symbols, read. Which bytes are texts is known; whether they are UTF-8 is asked of those
/// that are wanted.
#[derive(Debug)]
struct Page {
    bytes: Box<[u8]>,
    /// For each symbol where it stands in the page, and where its text does.
    at: Vec<Span>,
}

/// A symbol in a page: its length stands at `start`, its text from `text` to `end`.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: u32,
    text: u32,
    end: u32,
}

impl Page {
    fn new(mut scan: Scan<'_>) -> Result<Self, BlockError> {
        let bytes = scan.rest().into();
        let mut at = Vec::with_capacity(PAGE_ENTRIES);
        while !scan.is_empty() {
            let start = scan.at() as u32;
            let len = scan.uvarint()?;
            let text = scan.at() as u32;
            scan.take(len)?;
            at.push(Span { start, text, end: scan.at() as u32 });
        }
        Ok(Self { bytes, at })
    }

    fn get(&self, place: Place) -> Option<&str> {
        let span = match place {
            Place::Nth(nth) => self.at.get(nth)?,
            Place::At(offset) => {
                let nth = self.at.binary_search_by_key(&offset, |span| span.start).ok()?;
                &self.at[nth]
            }
        };
        std::str::from_utf8(&self.bytes[span.text as usize..span.end as usize]).ok()
    }
}

/// Symbols by number, with the pages that were asked for last: those of names and of values that many series
/// have stay, however many other values there are.
#[derive(Debug, Default)]
pub(crate) struct SymbolReader {
    /// Asked for since `older` was young.
    pages: HashMap<usize, Page, RandomState>,
    older: HashMap<usize, Page, RandomState>,
    buffer: Vec<u8>,
}

impl SymbolReader {
    /// Reads the pages of a label's name and value.
    pub(crate) fn pair<'a>(
        &'a mut self,
        symbols: &Symbols,
        input: &Input,
        pair: (u32, u32),
    ) -> Result<(&'a str, &'a str), BlockError> {
        // There is room for two.
        if self.pages.len() >= YOUNG_PAGES {
            self.older = std::mem::take(&mut self.pages);
        }
        let name = self.load(symbols, input, pair.0)?;
        let value = self.load(symbols, input, pair.1)?;
        let get = |(page, place): (usize, Place), symbol: u32| {
            self.pages.get(&page).and_then(|page| page.get(place)).ok_or_else(|| {
                input.corrupt(symbols.table.start(), format!("symbol {symbol} is none, or no UTF-8"))
            })
        };
        Ok((get(name, pair.0)?, get(value, pair.1)?))
    }

    fn load(&mut self, symbols: &Symbols, input: &Input, symbol: u32) -> Result<(usize, Place), BlockError> {
        let (page, place) = symbols.place(input, symbol)?;
        if !self.pages.contains_key(&page) {
            let read = match self.older.remove(&page) {
                Some(read) => read,
                None => {
                    let bytes = symbols.table.read(input, page..page + 1, &mut self.buffer)?;
                    let start = u64::from(symbols.table.page_start(page));
                    Page::new(input.scan(bytes, symbols.table.start() + start))?
                }
            };
            self.pages.insert(page, read);
        }
        Ok((page, place))
    }
}
