//! Chunks: columns, iterator and encoder must make the same of the same bytes.

use skopos_chunk::{
    ChunkBuilder, CutAt, Encoding, SampleIter, XorEncoder, XorIter, decode_into, decode_range_into,
};
use skopos_model::TimestampMs;

/// Timestamps and the bits of values.
type Samples = Vec<(i64, u64)>;

fn columns(bytes: &[u8]) -> Option<Samples> {
    let (mut timestamps, mut values) = (vec![TimestampMs::new(7)], vec![7.0]);
    match decode_into(bytes, &mut timestamps, &mut values) {
        Ok(()) => {
            let rows = timestamps.iter().zip(&values).skip(1);
            Some(rows.map(|(t, v)| (t.as_ms(), v.to_bits())).collect())
        }
        Err(_) => {
            assert_eq!((timestamps.len(), values.len()), (1, 1), "a failure leaves the columns as they were");
            None
        }
    }
}

fn iterated(bytes: &[u8]) -> Option<Samples> {
    let samples: Result<Vec<_>, _> = XorIter::new(bytes).collect();
    Some(samples.ok()?.iter().map(|s| (s.timestamp.as_ms(), s.value.to_bits())).collect())
}

pub(super) fn xor(bytes: &[u8]) -> bool {
    let samples = columns(bytes);
    assert_eq!(samples, iterated(bytes), "columns and iterator differ");
    let taken_up = XorEncoder::from_bytes(bytes).ok();
    assert_eq!(samples.is_some(), taken_up.is_some(), "decoder and encoder differ on what is a chunk");
    let (Some(samples), Some(mut encoder)) = (samples, taken_up) else { return false };
    assert_eq!(columns(encoder.bytes()).as_ref(), Some(&samples), "taking a chunk up changes it");
    if samples.len() < usize::from(skopos_chunk::MAX_SAMPLES) {
        encoder.append(TimestampMs::new(-3), 0.5);
        let mut longer = samples.clone();
        longer.push((-3, 0.5f64.to_bits()));
        assert_eq!(
            columns(encoder.bytes()),
            Some(longer),
            "a chunk that was taken up cannot be gone on with"
        );
    }
    let mut again = XorEncoder::new();
    samples.iter().for_each(|(t, bits)| again.append(TimestampMs::new(*t), f64::from_bits(*bits)));
    assert_eq!(columns(again.bytes()).as_ref(), Some(&samples), "what was decoded does not come back");
    ranges(bytes, &samples);
    true
}

/// A range of a chunk in order of time has just what lies in it.
fn ranges(bytes: &[u8], samples: &Samples) {
    if !samples.is_sorted_by(|a, b| a.0 < b.0) || samples.is_empty() {
        return;
    }
    let (min, max) = (samples[samples.len() / 3].0, samples[samples.len() * 2 / 3].0);
    let (mut timestamps, mut values) = (Vec::new(), Vec::new());
    let done =
        decode_range_into(bytes, TimestampMs::new(min), TimestampMs::new(max), &mut timestamps, &mut values);
    assert_eq!(done, Ok(()), "the whole can be decoded, a part cannot");
    let got: Samples = timestamps.iter().zip(&values).map(|(t, v)| (t.as_ms(), v.to_bits())).collect();
    let want: Samples = samples.iter().copied().filter(|(t, _)| (min..=max).contains(t)).collect();
    assert_eq!(got, want, "a range differs from the same part of the whole");
}

pub(super) fn xor_seeds() -> Vec<Vec<u8>> {
    let chunk = |samples: &[(i64, f64)]| {
        let mut encoder = XorEncoder::new();
        samples.iter().for_each(|(t, v)| encoder.append(TimestampMs::new(*t), *v));
        encoder.into_bytes()
    };
    let regular = |value: fn(i64) -> f64| -> Vec<(i64, f64)> {
        (0..20).map(|i| (1_700_000_000_000 + 15_000 * i, value(i))).collect()
    };
    vec![
        chunk(&[]),
        chunk(&[(i64::MIN, f64::NAN)]),
        chunk(&[(-1, 0.0), (i64::MAX, -0.0), (0, f64::INFINITY)]),
        chunk(&regular(|_| 1.0)),
        chunk(&regular(|i| (i * i * 1000) as f64)),
        chunk(&regular(|i| f64::from_bits((i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)))),
        chunk(&[(0, 1.0), (1, 2.0), (10_000, 3.0), (90_000, 4.0), (700_000, 5.0), (1 << 40, 6.0)]),
    ]
}

/// A chunk of any encoding, which the first byte says: what is iterated over comes back when it is built
/// anew.
pub(super) fn any(bytes: &[u8]) -> bool {
    let Some((first, bytes)) = bytes.split_first() else { return false };
    let Some(encoding) = Encoding::from_byte(*first) else { return false };
    let Ok(samples) = SampleIter::new(encoding, bytes).collect::<Result<Vec<_>, _>>() else { return false };
    let mut builder = ChunkBuilder::new(CutAt::default());
    samples.iter().for_each(|(timestamp, value)| builder.push(*timestamp, value));
    let mut again = Vec::new();
    for chunk in builder.finish() {
        let part: Result<Vec<_>, _> = SampleIter::new(chunk.encoding, &chunk.bytes).collect();
        again.extend(part.expect("a chunk that was built can be read"));
    }
    assert_eq!(again.len(), samples.len(), "samples are lost");
    assert!(again.iter().zip(&samples).all(|(a, b)| a.0 == b.0), "times do not come back");
    true
}

pub(super) fn any_seeds() -> Vec<Vec<u8>> {
    xor_seeds().into_iter().map(|chunk| [&[1][..], &chunk].concat()).collect()
}
