//! `Symbols`: all texts of labels, by the names that series have for them. Knows no series.

use super::{
    IndexVersion,
    paged::{PAGE_ENTRIES, Paged, Walk},
};
use crate::block::{error::BlockError, input::Input};
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use skopos_base::varint;

/// So many pages are kept by one reader of symbols.
const CACHED_PAGES: usize = 512;

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

/// One page of symbols, read.
#[derive(Debug)]
struct Texts {
    text: String,
    /// For each symbol where it stands in the page, and where its text ends in `text`.
    at: Vec<(u32, u32)>,
}

impl Texts {
    fn get(&self, place: Place) -> Option<&str> {
        let nth = match place {
            Place::Nth(nth) => nth,
            Place::At(offset) => self.at.binary_search_by_key(&offset, |(at, _)| *at).ok()?,
        };
        let start = nth.checked_sub(1).map_or(0, |before| self.at[before].1);
        self.text.get(start as usize..self.at.get(nth)?.1 as usize)
    }
}

/// Symbols by number, with the pages that were asked for last.
#[derive(Debug, Default)]
pub(crate) struct SymbolReader {
    pages: HashMap<usize, Texts, RandomState>,
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
        if self.pages.len() >= CACHED_PAGES {
            self.pages.clear();
        }
        let name = self.load(symbols, input, pair.0)?;
        let value = self.load(symbols, input, pair.1)?;
        let get = |(page, place): (usize, Place)| self.pages.get(&page)?.get(place);
        match (get(name), get(value)) {
            (Some(name), Some(value)) => Ok((name, value)),
            _ => Err(input.corrupt(symbols.table.start(), format!("there are no symbols {pair:?}"))),
        }
    }

    fn load(&mut self, symbols: &Symbols, input: &Input, symbol: u32) -> Result<(usize, Place), BlockError> {
        let (page, place) = symbols.place(input, symbol)?;
        if !self.pages.contains_key(&page) {
            let start = symbols.table.page_start(page);
            let bytes = symbols.table.read(input, page..page + 1, &mut self.buffer)?;
            let mut scan = input.scan(bytes, symbols.table.start() + u64::from(start));
            let mut texts = Texts { text: String::with_capacity(bytes.len()), at: Vec::new() };
            while !scan.is_empty() {
                let at = scan.at() as u32;
                texts.text.push_str(scan.text()?);
                texts.at.push((at, texts.text.len() as u32));
            }
            self.pages.insert(page, texts);
        }
        Ok((page, place))
    }
}
