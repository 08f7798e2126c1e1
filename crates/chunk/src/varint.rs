//! Variable-length integers inside of a chunk: the reading of `skopos-base`, with the two ways to fail told
//! apart. Owns no buffer.

use crate::ChunkError;
use skopos_base::varint;

/// Reads an unsigned integer at `offset`; gives it and the offset behind it, or none when the bytes
/// end inside it.
pub(crate) fn read_unsigned(bytes: &[u8], offset: usize) -> Result<Option<(u64, usize)>, ChunkError> {
    located(bytes, offset, varint::uvarint)
}

/// Reads an integer in zigzag form; see `read_unsigned`.
pub(crate) fn read_signed(bytes: &[u8], offset: usize) -> Result<Option<(i64, usize)>, ChunkError> {
    located(bytes, offset, varint::varint)
}

fn located<T>(
    bytes: &[u8],
    offset: usize,
    read: impl Fn(&[u8]) -> Option<(T, usize)>,
) -> Result<Option<(T, usize)>, ChunkError> {
    let rest = bytes.get(offset..).unwrap_or(&[]);
    match read(rest) {
        Some((v, len)) => Ok(Some((v, offset + len))),
        // As many bytes as the longest integer has cannot end inside of one.
        None if rest.len() >= varint::MAX_LEN => Err(ChunkError::IntegerOverflow { offset }),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_come_back() {
        for v in [0, 1, -1, 63, -64, 64, 1 << 40, i64::MAX, i64::MIN] {
            let mut out = vec![9];
            varint::put_varint(&mut out, v);
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
