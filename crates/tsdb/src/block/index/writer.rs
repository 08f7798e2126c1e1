//! `IndexWriter`: writes an index of version 2, byte for byte as Prometheus does for the same series. Knows
//! no chunk's bytes and no directory but the file it is given.

use super::{
    ChunkMeta, MAGIC, SERIES_ALIGNMENT,
    pairs::{Pair, PairIndex, Pairs, SortedPairs},
    series::SeriesEntry,
    symbol_table::{SymbolTable, Symbols},
    toc::Toc,
};
use crate::block::{error::BlockError, files::Output};
use skopos_base::{
    crc::{crc32c, crc32c_append},
    fs::Fs,
    varint::{put_uvarint, uvarint_len},
};
use skopos_model::Labels;
use std::path::{Path, PathBuf};

const VERSION: u8 = 2;

/// An index being written.
#[derive(Debug)]
pub(crate) struct IndexWriter {
    out: Output,
    path: PathBuf,
    symbols: SymbolTable,
    pairs: Pairs,
    toc: Toc,
    /// The labels of the series before, mostly those of the next one too.
    last: Vec<(Pair, PairIndex)>,
    scratch: Vec<u8>,
    entry: Vec<u8>,
}

impl IndexWriter {
    /// Begins an index at `path`. `symbols` are the texts of all labels to come.
    pub(crate) fn create(fs: &dyn Fs, path: &Path, symbols: Symbols) -> Result<Self, BlockError> {
        let symbols = symbols.number().map_err(|e| BlockError::refused(path, e.to_string()))?;
        let mut out = Output::create(fs, path.to_owned())?;
        out.put(&MAGIC.to_be_bytes())?;
        out.put(&[VERSION])?;
        let toc = Toc { symbols: out.len(), ..Toc::default() };
        let len: usize =
            (0..symbols.len()).map(|n| symbols.text(n).len()).map(|len| uvarint_len(len as u64) + len).sum();
        let mut table = Section::begin(&mut out, path, 4 + len as u64)?;
        table.put(&symbols.len().to_be_bytes())?;
        let mut entry = Vec::new();
        for n in 0..symbols.len() {
            entry.clear();
            put_text(&mut entry, symbols.text(n));
            table.put(&entry)?;
        }
        table.end()?;
        let toc = Toc { series: out.len(), ..toc };
        let pairs = Pairs::default();
        let path = path.to_owned();
        Ok(Self { out, path, symbols, pairs, toc, last: Vec::new(), scratch: Vec::new(), entry })
    }

    /// Adds a series behind those before. That the labels grow has been checked.
    pub(crate) fn add_series(&mut self, labels: &Labels, chunks: &[ChunkMeta]) -> Result<(), BlockError> {
        for (i, (name, value)) in labels.iter().enumerate() {
            let same = self.last.get(i).filter(|(pair, _)| {
                self.symbols.text(pair.name) == name && self.symbols.text(pair.value) == value
            });
            if same.is_some() {
                continue;
            }
            let (Some(name), Some(value)) = (self.symbols.number(name), self.symbols.number(value)) else {
                return Err(BlockError::refused(&self.path, format!("a label of {labels} is no symbol")));
            };
            let pair = Pair { name, value };
            let known = (pair, self.pairs.index_of(pair));
            match self.last.get_mut(i) {
                Some(slot) => *slot = known,
                None => self.last.push(known),
            }
        }
        self.last.truncate(labels.len());
        self.out.align(SERIES_ALIGNMENT)?;
        let Ok(series) = u32::try_from(self.out.len() / SERIES_ALIGNMENT) else {
            return Err(BlockError::refused(&self.path, "the series have more than 64 GiB"));
        };
        self.entry.clear();
        let names = self.last.iter().map(|(pair, _)| (pair.name, pair.value));
        SeriesEntry::encode(names, chunks, &mut self.scratch, &mut self.entry);
        self.pairs.add(series, self.last.iter().map(|(_, index)| *index));
        self.out.put(&self.entry)
    }

    /// Writes what stands behind the series and makes the file durable.
    pub(crate) fn finish(self) -> Result<u64, BlockError> {
        let Self { mut out, path, symbols, pairs, mut toc, .. } = self;
        let symbols = symbols.without_numbers();
        let pairs = pairs.sort();
        toc.label_indices = out.len();
        let label_indices = write_label_indices(&mut out, &path, &pairs)?;
        toc.postings = out.len();
        let first = write_postings(&mut out, &path, &pairs)?;
        toc.label_offsets = out.len();
        write_label_offsets(&mut out, &path, &symbols, &label_indices)?;
        toc.posting_offsets = out.len();
        write_posting_offsets(&mut out, &path, &symbols, &pairs, first)?;
        out.put(&toc.to_bytes())?;
        out.finish()
    }
}

/// The values of one label, as the label index has them: the label, how many there are, and where they stand.
struct LabelIndex {
    name: u32,
    offset: u64,
}

