//! `PostingOffsets`: where the postings of each label pair stand. Memory has all names and every 32nd value;
//! the rest is read when it is asked for. Knows no series.

use super::{
    IndexVersion,
    paged::{PAGE_ENTRIES, Paged, Walk},
};
use crate::block::{error::BlockError, input::Input, input::Scan};
use skopos_base::varint::put_uvarint;
use std::{collections::BTreeMap, ops::ControlFlow};

/// Pages read at once when many values are wanted.
const STRIDE: usize = 64;

/// The postings offset table of an index.
#[derive(Debug)]
pub(crate) struct PostingOffsets {
    names: Vec<Name>,
    /// The first value of each page, one behind the other, and where each begins.
    firsts: String,
    first_at: Vec<u32>,
    table: Table,
}

#[derive(Debug)]
enum Table {
    /// Version 2 is sorted.
    Paged(Paged),
    /// Version 1 is in no order, so that all of it is held: values sorted, with their offsets.
    Held(Vec<Vec<(Box<str>, u64)>>),
}

#[derive(Debug)]
struct Name {
    name: Box<str>,
    /// How many values it has.
    values: usize,
    pages: std::ops::Range<usize>,
}

/// One entry of the table.
struct Entry<'a> {
    name: &'a str,
    value: &'a str,
    postings: u64,
}

impl<'a> Entry<'a> {
    fn read(scan: &mut Scan<'a>) -> Result<Self, BlockError> {
        let keys = scan.uvarint()?;
        if keys != 2 {
            return Err(scan.corrupt(format!("an entry has {keys} texts, not 2")));
        }
        Ok(Self { name: scan.text()?, value: scan.text()?, postings: scan.uvarint()? })
    }
}

/// Reads entries of one name. The bytes that they begin with are compared and not read.
struct EntriesOf<'n> {
    name: &'n str,
    head: Vec<u8>,
}

impl<'n> EntriesOf<'n> {
    fn new(name: &'n str) -> Self {
        let mut head = Vec::with_capacity(name.len() + 4);
        put_uvarint(&mut head, 2);
        put_uvarint(&mut head, name.len() as u64);
        head.extend_from_slice(name.as_bytes());
        Self { name, head }
    }

    #[inline]
    fn read<'a>(&self, scan: &mut Scan<'a>) -> Result<Entry<'a>, BlockError>
    where
        'n: 'a,
    {
        if !scan.rest().starts_with(&self.head) {
            return Entry::read(scan);
        }
        scan.take(self.head.len() as u64)?;
        Ok(Entry { name: self.name, value: scan.text()?, postings: scan.uvarint()? })
    }
}

impl PostingOffsets {
    pub(crate) fn open(input: &Input, section: u64, version: IndexVersion) -> Result<Self, BlockError> {
        let mut walk = Walk::start(input, section)?;
        let count = walk.peek(4)?.first_chunk().map(|n| u32::from_be_bytes(*n));
        let Some(count) = count else { return Err(walk.corrupt("the table has no count")) };
        walk.advance(4);
        let mut build = match version {
            IndexVersion::V1 => Build::Held(BTreeMap::new()),
            IndexVersion::V2 => Build::Paged(Sampled::default()),
        };
        let (mut seen, base) = (0u32, section + 4);
        while !walk.is_done() {
            let len = entry_len(&mut walk, input, base)?;
            let is_page = match &mut build {
                Build::Held(_) => false,
                Build::Paged(sampled) => {
                    let offset = walk.offset();
                    let bytes = walk.peek(len)?;
                    let mut scan = input.scan(bytes, base + u64::from(offset));
                    let entry = Entry::read(&mut scan)?;
                    sampled.add(&entry).map_err(|reason| scan.corrupt(reason))?
                }
            };
            if is_page {
                walk.begin_page();
            }
            if let Build::Held(all) = &mut build {
                let offset = walk.offset();
                let entry = Entry::read(&mut input.scan(walk.peek(len)?, base + u64::from(offset)))?;
                let values = all.entry(entry.name.into()).or_default();
                values.insert(entry.value.into(), entry.postings);
            }
            walk.advance(len);
            seen += 1;
        }
        if seen != count {
            return Err(walk.corrupt("the table has another number of entries than it says"));
        }
        Ok(build.finish(walk.finish()?))
    }

