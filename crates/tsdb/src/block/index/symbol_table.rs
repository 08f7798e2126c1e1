//! `Symbols`: the texts of the labels of a new index, each once, gathered in any order; and `SymbolTable`,
//! the same texts where they stand, numbered by their order. Knows no series and no file.

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use skopos_model::Labels;
use std::hash::BuildHasher;

const HASHER: FixedState = FixedState::with_seed(0);

/// The texts of the labels of all series to come. An index begins with them.
#[derive(Clone, Debug, Default)]
pub struct Symbols {
    texts: Texts,
    /// The places of texts.
    known: HashTable<u32>,
    /// Whether a text found no room.
    is_full: bool,
}

/// Texts behind one another; each has a place, counted from 0.
#[derive(Clone, Debug, Default)]
struct Texts {
    all: String,
    ends: Vec<u32>,
}

impl Texts {
    fn get(&self, place: u32) -> &str {
        let start = (place as usize).checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.all[start as usize..self.ends[place as usize] as usize]
    }

    /// The place of a text that is added; none when there is no room: an index has 4 GiB for them.
    fn push(&mut self, text: &str) -> Option<u32> {
        let end = u32::try_from(self.all.len() + text.len()).ok()?;
        let place = u32::try_from(self.ends.len()).ok()?;
        self.all.push_str(text);
        self.ends.push(end);
        Some(place)
    }
}

impl Symbols {
    /// Adds the names and values of a series.
    pub fn add(&mut self, labels: &Labels) {
        for (name, value) in labels {
            self.add_text(name);
            self.add_text(value);
        }
    }

    /// Adds one text.
    pub fn add_text(&mut self, text: &str) {
        let Self { texts, known, is_full } = self;
        let hash = HASHER.hash_one(text);
        if known.find(hash, |place| texts.get(*place) == text).is_some() {
            return;
        }
        match texts.push(text) {
            Some(place) => drop(known.insert_unique(hash, place, |p| HASHER.hash_one(texts.get(*p)))),
            None => *is_full = true,
        }
    }

    /// Numbers the texts by their order, behind the empty one.
    ///
    /// # Errors
    /// When there were more than an index can have.
    pub(super) fn number(mut self) -> Result<SymbolTable, SymbolsTooLong> {
        self.add_text("");
        let Self { texts, known: mut numbers, is_full } = self;
        if is_full {
            return Err(SymbolsTooLong);
        }
        let mut places: Vec<u32> = (0..texts.ends.len() as u32).collect();
        places.sort_unstable_by(|a, b| texts.get(*a).cmp(texts.get(*b)));
        let mut number_of = vec![0; places.len()];
        for (number, place) in places.iter().enumerate() {
            number_of[*place as usize] = number as u32;
        }
        numbers.iter_mut().for_each(|entry| *entry = number_of[*entry as usize]);
        Ok(SymbolTable { texts, places, numbers })
    }
}

/// There are more texts than an index can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the symbols have more than 4 GiB")]
pub(super) struct SymbolsTooLong;

/// All texts of a new index with their numbers. The first is the empty one.
#[derive(Debug)]
pub(super) struct SymbolTable {
    texts: Texts,
    /// By number.
    places: Vec<u32>,
    numbers: HashTable<u32>,
}

impl SymbolTable {
    pub(super) fn len(&self) -> u32 {
        self.places.len() as u32
    }

    pub(super) fn text(&self, n: u32) -> &str {
        self.texts.get(self.places[n as usize])
    }

    pub(super) fn number(&self, text: &str) -> Option<u32> {
        self.numbers.find(HASHER.hash_one(text), |n| self.text(*n) == text).copied()
    }

    /// The same without finding numbers by texts: all series are written.
    pub(super) fn without_numbers(self) -> Self {
        Self { numbers: HashTable::new(), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn texts_have_the_numbers_of_their_order_whatever_came_first() {
        for texts in [
            &[][..],
            &[""],
            &["a"],
            &["b", "a", "", "ab", "b", "ä", "a\0", "a", "Z"],
            &["z", "y", "x", "x", "y", "z"],
        ] {
            let mut symbols = Symbols::default();
            texts.iter().for_each(|text| symbols.add_text(text));
            let table = symbols.number().unwrap();
            let sorted: BTreeSet<&str> = texts.iter().copied().chain([""]).collect();
            let found: Vec<&str> = (0..table.len()).map(|n| table.text(n)).collect();
            assert_eq!(found, sorted.into_iter().collect::<Vec<_>>());
            for (n, text) in found.iter().enumerate() {
                assert_eq!(table.number(text), Some(n as u32), "{text:?}");
            }
            assert_eq!(table.number("none of them"), None);
        }
    }

    #[test]
    fn many_texts_are_each_found() {
        let texts: Vec<String> = (0..5000u64).map(|i| (i * 7919 % 5000).to_string()).collect();
        let mut symbols = Symbols::default();
        texts.iter().chain(&texts).for_each(|text| symbols.add_text(text));
        let table = symbols.number().unwrap();
        assert_eq!(table.len(), 5001);
        assert!((1..table.len()).all(|n| table.text(n - 1) < table.text(n)));
        assert!(texts.iter().all(|text| table.number(text).is_some_and(|n| table.text(n) == text)));
    }
}
