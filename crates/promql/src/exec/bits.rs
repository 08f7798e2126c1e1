//! Bitmaps over steps: bit `k % 64` of word `k / 64` says whether a series has a value at step `k`.
//! Bits beyond the last step are never set. Owns no memory.

/// Bits in one word.
pub(crate) const WORD: usize = 64;

/// How many words `steps` bits need.
pub(crate) const fn words(steps: usize) -> usize {
    steps.div_ceil(WORD)
}

/// Whether bit `k` is set.
pub(crate) fn get(bits: &[u64], k: usize) -> bool {
    bits[k / WORD] >> (k % WORD) & 1 != 0
}

/// Sets bit `k`.
#[inline]
pub(crate) fn set(bits: &mut [u64], k: usize) {
    bits[k / WORD] |= 1 << (k % WORD);
}

/// Clears bit `k`.
pub(crate) fn clear(bits: &mut [u64], k: usize) {
    bits[k / WORD] &= !(1 << (k % WORD));
}

/// Sets the first `steps` bits and no others.
pub(crate) fn fill(bits: &mut [u64], steps: usize) {
    bits.fill(u64::MAX);
    let rest = steps % WORD;
    if rest != 0
        && let Some(last) = bits.last_mut()
    {
        *last = (1 << rest) - 1;
    }
}

/// Whether any bit is set.
pub(crate) fn any(bits: &[u64]) -> bool {
    bits.iter().any(|w| *w != 0)
}

/// How many bits are set.
pub(crate) fn count(bits: &[u64]) -> usize {
    bits.iter().map(|w| w.count_ones() as usize).sum()
}

/// Whether both have a bit in common.
pub(crate) fn intersects(a: &[u64], b: &[u64]) -> bool {
    a.iter().zip(b).any(|(a, b)| a & b != 0)
}

/// Sets in `a` all bits of `b`.
pub(crate) fn or(a: &mut [u64], b: &[u64]) {
    a.iter_mut().zip(b).for_each(|(a, b)| *a |= b);
}

/// Keeps in `a` only the bits of `b`.
pub(crate) fn and(a: &mut [u64], b: &[u64]) {
    a.iter_mut().zip(b).for_each(|(a, b)| *a &= b);
}

/// Clears in `a` all bits of `b`.
pub(crate) fn and_not(a: &mut [u64], b: &[u64]) {
    a.iter_mut().zip(b).for_each(|(a, b)| *a &= !b);
}

/// The numbers of the set bits, growing.
pub(crate) fn iter(bits: &[u64]) -> impl Iterator<Item = usize> + '_ {
    bits.iter().enumerate().flat_map(|(i, word)| Ones(*word).map(move |bit| i * WORD + bit))
}

/// The numbers of the set bits of one word, growing.
#[derive(Clone, Copy)]
pub(crate) struct Ones(pub(crate) u64);

impl Iterator for Ones {
    type Item = usize;
    #[inline]
    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let bit = self.0.trailing_zeros() as usize;
        self.0 &= self.0 - 1;
        Some(bit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_come_back_in_order_and_none_beyond_the_last_step() {
        let mut b = vec![0; words(130)];
        for k in [0, 63, 64, 129] {
            set(&mut b, k);
        }
        assert_eq!(iter(&b).collect::<Vec<_>>(), [0, 63, 64, 129]);
        assert!(get(&b, 129) && !get(&b, 128));
        clear(&mut b, 64);
        assert_eq!(count(&b), 3);
        fill(&mut b, 130);
        assert_eq!(count(&b), 130);
        let mut full = vec![0; words(128)];
        fill(&mut full, 128);
        assert_eq!(count(&full), 128);
    }
}
