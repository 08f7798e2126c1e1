//! `Xor2Encoder`: appends floats with their start timestamps to one XOR2 chunk. Never cuts chunks and never
//! checks the order of time.

use crate::XorIter;
use crate::bits::{BitWriter, Xored, xor_parts};
use crate::encoder::MAX_SAMPLES;
use crate::starts::{StartsWriter, Times};
use skopos_base::varint::{put_uvarint, put_varint};
use skopos_model::{TimestampMs, is_stale_nan};

/// Appends floats to an XOR2 chunk whose bytes are complete after every append; see
/// `docs/formats/xor2-chunk.md`.
#[derive(Clone, Debug)]
pub(crate) struct Xor2Encoder {
    out: BitWriter,
    starts: StartsWriter,
    timestamp: i64,
    delta: u64,
    /// The last value that was no staleness marker.
    base: Xored,
    count: u16,
}

impl Xor2Encoder {
    /// A chunk without samples.
    pub(crate) fn new() -> Self {
        let starts = StartsWriter::default();
        Self { out: BitWriter::new(), starts, timestamp: 0, delta: 0, base: Xored::first(0), count: 0 }
    }

    /// The same samples as in that XOR chunk, none of which has a start.
    pub(crate) fn of_plain(bytes: &[u8]) -> Self {
        let mut encoder = Self::new();
        for sample in XorIter::new(bytes) {
            let sample = sample.expect("invariant: a chunk that was written here can be read");
            encoder.append(sample.timestamp, sample.value, TimestampMs::default());
        }
        encoder
    }

    pub(crate) const fn len(&self) -> u16 {
        self.count
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        let mut buf = self.out.buf;
        buf.shrink_to_fit();
        buf
    }

    /// Appends a sample that was counted since `start`; zero where that is not known.
    ///
    /// # Panics
    /// When the chunk has `MAX_SAMPLES` samples already.
    pub(crate) fn append(&mut self, timestamp: TimestampMs, value: f64, start: TimestampMs) {
        assert!(self.count < MAX_SAMPLES, "invariant: a chunk is cut before it has {MAX_SAMPLES} samples");
        let times = Times { before: self.timestamp, now: timestamp.as_ms() };
        let delta = times.now.wrapping_sub(times.before) as u64;
        match self.count {
            0 => self.put_first(times.now, value),
            1 => {
                // Whole bytes stand before it.
                put_uvarint(&mut self.out.buf, delta);
                self.put_value(value);
                self.delta = delta;
            }
            _ => {
                self.put_later(delta.wrapping_sub(self.delta) as i64, value);
                self.delta = delta;
            }
        }
        self.timestamp = times.now;
        self.starts.put(&mut self.out, self.count, times, start.as_ms());
        self.count += 1;
        self.out.buf[..2].copy_from_slice(&self.count.to_be_bytes());
    }

    fn put_first(&mut self, timestamp: i64, value: f64) {
        self.out.buf.extend_from_slice(&[0, 0, 0]);
        put_varint(&mut self.out.buf, timestamp);
        self.out.buf.extend_from_slice(&value.to_bits().to_be_bytes());
        if !is_stale_nan(value) {
            self.base.bits = value.to_bits();
        }
    }

    /// A sample from the third on: how its interval changed, and its value.
    fn put_later(&mut self, change: i64, value: f64) {
        let low = |bits: u32| u128::from(change as u64 & ((1 << bits) - 1));
        match change {
            0 => return self.put_at_same_interval(value),
            -4096..=4095 => self.out.put((0b110 << 13) | low(13), 16),
            -524_288..=524_287 => self.out.put((0b1110 << 20) | low(20), 24),
            _ => self.out.put((0b11110 << 64) | u128::from(change as u64), 69),
        }
        self.put_value(value);
    }

    fn put_at_same_interval(&mut self, value: f64) {
        if is_stale_nan(value) {
            return self.out.put(0b11111, 5);
        }
        let parts =
            xor_parts(value.to_bits() ^ self.base.bits, &mut self.base.leading, &mut self.base.trailing);
        self.base.bits = value.to_bits();
        match parts.head_len {
            1 => return self.out.put(0, 1),
            2 => self.out.put(0b100, 3),
            _ => self.out.put((0b101 << 11) | u128::from(parts.head & 0x7ff), 14),
        }
        self.out.put(u128::from(parts.significant), parts.significant_len);
    }