    /// All names but that of all postings, sorted.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|n| &*n.name).filter(|n| !n.is_empty())
    }

    /// How many values a label has.
    pub(crate) fn value_count(&self, name: &str) -> usize {
        self.find(name).map_or(0, |i| self.names[i].values)
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.names.binary_search_by(|n| (*n.name).cmp(name)).ok()
    }

    fn first(&self, page: usize) -> &str {
        let end = self.first_at.get(page + 1).map_or(self.firsts.len(), |at| *at as usize);
        &self.firsts[self.first_at[page] as usize..end]
    }

    /// The page of `name` that has `value` if any has.
    fn page_of(&self, name: &Name, value: &str) -> usize {
        let (mut low, mut high) = (name.pages.start, name.pages.end);
        while low + 1 < high {
            let middle = low.midpoint(high);
            if self.first(middle) <= value { low = middle } else { high = middle }
        }
        low
    }

    /// Where the postings of a label pair stand.
    pub(crate) fn get(&self, input: &Input, name: &str, value: &str) -> Result<Option<u64>, BlockError> {
        let Some(found) = self.find(name) else { return Ok(None) };
        let paged = match &self.table {
            Table::Paged(paged) => paged,
            Table::Held(all) => {
                let values = &all[found];
                let at = values.binary_search_by(|(v, _)| (**v).cmp(value)).ok();
                return Ok(at.map(|at| values[at].1));
            }
        };
        let page = self.page_of(&self.names[found], value);
        let mut buffer = Vec::new();
        let bytes = paged.read(input, page..page + 1, &mut buffer)?;
        let mut scan = input.scan(bytes, paged.start() + u64::from(paged.page_start(page)));
        let entries = EntriesOf::new(name);
        while !scan.is_empty() {
            let entry = entries.read(&mut scan)?;
            if entry.value == value {
                return Ok(Some(entry.postings));
            }
        }
        Ok(None)
    }

    /// Hands out the values of `name` that begin with `prefix`, sorted, with the offsets of their postings,
    /// until `visit` breaks off.
    pub(crate) fn for_each(
        &self,
        input: &Input,
        name: &str,
        prefix: &str,
        mut visit: impl FnMut(&str, u64) -> Result<ControlFlow<()>, BlockError>,
    ) -> Result<(), BlockError> {
        let Some(found) = self.find(name) else { return Ok(()) };
        let paged = match &self.table {
            Table::Paged(paged) => paged,
            Table::Held(all) => {
                let from = all[found].partition_point(|(v, _)| **v < *prefix);
                for (value, postings) in all[found][from..].iter().take_while(|(v, _)| v.starts_with(prefix))
                {
                    if visit(value, *postings)?.is_break() {
                        break;
                    }
                }
                return Ok(());
            }
        };
        let entries = EntriesOf::new(name);
        let name = &self.names[found];
        let mut page = self.page_of(name, prefix);
        let mut buffer = Vec::new();
        // A visitor mostly wants all or few values: the first read is short.
        let mut stride = 1;
        while page < name.pages.end {
            let end = (page + stride).min(name.pages.end);
            stride = STRIDE;
            let bytes = paged.read(input, page..end, &mut buffer)?;
            let mut scan = input.scan(bytes, paged.start() + u64::from(paged.page_start(page)));
            while !scan.is_empty() {
                let entry = entries.read(&mut scan)?;
                if entry.value < prefix {
                    continue;
                }
                if !entry.value.starts_with(prefix) || visit(entry.value, entry.postings)?.is_break() {
                    return Ok(());
                }
            }
            page = end;
        }
        Ok(())
    }
}

/// How many bytes the next entry has. They are then all there to `peek`.
fn entry_len(walk: &mut Walk<'_>, input: &Input, base: u64) -> Result<usize, BlockError> {
    let mut wanted = 512;
    loop {
        let offset = base + u64::from(walk.offset());
        let bytes = walk.peek(wanted)?;
        let there = bytes.len();
        let mut scan = input.scan(bytes, offset);
        match Entry::read(&mut scan) {
            Ok(_) => return Ok(scan.at()),
            // It may go on behind what was read.
            Err(_) if there >= wanted => wanted = there * 2,
            Err(e) => return Err(e),
        }
    }
}

/// A table being walked.
enum Build {
    Paged(Sampled),
    Held(BTreeMap<Box<str>, BTreeMap<Box<str>, u64>>),
}

#[derive(Default)]
struct Sampled {
    names: Vec<Name>,
    firsts: String,
    first_at: Vec<u32>,
    last: String,
}

impl Sampled {
    /// Takes an entry in; whether a page begins with it.
    fn add(&mut self, entry: &Entry<'_>) -> Result<bool, &'static str> {
        let pages = self.first_at.len();
        let same = match self.names.last_mut() {
            Some(name) if *name.name == *entry.name => {
                if entry.value <= &*self.last {
                    return Err("the values of a label are not sorted");
                }
                true
            }
            Some(name) if *name.name > *entry.name => return Err("the names of labels are not sorted"),
            _ => false,
        };
        if !same {
            self.names.push(Name { name: entry.name.into(), values: 0, pages: pages..pages });
        }
        self.last.clear();
        self.last.push_str(entry.value);
        let name = self.names.last_mut().expect("invariant: it was there or has been added");
        let is_page = name.values.is_multiple_of(PAGE_ENTRIES);
        name.values += 1;
        if is_page {
            name.pages.end += 1;
            self.first_at.push(self.firsts.len() as u32);
            self.firsts.push_str(entry.value);
        }
        Ok(is_page)
    }
}

impl Build {
    fn finish(self, table: Paged) -> PostingOffsets {
        match self {
            Self::Paged(sampled) => {
                let Sampled { names, mut firsts, mut first_at, .. } = sampled;
                firsts.shrink_to_fit();
                first_at.shrink_to_fit();
                PostingOffsets { names, firsts, first_at, table: Table::Paged(table) }
            }
            Self::Held(all) => {
                let (mut names, mut held) = (Vec::new(), Vec::new());
                for (name, values) in all {
                    names.push(Name { name, values: values.len(), pages: 0..0 });
                    held.push(values.into_iter().collect());
                }
                let (firsts, first_at) = (String::new(), Vec::new());
                PostingOffsets { names, firsts, first_at, table: Table::Held(held) }
            }
        }
    }
}
