//! Pages compressed by gzip, one at a time, with a state that is used again. Knows no other encoding.

use flate2::{Compress, Compression, FlushCompress, Status};
use std::sync::{Mutex, PoisonError};

/// The first bytes of gzip: deflate, no name, no time, no system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255];
/// A page of text becomes about so much smaller.
const EXPECTED_PART: usize = 4;
const LEAST_ROOM: usize = 4096;

/// See above.
pub(super) struct Gzip(Mutex<Compress>);

impl Default for Gzip {
    /// With more effort a page would be a quarter smaller, and cost as much as reading the machine does.
    fn default() -> Self {
        Self(Mutex::new(Compress::new(Compression::fast(), false)))
    }
}

impl Gzip {
    /// The page, compressed, behind those that are being compressed; nothing if it cannot be.
    pub(super) fn page(&self, page: &[u8]) -> Option<Vec<u8>> {
        // Whatever was left behind: each page begins anew.
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.reset();
        let mut out = Vec::with_capacity(page.len() / EXPECTED_PART + LEAST_ROOM);
        out.extend_from_slice(&HEADER);
        loop {
            let taken = usize::try_from(state.total_in()).ok()?;
            let status = state.compress_vec(&page[taken..], &mut out, FlushCompress::Finish).ok()?;
            if status == Status::StreamEnd {
                break;
            }
            out.reserve(out.capacity().max(LEAST_ROOM));
        }
        drop(state);
        let mut check = flate2::Crc::new();
        check.update(page);
        out.extend_from_slice(&check.sum().to_le_bytes());
        out.extend_from_slice(&check.amount().to_le_bytes());
        // It may wait for its client.
        out.shrink_to_fit();
        Some(out)
    }
}

/// Whether the value of `Accept-Encoding` names gzip and does not refuse it.
pub(super) fn is_accepted(accept_encoding: &str) -> bool {
    accept_encoding.split(',').any(|choice| {
        let mut parts = choice.split(';').map(str::trim);
        let is_gzip = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        is_gzip && !parts.any(|part| part.strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn what_is_compressed_can_be_read_each_time() {
        let gzip = Gzip::default();
        let noise: Vec<u8> =
            (0..200_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        for page in [&b""[..], b"node_load1 1\n", &b"node_load1 1\n".repeat(50_000), &noise] {
            let compressed = gzip.page(page).unwrap();
            let mut read = Vec::new();
            flate2::read::GzDecoder::new(&compressed[..]).read_to_end(&mut read).unwrap();
            assert!(read == page, "{} bytes", page.len());
        }
    }

    #[test]
    fn clients_say_whether_they_take_it() {
        for (header, accepted) in [
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("gzip; q=0", false),
            ("zstd, gzip;q=0.0", false),
            ("deflate", false),
            ("x-gzip", false),
            ("", false),
        ] {
            assert_eq!(is_accepted(header), accepted, "{header}");
        }
    }
}
