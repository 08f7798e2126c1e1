//! The layout at the start of a histogram chunk: zero threshold, schema, spans, custom bounds. Never holds
//! counts.

use crate::ChunkError;
use crate::bits::{BitReader, BitWriter};
use skopos_model::histogram::{CUSTOM_SCHEMA, Layout, RESERVED_SCHEMAS, Span, bucket_count};

/// Thresholds that are a power of two are one byte: their exponent in the float's bits less this. A float's
/// exponent is off by 1023, and the byte 243 stands for one half.
const EXPONENT_OFF: u64 = 1022 - 243;
/// Says that the threshold's eight bytes follow.
const WHOLE_THRESHOLD: u8 = 255;
const MANTISSA_BITS: u32 = 52;
/// Custom bounds are written as whole thousandths up to this, the largest that fits in four bytes.
const MAX_THOUSANDTHS: f64 = 33_554_430.0;
/// The fewest bits of a span, and of a custom bound.
const MIN_SPAN_BITS: u64 = 2;
const MIN_BOUND_BITS: u64 = 5;

pub(crate) fn put_layout(out: &mut BitWriter, layout: &Layout) {
    put_zero_threshold(out, layout.zero_threshold);
    out.put_signed(i64::from(layout.schema));
    for spans in [&layout.positive_spans, &layout.negative_spans] {
        out.put_unsigned(spans.len() as u64);
        for span in spans {
            out.put_unsigned(u64::from(span.length));
            out.put_signed(i64::from(span.offset));
        }
    }
    if layout.schema == CUSTOM_SCHEMA {
        out.put_unsigned(layout.custom_bounds.len() as u64);
        for bound in &layout.custom_bounds {
            put_bound(out, *bound);
        }
    }
}

/// Reads a layout, whose hint stays open. `bucket_bits` is the fewest bits that a bucket of the first
/// sample takes: a layout with more buckets than there are bits is refused before anybody asks for memory.
pub(crate) fn take_layout(reader: &mut BitReader<'_>, bucket_bits: u64) -> Result<Layout, ChunkError> {
    let zero_threshold = take_zero_threshold(reader);
    let schema = reader.take_signed();
    let schema = i32::try_from(schema)
        .ok()
        .filter(|s| RESERVED_SCHEMAS.contains(s) || *s == CUSTOM_SCHEMA)
        .ok_or(ChunkError::Schema { schema })?;
    let positive_spans = take_spans(reader)?;
    let negative_spans = take_spans(reader)?;
    let mut custom_bounds = Vec::new();
    if schema == CUSTOM_SCHEMA {
        let count = reader.take_unsigned();
        check_room(reader, count, MIN_BOUND_BITS)?;
        custom_bounds.extend((0..count).map(|_| take_bound(reader)));
    }
    if reader.is_over() {
        return Err(ChunkError::LayoutCutOff { len: reader.bytes().len() });
    }
    let buckets = bucket_count(&positive_spans) + bucket_count(&negative_spans);
    check_room(reader, buckets, bucket_bits)?;
    let counter_reset_hint = Default::default();
    Ok(Layout { schema, zero_threshold, positive_spans, negative_spans, custom_bounds, counter_reset_hint })
}

fn check_room(reader: &BitReader<'_>, count: u64, bits: u64) -> Result<(), ChunkError> {
    if count.saturating_mul(bits) > reader.bits_left() as u64 {
        return Err(ChunkError::LayoutTooLarge { count, offset: reader.bit / 8, len: reader.bytes().len() });
    }
    Ok(())
}

fn take_spans(reader: &mut BitReader<'_>) -> Result<Vec<Span>, ChunkError> {
    let count = reader.take_unsigned();
    check_room(reader, count, MIN_SPAN_BITS)?;
    let mut spans = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let (length, offset) = (reader.take_unsigned(), reader.take_signed());
        match (u32::try_from(length), i32::try_from(offset)) {
            (Ok(length), Ok(offset)) => spans.push(Span { offset, length }),
            _ => return Err(ChunkError::Span { length, span_offset: offset, offset: reader.bit / 8 }),
        }
    }
    Ok(spans)
}

fn put_zero_threshold(out: &mut BitWriter, threshold: f64) {
    if threshold == 0.0 {
        return out.put(0, 8);
    }
    let bits = threshold.to_bits();
    let (exponent, mantissa) = (bits >> MANTISSA_BITS, bits & ((1 << MANTISSA_BITS) - 1));
    match exponent.checked_sub(EXPONENT_OFF) {
        Some(byte @ 1..=254) if mantissa == 0 => out.put(u128::from(byte), 8),
        _ => out.put((u128::from(WHOLE_THRESHOLD) << 64) | u128::from(bits), 72),
    }
}

fn take_zero_threshold(reader: &mut BitReader<'_>) -> f64 {
    match reader.take(8) {
        0 => 0.0,
        byte if byte == u64::from(WHOLE_THRESHOLD) => f64::from_bits(reader.take(64)),
        byte => f64::from_bits((byte + EXPONENT_OFF) << MANTISSA_BITS),
    }
}

fn put_bound(out: &mut BitWriter, bound: f64) {
    let thousandths = bound * 1000.0;
    // Saturates where it is negative or no number; then it does not come back as the bound.
    let whole = thousandths.round() as u64;
    let fits = (0.0..=MAX_THOUSANDTHS).contains(&thousandths);
    if fits && whole as f64 / 1000.0 == bound {
        out.put_unsigned(whole + 1);
    } else {
        out.put(u128::from(bound.to_bits()), 65);
    }
}

fn take_bound(reader: &mut BitReader<'_>) -> f64 {
    match reader.take_unsigned() {
        0 => f64::from_bits(reader.take(64)),
        thousandths => (thousandths - 1) as f64 / 1000.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_come_back_and_powers_of_two_are_a_byte() {
        let power = |exponent: i32| 2f64.powi(exponent);
        for (threshold, first, bits) in [
            (0.0, 0, 8),
            (power(-128), 116, 8),
            (power(-243), 1, 8),
            (power(10), 254, 8),
            (power(-244), 255, 72),
            (power(11), 255, 72),
            (-0.5, 255, 72),
            (0.001, 255, 72),
            (f64::MIN_POSITIVE / 4.0, 255, 72),
        ] {
            let mut out = BitWriter::new();
            put_zero_threshold(&mut out, threshold);
            assert_eq!((out.buf[0], out.buf.len() * 8), (first, bits), "{threshold}");
            let mut reader = BitReader::new(&out.buf, 0);
            assert_eq!((take_zero_threshold(&mut reader), reader.bit), (threshold, bits));
        }
    }

    #[test]
    fn bounds_come_back_and_thousandths_are_short() {
        for (bound, bits) in [
            (0.0, 5),
            (0.005, 5),
            (0.1, 13),
            (10.0, 24),
            (33_554.43, 32),
            (33_554.431, 65),
            (0.0001, 65),
            (-1.0, 65),
            (f64::INFINITY, 65),
        ] {
            let mut out = BitWriter::new();
            put_bound(&mut out, bound);
            let mut reader = BitReader::new(&out.buf, 0);
            assert_eq!((take_bound(&mut reader), reader.bit), (bound, bits));
        }
    }
}
