//! `Gunzip`: decompresses a body in the parts in which it comes, straight into the buffer that will be
//! parsed. Knows no HTTP; how much may come out is its caller's decision.

use crate::{fetch::FetchError, room::HELD_BODY_MAX_BYTES};
use flate2::{Decompress, DecompressError, FlushDecompress, Status};

/// The largest window of the format, as a power of two.
const WINDOW_BITS: u8 = 15;
/// The buffer grows by at least so much, so that a body that swells is noticed early.
const STEP_BYTES: usize = 64 << 10;
/// The memory of a longer body does not double.
const LONG_BYTES: usize = 4 << 20;
/// So much of a long body comes out at a time.
const LONG_STEP_BYTES: usize = 256 << 10;
/// Room of a long body: of the longest that is taken, and of the part by which one is seen to be longer.
const LONG_ROOM_BYTES: usize = HELD_BODY_MAX_BYTES + STEP_BYTES;

/// A body being decompressed: one member of gzip after the other.
#[derive(Debug)]
pub(crate) struct Gunzip {
    member: Decompress,
    /// Whether the member is complete.
    ended: bool,
}

/// A part of a body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'a> {
    pub(crate) bytes: &'a [u8],
    /// Nothing comes behind it and nothing was before it: then what comes out need not be remembered.
    pub(crate) is_all: bool,
}

impl<'a> Part<'a> {
    /// A part of a body that may have others.
    pub(crate) fn of_more(bytes: &'a [u8]) -> Self {
        Self { bytes, is_all: false }
    }
}

impl Gunzip {
    pub(crate) fn new() -> Self {
        Self { member: Decompress::new_gzip(WINDOW_BITS), ended: false }
    }

    /// Appends to `out` what the next part holds. `allow` is asked again and again whether there may be so
    /// much, what was before included; it may take away from the front.
    pub(crate) fn push(
        &mut self,
        part: Part<'_>,
        out: &mut Vec<u8>,
        mut allow: impl FnMut(&mut Vec<u8>) -> Result<(), FetchError>,
    ) -> Result<(), FetchError> {
        let flush = if part.is_all { FlushDecompress::Finish } else { FlushDecompress::None };
        let mut part = part.bytes;
        loop {
            if self.ended {
                if part.is_empty() {
                    return Ok(());
                }
                *self = Self::new();
            }
            make_room(out, 1);
            let before = (self.member.total_in(), out.len());
            let (status, is_full) =
                self.inflate(part, out, flush).map_err(|e| FetchError::Compression(e.to_string()))?;
            let read = (self.member.total_in() - before.0) as usize;
            part = &part[read..];
            self.ended = status == Status::StreamEnd;
            let stands = read == 0 && out.len() == before.1;
            allow(out)?;
            if !self.ended && !is_full && (part.is_empty() || stands) {
                return Ok(());
            }
        }
    }

    /// Appends what comes out of `part`, and says whether there was no room for more. Where there is much
    /// room not all of it is given, so that a body that swells is stopped early here too.
    fn inflate(
        &mut self,
        part: &[u8],
        out: &mut Vec<u8>,
        flush: FlushDecompress,
    ) -> Result<(Status, bool), DecompressError> {
        if out.capacity() - out.len() <= LONG_BYTES {
            let status = self.member.decompress_vec(part, out, flush)?;
            return Ok((status, out.len() == out.capacity()));
        }
        let (len, before) = (out.len(), self.member.total_out());
        out.resize(len + LONG_STEP_BYTES, 0);
        let status = self.member.decompress(part, &mut out[len..], flush);
        let more = (self.member.total_out() - before) as usize;
        out.truncate(len + more);
        Ok((status?, more == LONG_STEP_BYTES))
    }

    /// Says whether the body is complete.
    pub(crate) fn finish(self) -> Result<(), FetchError> {
        if self.ended { Ok(()) } else { Err(FetchError::Compression("unexpected end of file".to_owned())) }
    }
}