    /// A value with its own prefix.
    fn put_value(&mut self, value: f64) {
        if is_stale_nan(value) {
            return self.out.put(0b111, 3);
        }
        let parts =
            xor_parts(value.to_bits() ^ self.base.bits, &mut self.base.leading, &mut self.base.trailing);
        self.base.bits = value.to_bits();
        match parts.head_len {
            1 => return self.out.put(0, 1),
            2 => self.out.put(0b10, 2),
            _ => self.out.put((0b110 << 11) | u128::from(parts.head & 0x7ff), 14),
        }
        self.out.put(u128::from(parts.significant), parts.significant_len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ChunkValue, Encoding, SampleIter, decode_columns};
    use skopos_base::rng::Rng;
    use skopos_model::{Columns, stale_nan};

    /// Time, bits of the value, start.
    type Sample = (i64, u64, i64);

    fn encode(samples: &[Sample]) -> Vec<u8> {
        let mut encoder = Xor2Encoder::new();
        for (t, bits, start) in samples {
            encoder.append(TimestampMs::new(*t), f64::from_bits(*bits), TimestampMs::new(*start));
        }
        assert_eq!(usize::from(encoder.len()), samples.len());
        encoder.into_bytes()
    }

    fn check(samples: &[Sample]) {
        let bytes = encode(samples);
        let mut iter = SampleIter::new(Encoding::Xor2, &bytes);
        let mut got = Vec::new();
        while let Some(sample) = iter.next() {
            let (t, ChunkValue::Float(value)) = sample.unwrap() else { panic!("a histogram") };
            got.push((t.as_ms(), value.to_bits(), iter.start().as_ms()));
        }
        assert_eq!(got, samples);
        let mut columns = Columns::default();
        decode_columns(Encoding::Xor2, &bytes, TimestampMs::MIN, TimestampMs::MAX, &mut columns).unwrap();
        let mut starts = vec![0; columns.len()];
        columns.starts.of(0..columns.len()).iter().for_each(|s| starts[s.sample] = s.at.as_ms());
        assert_eq!(starts, samples.iter().map(|s| s.2).collect::<Vec<_>>());
    }

    #[test]
    fn extreme_samples_and_starts_come_back() {
        let stale = stale_nan().to_bits();
        check(&[(i64::MIN, stale, i64::MAX)]);
        check(&[(i64::MIN, f64::NAN.to_bits(), 0), (i64::MAX, stale, i64::MIN), (-1, 0, -1)]);
        let wild = [i64::MAX, i64::MIN, 0, -1, 1 << 40, 5, 6, 7, 4103, 8, 524_295, 9, 9, 9];
        let wild = |start: fn(i64) -> i64| wild.map(|t| (t, t as u64 ^ 0x55, start(t))).repeat(20);
        check(&wild(|_| 0));
        check(&wild(|_| 7));
        check(&wild(|t| t));
        check(&wild(|t| t.wrapping_mul(0x1234_5678_9abc)));
        let at_same_interval: Vec<_> =
            [7, stale, 7, 9, stale, stale, 9, 0, 1 << 63].iter().zip(0..).map(|(v, t)| (t, *v, 0)).collect();
        check(&at_same_interval);
    }

    #[test]
    fn a_start_that_first_changes_late_comes_back() {
        for changes_at in [1, 2, 126, 127, 128, 129, 300] {
            for before in [0, 5] {
                let start = |i| if i < changes_at { before } else { 1000 + i / 40 };
                check(&(0..400).map(|i| (i * 15, i as u64, start(i))).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn random_samples_and_starts_come_back() {
        for seed in 0..1000 {
            println!("seed {seed}");
            let rng = Rng::from_seed(seed);
            let jitter = 1 << rng.below(24);
            let mask = rng.below(u64::MAX) >> rng.below(64) << rng.below(64);
            let resets = 2 + rng.below(100);
            let (mut t, mut bits) = (rng.below(1 << 50) as i64, rng.below(u64::MAX));
            let mut start = if rng.below(2) == 0 { 0 } else { t - 1000 };
            let sample = |_| {
                t += 15_000 + if rng.below(3) == 0 { rng.below(jitter) as i64 } else { 0 };
                bits ^= if rng.below(4) == 0 { 0 } else { rng.below(u64::MAX) & mask };
                if rng.below(resets) == 0 {
                    start = if rng.below(4) == 0 { 0 } else { t - rng.below(15_000) as i64 };
                }
                (t, if rng.below(20) == 0 { stale_nan().to_bits() } else { bits }, start)
            };
            check(&(0..1 + rng.below(400)).map(sample).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_layout_is_that_of_the_document() {
        // 1.0 at 1 since 0 - 4, then every 5 ms: 1.5 in a new window of one bit, 1.0 in the same window,
        // 1.0 again, a marker.
        let one = 1f64.to_bits();
        let values = [one, 1.5f64.to_bits(), one, one, stale_nan().to_bits()];
        let samples: Vec<_> = values.iter().zip(0..).map(|(v, i)| (1 + 5 * i, *v, -4)).collect();
        let mut expected = vec![0, 5, 0x80, 2, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0, 10, 5];
        // 110 01100 000001 1, then 10 0 1, then 0, then 11111.
        expected.extend([0b1100_1100, 0b0000_0111, 0b0010_1111, 0b1000_0000]);
        assert_eq!(encode(&samples), expected);
    }
}
