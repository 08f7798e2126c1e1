//! XOR chunks: what is encoded comes back, and no bytes whatever make a decoder panic or lie about
//! what it could not read. Random cases print their seed and are kept by proptest.

use proptest::prelude::*;
use skopos_chunk::{ChunkError, XorEncoder, XorIter, decode_into, decode_range_into, sample_count};
use skopos_model::{STALE_NAN_BITS, TimestampMs};

type Columns = (Vec<i64>, Vec<u64>);

fn encode(samples: &[(i64, u64)]) -> XorEncoder {
    let mut encoder = XorEncoder::new();
    for (t, bits) in samples {
        encoder.append(TimestampMs::new(*t), f64::from_bits(*bits));
    }
    encoder
}

fn columns(timestamps: &[TimestampMs], values: &[f64]) -> Columns {
    (timestamps.iter().map(|t| t.as_ms()).collect(), values.iter().map(|v| v.to_bits()).collect())
}

fn decode(bytes: &[u8]) -> Result<Columns, ChunkError> {
    let (mut timestamps, mut values) = (Vec::new(), Vec::new());
    let result = decode_into(bytes, &mut timestamps, &mut values);
    assert!(result.is_ok() || timestamps.is_empty() && values.is_empty(), "a failure leaves nothing");
    result.map(|()| columns(&timestamps, &values))
}

fn decode_range(bytes: &[u8], min: i64, max: i64) -> Result<Columns, ChunkError> {
    let (mut timestamps, mut values) = (vec![TimestampMs::new(-7)], vec![-7.0]);
    let (min, max) = (TimestampMs::new(min), TimestampMs::new(max));
    let result = decode_range_into(bytes, min, max, &mut timestamps, &mut values);
    assert!(result.is_ok() || timestamps.len() == 1 && values.len() == 1, "a failure leaves the columns");
    result.map(|()| columns(&timestamps[1..], &values[1..]))
}

fn iterate(bytes: &[u8]) -> Result<Columns, ChunkError> {
    let samples = XorIter::new(bytes).collect::<Result<Vec<_>, _>>()?;
    Ok(samples.iter().map(|s| (s.timestamp.as_ms(), s.value.to_bits())).unzip())
}

/// Every decoder agrees on `bytes`: on the samples or on the error.
fn decode_all_ways(bytes: &[u8]) -> Result<Columns, ChunkError> {
    let whole = decode(bytes);
    assert_eq!(iterate(bytes), whole);
    if let Ok((timestamps, _)) = &whole
        && timestamps.is_sorted()
    {
        assert_eq!(decode_range(bytes, i64::MIN, i64::MAX), whole);
    }
    if XorEncoder::from_bytes(bytes).is_ok() {
        assert!(whole.is_ok());
    }
    whole
}

fn check(samples: &[(i64, u64)]) {
    let mut encoder = encode(samples);
    let len = encoder.len();
    assert_eq!(usize::from(len), samples.len());
    assert_eq!(encoder.byte_len(), encoder.bytes().len());
    assert_eq!(sample_count(encoder.bytes()), Ok(len));
    let last = encoder.last().map(|s| (s.timestamp.as_ms(), s.value.to_bits()));
    assert_eq!(last, samples.last().copied());
    let expected: Columns = samples.iter().copied().unzip();
    assert_eq!(decode_all_ways(encoder.bytes()), Ok(expected));
    assert_eq!(encoder.clone().into_bytes(), encoder.bytes());
}

fn sample_chunk() -> XorEncoder {
    encode(&[
        (1_700_000_000_123, 1f64.to_bits()),
        (1_700_000_015_123, 2f64.to_bits()),
        (1_700_000_030_123, 2f64.to_bits()),
        (1_700_000_045_130, 2.5f64.to_bits()),
        (1_700_000_060_123, 2.75f64.to_bits()),
        (1_700_000_180_123, f64::NAN.to_bits()),
        (1_700_000_180_124, STALE_NAN_BITS),
        (1_700_090_180_124, (-0.1f64).to_bits()),
        (1_700_090_195_124, 0.0f64.to_bits()),
        (1_700_190_195_124, 1e300f64.to_bits()),
    ])
}

#[test]
fn samples_of_every_kind_come_back() {
    let one = 1f64.to_bits();
    check(&[]);
    check(&[(0, 0)]);
    check(&[(i64::MIN, STALE_NAN_BITS)]);
    check(&[(i64::MIN, 0), (i64::MAX, u64::MAX), (0, 1), (1, 1 << 63)]);
    check(&[(5, one), (3, one), (3, one), (9, one)]);
    // One and 64 significant bits; a window reused and left.
    check(&[(0, 0), (1, 1), (2, 0), (3, u64::MAX), (4, 0), (5, 1 << 40), (6, 1 << 41)]);
    let regular: Vec<_> = (0..1000).map(|i| (i * 15_000, (i as f64 * 3.0).to_bits())).collect();
    check(&regular);
    // Both ends of each range of changes, and the first numbers behind them.
    for end in [8191, 8192, 65_535, 65_536, 524_287, 524_288, 1 << 40] {
        for change in [-end - 1, -end, -end + 1, end - 1, end, end + 1] {
            check(&[(0, one), (1 << 30, one), ((2 << 30) + change, one), (3 << 30, one)]);
        }
    }
}

