//! `Summary`: sum and count of all observations, and quantiles of those of the last ten minutes, of which
//! each two minutes keep so many, picked evenly.

/// The quantiles that are shown, and how they are written.
pub(super) const QUANTILES: [(f64, &str); 3] = [(0.5, "0.5"), (0.9, "0.9"), (0.99, "0.99")];
/// Parts of the time over which quantiles go, and how long each is.
const PARTS: usize = 5;
const PART_MS: i64 = 120_000;
/// So many observations of a part are kept.
const KEPT: usize = 1024;

/// See above.
#[derive(Debug, Default)]
pub(super) struct Summary {
    sum: f64,
    count: u64,
    parts: [Part; PARTS],
    /// What picks observations; the same ones for the same course.
    state: u64,
}

#[derive(Debug, Default)]
struct Part {
    /// Which of all parts of time this is.
    number: i64,
    seen: u64,
    kept: Vec<f64>,
}

impl Summary {
    pub(super) fn observe(&mut self, value: f64, times: u64, now_ms: i64) {
        self.sum += value * times as f64;
        self.count += times;
        let number = now_ms.div_euclid(PART_MS);
        let part = &mut self.parts[number.rem_euclid(PARTS as i64) as usize];
        if part.number != number {
            *part = Part { number, ..Part::default() };
        }
        // Those beyond the room would only take the place of themselves.
        for _ in 0..times.min(KEPT as u64) {
            part.seen += 1;
            if part.kept.len() < KEPT {
                part.kept.push(value);
                continue;
            }
            self.state =
                self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = (self.state >> 33) % part.seen;
            if let Some(kept) = usize::try_from(at).ok().and_then(|at| part.kept.get_mut(at)) {
                *kept = value;
            }
        }
    }

    pub(super) fn sum(&self) -> f64 {
        self.sum
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// The quantiles now; none is a number where nothing was observed lately.
    pub(super) fn quantiles(&self, now_ms: i64) -> [f64; QUANTILES.len()] {
        let oldest = now_ms.div_euclid(PART_MS) - PARTS as i64 + 1;
        let recent = self.parts.iter().filter(|part| part.number >= oldest);
        let mut all: Vec<f64> = recent.flat_map(|part| part.kept.iter().copied()).collect();
        all.sort_unstable_by(f64::total_cmp);
        QUANTILES.map(|(quantile, _)| {
            let rank = (quantile * all.len() as f64).ceil() as usize;
            all.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_the_last_ten_minutes() {
        let mut summary = Summary::default();
        for i in 1..=1000 {
            summary.observe(f64::from(i), 1, 0);
        }
        assert_eq!(summary.quantiles(0), [500.0, 900.0, 990.0]);
        for i in 1..=100_000 {
            summary.observe(f64::from(i % 1000), 1, PART_MS);
        }
        let [median, ..] = summary.quantiles(PART_MS);
        assert!((400.0..600.0).contains(&median), "{median}");
        assert_eq!(summary.quantiles(PART_MS * 5).map(f64::is_nan), [false; 3]);
        assert_eq!(summary.quantiles(PART_MS * 6).map(f64::is_nan), [true; 3]);
        assert_eq!(summary.count(), 101_000);
    }
}
