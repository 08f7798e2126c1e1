//! `ByteSize`: a number of bytes as flags and files write it. Says nothing of what is that large.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{fmt, str::FromStr};

/// A number of bytes: `512MB`, with units that are powers of 1024, as in Prometheus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

impl ByteSize {
    /// So many bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// How many bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// Whether it is none.
    pub const fn is_zero(&self) -> bool {
        self.0 == 0
    }
}

const UNITS: [&str; 7] = ["B", "KB", "MB", "GB", "TB", "PB", "EB"];

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no size: a number and one of {} is, or 0", UNITS.join(", "));
        let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let unit = unit.replace("iB", "B");
        let power = match UNITS.iter().position(|u| *u == unit) {
            Some(power) => power,
            None if unit.is_empty() && number == 0 => 0,
            None => return Err(wrong()),
        };
        number.checked_mul(1 << (10 * power)).map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let power = (1..UNITS.len()).rev().find(|p| self.0 > 0 && self.0.is_multiple_of(1 << (10 * p)));
        let power = power.unwrap_or(0);
        write!(f, "{}{}", self.0 >> (10 * power), UNITS[power])
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}
