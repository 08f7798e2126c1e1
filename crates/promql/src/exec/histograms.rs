//! `HistogramSteps`: the native histograms of one row. Rows of floats have none and pay nothing for it.

use super::bits;
use skopos_model::FloatHistogram;
use std::sync::Arc;

/// The steps of a row that are histograms, and these in the order of steps. A histogram that is only passed
/// on is shared.
#[derive(Clone, Debug, Default)]
pub(crate) struct HistogramSteps {
    present: Vec<u64>,
    values: Vec<Arc<FloatHistogram>>,
}

impl HistogramSteps {
    /// None yet, of a row of `steps` steps.
    pub(crate) fn new(steps: usize) -> Self {
        Self { present: vec![0; bits::words(steps)], values: Vec::new() }
    }

    /// Which steps are histograms.
    pub(crate) fn present(&self) -> &[u64] {
        &self.present
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Adds the histogram of step `k`, which is behind all others.
    pub(crate) fn push(&mut self, k: usize, histogram: Arc<FloatHistogram>) {
        bits::set(&mut self.present, k);
        self.values.push(histogram);
    }

    /// The histogram of step `k`, if it is one.
    pub(crate) fn get(&self, k: usize) -> Option<&Arc<FloatHistogram>> {
        if !bits::get(&self.present, k) {
            return None;
        }
        let (word, bit) = (k / bits::WORD, k % bits::WORD);
        let before = bits::count(&self.present[..word]);
        let here = (self.present[word] & ((1 << bit) - 1)).count_ones() as usize;
        self.values.get(before + here)
    }

    /// All with their steps.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &Arc<FloatHistogram>)> {
        bits::iter(&self.present).zip(&self.values)
    }

    /// Those of the steps in `present`.
    pub(crate) fn restricted(&self, present: &[u64]) -> Option<Box<Self>> {
        let mut kept = Self { present: self.present.clone(), values: Vec::new() };
        bits::and(&mut kept.present, present);
        if kept.present == self.present {
            kept.values.clone_from(&self.values);
        } else {
            let left = self.iter().filter(|(k, _)| bits::get(&kept.present, *k));
            kept.values = left.map(|(_, h)| Arc::clone(h)).collect();
        }
        (!kept.is_empty()).then(|| Box::new(kept))
    }

    /// Those of both, which have no step in common.
    pub(crate) fn united(&self, other: &Self) -> Self {
        let mut all = Self { present: self.present.clone(), values: Vec::new() };
        bits::or(&mut all.present, &other.present);
        let values = bits::iter(&all.present).filter_map(|k| self.get(k).or_else(|| other.get(k)));
        all.values = values.map(Arc::clone).collect();
        all
    }

    /// What `f` makes of each; those of which it makes nothing go.
    pub(crate) fn mapped(&self, mut f: impl FnMut(usize, &FloatHistogram) -> Option<FloatHistogram>) -> Self {
        let mut out =
            Self { present: vec![0; self.present.len()], values: Vec::with_capacity(self.values.len()) };
        for (k, histogram) in self.iter() {
            if let Some(made) = f(k, histogram) {
                out.push(k, Arc::new(made));
            }
        }
        out
    }

    /// What the list of them takes, in bytes.
    pub(crate) fn size(&self) -> usize {
        size_of_val(self.present.as_slice()) + 2 * size_of_val(self.values.as_slice())
    }

    /// What they take of the budget, in samples. One that stands at several steps in a row counts once.
    pub(crate) fn cost(&self) -> usize {
        let mut before = None;
        let sizes = self.values.iter().map(|h| {
            let same = before.replace(Arc::as_ptr(h)) == Some(Arc::as_ptr(h));
            if same { 1 } else { h.size() / SAMPLE_BYTES }
        });
        sizes.sum()
    }
}

/// What the budget takes a sample for.
pub(crate) const SAMPLE_BYTES: usize = 16;
