//! What compressed a body, and what comes out of it: in steps, each charged and held against the limit, so
//! that a bomb is stopped early. Snappy has a length of its own and stands elsewhere.

use crate::{Held, IntakeError, limits};
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use std::io::Read;

/// So much comes out at a time.
const STEP_BYTES: usize = 64 << 10;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Compression {
    /// It is as it is.
    #[default]
    None,
    /// gzip, one member behind the other.
    Gzip,
    /// zlib, which HTTP calls deflate.
    Deflate,
    /// zstd.
    Zstd,
}

impl Compression {
    /// That of a header `Content-Encoding`, where it is known.
    pub fn named(name: &str) -> Option<Self> {
        match name.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Some(Self::None),
            "gzip" | "x-gzip" => Some(Self::Gzip),
            "deflate" => Some(Self::Deflate),
            "zstd" => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// Unpacks `body` into `plain`, of which nothing else remains.
pub(crate) fn unzip(
    body: &[u8],
    compression: Compression,
    (held, max): (&mut Held, usize),
    plain: &mut Vec<u8>,
) -> Result<(), IntakeError> {
    plain.clear();
    let mut reader: Box<dyn Read + '_> = match compression {
        Compression::None => Box::new(body),
        Compression::Gzip => Box::new(MultiGzDecoder::new(body)),
        Compression::Deflate => Box::new(ZlibDecoder::new(body)),
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::new(body).map_err(|e| broken(&e))?),
    };
    loop {
        let have = plain.len();
        if have >= max {
            // Whether it is longer, one byte more tells.
            let more = reader.read(&mut [0]).map_err(|e| broken(&e))?;
            if more == 0 {
                return Ok(());
            }
            let what = "body, unpacked,";
            return Err(IntakeError::TooLong { what, limit: limits::DECODED_BYTES, max });
        }
        held.take(STEP_BYTES)?;
        plain.resize(have + STEP_BYTES.min(max - have), 0);
        let read = reader.read(&mut plain[have..]);
        plain.truncate(have + read.as_ref().map_or(0, |n| *n));
        if read.map_err(|e| broken(&e))? == 0 {
            return Ok(());
        }
    }
}

fn broken(e: &std::io::Error) -> IntakeError {
    IntakeError::Invalid(format!("the body cannot be unpacked: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Memory;
    use std::io::Write;

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn unzipped(body: &[u8], compression: Compression, max: usize) -> Result<Vec<u8>, IntakeError> {
        let (memory, mut plain) = (Memory::new(64 << 20), vec![7; 9]);
        unzip(body, compression, (&mut memory.begin(), max), &mut plain).map(|()| plain)
    }

    #[test]
    fn what_was_packed_comes_out_and_bombs_are_stopped() {
        let plain = vec![b'x'; 200_000];
        let twice = [gzip(&plain), gzip(b"y")].concat();
        assert_eq!(unzipped(&twice, Compression::Gzip, 1 << 20).unwrap(), [&plain[..], b"y"].concat());
        let zstd = zstd::encode_all(&plain[..], 1).unwrap();
        assert_eq!(unzipped(&zstd, Compression::Zstd, 200_000).unwrap(), plain);
        assert_eq!(unzipped(&plain, Compression::None, 200_000).unwrap(), plain);
        for (body, compression) in [
            (&twice, Compression::Gzip),
            (&zstd, Compression::Zstd),
            (&plain, Compression::None),
            (&gzip(&vec![0; 50 << 20]), Compression::Gzip),
        ] {
            let refused = unzipped(body, compression, 199_999);
            assert!(matches!(refused, Err(IntakeError::TooLong { max: 199_999, .. })), "{refused:?}");
        }
        for compression in [Compression::Gzip, Compression::Zstd, Compression::Deflate] {
            assert!(matches!(unzipped(b"abcdefgh", compression, 100), Err(IntakeError::Invalid(_))));
        }
        assert!(unzipped(&twice[..100], Compression::Gzip, 1 << 20).is_err(), "cut off");
    }
}
