//! Variable-length integers as Go's `encoding/binary` writes them. Owns no buffer.

use crate::ChunkError;

/// The longest form of a 64-bit integer.
const MAX_LEN: usize = 10;

/// Appends `v`, seven bits a byte, the lowest first.
pub(crate) fn push_unsigned(out: &mut Vec<u8>, mut v: u64) {
    while v >= 0x80 {
        out.push(v as u8 | 0x80);
        v >>= 7;
    }
    out.push(v as u8);
}

/// Appends `v` in zigzag form, so that small negative numbers are short too.
pub(crate) fn push_signed(out: &mut Vec<u8>, v: i64) {
    push_unsigned(out, ((v << 1) ^ (v >> 63)) as u64);
}

/// Reads an unsigned integer at `offset`; gives it and the offset behind it, or none when the bytes
/// end inside it.
pub(crate) fn read_unsigned(bytes: &[u8], offset: usize) -> Result<Option<(u64, usize)>, ChunkError> {
    let mut v = 0u64;
    for (i, byte) in bytes.iter().skip(offset).take(MAX_LEN).enumerate() {
        // Of the tenth byte only the lowest bit has room in 64.
        if i == MAX_LEN - 1 && *byte > 1 {
            return Err(ChunkError::IntegerOverflow { offset });
        }
        v |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Ok(Some((v, offset + i + 1)));
        }
    }
    Ok(None)
}

/// Reads an integer in zigzag form; see `read_unsigned`.
pub(crate) fn read_signed(bytes: &[u8], offset: usize) -> Result<Option<(i64, usize)>, ChunkError> {
    let read = read_unsigned(bytes, offset)?;
    Ok(read.map(|(v, end)| ((v >> 1) as i64 ^ -((v & 1) as i64), end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_come_back() {
        for v in [0, 1, -1, 63, -64, 64, 1 << 40, i64::MAX, i64::MIN] {
            let mut out = vec![9];
            push_signed(&mut out, v);
            assert_eq!(read_signed(&out, 1), Ok(Some((v, out.len()))));
            assert_eq!(read_signed(&out[..out.len() - 1], 1), Ok(None), "cut off");
        }
    }

    #[test]
    fn more_than_64_bits_are_an_error() {
        let too_long = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        assert_eq!(read_unsigned(&too_long, 0), Err(ChunkError::IntegerOverflow { offset: 0 }));
    }
}
