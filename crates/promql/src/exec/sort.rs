//! The sorting functions: rows by their values, or by the values of labels.

use super::{held::Held, matrix::StepMatrix, order::sort_rows};
use crate::error::EvalError;
use crate::plan::{Direction, SortOrder};
use std::cmp::Ordering;

/// The rows of a single step in `order`.
pub(crate) fn sorted(matrix: &StepMatrix, order: &SortOrder) -> Result<StepMatrix, EvalError> {
    let mut held = Held::new(matrix.budget());
    held.grow_bytes(matrix.len() * size_of::<usize>())?;
    let mut rows: Vec<usize> = (0..matrix.len()).collect();
    match order {
        SortOrder::ByValue(direction) => {
            // Histograms have no place among numbers.
            rows.retain(|i| matrix.row(*i).histograms.is_none());
            let value = |i: usize| matrix.row(i).values[0];
            sort_rows(&mut rows, matrix.budget(), |a, b| by_value(*direction, value(a), value(b)))?;
        }
        SortOrder::ByLabels(direction, names) => {
            let compare = |a: usize, b: usize| {
                let (a, b) = (&matrix.labels(a).labels, &matrix.labels(b).labels);
                let by_names = names.iter().map(|name| natural(a.value(name), b.value(name)));
                let order = by_names.fold(Ordering::Equal, Ordering::then).then_with(|| a.cmp(b));
                directed(*direction, order)
            };
            sort_rows(&mut rows, matrix.budget(), compare)?;
        }
    }
    matrix.reordered(&rows)
}

/// What is not a number comes last whichever the direction is.
fn by_value(direction: Direction, a: f64, b: f64) -> Ordering {
    let order = a.partial_cmp(&b).map(|order| directed(direction, order));
    order.unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

fn directed(direction: Direction, order: Ordering) -> Ordering {
    if direction == Direction::Descending { order.reverse() } else { order }
}

/// Texts in the order in which people count: digits that stand together are one number.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut rest_a, mut rest_b) = (a, b);
    while !rest_a.is_empty() && !rest_b.is_empty() {
        let (chunk_a, chunk_b);
        (chunk_a, rest_a) = chunk(rest_a);
        (chunk_b, rest_b) = chunk(rest_b);
        let order = match (chunk_a.parse::<i64>(), chunk_b.parse::<i64>()) {
            (Ok(a), Ok(b)) => a.cmp(&b),
            _ => chunk_a.cmp(chunk_b),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    rest_a.is_empty().cmp(&rest_b.is_empty()).reverse().then_with(|| a.cmp(b))
}

/// The digits, or the other characters, that `text` begins with, and the rest.
fn chunk(text: &str) -> (&str, &str) {
    let digits = text.starts_with(|c: char| c.is_ascii_digit());
    let end = text.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_texts_are_ordered_by_their_size() {
        let order =
            ["", "1.2.3", "1.11.3", "1.111.3", "2", "4m5", "4m600", "4m1000", "10", "a", "a1", "a2b", "a10"];
        for (i, a) in order.iter().enumerate() {
            for (j, b) in order.iter().enumerate() {
                assert_eq!(natural(a, b), i.cmp(&j), "{a:?} and {b:?}");
            }
        }
        assert_eq!(natural("01", "1"), Ordering::Less);
    }
}
