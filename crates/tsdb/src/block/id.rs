//! `BlockId`: the ULID that names a block, and the source of new ones. Knows no directory.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use skopos_base::sync::Mutex;
use skopos_base::{Env, clock::Clock, rng::Rng};
use std::{fmt, str::FromStr, sync::Arc};

/// The digits of Crockford's base 32.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// How many of them 128 bits take.
const LEN: usize = 26;
const RANDOM_BITS: u32 = 80;

/// A ULID: 48 bits of milliseconds since the Unix epoch, then 80 bits that make it unique. Ordered by time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockId(u128);

/// A text that is no ULID.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no ULID: 26 digits and upper-case letters other than I, L, O and U are, the first at most 7"
)]
pub struct NotAnId(String);

impl BlockId {
    /// The ULID of these 128 bits.
    pub const fn new(bits: u128) -> Self {
        Self(bits)
    }

    /// Its 128 bits.
    pub const fn bits(self) -> u128 {
        self.0
    }

    /// When it was made, in milliseconds since the Unix epoch.
    pub const fn time_ms(self) -> u64 {
        (self.0 >> RANDOM_BITS) as u64
    }
}

impl fmt::Display for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for i in (0..LEN as u32).rev() {
            let digit = (self.0 >> (5 * i)) as usize & 31;
            fmt::Write::write_char(f, char::from(DIGITS[digit]))?;
        }
        Ok(())
    }
}

impl fmt::Debug for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for BlockId {
    type Err = NotAnId;

    /// Takes the one written form only: a name that differs in case is another directory.
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let bad = || NotAnId(text.to_owned());
        if text.len() != LEN || text.as_bytes()[0] > b'7' {
            return Err(bad());
        }
        let mut bits = 0;
        for byte in text.bytes() {
            let digit = DIGITS.binary_search(&byte).map_err(|_| bad())?;
            bits = bits << 5 | digit as u128;
        }
        Ok(Self(bits))
    }
}

impl Serialize for BlockId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BlockId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Where new ids come from: each is greater than those before, also within one millisecond and when the
/// clock is set back.
#[derive(Debug)]
pub struct BlockIds {
    clock: Arc<dyn Clock>,
    rng: Arc<Rng>,
    last: Mutex<u128>,
}

impl BlockIds {
    /// A source that takes time and chance from `env`.
    pub fn new(env: &Env) -> Self {
        Self { clock: Arc::clone(&env.clock), rng: Arc::clone(&env.rng), last: Mutex::new(0) }
    }

    /// A new id.
    pub fn next(&self) -> BlockId {
        let ms = self.clock.wall_ms().max(0) as u128;
        let random = u128::from(self.rng.next_u64()) << 64 | u128::from(self.rng.next_u64());
        let fresh = ms << RANDOM_BITS | random >> (128 - RANDOM_BITS);
        let mut last = self.last.lock();
        // Within a millisecond the next is a little greater, as the ULID specification has it.
        let least = *last + 1 + (random & 0xffff_ffff);
        *last = if fresh >> RANDOM_BITS > *last >> RANDOM_BITS { fresh } else { least };
        BlockId(*last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skopos_base::sim::SimWorld;

    #[test]
    fn texts_are_read_as_they_are_written() {
        for text in ["01M80KR0P505J3R3AZ7M9NYV5Y", "00000000000000000000000000", "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"]
        {
            assert_eq!(text.parse::<BlockId>().unwrap().to_string(), text);
        }
        assert_eq!("01M80KR0P505J3R3AZ7M9NYV5Y".parse::<BlockId>().unwrap().time_ms(), 1_795_317_039_813);
    }

    #[test]
    fn other_texts_are_none() {
        for text in [
            "",
            "01M80KR0P505J3R3AZ7M9NYV5",
            "01M80KR0P505J3R3AZ7M9NYV5YY",
            "81M80KR0P505J3R3AZ7M9NYV5Y",
            "01m80kr0p505j3r3az7m9nyv5y",
            "01M80KR0P505J3R3AZ7M9NYV5U",
            "01M80KR0P505J3R3AZ7M9NYVé",
        ] {
            assert_eq!(text.parse::<BlockId>(), Err(NotAnId(text.to_owned())));
        }
    }

    #[test]
    fn each_is_greater_than_those_before() {
        let world = SimWorld::new(7);
        let ids = BlockIds::new(&world.env());
        let all: Vec<BlockId> = (0..1000).map(|_| ids.next()).collect();
        assert!(all.is_sorted_by(|a, b| a < b));
        assert_eq!(all[999].time_ms(), all[0].time_ms(), "the clock stands still");
    }
}
