//! Frames of a stream: the length of a message, its CRC-32C, the message. The length is a varint, the
//! checksum big-endian. Never splits a message.

use crate::ProtoError;
use skopos_base::{
    crc::crc32c,
    varint::{put_uvarint, uvarint},
};

const CRC_BYTES: usize = 4;

/// Appends a frame with `message` in it.
pub fn write(message: &[u8], out: &mut Vec<u8>) {
    put_uvarint(out, message.len() as u64);
    out.extend_from_slice(&crc32c(message).to_be_bytes());
    out.extend_from_slice(message);
}

/// Splits the frame that begins at `offset` of `stream` off: its message, and where the next frame begins.
/// None at the end.
///
/// # Errors
/// When the frame is cut off or its checksum is another one.
pub fn read(stream: &[u8], offset: usize) -> Result<Option<(&[u8], usize)>, ProtoError> {
    let wrong = |wrong| ProtoError::Frame { offset, wrong };
    let rest = stream.get(offset..).unwrap_or_default();
    if rest.is_empty() {
        return Ok(None);
    }
    let cut = || wrong("cut off");
    let (length, head) = uvarint(rest).ok_or_else(cut)?;
    let body = rest.get(head..).ok_or_else(cut)?;
    let (crc, body) = body.split_first_chunk::<CRC_BYTES>().ok_or_else(cut)?;
    let message = usize::try_from(length).ok().and_then(|length| body.get(..length)).ok_or_else(cut)?;
    if crc32c(message) != u32::from_be_bytes(*crc) {
        return Err(wrong("damaged"));
    }
    Ok(Some((message, offset + head + CRC_BYTES + message.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(stream: &[u8]) -> Result<Vec<Vec<u8>>, ProtoError> {
        let (mut found, mut offset) = (Vec::new(), 0);
        while let Some((message, next)) = read(stream, offset)? {
            found.push(message.to_vec());
            offset = next;
        }
        Ok(found)
    }

    fn stream() -> Vec<u8> {
        let mut out = Vec::new();
        for message in [&b"one"[..], b"", &[7; 300]] {
            write(message, &mut out);
        }
        out
    }

    #[test]
    fn a_frame_is_as_prometheus_writes_it() {
        let mut out = Vec::new();
        write(b"test1", &mut out);
        // CRC-32C of "test1".
        assert_eq!(out, [&[5][..], &crc32c(b"test1").to_be_bytes(), b"test1"].concat());
        assert_eq!(crc32c(b"123456789"), 0xe306_9283, "the checksum is Castagnoli's");
    }

    #[test]
    fn frames_come_back_and_cuts_and_flipped_bits_are_seen() {
        let whole = stream();
        assert_eq!(frames(&whole).unwrap(), [b"one".to_vec(), Vec::new(), vec![7; 300]]);
        let ends = [8, 13, whole.len()];
        for cut in (1..whole.len()).filter(|cut| !ends.contains(cut)) {
            assert!(frames(&whole[..cut]).is_err(), "{cut}");
        }
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(frames(&flipped) != Ok(frames(&whole).unwrap()), "{bit}");
        }
    }
}
