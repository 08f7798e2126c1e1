//! `Symbols`: all texts of labels, by the names that series have for them. Knows no series.

use super::{
    IndexVersion,
    paged::{LastPage, PAGE_ENTRIES, Paged, Walk},
};
use crate::block::{error::BlockError, input::Input};
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use skopos_base::varint;
use skopos_model::Labels;
use std::ops::Range;

/// A reader of symbols forgets all texts when they are so many bytes.
const KEPT_BYTES: usize = 256 << 10;

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

/// Symbols by number. Keeps the texts that were asked for: those of names, and of values that many series
/// have, are read once, and a value of one series costs no more than its page.
#[derive(Debug, Default)]
pub(crate) struct SymbolReader {
    /// Where each text that was asked for stands in `texts`.
    known: HashMap<u32, Range<usize>, RandomState>,
    texts: String,
    /// Where the names and values of the labels that are compared stand in `texts`.
    places: Vec<[Range<usize>; 2]>,
    /// The page read last: series that stand behind one another often have neighbouring values.
    page: LastPage,
}

impl SymbolReader {
    /// The texts of a label's name and value.
    pub(crate) fn pair<'a>(
        &'a mut self,
        symbols: &Symbols,
        input: &Input,
        pair: (u32, u32),
    ) -> Result<(&'a str, &'a str), BlockError> {
        self.forget_many();
        let name = self.find(symbols, input, pair.0)?;
        let value = self.find(symbols, input, pair.1)?;
        Ok((&self.texts[name], &self.texts[value]))
    }

    /// The texts kept are forgotten once they are many; there is always room for those of one series.
    fn forget_many(&mut self) {
        if self.texts.len() >= KEPT_BYTES {
            self.known.clear();
            self.texts.clear();
        }
    }

    /// Which of `likely` has just these labels, given in the order of their names.
    pub(crate) fn position<'l>(
        &mut self,
        symbols: &Symbols,
        input: &Input,
        pairs: &[(u32, u32)],
        mut likely: impl Iterator<Item = &'l Labels>,
    ) -> Result<Option<usize>, BlockError> {
        self.forget_many();
        self.places.clear();
        for (name, value) in pairs {
            let place = [self.find(symbols, input, *name)?, self.find(symbols, input, *value)?];
            self.places.push(place);
        }
        let text = |place: &Range<usize>| &self.texts.as_bytes()[place.clone()];
        let pairs = self.places.iter().map(|[name, value]| (text(name), text(value)));
        Ok(likely.position(|labels| labels.is(pairs.clone())))
    }

    /// One text.
    pub(crate) fn text(&mut self, symbols: &Symbols, input: &Input, symbol: u32) -> Result<&str, BlockError> {
        self.pair(symbols, input, (symbol, symbol)).map(|(text, _)| text)
    }

    #[inline]
    fn find(&mut self, symbols: &Symbols, input: &Input, symbol: u32) -> Result<Range<usize>, BlockError> {
        match self.known.get(&symbol) {
            Some(found) => Ok(found.clone()),
            None => self.read(symbols, input, symbol),
        }
    }

    fn read(&mut self, symbols: &Symbols, input: &Input, symbol: u32) -> Result<Range<usize>, BlockError> {
        let (page, place) = symbols.place(input, symbol)?;
        let bytes = symbols.table.read_again(input, page, &mut self.page)?;
        let offset = symbols.table.start() + u64::from(symbols.table.page_start(page));
        let mut scan = input.scan(bytes, offset);
        let mut before = 0;
        while match place {
            Place::Nth(nth) => before < nth,
            Place::At(at) => scan.at() < at as usize,
        } {
            let len = scan.uvarint()?;
            scan.take(len)?;
            before += 1;
        }
        if matches!(place, Place::At(at) if scan.at() != at as usize) {
            return Err(scan.corrupt(format!("no symbol begins at {symbol}")));
        }
        let from = self.texts.len();
        self.texts.push_str(scan.text()?);
        let found = from..self.texts.len();
        self.known.insert(symbol, found.clone());
        Ok(found)
    }
}
