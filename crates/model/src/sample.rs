//! `Sample`, the staleness marker and `SeriesRef`.

use crate::TimestampMs;

/// The bits of the NaN that says: from here on the series has no value.
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// The staleness marker as a value.
pub const fn stale_nan() -> f64 {
    f64::from_bits(STALE_NAN_BITS)
}

/// Whether `v` is the staleness marker. Any other NaN is an ordinary value.
pub const fn is_stale_nan(v: f64) -> bool {
    v.to_bits() == STALE_NAN_BITS
}

/// A float at a point in time.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// When the value was observed.
    pub timestamp: TimestampMs,
    /// The value; may be the staleness marker.
    pub value: f64,
}

/// Equal when time and bits are: the staleness marker equals itself and no other NaN.
impl PartialEq for Sample {
    fn eq(&self, other: &Self) -> bool {
        self.timestamp == other.timestamp && self.value.to_bits() == other.value.to_bits()
    }
}

/// The number by which one storage knows a series. It is never zero, and it is never given to
/// another series as long as the storage's process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct SeriesRef(std::num::NonZeroU64);

impl SeriesRef {
    /// A reference of number `n`; none for zero.
    pub const fn new(n: u64) -> Option<Self> {
        match std::num::NonZeroU64::new(n) {
            Some(n) => Some(Self(n)),
            None => None,
        }
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0.get()
    }
}
