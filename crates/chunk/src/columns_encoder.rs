//! `encode_floats`: columns of floats into XOR chunks, many samples at a time: for compaction and wherever
//! all samples of a chunk are there at once. What it writes is what `XorEncoder` writes.

use crate::bits::{NO_WINDOW, xor_parts};
use crate::encoder::{MAX_SAMPLES, encode_change};
use skopos_base::varint::{put_uvarint, put_varint};
use skopos_model::TimestampMs;

/// The most bytes that the first two times, the count and the first value take.
const FIRST_MAX: usize = 2 + 10 + 8 + 10;
/// The most bytes that a sample takes: 68 bits of its time and 77 of its value, and the word that its last
/// bits are written with.
const SAMPLE_MAX: usize = (68 + 77) / 8 + 1;
/// The bytes of a word of bits.
const WORD: usize = 8;

/// Appends one XOR chunk of all these samples to `out`.
///
/// # Panics
/// When the columns are not equally long, or longer than `MAX_SAMPLES`.
pub fn encode_floats(timestamps: &[TimestampMs], values: &[f64], out: &mut Vec<u8>) {
    let count = timestamps.len();
    assert_eq!(count, values.len(), "columns of one chunk differ in length");
    assert!(
        count <= usize::from(MAX_SAMPLES),
        "invariant: a chunk is cut before it has {MAX_SAMPLES} samples"
    );
    out.extend_from_slice(&(count as u16).to_be_bytes());
    let ([first, ..], [first_value, ..]) = (timestamps, values) else { return };
    put_varint(out, first.as_ms());
    out.extend_from_slice(&first_value.to_bits().to_be_bytes());
    let [_, second, ..] = timestamps else { return };
    let mut delta = second.as_ms().wrapping_sub(first.as_ms()) as u64;
    put_uvarint(out, delta);

    let from = out.len();
    out.resize(from + FIRST_MAX + count * SAMPLE_MAX + WORD, 0);
    let mut bits = Bits { out: &mut out[from..], at: 0, word: 0, free: 64 };
    let (mut leading, mut trailing) = (NO_WINDOW, 0);
    let mut put_value = |bits: &mut Bits<'_>, before: f64, value: f64, (time, time_len): (u64, u32)| {
        let parts = xor_parts(before.to_bits() ^ value.to_bits(), &mut leading, &mut trailing);
        bits.put((time << parts.head_len) | parts.head, time_len + parts.head_len);
        bits.put(parts.significant, parts.significant_len);
    };
    put_value(&mut bits, values[0], values[1], (0, 0));
    for (times, values) in timestamps[1..].windows(2).zip(values[1..].windows(2)) {
        let next = times[1].as_ms().wrapping_sub(times[0].as_ms()) as u64;
        let change = next.wrapping_sub(delta) as i64;
        delta = next;
        let (time, time_len) = encode_change(change);
        if let Ok(time) = u64::try_from(time) {
            put_value(&mut bits, values[0], values[1], (time, time_len));
        } else {
            // The longest form has more bits than a word.
            bits.put((time >> 64) as u64, time_len - 64);
            bits.put(time as u64, 64);
            put_value(&mut bits, values[0], values[1], (0, 0));
        }
    }
    let written = bits.finish();
    out.truncate(from + written);
}

/// Bits written behind one another, a word at a time.
struct Bits<'a> {
    out: &'a mut [u8],
    /// Where the next word is written.
    at: usize,
    /// Bits not written yet, the first one highest.
    word: u64,
    /// How many bits `word` has room for, 1 to 64.
    free: u32,
}

impl Bits<'_> {
    /// Appends the lowest `len` bits, 0 to 64; the higher ones are 0.
    #[inline(always)]
    fn put(&mut self, bits: u64, len: u32) {
        if len < self.free {
            self.free -= len;
            // Where there is room for a whole word and nothing to write, the shift is by 64.
            self.word |= bits.wrapping_shl(self.free);
            return;
        }
        let over = len - self.free;
        self.word |= bits.checked_shr(over).unwrap_or_default();
        self.out[self.at..self.at + WORD].copy_from_slice(&self.word.to_be_bytes());
        self.at += WORD;
        self.free = 64 - over;
        self.word = bits.checked_shl(self.free).unwrap_or_default();
    }

    /// Writes what is left; how many bytes there are.
    fn finish(self) -> usize {
        self.out[self.at..self.at + WORD].copy_from_slice(&self.word.to_be_bytes());
        self.at + (64 - self.free).div_ceil(8) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::XorEncoder;
    use skopos_base::rng::Rng;

    fn check(samples: &[(i64, f64)]) {
        let (timestamps, values): (Vec<_>, Vec<_>) =
            samples.iter().map(|(t, v)| (TimestampMs::new(*t), *v)).unzip();
        let mut expected = XorEncoder::new();
        timestamps.iter().zip(&values).for_each(|(t, v)| expected.append(*t, *v));
        let mut got = vec![0xAA];
        encode_floats(&timestamps, &values, &mut got);
        assert_eq!((got[0], &got[1..]), (0xAA, expected.bytes()), "of {samples:?}");
    }

    #[test]
    fn few_samples_and_extreme_ones_are_written_as_one_by_one() {
        check(&[]);
        check(&[(i64::MIN, f64::NAN)]);
        check(&[(i64::MIN, f64::NAN), (i64::MAX, -0.0)]);
        check(&[(0, 1.0), (1, 1.0), (2, 1.0)]);
        let wild =
            [i64::MAX, i64::MIN, 0, -1, 1 << 40, 5, 6, 7].map(|t| (t, f64::from_bits(t as u64 ^ 0x55)));
        check(&wild);
        check(&wild.repeat(30));
    }

    #[test]
    fn random_samples_are_written_as_one_by_one() {
        for seed in 0..2000 {
            println!("seed {seed}");
            let rng = Rng::from_seed(seed);
            // How far times are off, and which bits of values change.
            let jitter = 1 << rng.below(24);
            let mask = (rng.below(u64::MAX)) >> rng.below(64) << rng.below(64);
            let (mut t, mut bits) = (rng.below(1 << 50) as i64, rng.below(u64::MAX));
            let sample = |_| {
                t += 15_000 + if rng.below(3) == 0 { rng.below(jitter) as i64 } else { 0 };
                bits ^= if rng.below(4) == 0 { 0 } else { rng.below(u64::MAX) & mask };
                (t, f64::from_bits(bits))
            };
            let len = rng.below(200);
            let samples: Vec<_> = (0..len).map(sample).collect();
            check(&samples);
        }
    }

    #[test]
    #[should_panic(expected = "a chunk is cut before")]
    fn more_samples_than_a_chunk_counts_are_refused() {
        let len = usize::from(MAX_SAMPLES) + 1;
        encode_floats(&vec![TimestampMs::default(); len], &vec![0.0; len], &mut Vec::new());
    }
}
