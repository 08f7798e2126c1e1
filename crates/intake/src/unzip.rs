//! `Unpacker`: what compressed a body, and what comes out of it, in the parts in which it comes: each is
//! handed on at once, so that a bomb is stopped early. Holds no more than the formats' windows. Snappy comes
//! as a whole alone; that of remote write, which says its length, stands elsewhere.

use crate::{Held, IntakeError, limits};
use flate2::{Decompress, FlushDecompress, Status};
use skopos_proto::pushed;
use std::io::Read as _;
use zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};

/// So much comes out at a time.
const STEP_BYTES: usize = 64 << 10;
/// The largest window of gzip, as a power of two.
const GZIP_WINDOW_BITS: u8 = 15;
/// The largest window of zstd, as a power of two: 8 MiB, what decoders have to take at least.
const ZSTD_WINDOW_BITS: u32 = 23;

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

/// How a body that is there as a whole is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// As others are.
    Of(Compression),
    /// snappy, as a block or as a stream of frames.
    Snappy,
}

/// What a stream of frames of snappy begins with.
const SNAPPY_STREAM: &[u8] = b"\xff\x06\0\0sNaPpY";

/// A body being unpacked.
pub(crate) struct Unpacker {
    packed: Packed,
    out: Vec<u8>,
    /// Whether what came is complete.
    is_whole: bool,
}

enum Packed {
    Not,
    Gzip(Decompress),
    Deflate(Decompress),
    Zstd(Decoder<'static>),
}

/// What came of a step.
struct Step {
    read: usize,
    written: usize,
    /// Whether a member, stream or frame is complete.
    is_end: bool,
}

impl Unpacker {
    /// Unpacks what was compressed so.
    pub(crate) fn new(compression: Compression) -> Result<Self, IntakeError> {
        let packed = match compression {
            Compression::None => Packed::Not,
            Compression::Gzip => Packed::Gzip(Decompress::new_gzip(GZIP_WINDOW_BITS)),
            Compression::Deflate => Packed::Deflate(Decompress::new(true)),
            Compression::Zstd => {
                let mut decoder = Decoder::new().map_err(|e| broken(&e))?;
                let max = zstd::stream::raw::DParameter::WindowLogMax(ZSTD_WINDOW_BITS);
                decoder.set_parameter(max).map_err(|e| broken(&e))?;
                Packed::Zstd(decoder)
            }
        };
        let steps = if matches!(packed, Packed::Not) { 0 } else { STEP_BYTES };
        let is_whole = matches!(packed, Packed::Not);
        Ok(Self { packed, out: vec![0; steps], is_whole })
    }

    /// Hands on what the next part holds, at most so much at a time as a step has.
    pub(crate) fn push(
        &mut self,
        mut part: &[u8],
        mut to: impl FnMut(&[u8]) -> Result<(), IntakeError>,
    ) -> Result<(), IntakeError> {
        if matches!(self.packed, Packed::Not) {
            return part.chunks(STEP_BYTES).try_for_each(to);
        }
        loop {
            if self.is_whole && !part.is_empty() {
                self.begin_next()?;
            }
            let step = self.step(part)?;
            part = &part[step.read..];
            self.is_whole = step.is_end;
            to(&self.out[..step.written])?;
            let is_full = step.written == self.out.len();
            let stands = step.read == 0 && step.written == 0;
            if part.is_empty() && !is_full || self.is_whole && part.is_empty() || stands {
                return Ok(());
            }
        }
    }

    /// What follows a member of gzip or a frame of zstd is another.
    fn begin_next(&mut self) -> Result<(), IntakeError> {
        match &mut self.packed {
            Packed::Not => {}
            Packed::Gzip(member) => *member = Decompress::new_gzip(GZIP_WINDOW_BITS),
            Packed::Deflate(_) => {
                return Err(IntakeError::Invalid("something follows the compressed body".to_owned()));
            }
            Packed::Zstd(decoder) => decoder.reinit().map_err(|e| broken(&e))?,
        }
        self.is_whole = false;
        Ok(())
    }

    fn step(&mut self, part: &[u8]) -> Result<Step, IntakeError> {
        match &mut self.packed {
            Packed::Not => Ok(Step { read: part.len(), written: 0, is_end: true }),
            Packed::Gzip(flate) | Packed::Deflate(flate) => {
                let before = (flate.total_in(), flate.total_out());
                let status = flate
                    .decompress(part, &mut self.out, FlushDecompress::None)
                    .map_err(|e| broken(&e.into()))?;
                Ok(Step {
                    read: (flate.total_in() - before.0) as usize,
                    written: (flate.total_out() - before.1) as usize,
                    is_end: status == Status::StreamEnd,
                })
            }
            Packed::Zstd(decoder) => {
                let (mut from, mut to) = (InBuffer::around(part), OutBuffer::around(&mut self.out[..]));
                let hint = decoder.run(&mut from, &mut to).map_err(|e| broken(&e))?;
                Ok(Step { read: from.pos(), written: to.pos(), is_end: hint == 0 })
            }
        }
    }

