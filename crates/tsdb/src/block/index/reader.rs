//! `IndexReader`: an open index. Reads by position and holds tables sampled; knows no chunk and no matcher.

use super::{
    CRC_LEN, INDEX_FILE, IndexVersion,
    offsets::PostingOffsets,
    series::{SeriesEntry, SeriesReader},
    symbols::{SymbolReader, Symbols},
    toc::Toc,
};
use crate::block::{error::BlockError, input::Input};
use skopos_base::{crc::crc32c, fs::Fs};
use skopos_model::{Labels, LabelsBuilder};
use std::path::Path;

/// How many bytes of a postings list are read before its length is known.
const GUESS: u64 = 1 << 10;
/// The most bytes of lists read with one call, unless one is longer.
const WINDOW: u64 = 64 << 10;

/// So many labels are compared with those of a series before new ones are made.
const LIKELY: usize = 2;

/// An open index.
#[derive(Debug)]
pub(crate) struct IndexReader {
    pub(crate) input: Input,
    pub(crate) offsets: PostingOffsets,
    pub(crate) symbols: Symbols,
    version: IndexVersion,
}

impl IndexReader {
    pub(crate) fn open(fs: &dyn Fs, dir: &Path) -> Result<Self, BlockError> {
        let input = Input::open(fs, dir.join(INDEX_FILE))?;
        let (toc, version) = Toc::read(&input)?;
        let symbols = Symbols::open(&input, toc.symbols, version)?;
        let offsets = PostingOffsets::open(&input, toc.posting_offsets, version)?;
        Ok(Self { input, offsets, symbols, version })
    }

    /// The series of a label pair, sorted. None have a pair that is not there.
    pub(crate) fn postings(&self, name: &str, value: &str) -> Result<Vec<u32>, BlockError> {
        match self.offsets.get(&self.input, name, value)? {
            Some(offset) => {
                let mut out = Vec::new();
                self.postings_at(offset, &mut out)?;
                Ok(out)
            }
            None => Ok(Vec::new()),
        }
    }

    /// All series, sorted.
    pub(crate) fn all(&self) -> Result<Vec<u32>, BlockError> {
        self.postings("", "")
    }

    /// How many series a label pair has.
    pub(crate) fn postings_len(&self, name: &str, value: &str) -> Result<usize, BlockError> {
        match self.offsets.get(&self.input, name, value)? {
            Some(offset) => Ok(self.input.read_u32(offset.saturating_add(4))? as usize),
            None => Ok(0),
        }
    }

    /// Appends the list at `offset`, which is sorted.
    pub(crate) fn postings_at(&self, offset: u64, out: &mut Vec<u32>) -> Result<(), BlockError> {
        self.postings_of(&[offset], out)
    }

    /// Appends the lists at these offsets, each of which is sorted. Those of neighbouring values stand behind
    /// one another and are read together.
    pub(crate) fn postings_of(&self, lists: &[u64], out: &mut Vec<u32>) -> Result<(), BlockError> {
        let input = &self.input;
        let (mut window, mut start) = (Vec::new(), 0);
        for (nth, offset) in lists.iter().copied().enumerate() {
            let at = offset.checked_sub(start).and_then(|at| usize::try_from(at).ok());
            let there = at.and_then(|at| window.get(at..)).unwrap_or_default();
            let mut at = at.unwrap_or_default();
            let whole = self.list_len(offset, there)?.filter(|whole| *whole <= there.len());
            let whole = if let Some(whole) = whole {
                whole
            } else {
                (start, at) = (offset, 0);
                let rest = input.len().saturating_sub(offset);
                window.resize(rest.min(end_of_near(&lists[nth..]) - offset) as usize, 0);
                input.read_into(&mut window, offset)?;
                let whole = self.list_len(offset, &window)?;
                let whole = whole.ok_or_else(|| input.corrupt(offset, "postings reach beyond the file"))?;
                let there = window.len();
                if whole > there {
                    window.resize(whole, 0);
                    input.read_into(&mut window[there..], offset + there as u64)?;
                }
                whole
            };
            self.decode_list(offset, &window[at..at + whole], out)?;
        }
        Ok(())
    }

    /// How many bytes the list that begins with `bytes` has, its length and checksum among them.
    fn list_len(&self, offset: u64, bytes: &[u8]) -> Result<Option<usize>, BlockError> {
        let Some(len) = bytes.first_chunk().map(|n| u64::from(u32::from_be_bytes(*n))) else {
            return Ok(None);
        };
        let whole = 4 + len + CRC_LEN;
        if len < 4 || whole > self.input.len().saturating_sub(offset) {
            return Err(self.input.corrupt(offset, format!("postings of {len} bytes are none")));
        }
        Ok(Some(whole as usize))
    }

