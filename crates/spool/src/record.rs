//! A record and its header, as it stands in a file: docs/formats/spool.md. Touches no file.

use skopos_base::crc::crc32c;

/// How many bytes stand before a record's body.
pub const HEADER_BYTES: usize = 32;
/// No record has a longer body.
pub const MAX_BODY_BYTES: usize = 32 << 20;

/// The header's bytes that its own checksum covers.
const CHECKED: usize = HEADER_BYTES - 4;

/// What stands before a record's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The length of the body.
    pub body_bytes: u32,
    /// How much the record counts for, in the unit of whoever writes it.
    pub weight: u32,
    /// The record's number.
    pub number: u64,
    /// When it was made, in milliseconds since the Unix epoch.
    pub time_ms: i64,
    /// The checksum of the body.
    pub body_crc: u32,
}

impl Header {
    /// The header of `body`.
    pub(crate) fn of(number: u64, time_ms: i64, weight: u32, body: &[u8]) -> Self {
        assert!(body.len() <= MAX_BODY_BYTES, "a record of {} bytes", body.len());
        Self { body_bytes: body.len() as u32, weight, number, time_ms, body_crc: crc32c(body) }
    }

    /// Appends it to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.body_bytes.to_be_bytes());
        out.extend_from_slice(&self.weight.to_be_bytes());
        out.extend_from_slice(&self.number.to_be_bytes());
        out.extend_from_slice(&self.time_ms.to_be_bytes());
        out.extend_from_slice(&self.body_crc.to_be_bytes());
        let crc = crc32c(&out[start..]);
        out.extend_from_slice(&crc.to_be_bytes());
    }

    /// Reads it; none when the bytes are not one that was written.
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        if crc32c(&bytes[..CHECKED]) != u32_at(bytes, CHECKED) {
            return None;
        }
        let header = Self {
            body_bytes: u32_at(bytes, 0),
            weight: u32_at(bytes, 4),
            number: u64_at(bytes, 8),
            time_ms: u64_at(bytes, 16).cast_signed(),
            body_crc: u32_at(bytes, 24),
        };
        (header.body_bytes as usize <= MAX_BODY_BYTES).then_some(header)
    }

    /// Bytes of header and body.
    pub(crate) const fn whole_bytes(&self) -> u64 {
        HEADER_BYTES as u64 + self.body_bytes as u64
    }
}

/// A record that a reader gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number.
    pub number: u64,
    /// When it was made, in milliseconds since the Unix epoch.
    pub time_ms: i64,
    /// How much it counts for.
    pub weight: u32,
    /// What it holds.
    pub body: Vec<u8>,
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("invariant: four bytes of a header"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(bytes[at..at + 8].try_into().expect("invariant: eight bytes of a header"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded() -> (Header, [u8; HEADER_BYTES]) {
        let header = Header::of(7, -5, 3, b"body");
        let mut out = Vec::new();
        header.encode(&mut out);
        (header, out.try_into().unwrap())
    }

    #[test]
    fn what_was_written_is_read() {
        let (header, bytes) = encoded();
        assert_eq!(Header::decode(&bytes), Some(header));
        assert_eq!(header.whole_bytes(), 36);
    }

    #[test]
    fn no_flipped_bit_is_read() {
        for bit in 0..HEADER_BYTES * 8 {
            let (_, mut bytes) = encoded();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&bytes), None, "bit {bit}");
        }
        assert_eq!(Header::decode(&[0; HEADER_BYTES]), None);
    }

    #[test]
    fn a_length_beyond_the_bound_is_not_believed() {
        let header = Header { body_bytes: MAX_BODY_BYTES as u32 + 1, ..Header::of(1, 2, 3, b"") };
        let mut out = Vec::new();
        header.encode(&mut out);
        assert_eq!(Header::decode(&out.try_into().unwrap()), None);
    }
}
