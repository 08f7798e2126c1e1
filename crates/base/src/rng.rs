//! `Rng`: random numbers from a seed (xoshiro256++ by Blackman and Vigna, seeded by splitmix64).
//! The real and the simulated source differ only in where the seed comes from.

use parking_lot::Mutex;

/// A generator that may be shared. The same seed gives the same numbers in the same order.
#[derive(Debug)]
pub struct Rng(Mutex<[u64; 4]>);

impl Rng {
    /// A generator of this seed.
    pub fn from_seed(seed: u64) -> Self {
        let mut x = seed;
        Self(Mutex::new(std::array::from_fn(|_| {
            x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = x;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^ (z >> 31)
        })))
    }

    /// The next 64 bits.
    pub fn next_u64(&self) -> u64 {
        let mut s = self.0.lock();
        let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// A number below `bound`, each equally likely but for a bias below 2^-32 for bounds below 2^32.
    ///
    /// # Panics
    /// When `bound` is zero.
    pub fn below(&self, bound: u64) -> u64 {
        assert!(bound > 0, "no number is below zero");
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }
}
