//! Sums with a second word for what the first cannot hold (Neumaier's variant of Kahan's summation;
//! the error of each addition by Knuth's TwoSum, which has no branch). Owns no loop over steps.

/// A sum and what was lost in adding it up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sum {
    pub high: f64,
    pub low: f64,
}

impl Sum {
    /// The empty sum. Negative zero, for it is what changes no other number, not even its sign.
    pub(crate) const ZERO: Self = Self { high: -0.0, low: 0.0 };

    #[inline]
    #[must_use]
    pub(crate) fn add(self, v: f64) -> Self {
        let high = self.high + v;
        let low = self.low + lost(self.high, v, high);
        Self { high, low }
    }

    #[inline]
    #[must_use]
    pub(crate) fn merge(self, other: Self) -> Self {
        let sum = self.add(other.high);
        Self { high: sum.high, low: sum.low + other.low }
    }

    /// The value. Of an infinite sum the low word means nothing.
    #[inline]
    pub(crate) fn value(self) -> f64 {
        if self.high.is_infinite() { self.high } else { self.high + self.low }
    }
}

/// What `sum`, the rounded sum of `a` and `b`, lacks.
#[inline]
pub(crate) fn lost(a: f64, b: f64, sum: f64) -> f64 {
    let b_part = sum - a;
    (a - (sum - b_part)) + (b - b_part)
}

/// The mean of `values` without an overflow on the way: the sum as long as it is finite, from there on
/// the running mean.
pub(crate) fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let mut mean = Mean::new();
    values.for_each(|v| mean.add(v));
    mean.value()
}

/// A mean being made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mean {
    /// The sum, or once it has overflowed the mean.
    pub sum: Sum,
    pub count: f64,
    pub running: bool,
}

impl Mean {
    pub(crate) const fn new() -> Self {
        Self { sum: Sum::ZERO, count: 0.0, running: false }
    }

    pub(crate) fn add(&mut self, v: f64) {
        self.count += 1.0;
        if !self.running {
            let sum = self.sum.add(v);
            if self.count <= 1.0 || !sum.high.is_infinite() {
                self.sum = if sum.high.is_infinite() { Sum { high: sum.high, low: 0.0 } } else { sum };
                return;
            }
            self.running = true;
            self.sum.high /= self.count - 1.0;
            self.sum.low /= self.count - 1.0;
        }
        let q = (self.count - 1.0) / self.count;
        let scaled = Sum { high: self.sum.high * q, low: self.sum.low * q };
        let sum = scaled.add(v / self.count);
        self.sum = if sum.high.is_infinite() { Sum { high: sum.high, low: 0.0 } } else { sum };
    }

    pub(crate) fn value(self) -> f64 {
        if self.running || self.sum.high.is_infinite() {
            return if self.running { self.sum.value() } else { self.sum.high };
        }
        self.sum.high / self.count + self.sum.low / self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(values: &[f64]) -> f64 {
        values.iter().fold(Sum::ZERO, |s, v| s.add(*v)).value()
    }

    #[test]
    fn small_terms_survive_between_large_ones() {
        assert_eq!(sum(&[5e100, 1.0, 2.0, -5e100]), 3.0);
        assert_eq!(sum(&[1e100, 1.0, -1e100]), 1.0);
        assert_eq!(sum(&[f64::MAX, f64::MAX]), f64::INFINITY);
        assert_eq!(sum(&[f64::INFINITY, 1.0]), f64::INFINITY);
        assert!(sum(&[f64::INFINITY, f64::NEG_INFINITY]).is_nan());
        let halves = [5e100, 1.0].iter().fold(Sum::ZERO, |s, v| s.add(*v));
        let others = [2.0, -5e100].iter().fold(Sum::ZERO, |s, v| s.add(*v));
        assert_eq!(halves.merge(others).value(), 3.0);
    }

    #[test]
    fn a_mean_does_not_overflow() {
        let big = f64::MAX * 0.9;
        assert!((mean([big, big, big].into_iter()) / big - 1.0).abs() < 1e-15);
        assert_eq!(mean([1.0, 2.0, 6.0].into_iter()), 3.0);
        assert_eq!(mean([f64::INFINITY, 1.0].into_iter()), f64::INFINITY);
        assert!(mean([f64::INFINITY, f64::NEG_INFINITY].into_iter()).is_nan());
    }
}