    /// Appends a list, given with its length and checksum.
    fn decode_list(&self, offset: u64, bytes: &[u8], out: &mut Vec<u32>) -> Result<(), BlockError> {
        let (input, len) = (&self.input, bytes.len() - 4 - CRC_LEN as usize);
        let (content, sum) = bytes[4..].split_at(len);
        if crc32c(content).to_be_bytes() != *sum {
            return Err(input.corrupt(offset, "the checksum of postings is another"));
        }
        let (numbers, odd) = content.as_chunks::<4>();
        let mut numbers = numbers.iter().map(|n| u32::from_be_bytes(*n));
        let count = numbers.next().unwrap_or_default() as usize;
        if !odd.is_empty() || numbers.len() != count {
            return Err(input.corrupt(offset, format!("{len} bytes do not hold {count} postings")));
        }
        let from = out.len();
        out.extend(numbers);
        if !grows(&out[from..]) {
            return Err(input.corrupt(offset, "postings are not sorted"));
        }
        Ok(())
    }
}

/// Whether each number is larger than the one before. Looks at many at a time, without a branch for each.
fn grows(numbers: &[u32]) -> bool {
    const AT_ONCE: usize = 256;
    let Some(later) = numbers.get(1..) else { return true };
    let part = |(a, b): (&[u32], &[u32])| a.iter().zip(b).fold(true, |grow, (a, b)| grow & (a < b));
    numbers.chunks(AT_ONCE).zip(later.chunks(AT_ONCE)).all(part)
}

/// Where to stop reading, at the first of `lists`, so that those that stand near it are read too.
fn end_of_near(lists: &[u64]) -> u64 {
    let first = lists[0];
    let mut end = first.saturating_add(GUESS);
    for next in &lists[1..] {
        if !(first..=end).contains(next) || *next > first.saturating_add(WINDOW) {
            break;
        }
        end = next.saturating_add(GUESS);
    }
    end
}

/// Reads series of growing references with their labels.
#[derive(Debug, Default)]
pub(crate) struct LabelReader {
    series: SeriesReader,
    symbols: SymbolReader,
    builder: LabelsBuilder,
}

impl LabelReader {
    /// Reads the first of `series` into `entry`. The others are those that will be asked for next.
    pub(crate) fn entry(
        &mut self,
        index: &IndexReader,
        series: &[u32],
        entry: &mut SeriesEntry,
    ) -> Result<(), BlockError> {
        self.series.read(&index.input, index.version, series, entry)
    }

    /// The labels of an entry: those that are the same among the next of `likely`, which goes on behind them,
    /// else new ones. Far cheaper where they are found.
    pub(crate) fn labels_like<'l>(
        &mut self,
        index: &IndexReader,
        entry: &SeriesEntry,
        likely: &mut (impl Iterator<Item = &'l Labels> + Clone),
    ) -> Result<Labels, BlockError> {
        let next = likely.clone().take(LIKELY);
        let found = self.symbols.position(&index.symbols, &index.input, &entry.labels, next)?;
        match found.and_then(|at| likely.nth(at)) {
            Some(labels) => Ok(labels.clone()),
            None => self.labels(index, entry),
        }
    }

    /// The labels of an entry.
    pub(crate) fn labels(&mut self, index: &IndexReader, entry: &SeriesEntry) -> Result<Labels, BlockError> {
        self.builder.clear();
        for pair in &entry.labels {
            let (name, value) = self.symbols.pair(&index.symbols, &index.input, *pair)?;
            self.builder.set(name, value);
        }
        Ok(self.builder.build())
    }

    /// The texts of one label of an entry.
    pub(crate) fn pair(&mut self, index: &IndexReader, pair: (u32, u32)) -> Result<(&str, &str), BlockError> {
        self.symbols.pair(&index.symbols, &index.input, pair)
    }

    /// What `test` says of the value of one label of an entry, empty where it is absent.
    pub(crate) fn value(
        &mut self,
        index: &IndexReader,
        entry: &SeriesEntry,
        wanted: &str,
        test: impl FnOnce(&str) -> bool,
    ) -> Result<bool, BlockError> {
        for pair in &entry.labels {
            if self.symbols.text(&index.symbols, &index.input, pair.0)? == wanted {
                return Ok(test(self.symbols.text(&index.symbols, &index.input, pair.1)?));
            }
        }
        Ok(test(""))
    }
}
