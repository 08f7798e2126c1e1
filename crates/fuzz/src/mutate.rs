//! `Mutator`: makes likely bad inputs out of good ones: flipped bits, cuts, copies, splices, integers at
//! their limits. The same seed gives the same inputs; it knows no format and sees no coverage.

use skopos_base::rng::Rng;

/// Inputs that grew beyond this are cut: what is wrong with a decoder shows in small ones.
const MAX_BYTES: usize = 64 << 10;
/// The most changes of one input.
const MAX_CHANGES: u64 = 8;

/// Lengths, counts and offsets that go wrong, as big-endian bytes; they are written in either order.
const LIMITS: [u64; 18] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0x8000,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    0xffff_ffff_ffff_ffff,
    0x7ff0_0000_0000_0000,
    0x7ff0_0000_0000_0002,
    0xffff_ffff_ffff_fffe,
    0x1_0000_0000,
];

/// A source of inputs.
#[derive(Debug)]
pub struct Mutator {
    rng: Rng,
}

impl Mutator {
    /// A source whose inputs depend on `seed` and on what it is given.
    #[must_use]
    pub fn new(seed: u64) -> Mutator {
        Mutator { rng: Rng::from_seed(seed) }
    }

    /// A changed copy of one of `inputs`.
    ///
    /// # Panics
    /// When `inputs` is empty.
    pub fn next(&self, inputs: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = inputs[self.below(inputs.len())].clone();
        for _ in 0..=self.rng.below(MAX_CHANGES) {
            self.change(&mut bytes, &inputs[self.below(inputs.len())]);
        }
        bytes.truncate(MAX_BYTES);
        bytes
    }

    fn change(&self, bytes: &mut Vec<u8>, other: &[u8]) {
        if bytes.is_empty() {
            bytes.push(self.rng.next_u64() as u8);
        }
        let at = self.below(bytes.len());
        match self.rng.below(10) {
            0 | 1 => bytes[at] ^= 1 << self.rng.below(8),
            2 => bytes[at] = self.rng.next_u64() as u8,
            3 => self.write_limit(&mut bytes[at..]),
            4 => {
                let end = at + 1 + self.below(self.reach(bytes.len() - at));
                bytes.drain(at..end.min(bytes.len()));
            }
            5 => {
                let part = self.part_of(bytes);
                bytes.splice(at..at, part);
            }
            6 => {
                let part = self.part_of(other);
                bytes.splice(at..at, part);
            }
            7 => {
                let part = self.part_of(other);
                let end = (at + part.len()).min(bytes.len());
                bytes.splice(at..end, part);
            }
            8 => bytes.truncate(at),
            _ => bytes[at] = bytes[at].wrapping_add(self.rng.below(9) as u8).wrapping_sub(4),
        }
    }

    /// Writes an integer at its limits over the first bytes, in one of the ways that formats have.
    fn write_limit(&self, bytes: &mut [u8]) {
        let limit = LIMITS[self.below(LIMITS.len())];
        let mut form = Vec::with_capacity(10);
        match self.rng.below(3) {
            0 => {
                let width = 1 << self.rng.below(4);
                form.extend_from_slice(&limit.to_be_bytes()[8 - width..]);
            }
            1 => form.extend_from_slice(&limit.to_le_bytes()[..1 << self.rng.below(4)]),
            _ => {
                let mut rest = limit;
                while rest >= 0x80 {
                    form.push(rest as u8 | 0x80);
                    rest >>= 7;
                }
                form.push(rest as u8);
            }
        }
        let n = form.len().min(bytes.len());
        bytes[..n].copy_from_slice(&form[..n]);
    }

    fn part_of(&self, bytes: &[u8]) -> Vec<u8> {
        if bytes.is_empty() {
            return Vec::new();
        }
        let from = self.below(bytes.len());
        let len = 1 + self.below(self.reach(bytes.len() - from));
        bytes[from..(from + len).min(bytes.len())].to_vec()
    }

    /// Mostly a few bytes, at times as many as there are.
    fn reach(&self, most: usize) -> usize {
        if self.rng.below(4) == 0 { most } else { most.min(16) }
    }

    fn below(&self, bound: usize) -> usize {
        self.rng.below(bound as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_seed_gives_the_same_inputs_and_they_vary() {
        let inputs = [b"some bytes".to_vec(), Vec::new(), vec![0; 100]];
        let draw = |seed| {
            let mutator = Mutator::new(seed);
            (0..1000).map(|_| mutator.next(&inputs)).collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        let different: HashSet<_> = draw(1).into_iter().collect();
        assert!(different.len() > 800, "{} of 1000 inputs differ", different.len());
        assert!(different.iter().all(|input| input.len() <= MAX_BYTES));
    }
}
