//! Integers of variable length as Go's `encoding/binary` writes them: LEB128 for unsigned ones, the same
//! of their zig-zag form for signed ones. Decoders take any bytes and never panic; like Go's, they
//! accept encodings that are longer than need be.

/// The most bytes that an encoding has.
pub const MAX_LEN: usize = 10;

/// Appends the encoding of `value` to `out`.
#[inline]
pub fn put_uvarint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends the encoding of `value` to `out`: numbers near zero of either sign are short.
#[inline]
pub fn put_varint(out: &mut Vec<u8>, value: i64) {
    put_uvarint(out, zig_zag(value));
}

/// The number at the start of `bytes` and how many bytes it takes; `None` when the bytes end inside of it or
/// it has more than 64 bits.
#[inline]
pub fn uvarint(bytes: &[u8]) -> Option<(u64, usize)> {
    // Most numbers in the file formats are lengths and differences below 128.
    if let Some(&first) = bytes.first()
        && first < 0x80
    {
        return Some((u64::from(first), 1));
    }
    let mut value = 0;
    for (i, &byte) in bytes.iter().take(MAX_LEN).enumerate() {
        if i == MAX_LEN - 1 && byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            return Some((value, i + 1));
        }
    }
    None
}

/// As `uvarint`, for what `put_varint` wrote.
#[inline]
pub fn varint(bytes: &[u8]) -> Option<(i64, usize)> {
    let (value, n) = uvarint(bytes)?;
    Some(((value >> 1) as i64 ^ -((value & 1) as i64), n))
}

/// How many bytes the encoding of `value` has.
#[inline]
pub fn uvarint_len(value: u64) -> usize {
    // Seven bits a byte, and zero takes one byte too.
    (63 - (value | 1).leading_zeros() as usize) / 7 + 1
}

/// How many bytes the signed encoding of `value` has.
#[inline]
pub fn varint_len(value: i64) -> usize {
    uvarint_len(zig_zag(value))
}

fn zig_zag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}