#[test]
fn a_range_gives_the_samples_inside_it() {
    let samples: Vec<_> = (0..50i64).map(|i| (i * 10, (i as f64).to_bits())).collect();
    let mut chunk = encode(&samples);
    for (min, max) in
        [(i64::MIN, i64::MAX), (0, 0), (1, 9), (5, 25), (490, 490), (491, 999), (-9, -1), (30, 20)]
    {
        let inside = samples.iter().filter(|(t, _)| (min..=max).contains(t));
        let expected: Columns = inside.copied().unzip();
        assert_eq!(decode_range(chunk.bytes(), min, max), Ok(expected), "{min} to {max}");
    }
}

#[test]
fn a_chunk_cut_at_any_length_is_an_error() {
    let mut chunk = sample_chunk();
    let samples = chunk.len();
    for len in 0..chunk.bytes().len() {
        let cut = &chunk.bytes()[..len];
        let error = decode_all_ways(cut).unwrap_err();
        match error {
            ChunkError::NoHeader { len: said } => assert_eq!((said, len < 2), (len, true)),
            ChunkError::Truncated { offset, count, .. } => assert!(offset <= len && count == samples),
            other => panic!("{other}"),
        }
        assert_eq!(XorEncoder::from_bytes(cut).unwrap_err(), error);
    }
}

#[test]
fn no_flipped_bit_makes_a_decoder_panic() {
    let mut chunk = sample_chunk();
    for bit in 0..chunk.bytes().len() * 8 {
        let mut bytes = chunk.bytes().to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let _ = decode_all_ways(&bytes);
    }
}

#[test]
fn a_count_that_the_bytes_cannot_hold_asks_for_no_memory() {
    let (mut timestamps, mut values) = (Vec::new(), Vec::new());
    let lie = [0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let error = decode_into(&lie, &mut timestamps, &mut values).unwrap_err();
    assert!(matches!(error, ChunkError::Truncated { count: 0xffff, .. }), "{error}");
    assert_eq!((timestamps.capacity(), values.capacity()), (0, 0));
}

#[test]
fn impossible_windows_are_an_error() {
    // Two samples; the second one's value: a new window, 31 leading zeros, 63 significant bits.
    let bytes = [0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0b1111_1111, 0b1111_1000, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let error = decode_all_ways(&bytes).unwrap_err();
    assert_eq!(error, ChunkError::BadWindow { offset: 11, sample: 1, leading: 31, significant: 63 });
}

#[test]
fn a_window_reused_before_any_was_written_has_64_bits() {
    // Prometheus writes this when it goes on with a chunk of equal values that it has read.
    let mut bytes = vec![0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let value = 1.5f64.to_bits();
    bytes.push(0b1000_0000 | (value >> 58) as u8);
    bytes.extend_from_slice(&(value << 6).to_be_bytes());
    assert_eq!(decode_all_ways(&bytes), Ok((vec![0, 1], vec![0, value])));
}

#[test]
fn bytes_behind_the_last_sample_are_dropped_when_going_on() {
    let all = [(1, 1f64.to_bits()), (2, 2f64.to_bits()), (3, 5f64.to_bits()), (4, 0)];
    for n in 1..all.len() {
        let mut dirty = encode(&all[..n]).into_bytes();
        dirty.extend_from_slice(&[0xff; 9]);
        let mut resumed = XorEncoder::from_bytes(&dirty).unwrap();
        for (t, bits) in &all[n..] {
            resumed.append(TimestampMs::new(*t), f64::from_bits(*bits));
        }
        assert_eq!(resumed.bytes(), encode(&all).bytes());
    }
}

/// Samples as they occur, and as nobody would send them.
fn samples() -> impl Strategy<Value = Vec<(i64, u64)>> {
    let time = prop_oneof![
        4 => Just(15_000i64),
        2 => 14_000..16_000i64,
        1 => -600_000..600_000i64,
        1 => any::<i64>(),
    ];
    let value = prop_oneof![
        2 => Just(3f64.to_bits()),
        3 => (0..1000i32).prop_map(|v| f64::from(v).to_bits()),
        2 => any::<f64>().prop_map(f64::to_bits),
        1 => Just(STALE_NAN_BITS),
        1 => any::<u64>(),
    ];
    (any::<i64>(), prop::collection::vec((time, value), 0..200)).prop_map(|(start, steps)| {
        let mut t = start;
        let next = |(step, bits)| {
            t = t.wrapping_add(step);
            (t, bits)
        };
        steps.into_iter().map(next).collect()
    })
}

proptest! {
    #[test]
    fn any_samples_come_back(samples in samples()) {
        check(&samples);
    }

    #[test]
    fn going_on_with_read_bytes_gives_the_same_bytes(
        samples in samples(),
        at in any::<prop::sample::Index>(),
    ) {
        let at = at.index(samples.len() + 1);
        let mut resumed = XorEncoder::from_bytes(encode(&samples[..at]).bytes()).unwrap();
        for (t, bits) in &samples[at..] {
            resumed.append(TimestampMs::new(*t), f64::from_bits(*bits));
        }
        let mut whole = encode(&samples);
        prop_assert_eq!(resumed.bytes(), whole.bytes());
    }

    #[test]
    fn any_bytes_decode_or_fail(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = decode_all_ways(&bytes);
    }

    #[test]
    fn any_bytes_behind_a_small_count_decode_or_fail(
        count in 0..40u16,
        body in prop::collection::vec(any::<u8>(), 0..300),
        min in any::<i64>(),
        max in any::<i64>(),
    ) {
        let bytes: Vec<u8> = count.to_be_bytes().into_iter().chain(body).collect();
        let _ = decode_all_ways(&bytes);
        let _ = decode_range(&bytes, min, max);
    }
}