    /// Says whether the body is complete.
    pub(crate) fn finish(&self) -> Result<(), IntakeError> {
        let cut = || IntakeError::Invalid("the body cannot be unpacked: it is cut off".to_owned());
        if self.is_whole { Ok(()) } else { Err(cut()) }
    }
}

/// Unpacks the whole of `body` into `plain`, of which nothing else remains; what comes out is charged and
/// held against the limit step by step.
pub(crate) fn unzip(
    body: &[u8],
    packing: Packing,
    (held, max): (&mut Held, usize),
    plain: &mut Vec<u8>,
) -> Result<(), IntakeError> {
    plain.clear();
    let mut take = |part: &[u8]| {
        if plain.len() + part.len() > max {
            let what = "body, unpacked,";
            return Err(IntakeError::TooLong { what, limit: limits::DECODED_BYTES, max });
        }
        held.take(part.len())?;
        plain.extend_from_slice(part);
        Ok(())
    };
    match packing {
        Packing::Of(compression) => {
            let mut unpacker = Unpacker::new(compression)?;
            unpacker.push(body, take)?;
            unpacker.finish()
        }
        // Nothing is a stream without frames.
        Packing::Snappy if body.is_empty() => Ok(()),
        Packing::Snappy if body.starts_with(SNAPPY_STREAM) => {
            let (mut frames, mut part) = (snap::read::FrameDecoder::new(body), vec![0; STEP_BYTES]);
            loop {
                match frames.read(&mut part).map_err(|e| broken(&e))? {
                    0 => return Ok(()),
                    read => take(&part[..read])?,
                }
            }
        }
        Packing::Snappy => {
            let bytes = pushed::unpacked_bytes(body, max)?;
            held.take(bytes)?;
            Ok(pushed::unpack(body, bytes, plain)?)
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
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn deflate(plain: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn unzipped(body: &[u8], compression: Compression, max: usize) -> Result<Vec<u8>, IntakeError> {
        let (memory, mut plain) = (Memory::new(64 << 20), vec![7; 9]);
        unzip(body, Packing::Of(compression), (&mut memory.begin(), max), &mut plain).map(|()| plain)
    }

    #[test]
    fn snappy_comes_as_a_block_or_in_frames_and_its_bombs_are_stopped() {
        let unsnapped = |body: &[u8], max| {
            let (memory, mut plain) = (Memory::new(64 << 20), vec![7; 9]);
            unzip(body, Packing::Snappy, (&mut memory.begin(), max), &mut plain).map(|()| plain)
        };
        let plain = vec![b'x'; 200_000];
        let block = snap::raw::Encoder::new().compress_vec(&plain).unwrap();
        let mut encoder = snap::write::FrameEncoder::new(Vec::new());
        encoder.write_all(&plain).unwrap();
        let frames = encoder.into_inner().unwrap();
        for body in [&block, &frames] {
            assert_eq!(unsnapped(body, 200_000).unwrap(), plain);
            assert!(matches!(unsnapped(body, 199_999), Err(IntakeError::TooLong { .. })));
            assert!(matches!(unsnapped(&body[..body.len() - 3], 200_000), Err(IntakeError::Invalid(_))));
        }
        assert_eq!(unsnapped(b"", 100).unwrap(), b"");
        for wrong in [&b"m 1\n"[..], b"\xff\xff\xff\xff\x0f\0a", b"\xff\x06\0\0sNaPpY\x01\x05\0\0abcdx"] {
            assert!(unsnapped(wrong, 1 << 30).is_err());
        }
    }

    #[test]
    fn what_was_packed_comes_out_and_bombs_are_stopped() {
        let plain = vec![b'x'; 200_000];
        let twice = [gzip(&plain), gzip(b"y")].concat();
        assert_eq!(unzipped(&twice, Compression::Gzip, 1 << 20).unwrap(), [&plain[..], b"y"].concat());
        let zstd = zstd::encode_all(&plain[..], 1).unwrap();
        assert_eq!(unzipped(&zstd, Compression::Zstd, 200_000).unwrap(), plain);
        assert_eq!(unzipped(&deflate(&plain), Compression::Deflate, 200_000).unwrap(), plain);
        assert_eq!(unzipped(&plain, Compression::None, 200_000).unwrap(), plain);
        for (body, compression) in [
            (&twice, Compression::Gzip),
            (&zstd, Compression::Zstd),
            (&deflate(&plain), Compression::Deflate),
            (&plain, Compression::None),
            (&gzip(&vec![0; 5 << 20]), Compression::Gzip),
        ] {
            let refused = unzipped(body, compression, 199_999);
            assert!(matches!(refused, Err(IntakeError::TooLong { max: 199_999, .. })), "{refused:?}");
        }
        for compression in [Compression::Gzip, Compression::Zstd, Compression::Deflate] {
            assert!(matches!(unzipped(b"abcdefgh", compression, 100), Err(IntakeError::Invalid(_))));
        }
    }

    #[test]
    fn a_body_may_come_in_any_parts_and_is_not_whole_before_its_end() {
        let plain: Vec<u8> =
            (0..40_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        for (body, compression) in [
            ([gzip(&plain), gzip(b"y")].concat(), Compression::Gzip),
            (deflate(&plain), Compression::Deflate),
            (
                [zstd::encode_all(&plain[..], 1).unwrap(), zstd::encode_all(&b"y"[..], 1).unwrap()].concat(),
                Compression::Zstd,
            ),
        ] {
            let whole = unzipped(&body, compression, 1 << 20).unwrap();
            for part in [7, 4096, 1 << 20] {
                let (mut unpacker, mut out) = (Unpacker::new(compression).unwrap(), Vec::new());
                for bytes in body.chunks(part) {
                    unpacker
                        .push(bytes, |more| {
                            out.extend_from_slice(more);
                            Ok(())
                        })
                        .unwrap();
                }
                unpacker.finish().unwrap();
                assert_eq!(out, whole, "{compression:?} in parts of {part}");
            }
            for cut in [1, 5, 100, body.len() / 2] {
                let cut_off = unzipped(&body[..body.len() - cut], compression, 1 << 20);
                assert!(
                    matches!(cut_off, Err(IntakeError::Invalid(_))),
                    "{compression:?}, {cut} bytes missing"
                );
            }
        }
        assert!(unzipped(&[deflate(b"a"), deflate(b"b")].concat(), Compression::Deflate, 100).is_err());
    }
}
