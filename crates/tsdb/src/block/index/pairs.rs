//! `Pairs`: the label pairs of the series that an index is being written of, and their postings. Knows no
//! text and no file.
//!
//! Memory: 4 bytes for each label of each series, 8 bytes a series, about 30 bytes for each label pair that
//! differs, and while postings are handed out 4 bytes for each of at most `BATCH` entries (or of the longest
//! list). A million series of ten labels take about 100 MB.

use foldhash::fast::RandomState;
use hashbrown::HashMap;

/// Postings gathered in one walk over all series.
const BATCH: usize = 4 << 20;
/// The slot of a pair that another walk gathers.
const ELSEWHERE: u32 = u32::MAX;

/// A label pair, as the symbols of its name and value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Pair {
    pub(super) name: u32,
    pub(super) value: u32,
}

/// The number of a pair, in the order in which they came.
pub(super) type PairIndex = u32;

/// The label pairs of all series so far.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    index: HashMap<Pair, PairIndex, RandomState>,
    /// By index: the pair, and how many series have it.
    pairs: Vec<(Pair, u32)>,
    /// The pairs of all series, one behind the other.
    entries: Vec<PairIndex>,
    /// Each series and the number of its labels.
    series: Vec<(u32, u32)>,
}

impl Pairs {
    pub(super) fn index_of(&mut self, pair: Pair) -> PairIndex {
        let next = self.pairs.len() as u32;
        let index = *self.index.entry(pair).or_insert(next);
        if index == next {
            self.pairs.push((pair, 0));
        }
        index
    }

    /// Adds a series behind those before, which have lower numbers.
    pub(super) fn add(&mut self, series: u32, pairs: impl ExactSizeIterator<Item = PairIndex>) {
        self.series.push((series, pairs.len() as u32));
        for pair in pairs {
            self.pairs[pair as usize].1 += 1;
            self.entries.push(pair);
        }
    }

    /// All series in order.
    pub(super) fn series(&self) -> impl ExactSizeIterator<Item = u32> {
        self.series.iter().map(|(series, _)| *series)
    }

    /// All pairs sorted by name and value, with the number of their series. Nothing is added any more.
    pub(super) fn sort(mut self) -> SortedPairs {
        self.index = HashMap::default();
        let mut order: Vec<PairIndex> = (0..self.pairs.len() as u32).collect();
        order.sort_unstable_by_key(|i| self.pairs[*i as usize].0);
        SortedPairs { pairs: self, order }
    }
}

/// All pairs of a finished index.
#[derive(Debug)]
pub(super) struct SortedPairs {
    pairs: Pairs,
    order: Vec<PairIndex>,
}

impl SortedPairs {
    pub(super) fn series(&self) -> impl ExactSizeIterator<Item = u32> {
        self.pairs.series()
    }

    /// All pairs, sorted by name and value, with the number of their series.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = (Pair, u32)> + Clone {
        self.order.iter().map(|i| self.pairs.pairs[*i as usize])
    }

    /// Hands out the postings of all pairs in their order.
    pub(super) fn for_each<E>(&self, mut visit: impl FnMut(&[u32]) -> Result<(), E>) -> Result<(), E> {
        let count = |i: &PairIndex| self.pairs.pairs[*i as usize].1 as usize;
        let mut slots = vec![ELSEWHERE; self.pairs.pairs.len()];
        let mut gathered = Vec::new();
        let mut rest = &self.order[..];
        while !rest.is_empty() {
            let (mut len, mut end) = (0, 0);
            while let Some(next) = rest.get(end).map(count)
                && (end == 0 || len + next <= BATCH)
            {
                slots[rest[end] as usize] = len as u32;
                len += next;
                end += 1;
            }
            let (batch, later) = rest.split_at(end);
            gathered.clear();
            gathered.resize(len, 0);
            self.gather(&mut slots, &mut gathered);
            let mut lists = &gathered[..];
            for pair in batch {
                let (list, behind) = lists.split_at(count(pair));
                visit(list)?;
                lists = behind;
                slots[*pair as usize] = ELSEWHERE;
            }
            rest = later;
        }
        Ok(())
    }

    fn gather(&self, slots: &mut [u32], out: &mut [u32]) {
        let mut entries = &self.pairs.entries[..];
        for (series, labels) in &self.pairs.series {
            let (own, behind) = entries.split_at(*labels as usize);
            for pair in own {
                let slot = &mut slots[*pair as usize];
                if *slot != ELSEWHERE {
                    out[*slot as usize] = *series;
                    *slot += 1;
                }
            }
            entries = behind;
        }
    }
}
