//! `Encoding`: the byte that says how a chunk's data are written. Owns the numbers, no layout.

/// How a chunk's data are written. The numbers are those of Prometheus' files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Encoding {
    /// Floats: delta-of-delta timestamps, XORed values.
    Xor = 1,
    /// Native histograms with whole counts.
    Histogram = 2,
    /// Native histograms with fractional counts.
    FloatHistogram = 3,
    /// Floats as Prometheus writes them where it is told to since 3.12: shorter, with start timestamps.
    /// Written anew only where samples have such.
    Xor2 = 4,
    /// Native histograms with whole counts and start timestamps.
    HistogramStarts = 5,
    /// Native histograms with fractional counts and start timestamps.
    FloatHistogramStarts = 6,
}

impl Encoding {
    /// The encoding of that number.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Xor),
            2 => Some(Self::Histogram),
            3 => Some(Self::FloatHistogram),
            4 => Some(Self::Xor2),
            5 => Some(Self::HistogramStarts),
            6 => Some(Self::FloatHistogramStarts),
            _ => None,
        }
    }

    /// The number in files.
    pub const fn as_byte(self) -> u8 {
        self as u8
    }

    /// Whether the samples are native histograms.
    pub const fn is_histogram(self) -> bool {
        !matches!(self, Self::Xor | Self::Xor2)
    }
}