/// Writes for each label the symbols of its values. No reader of today needs them; those before Prometheus
/// 2.16 do.
fn write_label_indices(
    out: &mut Output,
    path: &Path,
    pairs: &SortedPairs,
) -> Result<Vec<LabelIndex>, BlockError> {
    let mut found = Vec::new();
    let mut pairs = pairs.iter().map(|(pair, _)| pair).peekable();
    while let Some(name) = pairs.peek().map(|p| p.name) {
        let mut values = Vec::new();
        while let Some(pair) = pairs.next_if(|p| p.name == name) {
            values.push(pair.value);
        }
        out.align(4)?;
        found.push(LabelIndex { name, offset: out.len() });
        let mut section = Section::begin(out, path, 8 + 4 * values.len() as u64)?;
        // One label a tuple.
        section.put(&1u32.to_be_bytes())?;
        section.put(&(values.len() as u32).to_be_bytes())?;
        for value in values {
            section.put(&value.to_be_bytes())?;
        }
        section.end()?;
    }
    Ok(found)
}

/// Writes all series and then those of each pair; where the first list stands.
fn write_postings(out: &mut Output, path: &Path, pairs: &SortedPairs) -> Result<u64, BlockError> {
    out.align(4)?;
    let first = out.len();
    let mut bytes = Vec::new();
    let mut put = |list: &mut dyn ExactSizeIterator<Item = u32>| {
        bytes.clear();
        bytes.extend_from_slice(&(list.len() as u32).to_be_bytes());
        bytes.extend(list.flat_map(u32::to_be_bytes));
        let mut section = Section::begin(out, path, bytes.len() as u64)?;
        section.put(&bytes)?;
        section.end()
    };
    put(&mut pairs.series())?;
    pairs.for_each(|list| put(&mut list.iter().copied()))?;
    Ok(first)
}

fn write_label_offsets(
    out: &mut Output,
    path: &Path,
    symbols: &SymbolTable,
    found: &[LabelIndex],
) -> Result<(), BlockError> {
    let mut bytes = (found.len() as u32).to_be_bytes().to_vec();
    for label in found {
        put_uvarint(&mut bytes, 1);
        put_text(&mut bytes, symbols.text(label.name));
        put_uvarint(&mut bytes, label.offset);
    }
    let mut section = Section::begin(out, path, bytes.len() as u64)?;
    section.put(&bytes)?;
    section.end()
}

fn write_posting_offsets(
    out: &mut Output,
    path: &Path,
    symbols: &SymbolTable,
    pairs: &SortedPairs,
    first: u64,
) -> Result<(), BlockError> {
    let all = (Pair { name: 0, value: 0 }, pairs.series().len() as u32);
    let entries = std::iter::once(all).chain(pairs.iter());
    // The lists stand in the same order, so that their lengths give their places.
    let offsets = entries.clone().scan(first, |next, (_, count)| {
        let own = *next;
        *next += 4 + 4 + 4 * u64::from(count) + 4;
        Some(own)
    });
    let texts = |pair: Pair| (symbols.text(pair.name), symbols.text(pair.value));
    let text_len = |text: &str| uvarint_len(text.len() as u64) + text.len();
    let len: usize = entries
        .clone()
        .zip(offsets.clone())
        .map(|((pair, _), offset)| {
            let (name, value) = texts(pair);
            1 + text_len(name) + text_len(value) + uvarint_len(offset)
        })
        .sum();
    let mut section = Section::begin(out, path, 4 + len as u64)?;
    section.put(&(entries.clone().count() as u32).to_be_bytes())?;
    let mut bytes = Vec::new();
    for ((pair, _), offset) in entries.zip(offsets) {
        let (name, value) = texts(pair);
        bytes.clear();
        put_uvarint(&mut bytes, 2);
        put_text(&mut bytes, name);
        put_text(&mut bytes, value);
        put_uvarint(&mut bytes, offset);
        section.put(&bytes)?;
    }
    section.end()
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_uvarint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// A part of the file with its length before it and its checksum behind it.
struct Section<'a> {
    out: &'a mut Output,
    left: u64,
    crc: u32,
}

impl<'a> Section<'a> {
    fn begin(out: &'a mut Output, path: &Path, len: u64) -> Result<Self, BlockError> {
        let Ok(short) = u32::try_from(len) else {
            return Err(BlockError::refused(
                path,
                format!("a table would have {len} bytes, more than 4 GiB"),
            ));
        };
        out.put(&short.to_be_bytes())?;
        Ok(Self { out, left: len, crc: crc32c(&[]) })
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), BlockError> {
        self.left =
            self.left.checked_sub(bytes.len() as u64).expect("invariant: the length was counted before");
        self.crc = crc32c_append(self.crc, bytes);
        self.out.put(bytes)
    }

    fn end(self) -> Result<(), BlockError> {
        assert_eq!(self.left, 0, "invariant: the length was counted before");
        self.out.put(&self.crc.to_be_bytes())
    }
}