/// Makes room for `more` bytes, and for some that may follow. A long body has all the room that one may
/// need at once: the system gives memory only to what is written of it, where every move would hold the body
/// twice and leave a copy that the allocator gives back later.
pub(crate) fn make_room(out: &mut Vec<u8>, more: usize) {
    if out.capacity() - out.len() < more {
        let doubled = 2 * out.len().max(STEP_BYTES / 2);
        let room = if doubled > LONG_BYTES { LONG_ROOM_BYTES } else { doubled };
        out.reserve_exact(more.max(room.saturating_sub(out.len())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn gunzip(bytes: &[u8], part: usize) -> Result<Vec<u8>, FetchError> {
        let (mut gunzip, mut out) = (Gunzip::new(), Vec::new());
        let is_all = part >= bytes.len();
        for bytes in bytes.chunks(part) {
            gunzip.push(Part { bytes, is_all }, &mut out, |_| Ok(()))?;
        }
        gunzip.finish().map(|()| out)
    }

    fn body() -> Vec<u8> {
        (0..20_000).map(|i| format!("metric_{{n=\"{i}\"}} {}\n", i * 7919 % 1000)).collect::<String>().into()
    }

    #[test]
    fn a_body_comes_out_whole_however_it_is_cut() {
        let body = body();
        let packed = gzip(&body);
        for part in [1, 2, 3, 17, 1000, 16 << 10, packed.len()] {
            assert_eq!(gunzip(&packed, part).unwrap(), body, "parts of {part}");
        }
        assert_eq!(gunzip(&gzip(b""), 5).unwrap(), b"");
        let members = [gzip(b"one "), gzip(&body), gzip(b""), gzip(b"two")].concat();
        let all = [b"one ".as_slice(), &body, b"two"].concat();
        for part in [1, 5, 1000, members.len()] {
            assert_eq!(gunzip(&members, part).unwrap(), all, "parts of {part}");
        }
    }

    #[test]
    fn what_is_cut_off_or_changed_is_refused() {
        let body = &body()[..500];
        let packed = gzip(body);
        for len in 0..packed.len() {
            let error = gunzip(&packed[..len], 100).unwrap_err().to_string();
            assert_eq!(error, "body cannot be decompressed: unexpected end of file", "{len} bytes");
        }
        // The header has fields that nobody needs: time, system, flags of speed.
        let mut odd = packed.clone();
        for bit in 10 * 8..packed.len() * 8 {
            odd[bit / 8] ^= 1 << (bit % 8);
            // Bits that fill the last byte say nothing.
            match gunzip(&odd, 1000) {
                Ok(out) => assert_eq!(out, body, "bit {bit}"),
                Err(e) => assert!(matches!(e, FetchError::Compression(_)), "bit {bit}"),
            }
            odd[bit / 8] ^= 1 << (bit % 8);
        }
        assert!(matches!(gunzip(b"metric 1\n", 100), Err(FetchError::Compression(_))));
        assert!(matches!(gunzip(&[&packed[..], b"behind"].concat(), 100), Err(FetchError::Compression(_))));
    }

    #[test]
    fn a_long_body_is_not_moved_however_long_it_gets() {
        for part in [1000, STEP_BYTES, 1 << 20] {
            let (mut out, mut moved) = (Vec::new(), Vec::new());
            while out.len() <= HELD_BODY_MAX_BYTES - part {
                let before = out.capacity();
                make_room(&mut out, part);
                if out.capacity() != before {
                    moved.push(out.len());
                }
                out.resize(out.len() + part, b'0');
            }
            make_room(&mut out, 1);
            assert!(out.capacity() <= LONG_ROOM_BYTES, "parts of {part}");
            assert!(moved.iter().all(|len| *len <= LONG_BYTES), "parts of {part} moved it at {moved:?}");
            let left_behind: usize = moved.iter().sum();
            assert!(left_behind <= 2 * LONG_BYTES, "parts of {part} left {left_behind} bytes");
        }
    }

    #[test]
    fn a_long_body_comes_out_whole_and_is_stopped_within_a_step() {
        let body = vec![b'0'; 6 << 20];
        let packed = gzip(&body);
        for part in [1000, packed.len()] {
            assert!(gunzip(&packed, part).unwrap() == body, "parts of {part}");
        }
        let (mut out, limit) = (Vec::new(), 5 << 20);
        let stopped = Gunzip::new().push(Part { bytes: &packed, is_all: true }, &mut out, |out| {
            if out.len() > limit { Err(FetchError::TooLong { max: limit }) } else { Ok(()) }
        });
        assert!(matches!(stopped, Err(FetchError::TooLong { .. })));
        assert!(out.len() <= limit + LONG_STEP_BYTES, "{} bytes came out", out.len());
    }

    #[test]
    fn a_body_that_swells_is_stopped_early() {
        let packed = gzip(&vec![b'0'; 2 << 20]);
        for is_all in [false, true] {
            let (mut out, mut asked) = (Vec::new(), 0);
            let stopped = Gunzip::new().push(Part { bytes: &packed, is_all }, &mut out, |out| {
                asked = out.len();
                if asked > 256 << 10 { Err(FetchError::TooLong { max: 256 << 10 }) } else { Ok(()) }
            });
            assert!(matches!(stopped, Err(FetchError::TooLong { .. })));
            assert!(asked > 256 << 10 && out.capacity() <= 1 << 20, "{asked} of {}", out.capacity());
        }
    }
}
