//! `Sliding`: sums of the histograms of windows that move on, with about one addition for each histogram and
//! a few for each window, whatever is in it. Knows no window function.
//!
//! Two stacks: up to a middle, the sums from each histogram at which a window will begin to the middle; from
//! there on, the sum so far. The sum of a window is one of the first and the second. When a window begins
//! behind the middle, its end is the next middle. Histograms of different shapes are not added up this way,
//! for what comes of them depends on their order; nor is what overflows.

use crate::exec::work::Work;
use skopos_model::{
    HistogramView,
    histogram::{HistogramSum, IncompatibleBuckets, SumKind},
};
use skopos_storage::QueryError;
use std::ops::Range;

/// Sums of windows over `histograms`.
#[derive(Debug)]
pub(super) struct Sliding<'a> {
    kind: SumKind,
    histograms: Vec<HistogramView<'a>>,
    /// Counts up where a histogram has another shape than the one before.
    runs: Vec<usize>,
    /// Where sums to the middle begin, falling, and the sums.
    older: Vec<(usize, HistogramSum)>,
    middle: usize,
    /// The sum from the middle on, to before `younger_end`.
    younger: Option<HistogramSum>,
    younger_end: usize,
}

/// A sum of a window, or none: its buckets do not fit.
pub(super) type WindowSum = Result<HistogramSum, IncompatibleBuckets>;

impl<'a> Sliding<'a> {
    pub(super) fn new(kind: SumKind, histograms: Vec<HistogramView<'a>>) -> Self {
        let mut runs = Vec::with_capacity(histograms.len());
        let mut run = 0;
        for (i, h) in histograms.iter().enumerate() {
            run += usize::from(i > 0 && !histograms[i - 1].layout.same_shape(h.layout));
            runs.push(run);
        }
        let (older, middle, younger, younger_end) = (Vec::new(), 0, None, 0);
        Self { kind, histograms, runs, older, middle, younger, younger_end }
    }

    /// The sum of `window`, which does not end before the last one did, nor is empty. `begins` says where the
    /// windows begin that come, growing, the first being this one.
    pub(super) fn sum(
        &mut self,
        window: Range<usize>,
        begins: impl Iterator<Item = usize>,
        work: &mut Work,
    ) -> Result<WindowSum, QueryError> {
        if self.runs[window.start] != self.runs[window.end - 1] {
            (self.middle, self.younger) = (0, None);
            return self.one_by_one(window, work);
        }
        // What windows have gone beyond is not needed again.
        while self.older.last().is_some_and(|(at, _)| *at < window.start) {
            self.older.pop();
        }
        if window.start >= self.middle || self.older.last().is_none_or(|(at, _)| *at != window.start) {
            self.begin_at(window.clone(), begins, work)?;
        }
        for i in self.younger_end..window.end {
            self.add_younger(i, work)?;
        }
        let (_, older) = self.older.last().expect("invariant: sums from the beginnings of windows are there");
        let mut sum = older.clone();
        work.spend(2 * self.histograms[window.start].bucket_count())?;
        let merged = self.younger.as_ref().map_or(Ok(()), |younger| sum.merge(younger));
        if merged.is_ok() && !sum.has_overflowed() {
            return Ok(Ok(sum));
        }
        self.one_by_one(window, work)
    }

    /// Makes the end of `window` the middle.
    fn begin_at(
        &mut self,
        window: Range<usize>,
        begins: impl Iterator<Item = usize>,
        work: &mut Work,
    ) -> Result<(), QueryError> {
        self.older.clear();
        (self.middle, self.younger, self.younger_end) = (window.end, None, window.end);
        let mut begins: Vec<usize> = begins.take_while(|at| *at < window.end).collect();
        begins.dedup();
        let mut all: Option<HistogramSum> = None;
        let mut bytes = 0;
        for i in window.rev() {
            work.spend(1 + self.histograms[i].bucket_count())?;
            let sum = match all.take() {
                None => HistogramSum::new(self.kind, &self.histograms[i]),
                Some(mut sum) => {
                    // Those of one shape fit together.
                    let _fits = sum.add(&self.histograms[i]);
                    sum
                }
            };
            if begins.last() == Some(&i) {
                begins.pop();
                bytes += sum.size();
                work.buffers(bytes)?;
                self.older.push((i, sum.clone()));
            }
            all = Some(sum);
        }
        Ok(())
    }

    fn add_younger(&mut self, i: usize, work: &mut Work) -> Result<(), QueryError> {
        let histogram = &self.histograms[i];
        work.spend(1 + histogram.bucket_count())?;
        match &mut self.younger {
            None => self.younger = Some(HistogramSum::new(self.kind, histogram)),
            Some(sum) => {
                let _fits = sum.add(histogram);
            }
        }
        self.younger_end = i + 1;
        Ok(())
    }

    /// The sum of a window by itself.
    pub(super) fn one_by_one(&self, window: Range<usize>, work: &mut Work) -> Result<WindowSum, QueryError> {
        let mut all = HistogramSum::new(self.kind, &self.histograms[window.start]);
        for histogram in &self.histograms[window.start + 1..window.end] {
            work.spend(1 + histogram.bucket_count())?;
            if let Err(e) = all.add(histogram) {
                return Ok(Err(e));
            }
        }
        Ok(Ok(all))
    }
}
