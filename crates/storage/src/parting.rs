//! Sets of series cut into parts, so that several threads read them at once. Knows no thread and no sample.

use crate::{QueryError, SeriesSet};
use skopos_model::Labels;

/// A set whose series still to come can be handed out in parts. Each part has the series from one label set
/// up to the next, so that the parts one behind the other are the whole, whatever they are cut at.
pub trait Parting {
    /// How many series stand behind those that were read so far.
    fn remaining(&self) -> usize;

    /// About how many samples those series have; 0 where nobody knows.
    fn samples_expected(&self) -> u64 {
        0
    }

    /// The labels of the series that has `n` of the remaining ones before it.
    fn labels_at(&mut self, n: usize) -> Result<Labels, QueryError>;

    /// The last labels that were read already, if those may be of series that were not handed out.
    fn read_up_to(&self) -> Option<Labels>;

    /// Takes the series from `labels` on, which are behind `read_up_to`, out of this set.
    fn split_off(&mut self, labels: &Labels) -> Result<Box<dyn SeriesSet>, QueryError>;
}

/// What is left of `set` in about `parts` parts of as many series each, in the order of labels. One part
/// where it cannot be parted.
pub fn parted(mut set: Box<dyn SeriesSet>, parts: usize) -> Result<Vec<Box<dyn SeriesSet>>, QueryError> {
    let Some(parting) = set.parting() else { return Ok(vec![set]) };
    let remaining = parting.remaining();
    let mut before = parting.read_up_to();
    let mut cuts: Vec<Labels> = Vec::new();
    for at in (1..parts.min(remaining)).map(|i| i * remaining / parts.min(remaining)) {
        let labels = parting.labels_at(at)?;
        if before.as_ref().is_none_or(|before| *before < labels) {
            before = Some(labels.clone());
            cuts.push(labels);
        }
    }
    // The last part first: each takes what stands behind its cut.
    let mut out = Vec::with_capacity(cuts.len() + 1);
    for cut in cuts.iter().rev() {
        out.push(parting.split_off(cut)?);
    }
    out.push(set);
    out.reverse();
    Ok(out)
}

/// The first of `0..len` for which `is_behind` holds, as it does for all behind it.
pub fn first_behind(
    len: usize,
    mut is_behind: impl FnMut(usize) -> Result<bool, QueryError>,
) -> Result<usize, QueryError> {
    first_between(0, len, &mut is_behind)
}

/// The same, found with few questions where it is near `guess`.
pub fn first_behind_near(
    len: usize,
    guess: usize,
    mut is_behind: impl FnMut(usize) -> Result<bool, QueryError>,
) -> Result<usize, QueryError> {
    let (mut low, mut high, mut stride) = (0, len, 1);
    if guess < len && !is_behind(guess)? {
        low = guess + 1;
        while low + stride <= len {
            let at = low + stride - 1;
            if is_behind(at)? {
                high = at;
                break;
            }
            (low, stride) = (at + 1, stride * 2);
        }
    } else {
        high = guess.min(len);
        while high > 0 {
            let at = high.saturating_sub(stride);
            if !is_behind(at)? {
                low = at + 1;
                break;
            }
            (high, stride) = (at, stride * 2);
        }
    }
    first_between(low, high, &mut is_behind)
}

fn first_between(
    mut low: usize,
    mut high: usize,
    is_behind: &mut impl FnMut(usize) -> Result<bool, QueryError>,
) -> Result<usize, QueryError> {
    while low < high {
        let middle = low + (high - low) / 2;
        if is_behind(middle)? { high = middle } else { low = middle + 1 }
    }
    Ok(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_behind_is_found_from_any_guess() {
        for len in 0..20 {
            for first in 0..=len {
                assert_eq!(first_behind(len, |n| Ok(n >= first)).unwrap(), first);
                for guess in 0..len + 3 {
                    let mut asked = 0;
                    let found = first_behind_near(len, guess, |n| {
                        assert!(n < len);
                        asked += 1;
                        Ok(n >= first)
                    });
                    assert_eq!(found.unwrap(), first, "of {len} near {guess}");
                    assert!(asked <= 2 || guess != first, "{asked} questions at the place itself");
                }
            }
        }
    }
}
