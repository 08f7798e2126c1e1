//! The samples of a part brought behind one another by series, each series' in the order in which they came:
//! a counting sort, since the series of a part have small numbers of their own. Knows no series.

use super::rounds::{NEIGHBOURS_LOG, PARTS, RoundSample};

/// Buffers that are used again.
#[derive(Debug, Default)]
pub(super) struct BySeries {
    /// By a series' place in its part: where its next sample goes.
    next: Vec<u32>,
    sorted: Vec<RoundSample>,
}

impl BySeries {
    /// The samples, which are of one part and fewer than 2³², by series.
    pub(super) fn sort(&mut self, samples: &[RoundSample]) -> &[RoundSample] {
        self.next.clear();
        for sample in samples {
            let place = place_in_part(sample);
            if place >= self.next.len() {
                self.next.resize(place + 1, 0);
            }
            self.next[place] += 1;
        }
        let mut before = 0;
        for next in &mut self.next {
            before += std::mem::replace(next, before);
        }
        if self.sorted.len() < samples.len() {
            self.sorted.resize(samples.len(), RoundSample::default());
        }
        for sample in samples {
            let next = &mut self.next[place_in_part(sample)];
            self.sorted[*next as usize] = *sample;
            *next += 1;
        }
        &self.sorted[..samples.len()]
    }
}

/// A series' number among those of its part.
#[inline]
fn place_in_part(sample: &RoundSample) -> usize {
    let series = sample.series.0 as usize;
    let neighbours = 1 << NEIGHBOURS_LOG;
    (series >> NEIGHBOURS_LOG) / PARTS * neighbours + series % neighbours
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::series::SeriesIndex;
    use skopos_base::rng::Rng;

    /// Against the sort of the library, which is stable too.
    #[test]
    fn each_series_has_its_samples_behind_one_another_in_their_order() {
        let mut by_series = BySeries::default();
        for seed in 0..50 {
            let rng = Rng::from_seed(seed);
            let part = rng.below(PARTS as u64) as u32;
            let most = 1 + rng.below(40);
            let samples: Vec<RoundSample> = (0..rng.below(3000))
                .map(|n| {
                    let group = rng.below(most) as u32 * PARTS as u32 + part;
                    let series = SeriesIndex((group << NEIGHBOURS_LOG) + rng.below(8) as u32);
                    RoundSample { series, after_ms: n as i32, value_bits: n }
                })
                .collect();
            let mut expected = samples.clone();
            expected.sort_by_key(|s| s.series);
            assert_eq!(by_series.sort(&samples), expected, "seed {seed}");
        }
    }
}
