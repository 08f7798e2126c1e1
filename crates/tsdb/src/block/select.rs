//! Matchers to the series of a block. Decides by label values and postings, and asks a candidate's own labels
//! where that is less work. Never looks at a sample. What it finds is what the head's selection finds.
//!
//! `head::select` weighs lists in memory, and asks for parts of a list again and again. Here a list is read
//! and checked as a whole, once, and a candidate's labels cost a call of the system: other weights.

use super::{
    error::BlockError,
    index::{reader::LabelReader, series::SeriesEntry},
    reader::Block,
};
use crate::select::{Condition, retain};
use skopos_model::Matcher;
use skopos_storage::QueryBudget;
use std::ops::ControlFlow;

/// Asking one candidate's labels costs about as much as so many entries of a postings list.
const ASK_COST: usize = 1024;
/// Looking at a value costs about as much as so many entries.
const VALUE_COST: usize = 32;
/// Of so many values of a set the lists are looked up one by one to know their lengths.
const MAX_LOOKUPS: usize = 16;
/// Values or series looked at before the budget is asked.
const STRIDE: usize = 256;
/// Lists read before the budget is asked.
const LISTS_STRIDE: usize = 4096;
/// Lists of fewer numbers, on average, are sorted as if they were none.
const SHORT_LIST: usize = 8;

/// The numbers of the series that fulfil all matchers, sorted.
pub(crate) fn select(
    block: &Block,
    matchers: &[Matcher],
    budget: &QueryBudget,
    reader: &mut LabelReader,
) -> Result<Vec<u32>, BlockError> {
    let cost = |matcher: &Matcher, values: Option<&[String]>| cost(block, matcher, values);
    let Some(conditions) = Condition::in_order(matchers, cost)? else { return Ok(Vec::new()) };
    let mut search = Search { block, budget, reader };
    let mut ids: Option<Vec<u32>> = None;
    for condition in conditions {
        budget.check()?;
        ids = Some(match ids {
            Some(ids) if ids.is_empty() => return Ok(ids),
            Some(ids) => search.apply(&condition, ids)?,
            None if condition.excludes => search.apply(&condition, block.index.all()?)?,
            None => search.gather(&condition)?,
        });
    }
    ids.map_or_else(|| block.index.all(), Ok)
}

/// About how much gathering looks at, in entries of postings; none when no series has the label.
fn cost(block: &Block, matcher: &Matcher, values: Option<&[String]>) -> Result<Option<usize>, BlockError> {
    let count = block.index.offsets.value_count(matcher.name());
    if count == 0 {
        return Ok(None);
    }
    Ok(Some(match values {
        Some(values) if values.len() <= MAX_LOOKUPS => {
            let mut cost = 0;
            for value in values.iter().filter(|v| !v.is_empty()) {
                cost += VALUE_COST + block.index.postings_len(matcher.name(), value)?;
            }
            cost
        }
        // Values have about equally many series.
        Some(values) => values.len() * (VALUE_COST + block.series / count),
        None => count * VALUE_COST + block.series,
    }))
}

/// Where conditions look, and how long they may.
struct Search<'a> {
    block: &'a Block,
    budget: &'a QueryBudget,
    reader: &'a mut LabelReader,
}

impl Search<'_> {
    /// Where the postings stand that the matcher's values name: of those that fulfil it, or that fail.
    fn lists(&self, condition: &Condition<'_>) -> Result<Vec<u64>, BlockError> {
        let name = condition.matcher.name();
        let index = &self.block.index;
        let mut lists = Vec::new();
        if let Some(values) = condition.values() {
            for values in values.chunks(STRIDE) {
                self.budget.check()?;
                for value in values.iter().filter(|v| !v.is_empty()) {
                    lists.extend(index.offsets.get(&index.input, name, value)?);
                }
            }
            return Ok(lists);
        }
        let mut seen = 0;
        index.offsets.for_each(&index.input, name, condition.prefix(), |value, postings| {
            seen += 1;
            if seen % STRIDE == 0 {
                self.budget.check()?;
            }
            if condition.gathers(value) {
                lists.push(postings);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(lists)
    }

    /// The series of all these lists, sorted.
    fn join(&self, lists: &[u64]) -> Result<Vec<u32>, BlockError> {
        let mut ids = Vec::new();
        for part in lists.chunks(LISTS_STRIDE) {
            self.budget.check()?;
            self.block.index.postings_of(part, &mut ids)?;
        }
        // A series has one value of a label, so that no number stands twice. Of long lists the sort finds the
        // runs.
        if ids.len() < SHORT_LIST * lists.len() {
            ids.sort_unstable();
        } else if lists.len() > 1 {
            ids.sort();
        }
        Ok(ids)
    }

    fn gather(&self, condition: &Condition<'_>) -> Result<Vec<u32>, BlockError> {
        self.join(&self.lists(condition)?)
    }

    /// Keeps the candidates that fulfil the matcher.
    fn apply(&mut self, condition: &Condition<'_>, mut ids: Vec<u32>) -> Result<Vec<u32>, BlockError> {
        if ids.len().saturating_mul(ASK_COST) < condition.cost {
            return self.ask(condition.matcher, &ids);
        }
        let lists = self.lists(condition)?;
        if (2..=MAX_LOOKUPS).contains(&lists.len()) {
            // Few lists are walked beside the candidates and not joined.
            let mut few = vec![Vec::new(); lists.len()];
            for (list, ids) in lists.iter().zip(&mut few) {
                self.block.index.postings_at(*list, ids)?;
            }
            let mut few: Vec<&[u32]> = few.iter().map(Vec::as_slice).collect();
            retain(&mut ids, condition.keeps(), &mut few);
            return Ok(ids);
        }
        let named = self.join(&lists)?;
        retain(&mut ids, condition.keeps(), &mut [&named]);
        Ok(ids)
    }

    /// Asks each candidate's own labels.
    fn ask(&mut self, matcher: &Matcher, ids: &[u32]) -> Result<Vec<u32>, BlockError> {
        let mut kept = Vec::new();
        let mut entry = SeriesEntry::default();
        let index = &self.block.index;
        for at in 0..ids.len() {
            if at % STRIDE == 0 {
                self.budget.check()?;
            }
            self.reader.entry(index, &ids[at..], &mut entry)?;
            if self.reader.value(index, &entry, matcher.name(), |v| matcher.matches(v))? {
                kept.push(ids[at]);
            }
        }
        Ok(kept)
    }
}
